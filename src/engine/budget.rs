//! What the process may use. How many threads compute: workers times threads never exceeds the cores that the process may use.

use std::num::NonZeroUsize;
use std::path::Path;
use std::{fs, thread};

use super::cgroup;

/// Workers and the threads that each computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Workers, each with a scorer of its own.
    pub workers: NonZeroUsize,
    /// Threads of each worker, the worker's own included.
    pub threads_per_worker: NonZeroUsize,
}

/// How cores become workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// A worker a core: windows run beside each other and hand nothing over.
    WorkerPerCore,
    /// One worker for all cores: the cores share every window.
    OneWorker,
    /// So many workers, but no more than cores; they share the cores evenly, rounded down.
    Workers(NonZeroUsize),
}

impl Split {
    /// What `workers = 0` means.
    pub const AUTO: Self = Self::WorkerPerCore;

    /// The split that the setting `workers` asks for; 0 leaves it to [`Split::AUTO`].
    #[must_use]
    pub fn from_setting(workers: usize) -> Self {
        NonZeroUsize::new(workers).map_or(Self::AUTO, Self::Workers)
    }
}

/// Cuts `cores` into workers and threads.
#[must_use]
pub fn share(cores: NonZeroUsize, split: Split) -> Share {
    let workers = match split {
        Split::WorkerPerCore => cores,
        Split::OneWorker => NonZeroUsize::MIN,
        Split::Workers(workers) => workers.min(cores),
    };
    let threads = NonZeroUsize::new(cores.get() / workers).unwrap_or(NonZeroUsize::MIN);
    Share { workers, threads_per_worker: threads }
}

/// Cores that this process may use: the processors it may run on, or fewer when a cgroup above it has a quota.
#[must_use]
pub fn cores() -> NonZeroUsize {
    let allowed = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let read = |path: &Path| fs::read_to_string(path).ok();
    cgroup::quota_cores(&read).map_or(allowed, |quota| allowed.min(quota))
}

/// Bytes of memory that this process may use, when a cgroup above it has a limit.
#[must_use]
pub fn memory_limit() -> Option<u64> {
    cgroup::memory_limit(&|path: &Path| fs::read_to_string(path).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cores: usize, split: Split, workers: usize, threads: usize) {
        let count = |n| NonZeroUsize::new(n).unwrap();
        let expected = Share { workers: count(workers), threads_per_worker: count(threads) };
        assert_eq!(share(count(cores), split), expected);
    }

    #[test]
    fn workers_times_threads_fill_the_cores_and_never_exceed_them() {
        check(1, Split::WorkerPerCore, 1, 1);
        check(8, Split::WorkerPerCore, 8, 1);
        check(8, Split::OneWorker, 1, 8);
        check(8, Split::from_setting(2), 2, 4);
        check(8, Split::from_setting(3), 3, 2);
        check(2, Split::from_setting(5), 2, 1);
        check(1, Split::from_setting(5), 1, 1);
    }

    #[test]
    fn zero_workers_means_the_measured_split() {
        assert_eq!(Split::from_setting(0), Split::AUTO);
    }

    #[test]
    fn this_process_has_a_core_and_no_more_than_the_system_allows() {
        assert!(cores() <= thread::available_parallelism().unwrap());
    }
}
