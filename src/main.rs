//! The `gleand` command: a runtime, the composition root, an exit code.

use std::process::ExitCode;

use gleand::{app, cli};

/// Threads that carry bytes; scoring has its own.
const IO_THREADS: usize = 2;

/// candle makes and drops a large buffer for every operation; glibc would map and unmap each.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    // The only one in the whole graph, and first of all: whoever uses TLS without it panics.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        anyhow::bail!("a crypto provider is installed already");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(IO_THREADS)
        .thread_name("gleand-io")
        .enable_all()
        .build()?;
    let exit = runtime.block_on(cli::run(std::env::args_os(), app::composition()));
    // A read of standard input that waits for a person must not keep the process.
    runtime.shutdown_background();
    Ok(exit)
}
