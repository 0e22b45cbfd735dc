//! `gleand extract`: one document in, its entities, relations, answers, summary and classes out.

use std::io::{self, IsTerminal as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use clap::ArgGroup;
use tokio::time::Instant;

use super::asked::{Asked, ResultKind, Tally};
use super::client::{ConnectArgs, InvalidUtf8, Request, Target};
use super::exit::{Failure, Kind};
use super::held::HeldText;
use super::input::Input;
use super::notes::{Notes, Talk};
use super::paint::Paint;
use super::run::Run;
use super::screen::Screen;
use super::tasks::TaskArgs;
use super::view::View;
use super::{Composition, Daemon, load};
use crate::config::{ConfigArgs, wants_no_color};

/// Largest chunk that every daemon takes by default.
const CHUNK_BYTES_MAX: u32 = 1 << 20;

/// Longer than any document takes.
const TIMEOUT_MAX: Duration = Duration::from_secs(30 * 86_400);

const EXAMPLES: &str = "\
Examples:
  gleand extract --labels person,location,date book.txt
  gleand extract --labels person,date:0.4,\"party=name of a party to the contract\" contract.txt
  pdftotext report.pdf - | gleand extract --labels company,product -
  gleand extract --ask \"Who made the creature?\" --ask \"Where was he born?\" --answers 3 book.txt
  gleand extract --summary --summary-words 100 --whole-sentences book.txt
  gleand extract --relations \"works for(person->firm),born in(person->place|city)\" news.txt
  gleand extract --open \"Find all names of ships\" log.txt
  gleand extract --classify \"complaint,order,spam=advertising nobody asked for\" mail.txt
  gleand extract --labels person --summary --threshold 0.4 --threshold summary=0.3 book.txt
  gleand extract --labels person --format jsonl book.txt | jq -r 'select(.type == \"mention\").text'
  gleand extract --labels person --server http://gleand:50051 book.txt
  gleand extract --labels person --server https://gleand:443 --ca ca.pem --api-key-file key book.txt

Tasks may be asked for together. Mentions, relations and a summary without --summary-words come
while the document is read; answers, classes and a summary with --summary-words after its end.

Output:
  text   On a terminal: with --labels, --open or --summary the text itself as it settles, each
         mention in colour with its [label], the summary underlined, and everything else behind
         it; otherwise the results alone, with score and position in bytes.
         Not on a terminal: one result a line, its columns separated by tabs:
           START END LABEL SCORE TEXT      a mention; for --open LABEL is open, open-2, …
           START END summary SCORE TEXT    a span of the summary
           START END answer:N SCORE TEXT   an answer to the Nth question
           - - answer:N 0.0000             no answer, and an empty last column
           START END class:NAME SCORE      a class of the document, and an empty last column
           START END relation:NAME SCORE TEXT START END TEXT LABEL LABEL
                                           where and what head and tail are, then their labels
         START and END are offsets in bytes of the input, END is the first byte after the mention.
         Control characters are shown as \\x1b, bidi overrides as \\u{202e}, line breaks as \\n.
         Warnings go to stderr.
  jsonl  One JSON object a line. Those of results start with \"type\",\"document\",\"task\",\"ordinal\":
           mention   \"label\",\"score\",\"bytes\":[start,end],\"chars\":[start,end],
                     \"utf16\":[start,end],\"text\"
           relation  \"relation\",\"score\",\"head\":{…},\"tail\":{…}, both with the keys of a mention
           answer    \"question_index\" from 0,\"question\",\"rank\" from 0,\"no_answer\",\"score\",
                     \"bytes\",\"chars\",\"utf16\",\"text\"; the last four are null for no answer
           summary   \"score\",\"bytes\",\"chars\",\"utf16\",\"text\"
           class     \"label\",\"score\",\"bytes\",\"chars\",\"utf16\"
         \"task\" is entities, open, open-2, …, questions, summary, relations or classify.
         Between them {\"type\":\"warning\",…}, and with --interim what may become a result:
         {\"type\":\"interim\",\"document\",\"task\",\"results\":[{\"type\",…}]}, in place of the one before.
         {\"type\":\"discard\",\"document\",\"discard\":true}: every line before it is void and comes again.
         {\"type\":\"part\",\"document\",\"part\",\"bytes\",\"chars\",\"utf16\",\"fingerprint\"}: what follows was
         read as a document of its own, which starts there in the input; offsets and ordinals go on.
         At the end {\"type\":\"done\",…}; without that line the document is not done.

A server that is full, stops or breaks: a file is sent anew, at most 4 attempts in all, and what was
printed is not printed again. When another model answers, stderr says `discard what was printed`.
Standard input that is no file is sent once: a server that stops in order ends it between two words,
and the rest is read as a document of its own; a broken connection is an error.

Exit status: 0 done, 1 failed, 2 usage, 3 the document cannot be read, 4 the server refuses or cannot be reached.";

/// Finds entities, relations, answers, a summary or classes of a document and prints them as they settle.
///
/// Reads plain UTF-8 text of any length from a file or, for -, from standard input. Without --server the daemon
/// runs inside this process.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, after_help = "See --help for examples and output formats.")]
#[command(group = ArgGroup::new("task").args(TaskArgs::TASKS).multiple(true).required(true))]
#[command(group = ArgGroup::new("nesting").args(TaskArgs::NESTING).multiple(true))]
#[command(group = ArgGroup::new("labelled").args(TaskArgs::LABELLED).multiple(true))]
pub(super) struct ExtractArgs {
    /// The document: a file of plain text, or - for standard input.
    #[arg(value_name = "FILE|-")]
    file: String,
    #[command(flatten)]
    tasks: TaskArgs,
    /// How results are printed.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Also print what may become a result, as long as it may change (with --format jsonl).
    #[arg(long)]
    interim: bool,
    /// When colours are used; auto looks at the terminal and at NO_COLOR.
    #[arg(long, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    color: When,
    /// What to do with bytes that are not UTF-8.
    #[arg(long, value_enum, default_value_t = InvalidUtf8::Reject, value_name = "HOW")]
    invalid_utf8: InvalidUtf8,
    /// Bytes sent at once at most; results do not depend on it.
    #[arg(long, default_value_t = 65_536, value_name = "BYTES",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(CHUNK_BYTES_MAX)))]
    chunk_bytes: u32,
    /// Seconds after which the document is given up, all attempts together.
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    timeout: Option<Duration>,
    /// Fail when fewer mentions than this were found: to check a deployment.
    #[arg(long, value_name = "N")]
    expect_mentions: Option<u64>,
    /// No progress, warnings or figures on stderr.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Jsonl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

/// Runs the command.
pub(super) async fn run(args: ExtractArgs, composition: &Composition) -> Result<(), Failure> {
    let mut notes = Notes::new(if args.quiet { Talk::Quiet } else { Talk::Normal });
    let request = request(&args)?;
    let chunk_bytes = usize::try_from(args.chunk_bytes).unwrap_or(1);
    let input = Input::open(&args.file, chunk_bytes).await?;
    if input.is_terminal {
        notes.line("reading what you type; end with Ctrl-D on an empty line");
    }
    // The guard keeps a daemon of this process alive until the document is done.
    let (target, _guard) =
        target(&args.connect, &args.config, composition, (&mut notes, &[])).await?;
    let asked = Asked::new(&request);
    if args.expect_mentions.is_some() && !asked.kinds().contains(&ResultKind::Mention) {
        let message = "--expect-mentions needs a task that finds some: --labels or --open";
        return Err(Failure::new(Kind::Usage, message));
    }
    let tally = Tally::new(&asked);
    notes.open_bar(input.length, &tally);
    let (view, held) = view(&args, asked);
    let started = Instant::now();
    let mut run = Run {
        input,
        held,
        screen: Screen::new(view, io::stdout(), notes, tally),
        deadline: args.timeout.map(|timeout| (started + timeout, timeout)),
    };
    let done = run.through(&target, &request).await?;
    run.screen.notes.summary(&run.screen.tally, &done, started.elapsed());
    let found = run.screen.tally.count(ResultKind::Mention);
    match args.expect_mentions {
        Some(expected) if found < expected => Err(Failure::new(
            Kind::Failed,
            format!("mentions found: {found}; --expect-mentions wants at least {expected}"),
        )),
        _ => Ok(()),
    }
}

/// The server of `--server`, or that of a daemon in this process with keys set on top of what the flags say.
pub(super) async fn target(
    connect: &ConnectArgs,
    args: &ConfigArgs,
    composition: &Composition,
    (notes, keys): (&mut Notes, &[(&str, String)]),
) -> Result<(Target, Option<Daemon>), Failure> {
    if let Some(target) = connect.target()? {
        if let Some(flag) = args.first_given() {
            let message = format!(
                "{flag} has no effect with --server: that daemon has its own configuration"
            );
            return Err(Failure::new(Kind::Usage, message));
        }
        return Ok((target, None));
    }
    let daemon = start(args, composition, (notes, keys)).await?;
    Ok((Target::own(daemon.address)?, Some(daemon)))
}

/// Starts a daemon of this process on a port of its own.
async fn start(
    args: &ConfigArgs,
    composition: &Composition,
    (notes, keys): (&mut Notes, &[(&str, String)]),
) -> Result<Daemon, Failure> {
    let mut sources = args.sources();
    sources.default_of("extract", "log.level", "warn");
    // A person may take time to type and to read.
    sources.default_of("extract", "server.input_idle_ms", "0");
    sources.default_of("extract", "server.write_stall_ms", "0");
    for (key, value) in keys {
        sources.flag("of this command", key, value.as_str());
    }
    let mut loaded = load(&sources, notes)?;
    loaded.config.server.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    notes.waiting_for("loading the model");
    let daemon = (composition.start)(loaded).await;
    notes.clear();
    Ok(daemon?)
}

fn request(args: &ExtractArgs) -> Result<Request, Failure> {
    if args.interim && args.format == Format::Text {
        let message = "--interim has no effect without --format jsonl";
        return Err(Failure::new(Kind::Usage, message));
    }
    let tasks = args.tasks.tasks()?;
    Ok(Request { tasks, invalid_utf8: args.invalid_utf8, interim: args.interim })
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|time| !time.is_zero() && *time <= TIMEOUT_MAX)
        .ok_or_else(|| format!("`{text}` is no time: write seconds, such as 30 or 0.5"))
}

fn view(args: &ExtractArgs, asked: Asked) -> (View, Option<Rc<HeldText>>) {
    let is_terminal = io::stdout().is_terminal();
    let has_color = match args.color {
        When::Auto => is_terminal && !wants_no_color(),
        When::Always => true,
        When::Never => false,
    };
    let paint = if has_color { Paint::Color } else { Paint::Plain };
    match args.format {
        Format::Jsonl => (View::Json { document: args.file.clone(), asked: Rc::new(asked) }, None),
        Format::Text if is_terminal => View::for_people(paint, asked),
        Format::Text => (View::Lines(paint, Rc::new(asked)), None),
    }
}
