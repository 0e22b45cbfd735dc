//! Relations, first half: which relations there are between which arguments. [`super::pairs`] is the second half.
//!
//! Two stages. The first finds arguments, as an entities task does. Once those of a window are final, the second reads the
//! window again, behind `Extract relationships between entities from the text:  \n `, with a label `{head} <> {relation}`
//! for each text of a head and each relation; where the span of an argument is over the threshold, it is the tail
//! (gliner 0.2.29, `GLiNERRelationExtractor`, which takes any span for a tail and has no place for the head).
//!
//! A pair belongs to the window whose core holds the first word of its earlier argument, and needs the later one inside
//! that window. The model reads the head's text, not its place, so of several heads of one text the nearest to the tail
//! counts.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::TaskKind;
use super::pairs::Pairs;
use crate::pipeline::decode::Candidate;
use crate::pipeline::merge::{Selection, SelectionRules};
use crate::pipeline::plan::TaskPlan;
use crate::pipeline::planning::Planning;
use crate::pipeline::prefix::Prefix;
use crate::pipeline::request::RelationsRequest;
use crate::pipeline::schema::{
    Label, LabelRequest, LabelsPerSpan, Part, Problem, Threshold, add_label, check_label,
};

const INSTRUCTION: &str = "Extract relationships between entities from the text: ";
/// Pieces of a head's text that are sure to fit into a label.
const HEAD_PIECES: usize = 24;
/// The part of a window that labels of the second stage may take.
const LABEL_SHARE: usize = 4;

/// What relations are asked for.
#[derive(Debug)]
pub struct RelationsPlan {
    /// Relations in the order of the request.
    pub relations: Vec<RelationPlan>,
    /// What the model reads of relations, each once, with the relations that it stands for.
    pub prompts: Vec<(Box<str>, Vec<usize>)>,
    /// Labels of arguments, in the order of their first appearance.
    pub labels: Vec<Label>,
    /// How arguments exclude each other.
    pub rules: SelectionRules,
    /// Words before the text in the second stage.
    pub prefix: Arc<Prefix>,
    /// Labels of a pass of the second stage at most.
    pub labels_per_pass: usize,
    /// Pieces that they may have together.
    pub label_pieces: usize,
    /// Passes of the second stage over one window at most.
    pub passes_max: usize,
    /// Words between head and tail at most, if there is a bound.
    pub distance_max: Option<u64>,
}

/// One relation.
#[derive(Debug)]
pub struct RelationPlan {
    /// Name, what the model reads, threshold.
    pub label: Label,
    /// Which labels a head may have.
    pub heads: Arguments,
    /// Which labels a tail may have.
    pub tails: Arguments,
}

/// For each label of the task its number in the relation's list, if it stands there.
#[derive(Debug)]
pub struct Arguments(Vec<Option<usize>>);

impl Arguments {
    /// The number of a label in the relation's list.
    #[must_use]
    pub fn index(&self, label: u32) -> Option<usize> {
        self.0.get(label as usize).copied().flatten()
    }
}

