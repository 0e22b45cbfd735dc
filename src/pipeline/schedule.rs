//! Jobs in, batches out: who is scored next, and beside whom.
//!
//! Invariants, each held by a test below:
//! - every accepted job leaves once, in a batch or as skipped;
//! - streams take turns (deficit round robin: Shreedhar and Varghese 1995) and a stream's jobs leave in
//!   the order they came. A turn is worth as many pieces as the dearest job seen so far, so every turn
//!   scores at least one job, and a stream that arrives later waits behind those that are there;
//! - every batch but an empty one takes the job whose turn it is, so no flood of others starves it;
//! - a batch stays within its budget, unless it is one job that is dearer than the budget;
//! - a job that nobody waits for costs no turn.
//!
//! A batch ends at the first job that does not fit: looking past it would let small jobs push a dear one back.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;

/// One stream of windows. Streams share workers by turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// What the schedule has to know about a piece of work.
pub trait Job {
    /// The stream that the job belongs to.
    fn stream(&self) -> StreamId;

    /// Pieces to be scored, prompt included. Must not change while the job waits.
    fn cost(&self) -> usize;

    /// Whether somebody still waits for the answer.
    fn is_wanted(&self) -> bool;
}

/// How much work a batch may hold, in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchBudget {
    /// Windows are packed one after the other: the sum of their costs counts.
    Packed(NonZeroUsize),
    /// Windows are padded to the longest: the dearest cost times their number counts.
    Padded(NonZeroUsize),
}

impl BatchBudget {
    fn admits(self, costs: Costs) -> bool {
        match self {
            Self::Packed(budget) => costs.sum <= budget.get(),
            Self::Padded(budget) => costs.dearest.saturating_mul(costs.jobs) <= budget.get(),
        }
    }
}

/// The jobs of a batch as far as a budget cares.
#[derive(Clone, Copy, Default)]
struct Costs {
    jobs: usize,
    sum: usize,
    dearest: usize,
}

impl Costs {
    fn with(self, cost: usize) -> Self {
        Self {
            jobs: self.jobs + 1,
            sum: self.sum.saturating_add(cost),
            dearest: self.dearest.max(cost),
        }
    }
}

/// What a worker takes at once.
#[derive(Debug)]
pub struct Batch<J> {
    /// To be scored, in this order. Empty only when no wanted job waits.
    pub jobs: Vec<J>,
    /// Jobs that nobody waits for, to be dropped. They are handed out because dropping takes time.
    pub skipped: Vec<J>,
}

/// The jobs that wait, by stream.
#[derive(Debug)]
pub struct Schedule<J> {
    streams: HashMap<StreamId, Waiting<J>>,
    /// Streams with jobs, next turn first. Each is in `streams`, and either here or in `turn`.
    ring: VecDeque<StreamId>,
    /// The stream whose turn was cut short by a full batch.
    turn: Option<StreamId>,
    jobs: usize,
    jobs_max: NonZeroUsize,
    budget: BatchBudget,
    /// Pieces that a turn is worth: the dearest job accepted so far.
    quantum: usize,
}

#[derive(Debug)]
struct Waiting<J> {
    jobs: VecDeque<J>,
    /// Pieces that the stream may still take in its turn; less than a quantum is kept for the next one.
    deficit: usize,
}

/// How a turn ended.
enum TurnEnd {
    /// The stream has no job left.
    Empty,
    /// The stream has had its share.
    Spent,
    /// The batch is full.
    BatchFull,
}

impl<J: Job> Schedule<J> {
    /// An empty schedule that holds at most `jobs_max` jobs.
    #[must_use]
    pub fn new(budget: BatchBudget, jobs_max: NonZeroUsize) -> Self {
        Self {
            streams: HashMap::new(),
            ring: VecDeque::new(),
            turn: None,
            jobs: 0,
            jobs_max,
            budget,
            quantum: 1,
        }
    }

    /// Accepts a job behind all others of its stream.
    ///
    /// # Errors
    /// The job itself, when `jobs_max` jobs wait already.
    pub fn push(&mut self, job: J) -> Result<(), J> {
        if self.jobs == self.jobs_max.get() {
            return Err(job);
        }
        let stream = job.stream();
        self.jobs += 1;
        self.quantum = self.quantum.max(job.cost());
        let waiting = self.streams.entry(stream).or_insert_with(|| {
            self.ring.push_back(stream);
            Waiting { jobs: VecDeque::new(), deficit: 0 }
        });
        waiting.jobs.push_back(job);
        Ok(())
    }

