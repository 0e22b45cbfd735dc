//! Every thread of the engine is named and started here, and nowhere else.

use std::num::NonZeroUsize;
use std::thread::{Builder, JoinHandle};
use std::{io, thread};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// Starts a thread. Linux shows the first 15 bytes of `name`.
///
/// # Errors
/// When the operating system gives no thread.
pub(super) fn spawn(
    name: String,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name).spawn(run)
}

/// Makes the calling thread the first of `threads` threads that share its work, so that a worker with one
/// thread is one thread and hands nothing over.
///
/// A thread can be in one pool only, and its part of the pool is never freed (rayon's documentation says
/// so): call it once a worker.
///
/// # Errors
/// When the thread is in a pool already, or the operating system gives no thread.
pub(super) fn share_work(threads: NonZeroUsize) -> Result<ThreadPool, ThreadPoolBuildError> {
    let worker = thread::current().name().unwrap_or("score").to_owned();
    ThreadPoolBuilder::new()
        .num_threads(threads.get())
        .use_current_thread()
        .thread_name(move |index| format!("{worker}-{index}"))
        .build()
}
