//! A processor quota is honoured: inside a 1-CPU cgroup, made here as root, one thread computes.
//!
//! Without root nothing can be made and nothing is tested; as root a cgroup that cannot be made is a failure.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, io, process, thread};

use gleand::engine::budget::{self, Split};
use gleand::engine::{Engine, Patience, ScorerFactory, Settings, Watchers};
use gleand::pipeline::ports::{ScoreError, Scorer};
use gleand::pipeline::schedule::BatchBudget;
use gleand::pipeline::scores::{Prompt, Scores, WindowInput};
use gleand::telemetry::Telemetry;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The argument that makes this program the child.
const CHILD: &str = "compute-until-stdin-ends";

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let outcome = match (arguments.next().as_deref(), arguments.next()) {
        (Some(CHILD), Some(workers)) => compute_until_stdin_ends(&workers),
        _ => a_quota_leaves_one_compute_thread(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "cgroup: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn a_quota_leaves_one_compute_thread() -> Outcome {
    let status = fs::read_to_string("/proc/self/status")?;
    let is_root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
    if !is_root {
        writeln!(io::stdout(), "cgroup: not root, so no cgroup was made and nothing was tested")?;
        return Ok(());
    }
    let group = Group::with_one_cpu()?;
    // 0 leaves the split to the program; 1 gives all cores to one worker.
    for workers in ["0", "1"] {
        let free = Seen::of(&command(workers))?;
        let cores = thread::available_parallelism()?.get();
        let expected = Seen { cores, compute_threads: cores, unnamed_threads: 0 };
        require(workers, "without a quota", &free, &expected)?;
        let bound = Seen::of(&group.enter(&command(workers)))?;
        let expected = Seen { cores: 1, compute_threads: 1, unnamed_threads: 0 };
        require(workers, "with a 1-CPU quota", &bound, &expected)?;
    }
    group.remove()
}

fn require(workers: &str, place: &str, seen: &Seen, expected: &Seen) -> Outcome {
    writeln!(io::stdout(), "cgroup: workers = {workers}, {place}: {seen:?}")?;
    if seen == expected { Ok(()) } else { Err(format!("expected {expected:?}").into()) }
}

/// The program under test: it computes, prints `cores N` once it is ready, and ends with its stdin.
fn command(workers: &str) -> Vec<String> {
    let program = env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
    vec![program, CHILD.to_owned(), workers.to_owned()]
}

/// What a running program shows.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// Cores that it says it may use.
    cores: usize,
    /// Threads named by the engine.
    compute_threads: usize,
    /// Threads that nobody named, the main thread not counted: a library started them on its own.
    unnamed_threads: usize,
}

impl Seen {
    fn of(command: &[String]) -> Outcome<Self> {
        let (program, arguments) = command.split_first().ok_or("no command")?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut child = Reaped(child);
        let stdout = child.0.stdout.take().ok_or("no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let cores = line.trim().strip_prefix("cores ").ok_or("the program did not become ready")?;
        let names = thread_names(child.0.id())?;
        let main = fs::read_to_string(format!("/proc/{}/comm", child.0.id()))?;
        let unnamed = names.iter().filter(|name| **name == main).count();
        Ok(Self {
            cores: cores.parse()?,
            compute_threads: names.iter().filter(|name| name.starts_with("score-")).count(),
            unnamed_threads: unnamed.saturating_sub(1),
        })
    }
}

fn thread_names(pid: u32) -> Outcome<Vec<String>> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))?;
    tasks.map(|task| Ok(fs::read_to_string(task?.path().join("comm"))?)).collect()
}

/// Ends with its owner, so that its group can be removed whatever happens.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A cgroup of our own with a quota of one processor.
struct Group {
    directory: PathBuf,
}

impl Group {
    fn with_one_cpu() -> Outcome<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let v1 = mount_point(&mounts, " - cgroup ", "cpu");
        let v2 = mount_point(&mounts, " - cgroup2 ", "rw");
        let (parent, quota): (_, &[(&str, &str)]) = match (v1, v2) {
            (Some(v1), _) => {
                (v1, &[("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "100000")])
            }
            (None, Some(v2)) => {
                write(&v2.join("cgroup.subtree_control"), "+cpu")?;
                (v2, &[("cpu.max", "100000 100000")])
            }
            (None, None) => return Err("no cgroup tree is mounted".into()),
        };
        let directory = parent.join(format!("gleand-test-{}", process::id()));
        fs::create_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let group = Self { directory };
        for (file, content) in quota {
            write(&group.directory.join(file), content)?;
        }
        Ok(group)
    }

    /// The same command, started inside the group.
    fn enter(&self, command: &[String]) -> Vec<String> {
        let script = r#"echo $$ > "$0" && exec "$@""#;
        let processes = self.directory.join("cgroup.procs").display().to_string();
        let shell = ["sh", "-c", script].map(str::to_owned);
        shell.into_iter().chain([processes]).chain(command.iter().cloned()).collect()
    }

    fn remove(self) -> Outcome {
        fs::remove_dir(&self.directory)?;
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // After `remove` there is nothing left; after a failure the first error is the one to tell.
        drop(fs::remove_dir(&self.directory));
    }
}

/// Where a hierarchy of the given kind with the given mount option is seen.
fn mount_point(mounts: &str, kind: &str, option: &str) -> Option<PathBuf> {
    let has = |line: &&str| {
        let options = line.rsplit(' ').next().unwrap_or("");
        line.contains(kind) && options.split(',').any(|one| one == option)
    };
    let point = mounts.lines().find(has)?.split(' ').nth(4)?;
    Some(PathBuf::from(point))
}

fn write(path: &Path, content: &str) -> Outcome {
    Ok(fs::write(path, content).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// The child: an engine with as many workers and threads as the budget gives, all of which have computed.
fn compute_until_stdin_ends(workers: &str) -> Outcome {
    let cores = budget::cores();
    let settings = Settings {
        share: budget::share(cores, Split::from_setting(workers.parse()?)),
        batch: BatchBudget::Packed(cores),
        windows_max: cores,
        patience: Patience { tick: Duration::from_secs(1), ticks: 60 },
        devices: vec!["cpu".to_owned()],
    };
    let quiet = Telemetry::quiet();
    let watchers = Watchers { metrics: quiet.metrics, tracer: quiet.tracer };
    let factory: ScorerFactory = Arc::new(|_worker| Ok(Box::new(Parallel)));
    let prompt = Prompt { head: vec![1], label_positions: vec![0], tail: vec![2] };
    let window = WindowInput { prompt: Arc::new(prompt), pieces: vec![3], word_ends: vec![1] };
    let (engine, threads) = Engine::start(&settings, &factory, window, watchers)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(engine.ready())?;
    writeln!(io::stdout(), "cores {cores}")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    drop(engine);
    Ok(threads.join()?)
}

/// Computes with rayon, as candle and gemm do, without saying in which pool.
struct Parallel;

impl Scorer for Parallel {
    fn score(&mut self, batch: &[&WindowInput]) -> Result<Vec<Scores>, ScoreError> {
        let windows = batch.len();
        let (one, two) = rayon::join(|| windows, || windows);
        let score = |_: &&WindowInput| Scores::new(1, 1, vec![0.5; 3]);
        let scores: Result<_, _> = batch.iter().map(score).collect();
        scores.map_err(|error| ScoreError { windows: one.max(two), source: error.into() })
    }
}