    /// Takes what the next batch may hold. Ends after work in proportion to the jobs it takes.
    pub fn next_batch(&mut self) -> Batch<J> {
        let mut batch = Batch { jobs: Vec::new(), skipped: Vec::new() };
        let mut costs = Costs::default();
        while let Some(stream) = self.take_turn() {
            let Some(waiting) = self.streams.get_mut(&stream) else {
                debug_assert!(false, "a stream in the ring has jobs");
                continue;
            };
            match waiting.serve(self.budget, &mut costs, &mut batch) {
                TurnEnd::Empty => {
                    self.streams.remove(&stream);
                }
                TurnEnd::Spent => self.ring.push_back(stream),
                TurnEnd::BatchFull => {
                    self.turn = Some(stream);
                    break;
                }
            }
        }
        self.jobs -= batch.jobs.len() + batch.skipped.len();
        batch
    }

    /// Takes everything that waits, in no useful order, for a schedule that ends.
    pub fn take_all(&mut self) -> Vec<J> {
        let order = self.turn.take().into_iter().chain(self.ring.drain(..));
        let jobs = order
            .filter_map(|stream| self.streams.remove(&stream))
            .flat_map(|waiting| waiting.jobs)
            .collect();
        self.jobs = 0;
        jobs
    }

    /// Jobs that wait, those that nobody waits for included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.jobs
    }

    /// Whether no job waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.jobs == 0
    }

    /// The stream whose turn it is: the one that was interrupted, else the next with a fresh quantum.
    fn take_turn(&mut self) -> Option<StreamId> {
        if let Some(interrupted) = self.turn.take() {
            return Some(interrupted);
        }
        let stream = self.ring.pop_front()?;
        if let Some(waiting) = self.streams.get_mut(&stream) {
            waiting.deficit += self.quantum;
        }
        Some(stream)
    }
}