/// Plans the task: the passes of the first stage, and room for the labels of the second.
pub fn plan(planning: &mut Planning<'_>, request: &RelationsRequest) -> Option<TaskPlan> {
    let thresholds = planning.facts.thresholds;
    let of_relations = planning.threshold(Part::Task, request.threshold, thresholds.relations);
    let of_arguments = planning.threshold(
        Part::ArgumentThreshold,
        request.argument_threshold,
        thresholds.entities,
    );
    let distance = planning.number(Part::Distance, request.distance_words_max, i32::MAX as usize);
    if !planning.count(request.relations.len(), planning.limits.labels_max) {
        return None;
    }
    let mut read = Reading { planning, labels: Vec::new(), of_arguments };
    let mut relations = Vec::with_capacity(request.relations.len());
    for (number, relation) in request.relations.iter().enumerate() {
        let heads = read.arguments(&relation.heads, &|label| Part::HeadLabel(number, label));
        let tails = read.arguments(&relation.tails, &|label| Part::TailLabel(number, label));
        if let Some(label) = read.relation(&relation.label, number, of_relations) {
            relations.push((label, heads, tails));
        }
    }
    let labels = read.labels;
    let limit = planning.limits.labels_max;
    match labels.len() {
        0 if planning.errors.is_empty() => {
            planning.mistake(Part::Task, Problem::NoArgumentLabels);
        }
        actual if actual > limit => {
            planning.mistake(Part::Task, Problem::TooMany { actual, limit });
        }
        _ => {}
    }
    if !planning.errors.is_empty() {
        return None;
    }
    let listed = |list: Vec<(usize, usize)>| match list.is_empty() {
        true => Arguments((0..labels.len()).map(Some).collect()),
        false => {
            let find = |label| list.iter().find(|(known, _)| *known == label).map(|(_, at)| *at);
            Arguments((0..labels.len()).map(find).collect())
        }
    };
    let relations: Vec<RelationPlan> = relations
        .into_iter()
        .map(|(label, heads, tails)| RelationPlan {
            label,
            heads: listed(heads),
            tails: listed(tails),
        })
        .collect();
    planning.check_readable(&labels);
    planning.check_readable(&distinct(&relations));
    let passes = planning.passes(&labels)?;
    let (prefix, label_pieces, later) = second_stage(planning, &relations)?;
    let plan = RelationsPlan {
        prompts: prompts(&relations),
        relations,
        labels,
        rules: planning.rules(request.overlap, LabelsPerSpan::One, 1),
        prefix: Arc::new(prefix),
        labels_per_pass: planning.facts.labels_per_pass,
        label_pieces,
        passes_max: planning.limits.relation_passes_max,
        distance_max: distance.filter(|words| *words > 0).map(|words| words as u64),
    };
    planning.errors.is_empty().then(|| planning.plan(TaskKind::Relations(plan), passes, later))
}

/// The relations, each name once.
fn distinct(relations: &[RelationPlan]) -> Vec<Label> {
    let mut labels: Vec<Label> = Vec::with_capacity(relations.len());
    for RelationPlan { label, .. } in relations {
        if labels.iter().all(|known| known.name != label.name) {
            labels.push(label.clone());
        }
    }
    labels
}

fn prompts(relations: &[RelationPlan]) -> Vec<(Box<str>, Vec<usize>)> {
    let mut prompts: Vec<(Box<str>, Vec<usize>)> = Vec::new();
    for (at, relation) in relations.iter().enumerate() {
        match prompts.iter_mut().find(|(prompt, _)| *prompt == relation.label.prompt) {
            Some((_, same)) => same.push(at),
            None => prompts.push((relation.label.prompt.clone(), vec![at])),
        }
    }
    prompts
}

/// Words before the text, pieces of the labels of one pass, and pieces and words of the longest prompt.
fn second_stage(
    planning: &mut Planning<'_>,
    relations: &[RelationPlan],
) -> Option<(Prefix, usize, (usize, usize))> {
    let encoder = planning.encoder;
    let prefix = Prefix::new(INSTRUCTION, encoder);
    let empty = encoder.prompt(&[]).pieces();
    let size = |relation: &RelationPlan| {
        encoder.prompt(&[&format!(" <> {}", relation.label.prompt)]).pieces() - empty + HEAD_PIECES
    };
    let (widest, one) =
        relations.iter().map(|r| (r.label.part, size(r))).max_by_key(|(_, size)| *size)?;
    if !planning.fits(widest, empty + prefix.pieces() + one, prefix.words()) {
        return None;
    }
    let max = planning.policy.window_pieces(planning.facts);
    let rest = max - planning.text_words() - empty - prefix.pieces();
    let label_pieces = (max / LABEL_SHARE).max(one).min(rest);
    let later = (empty + prefix.pieces() + label_pieces, prefix.words());
    Some((prefix, label_pieces, later))
}

/// Reads the labels of a request.
struct Reading<'a, 'p> {
    planning: &'a mut Planning<'p>,
    labels: Vec<Label>,
    of_arguments: Option<Threshold>,
}

