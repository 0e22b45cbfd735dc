//! A daemon for the time of a test, and clients of it: all of them processes of their own.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longer than a small model takes to load on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(120);

/// `gleand serve` on a port of its own.
pub(crate) struct Daemon {
    child: Child,
    url: String,
}

impl Daemon {
    /// A daemon that is ready to serve a model of the fixtures.
    pub(crate) fn start(fixture: &str, settings: &[&str]) -> Self {
        // Closed again, so that the daemon can have the port.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let model = format!("tests/parity/fixtures/{fixture}");
        let mut command = gleand();
        command.args(["serve", "--log-level", "warn", "--listen", &address.to_string()]);
        // Several run at once.
        command.args(["--model", &model, "--set", "admin.listen="]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let daemon = Self { child: command.spawn().unwrap(), url: format!("http://{address}") };
        daemon.wait_until_ready();
        daemon
    }

    #[expect(clippy::disallowed_methods, reason = "a test gives up after a time")]
    fn wait_until_ready(&self) {
        let started = Instant::now();
        let is_ready = || {
            let mut check = gleand();
            check.args(["healthcheck", "--server", &self.url]);
            check.stderr(Stdio::null()).stdout(Stdio::null()).status().unwrap().success()
        };
        while !is_ready() {
            assert!(started.elapsed() < READY_TIMEOUT, "the daemon never serves");
        }
    }

    /// The most memory that the daemon ever held at once, as the kernel counts it.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        kib * 1024
    }

    /// `gleand extract` of what `write` writes, for `labels`.
    pub(crate) fn extract(
        &self,
        labels: &str,
        write: impl FnOnce(&mut dyn Write) + Send + 'static,
    ) -> Extraction {
        let mut command = gleand();
        command.args(["extract", "--quiet", "--format", "jsonl", "--labels", labels]);
        command.args(["--server", &self.url, "-"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        Extraction { child, writer: spawn(move || write(&mut stdin)) }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself, which its test has noticed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A document on its way.
pub(crate) struct Extraction {
    child: Child,
    writer: JoinHandle<()>,
}

impl Extraction {
    /// Every line that was printed, once the whole document was written and read.
    pub(crate) fn lines(self) -> Vec<String> {
        let output = self.child.wait_with_output().unwrap();
        self.writer.join().unwrap();
        assert!(output.status.success(), "{}", output.status);
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

fn gleand() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gleand"));
    command.stdin(Stdio::null());
    command
}

#[expect(clippy::disallowed_methods, reason = "joined by the extraction that it writes for")]
fn spawn(work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::spawn(work)
}