impl<J: Job> Waiting<J> {
    /// Moves jobs into `batch` until the turn ends.
    fn serve(&mut self, budget: BatchBudget, costs: &mut Costs, batch: &mut Batch<J>) -> TurnEnd {
        while let Some(job) = self.jobs.pop_front() {
            if !job.is_wanted() {
                batch.skipped.push(job);
                continue;
            }
            let cost = job.cost();
            let with_job = costs.with(cost);
            let end = if cost > self.deficit {
                TurnEnd::Spent
            } else if costs.jobs > 0 && !budget.admits(with_job) {
                TurnEnd::BatchFull
            } else {
                *costs = with_job;
                self.deficit -= cost;
                batch.jobs.push(job);
                continue;
            };
            self.jobs.push_front(job);
            return end;
        }
        TurnEnd::Empty
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use std::rc::Rc;

    use proptest::collection::vec;
    use proptest::prelude::{
        Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
    };

    use super::*;

    #[derive(Clone, Debug)]
    struct Ticket {
        stream: u64,
        number: usize,
        cost: usize,
        wanted: Rc<Cell<bool>>,
    }

    impl Job for Ticket {
        fn stream(&self) -> StreamId {
            StreamId(self.stream)
        }
        fn cost(&self) -> usize {
            self.cost
        }
        fn is_wanted(&self) -> bool {
            self.wanted.get()
        }
    }

    fn ticket(stream: u64, number: usize, cost: usize) -> Ticket {
        Ticket { stream, number, cost, wanted: Rc::new(Cell::new(true)) }
    }

    fn count(n: usize) -> NonZeroUsize {
        NonZeroUsize::new(n).unwrap()
    }

    fn packed(budget: usize) -> Schedule<Ticket> {
        Schedule::new(BatchBudget::Packed(count(budget)), count(100_000))
    }

    /// Pushes `(stream, cost)` in order, then writes every batch as its jobs' `stream.number`.
    fn check(budget: BatchBudget, jobs: &[(u64, usize)], expected: &[&str]) {
        let mut schedule = Schedule::new(budget, count(1000));
        for (number, &(stream, cost)) in jobs.iter().enumerate() {
            schedule.push(ticket(stream, number, cost)).unwrap();
        }
        let mut batches = Vec::new();
        while !schedule.is_empty() {
            let names: Vec<String> = schedule
                .next_batch()
                .jobs
                .iter()
                .map(|j| format!("{}.{}", j.stream, j.number))
                .collect();
            batches.push(names.join(" "));
        }
        assert_eq!(batches, expected);
    }

    #[test]
    fn takes_all_that_waits_when_it_fits() {
        check(BatchBudget::Packed(count(100)), &[(1, 10), (2, 30), (1, 20)], &["1.0 1.2 2.1"]);
        check(BatchBudget::Packed(count(100)), &[(1, 30), (2, 30), (1, 30)], &["1.0 2.1 1.2"]);
    }

    #[test]
    fn streams_take_turns() {
        let jobs = [(1, 5), (1, 5), (1, 5), (2, 5), (2, 5), (3, 5)];
        check(BatchBudget::Packed(count(10)), &jobs, &["1.0 2.3", "3.5 1.1", "2.4 1.2"]);
    }

    #[test]
    fn a_job_dearer_than_the_budget_goes_alone() {
        let jobs = [(1, 1), (2, 50), (3, 1)];
        check(BatchBudget::Packed(count(10)), &jobs, &["1.0", "2.1", "3.2"]);
        check(BatchBudget::Padded(count(10)), &jobs, &["1.0", "2.1", "3.2"]);
    }

    #[test]
    fn padding_counts_against_the_budget() {
        let jobs = [(1, 4), (2, 4), (3, 2), (4, 6), (5, 1), (6, 1)];
        check(BatchBudget::Padded(count(12)), &jobs, &["1.0 2.1 3.2", "4.3 5.4", "6.5"]);
    }

    #[test]
    fn a_full_schedule_hands_the_job_back() {
        let mut schedule = Schedule::new(BatchBudget::Packed(count(10)), count(2));
        schedule.push(ticket(1, 0, 1)).unwrap();
        schedule.push(ticket(1, 1, 1)).unwrap();
        assert_eq!(schedule.push(ticket(2, 2, 1)).unwrap_err().number, 2);
        assert_eq!(schedule.next_batch().jobs.len(), 2);
        schedule.push(ticket(2, 2, 1)).unwrap();
        assert_eq!(schedule.len(), 1);
    }

    #[test]
    fn a_stream_with_one_job_waits_for_one_turn_of_a_stream_with_a_thousand() {
        let mut schedule = packed(10);
        for number in 0..1000 {
            schedule.push(ticket(1, number, 10)).unwrap();
        }
        schedule.push(ticket(2, 0, 10)).unwrap();
        let streams: Vec<u64> =
            (0..1001).flat_map(|_| schedule.next_batch().jobs).map(|job| job.stream).collect();
        assert_eq!(streams.iter().position(|&stream| stream == 2), Some(1));
        assert_eq!(streams.iter().filter(|&&stream| stream == 1).count(), 1000);
    }

    #[test]
    fn a_job_nobody_waits_for_is_skipped_and_costs_no_turn() {
        let mut schedule = packed(10);
        let abandoned = ticket(1, 0, 10);
        schedule.push(abandoned.clone()).unwrap();
        schedule.push(ticket(1, 1, 10)).unwrap();
        schedule.push(ticket(2, 2, 10)).unwrap();
        abandoned.wanted.set(false);
        let batch = schedule.next_batch();
        assert_eq!(batch.jobs.iter().map(|job| job.number).collect::<Vec<_>>(), [1]);
        assert_eq!(batch.skipped.iter().map(|job| job.number).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn take_all_leaves_nothing_behind() {
        let mut schedule = packed(5);
        for number in 0..9 {
            schedule.push(ticket(number % 3, usize::try_from(number).unwrap(), 5)).unwrap();
        }
        let first = schedule.next_batch().jobs.len();
        assert_eq!(first + schedule.take_all().len(), 9);
        assert!(schedule.is_empty() && schedule.next_batch().jobs.is_empty());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push { stream: u64, cost: usize },
        Abandon(usize),
        Batch,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..6_u64, 1..60_usize).prop_map(|(stream, cost)| Step::Push { stream, cost }),
            1 => any::<usize>().prop_map(Step::Abandon),
            2 => Just(Step::Batch),
        ];
        vec(step, 0..120)
    }

    fn budgets() -> impl Strategy<Value = BatchBudget> {
        (1..200_usize, any::<bool>()).prop_map(|(pieces, padded)| {
            if padded {
                BatchBudget::Padded(count(pieces))
            } else {
                BatchBudget::Packed(count(pieces))
            }
        })
    }

    fn is_within(budget: BatchBudget, jobs: &[Ticket]) -> bool {
        let costs = || jobs.iter().map(|job| job.cost);
        jobs.len() <= 1
            || match budget {
                BatchBudget::Packed(max) => costs().sum::<usize>() <= max.get(),
                BatchBudget::Padded(max) => costs().max().unwrap_or(0) * jobs.len() <= max.get(),
            }
    }

    proptest! {
        /// Conservation, order within a stream, and the budget, over any history.
        #[test]
        fn every_accepted_job_leaves_once_in_its_streams_order(
            steps in steps(), budget in budgets(), jobs_max in 1..40_usize,
        ) {
            let mut schedule = Schedule::new(budget, count(jobs_max));
            let mut accepted: Vec<Ticket> = Vec::new();
            let mut left: Vec<Ticket> = Vec::new();
            let drain = std::iter::repeat_n(Step::Batch, steps.len());
            for step in steps.iter().cloned().chain(drain) {
                match step {
                    Step::Push { stream, cost } => {
                        let job = ticket(stream, accepted.len(), cost);
                        let is_full = accepted.len() - left.len() == jobs_max;
                        match schedule.push(job.clone()) {
                            Ok(()) => accepted.push(job),
                            Err(_) => prop_assert!(is_full),
                        }
                    }
                    Step::Abandon(at) if !accepted.is_empty() => {
                        accepted[at % accepted.len()].wanted.set(false);
                    }
                    Step::Abandon(_) => {}
                    Step::Batch => {
                        let batch = schedule.next_batch();
                        prop_assert!(batch.jobs.iter().all(Job::is_wanted));
                        prop_assert!(!batch.skipped.iter().any(Job::is_wanted));
                        prop_assert!(is_within(budget, &batch.jobs));
                        prop_assert!(!batch.jobs.is_empty() || schedule.is_empty());
                        left.extend(batch.jobs);
                        left.extend(batch.skipped);
                    }
                }
                prop_assert_eq!(schedule.len(), accepted.len() - left.len());
            }
            let mut answered: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
            for job in left.iter().filter(|job| job.is_wanted()) {
                answered.entry(job.stream).or_default().push(job.number);
            }
            prop_assert!(answered.values().all(|numbers| numbers.is_sorted()));
            let mut numbers: Vec<usize> = left.iter().map(|job| job.number).collect();
            numbers.sort_unstable();
            prop_assert_eq!(numbers, (0..accepted.len()).collect::<Vec<_>>());
        }

        /// While rivals refill for ever and a newcomer arrives with every batch, a stream's next job
        /// waits at most for the turns of the streams that were there before its own turn.
        #[test]
        fn no_job_starves_whatever_floods_in(
            rivals in 1..8_u64, budget in 1..400_usize, costs in vec(1..=100_usize, 200),
        ) {
            let mut costs = costs.into_iter().cycle();
            let mut schedule = packed(budget);
            let mut push = |schedule: &mut Schedule<Ticket>, stream| {
                schedule.push(ticket(stream, 0, costs.next().unwrap())).unwrap();
            };
            for stream in 1..=rivals {
                (0..20).for_each(|_| push(&mut schedule, stream));
            }
            (0..6).for_each(|_| push(&mut schedule, 0));
            let mut newcomer = rivals;
            let (mut served, mut waited, mut ahead) = (0, 0, schedule.streams.len());
            while served < 6 {
                newcomer += 1;
                push(&mut schedule, newcomer);
                (1..=rivals).for_each(|stream| push(&mut schedule, stream));
                let mine = schedule.next_batch().jobs.iter().filter(|job| job.stream == 0).count();
                waited += 1;
                // A turn takes less than two quanta, and two neighbouring batches exceed the budget.
                let batches_max = 2 * (ahead * 2 * 100 / budget + 1) + 1;
                prop_assert!(waited <= batches_max, "{} batches, at most {}", waited, batches_max);
                if mine > 0 {
                    (served, waited, ahead) = (served + mine, 0, schedule.streams.len());
                }
            }
        }

        /// Two streams that always have jobs get the same pieces, however they cut them.
        #[test]
        fn busy_streams_share_pieces_not_jobs(
            small in 1..20_usize, large in 20..=100_usize, budget in 1..400_usize,
        ) {
            let mut schedule = packed(budget);
            for number in 0..400 {
                schedule.push(ticket(1, number, small)).unwrap();
                schedule.push(ticket(2, number, large)).unwrap();
            }
            let (mut of_small, mut of_large) = (0_usize, 0_usize);
            while schedule.streams.len() == 2 {
                prop_assert!(of_small.abs_diff(of_large) <= 2 * large);
                for job in schedule.next_batch().jobs {
                    if job.stream == 1 { of_small += job.cost } else { of_large += job.cost }
                }
            }
        }
    }
}