impl Reading<'_, '_> {
    /// The labels of a list, each with its number in the task and in the list.
    fn arguments(
        &mut self,
        list: &[LabelRequest],
        part: &dyn Fn(usize) -> Part,
    ) -> Vec<(usize, usize)> {
        let limit = self.planning.limits.labels_max;
        if list.len() > limit {
            let actual = list.len();
            self.planning.mistake(part(limit), Problem::TooMany { actual, limit });
            return Vec::new();
        }
        let mut read = Vec::with_capacity(list.len());
        for (at, label) in list.iter().enumerate() {
            if self.labels.len() > limit {
                let actual = self.labels.len();
                self.planning.mistake(part(at), Problem::TooMany { actual, limit });
                return Vec::new();
            }
            let (limits, errors) = (self.planning.limits, &mut self.planning.errors);
            if let Some(label) = check_label(label, part(at), self.of_arguments, limits, errors) {
                read.push((add_label(&mut self.labels, label, errors), at));
            }
        }
        read
    }

    fn relation(
        &mut self,
        label: &LabelRequest,
        number: usize,
        task: Option<Threshold>,
    ) -> Option<Label> {
        let (limits, errors) = (self.planning.limits, &mut self.planning.errors);
        check_label(label, Part::Relation(number), task, limits, errors)
    }
}

/// The arguments so far, and the windows that wait for theirs.
#[derive(Debug)]
pub struct Relations {
    selection: Selection,
    /// Final arguments by start, from the first one that a window to come may need.
    arguments: VecDeque<Candidate>,
    /// Windows of the first stage whose arguments are not final yet: words and core.
    waiting: VecDeque<(Range<u64>, Range<u64>)>,
    /// Where the last core ended.
    frontier: u64,
    /// The second stage.
    pairs: Pairs,
}

impl Relations {
    /// Nothing was read.
    #[must_use]
    pub fn new(plan: &RelationsPlan) -> Self {
        Self {
            selection: Selection::new(plan.rules),
            arguments: VecDeque::new(),
            waiting: VecDeque::new(),
            frontier: 0,
            pairs: Pairs::default(),
        }
    }

    /// Takes the arguments that the next window may hold.
    pub fn take(&mut self, candidates: Vec<Candidate>, words: Range<u64>, core: Range<u64>) {
        let arguments = &mut self.arguments;
        self.selection.take(candidates, core.end, &mut |argument| arguments.push_back(argument));
        self.frontier = core.end;
        self.waiting.push_back((words, core));
        let needed = self.waiting.front().map_or(0, |(words, _)| words.start);
        while self.arguments.front().is_some_and(|argument| argument.start < needed) {
            self.arguments.pop_front();
        }
    }

    /// A window whose arguments are all final, with them: by start, none reaching beyond it.
    pub fn next_ready(&mut self) -> Option<(Range<u64>, Range<u64>, Vec<Candidate>)> {
        let is_final = self.selection.open_from().unwrap_or(self.frontier);
        let (words, core) = self.waiting.pop_front_if(|(words, _)| words.end <= is_final)?;
        let inside =
            |argument: &&Candidate| argument.start >= words.start && argument.end <= words.end;
        let arguments = self.arguments.iter().filter(inside).copied().collect();
        Some((words, core, arguments))
    }

    /// The second stage, to go on with.
    pub fn pairs_mut(&mut self) -> &mut Pairs {
        &mut self.pairs
    }

    /// The second stage.
    #[must_use]
    pub fn pairs(&self) -> &Pairs {
        &self.pairs
    }

    /// Whether no window waits.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.pairs.is_idle()
    }

    /// The first word that is still needed.
    #[must_use]
    pub fn needed_from(&self) -> Option<u64> {
        let waiting = self.waiting.front().map(|(words, _)| words.start);
        [waiting, self.pairs.needed_from(), self.selection.open_from()].into_iter().flatten().min()
    }

    /// The first word at which a relation to come may start, if not behind all that was read.
    #[must_use]
    pub fn open_from(&self) -> Option<u64> {
        let waiting = self.waiting.front().map(|(_, core)| core.start);
        self.pairs.open_from().or(waiting)
    }

    /// Clusters of arguments that were decided early.
    #[must_use]
    pub fn forced(&self) -> u64 {
        self.selection.forced()
    }
}
