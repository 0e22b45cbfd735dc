//! `gleand extract`: one document, entities out.

use std::io::{self, IsTerminal as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use super::client::{InvalidUtf8, Overlap, Request, Server};
use super::exit::{Failure, Kind};
use super::held::HeldText;
use super::input::Input;
use super::labels::{LabelList, parse_labels, parse_threshold};
use super::notes::{Notes, Talk};
use super::page::{Page, Paint};
use super::run::Run;
use super::view::View;
use super::{Composition, Daemon, load};
use crate::config::{ConfigArgs, wants_no_color};

/// Largest chunk that every daemon takes by default.
const CHUNK_BYTES_MAX: u32 = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  gleand extract --labels person,location,date book.txt
  gleand extract --labels person,date:0.4,\"party=name of a party to the contract\" contract.txt
  pdftotext report.pdf - | gleand extract --labels company,product -
  gleand extract --labels person --format jsonl book.txt | jq -r 'select(.type == \"mention\").text'
  gleand extract --labels person --server http://gleand:50051 book.txt

Output:
  text   on a terminal: the text itself as it settles, each mention in colour with its [label];
         otherwise one mention a line: START, END, LABEL, SCORE and TEXT, separated by tabs.
         START and END are offsets in bytes of the input, END is the first byte after the mention.
         Control characters are shown as \\x1b, bidi overrides as \\u{202e}, line breaks in a mention as \\n.
  jsonl  one JSON object a line: {\"type\":\"mention\",\"document\",\"task\",\"ordinal\",\"label\",\"score\",
         \"bytes\":[start,end],\"chars\":[start,end],\"utf16\":[start,end],\"text\"}, between them
         {\"type\":\"warning\",…}, and at the end {\"type\":\"done\",…}. Without that line the document is not done.
         Other formats get warnings on stderr.

Exit status: 0 done, 1 failed, 2 usage, 3 the document cannot be read, 4 the server refuses or cannot be reached.";

/// Finds entities in a document and prints them as they settle.
///
/// Reads plain UTF-8 text of any length from a file or, for -, from standard input. Without --server the daemon
/// runs inside this process.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, after_help = "See --help for examples and output formats.")]
pub(super) struct ExtractArgs {
    /// The document: a file of plain text, or - for standard input.
    #[arg(value_name = "FILE|-")]
    file: String,
    /// What to look for: NAME[:THRESHOLD][=DESCRIPTION], separated by commas.
    ///
    /// The model reads a description instead of the name. \, \: \= \\ stand for the characters themselves.
    #[arg(short, long, required = true, value_name = "LABELS", value_parser = parse_labels)]
    labels: Vec<LabelList>,
    /// Least score of labels without a threshold of their own, between 0 and 1 [default: the model's].
    #[arg(short, long, value_name = "SCORE", value_parser = parse_threshold)]
    threshold: Option<f32>,
    /// Mentions never overlap (the default).
    #[arg(long, conflicts_with = "nested")]
    flat: bool,
    #[command(flatten)]
    overlaps: Overlaps,
    /// How results are printed.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    format: Format,
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
    /// A running daemon to ask, such as http://localhost:50051.
    #[arg(short, long, value_name = "URL")]
    server: Option<String>,
    /// No progress, warnings or figures on stderr.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// What may share words.
#[derive(Debug, clap::Args)]
struct Overlaps {
    /// A mention may lie within another one.
    #[arg(long)]
    nested: bool,
    /// The same words may be a mention of several labels.
    #[arg(long)]
    multi_label: bool,
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
    let input = Input::open(&args.file).await?;
    if input.is_terminal {
        notes.line("reading what you type; end with Ctrl-D on an empty line");
    }
    // The guard keeps a daemon of this process alive until the document is done.
    let (server, _guard) = connect(&args, composition, &mut notes).await?;
    notes.open_bar(input.length);
    let (view, held) = view(&args);
    let mut run = Run {
        input,
        chunk_bytes: usize::try_from(args.chunk_bytes).unwrap_or(1),
        view,
        held,
        out: io::stdout(),
        notes,
    };
    let started = tokio::time::Instant::now();
    let done = run.through(&server, request(args)).await?;
    run.notes.summary(&done, started.elapsed());
    Ok(())
}

async fn connect(
    args: &ExtractArgs,
    composition: &Composition,
    notes: &mut Notes,
) -> Result<(Server, Option<Daemon>), Failure> {
    if let Some(url) = &args.server {
        if let Some(flag) = args.config.first_given() {
            let message = format!(
                "{flag} has no effect with --server: that daemon has its own configuration"
            );
            return Err(Failure::new(Kind::Usage, message));
        }
        return Ok((Server::connect(url).await?, None));
    }
    let daemon = start(&args.config, composition, notes).await?;
    Ok((Server::connect(&daemon.address.to_string()).await?, Some(daemon)))
}

/// Starts a daemon of this process on a port of its own.
pub(super) async fn start(
    args: &ConfigArgs,
    composition: &Composition,
    notes: &mut Notes,
) -> Result<Daemon, Failure> {
    let mut sources = args.sources();
    sources.default_of("extract", "log.level", "warn");
    // A person may take time to type and to read.
    sources.default_of("extract", "server.input_idle_ms", "0");
    sources.default_of("extract", "server.write_stall_ms", "0");
    let mut loaded = load(&sources, notes)?;
    loaded.config.server.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    notes.waiting_for("loading the model");
    let daemon = (composition.start)(loaded).await;
    notes.clear();
    Ok(daemon?)
}

fn request(args: ExtractArgs) -> Request {
    Request {
        labels: args.labels.into_iter().flat_map(|LabelList(labels)| labels).collect(),
        threshold: args.threshold,
        overlap: if args.overlaps.nested { Overlap::Nested } else { Overlap::Flat },
        multi_label: args.overlaps.multi_label,
        invalid_utf8: args.invalid_utf8,
    }
}

fn view(args: &ExtractArgs) -> (View, Option<Rc<HeldText>>) {
    let is_terminal = io::stdout().is_terminal();
    let has_color = match args.color {
        When::Auto => is_terminal && !wants_no_color(),
        When::Always => true,
        When::Never => false,
    };
    let paint = if has_color { Paint::Color } else { Paint::Plain };
    match args.format {
        Format::Jsonl => (View::Json { document: args.file.clone() }, None),
        Format::Text if is_terminal => {
            let held = Rc::new(HeldText::default());
            (View::Page(Page::new(paint, Rc::clone(&held))), Some(held))
        }
        Format::Text => (View::Lines(paint), None),
    }
}
