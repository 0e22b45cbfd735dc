//! The `gleand` command: a runtime, the composition root, an exit code.

use std::process::ExitCode;

use gleand::cli::{self, Composition};

/// Threads that carry bytes; scoring has its own.
const IO_THREADS: usize = 2;

fn main() -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(IO_THREADS)
        .thread_name("gleand-io")
        .enable_all()
        .build()?;
    let composition = Composition {
        serve: |_loaded| Box::pin(async { anyhow::bail!("this build has no daemon") }),
        start: |_loaded| Box::pin(async { anyhow::bail!("this build has no daemon") }),
    };
    let exit = runtime.block_on(cli::run(std::env::args_os(), composition));
    // A read of standard input that waits for a person must not keep the process.
    runtime.shutdown_background();
    Ok(exit)
}
