//! The one table of keys. A row makes a field of [`Config`], a check at start, a line of `gleand config`
//! and a paragraph of the documentation; there is no second list to forget.
//!
//! A row reads: field, type, bound, default; then what it is, why the default is what it is, and what it costs.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use super::layers::Layered;
use super::value::{
    Bound, Devices, Export, LogFormat, LogLevel, Names, OtlpProtocol, Setting, Switch, TraceRatio,
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const HOUR_MS: u64 = 3_600_000;

/// A key as the documentation sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Section and field, joined by a dot.
    pub name: &'static str,
    /// Type, in words.
    pub kind: &'static str,
    /// What a value must be besides its type.
    pub bound: Bound,
    /// Default, as text.
    pub default: &'static str,
    /// What the key sets.
    pub what: &'static str,
    /// Why the default is what it is.
    pub reason: &'static str,
    /// What a larger value costs.
    pub cost: &'static str,
}

impl Key {
    /// The part before the dot.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(section, _)| section)
    }

    /// The part after the dot.
    #[must_use]
    pub fn field(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, field)| field)
    }
}

const fn from_to(min: u64, max: u64) -> Bound {
    Bound::Numbers { min, max }
}

const fn zero_or(zero: &'static str, min: u64, max: u64) -> Bound {
    Bound::ZeroOr { zero, min, max }
}

macro_rules! table {
    ($( #[doc = $about:literal] $section:ident: $Section:ident { $(
        $field:ident: $type:ty, $bound:expr, $default:literal, $what:literal, $reason:literal, $cost:literal;
    )* } )*) => {
        /// Every key, in the order of the documentation.
        pub const KEYS: &[Key] = &[ $( $( Key {
            name: concat!(stringify!($section), ".", stringify!($field)),
            kind: <$type as Setting>::KIND,
            bound: $bound,
            default: $default,
            what: $what,
            reason: $reason,
            cost: $cost,
        }, )* )* ];

        /// A checked configuration: what can be wrong with a single value cannot be wrong here.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Config {
            $( #[doc = $about] pub $section: $Section, )*
        }

        $( #[doc = $about]
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $Section {
            $( #[doc = $what] pub $field: $type, )*
        } )*

        impl Config {
            /// Reads every key before it looks at one, so that all mistakes are found.
            pub(super) fn read(layered: &mut Layered) -> Option<Self> {
                let mut keys = KEYS.iter();
                $( let $section = $Section::read(layered, &mut keys); )*
                Some(Self { $( $section: $section?, )* })
            }
        }

        $( impl $Section {
            fn read(layered: &mut Layered, keys: &mut std::slice::Iter<'static, Key>) -> Option<Self> {
                $( let $field = keys.next().and_then(|key| layered.read::<$type>(key)); )*
                Some(Self { $( $field: $field?, )* })
            }
        } )*
    };
}

table! {
    /// The data port and what one connection or stream may ask of it.
    server: Server {
        listen: SocketAddr, Bound::Free, "127.0.0.1:50051",
            "Address and port of the data port.",
            "only this machine, until someone decides otherwise.",
            "another address without TLS or keys is open to whoever reaches it.";
        streams_max: NonZeroUsize, from_to(1, 65_536), "64",
            "Streams served at once by the whole daemon; more are refused.",
            "more than one machine can feed with work, few enough to bound memory.",
            "memory: each stream may hold a few windows of text and server.results_held_bytes_max.";
        extract_max: NonZeroUsize, from_to(1, 65_536), "16",
            "Texts sent whole to Extract that are served at once, among server.streams_max.",
            "such a text is in memory before it is read.",
            "memory: three messages and one answer each.";
        backlog_pieces_max: NonZeroUsize, from_to(512, 1 << 30), "65536",
            "Pieces of admitted streams that wait to be scored; past it new calls are refused.",
            "ten seconds of work for two cores: who is admitted waits no longer.",
            "waiting time: pieces divided by what the devices score a second.";
        streams_per_connection_max: NonZeroU32, from_to(1, 65_536), "128",
            "Streams of one HTTP/2 connection.",
            "what common clients assume.",
            "memory: the connection window is this times server.stream_window_bytes.";
        stream_window_bytes: NonZeroU32, from_to(16 * KIB, 16 * MIB), "65536",
            "HTTP/2 window of one stream: bytes a client may send before they are read.",
            "a few windows of text; more only waits in memory.",
            "memory: once a stream.";
        connections_max: NonZeroUsize, from_to(1, 65_536), "256",
            "Connections held at once; more are closed as they come.",
            "a few proxies, or a client each for every stream.",
            "memory: buffers of TLS and HTTP/2, about 128 KiB each.";
        connection_age_ms: Option<Duration>, zero_or("no limit", 1000, 7 * 24 * HOUR_MS), "1800000",
            "A connection so old, give or take a tenth, takes no new calls; its open streams go on.",
            "clients that balance by themselves find new replicas only when they connect.",
            "a connection made anew.";
        handshake_ms: Duration, from_to(100, 600_000), "10000",
            "Time for a new connection to greet, TLS included.",
            "slow networks are served, mute peers are not.",
            "a place in server.connections_max.";
        header_bytes_max: NonZeroU32, from_to(1_024, 64 * KIB), "16384",
            "Metadata of one call.",
            "tokens and trace context fit many times.",
            "memory: once a call.";
        message_bytes_max: NonZeroUsize, from_to(64 * KIB, 64 * MIB), "4194304",
            "Largest request message.",
            "what gRPC libraries allow by default.",
            "memory: one undecoded message a stream.";
        chunk_bytes_max: NonZeroUsize, from_to(KIB, 64 * MIB), "1048576",
            "Largest chunk of a streamed document.",
            "clients should send 16 to 64 KiB; this forgives those who do not.",
            "memory: one chunk a stream.";
        document_bytes_max: Option<NonZeroU64>, zero_or("no limit", 1, u64::MAX), "0",
            "Largest document.",
            "memory does not depend on the length of a document.",
            "compute time of one stream.";
        text_bytes_max: NonZeroUsize, from_to(KIB, 64 * MIB), "4128768",
            "Largest text that is sent whole to Extract.",
            "a message less 64 KiB for what is asked; more is a document, for ExtractStream.",
            "memory: one text a call.";
        response_bytes_max: NonZeroUsize, from_to(KIB, 4 * MIB), "262144",
            "Results in one message of a stream.",
            "clients refuse messages above 4 MiB, and want the first results soon.",
            "memory: one message a stream.";
        heartbeat_ms: Duration, from_to(100, HOUR_MS), "15000",
            "A stream that had nothing to say for this long sends its progress.",
            "well below the idle timeouts of common proxies.",
            "a small message a stream.";
        input_idle_ms: Option<Duration>, zero_or("never", 100, 24 * HOUR_MS), "300000",
            "A stream that asks for input and gets none for this long is ended.",
            "a person who types is served, a peer that vanished is not.",
            "a place in server.streams_max.";
        input_slow_ms: Option<Duration>, zero_or("never", 100, 7 * 24 * HOUR_MS), "3600000",
            "A stream that was waited for so long in all for its last server.input_slow_bytes is ended.",
            "a log that trickles is served, a peer that drips single bytes to hold a place is not.",
            "a place in server.streams_max.";
        input_slow_bytes: NonZeroU64, from_to(1, MIB), "1024",
            "Bytes that count as progress for server.input_slow_ms.",
            "a few lines.",
            "nothing.";
        write_stall_ms: Option<Duration>, zero_or("never", 100, 24 * HOUR_MS), "60000",
            "A stream whose client does not read its results for this long is ended.",
            "longer than a client's pause, shorter than a lost one is worth.",
            "a place in server.streams_max.";
        results_held_bytes_max: NonZeroUsize, from_to(KIB, GIB), "1048576",
            "Results that wait for a client that writes first and reads later; past it reading stops.",
            "enough for an ordinary document.",
            "memory: once a stream.";
        extract_result_bytes_max: NonZeroUsize, from_to(KIB, 64 * MIB), "3145728",
            "Largest answer of the unary Extract.",
            "clients refuse messages above 4 MiB.",
            "memory: one answer a call.";
        lame_duck_ms: Option<Duration>, zero_or("none", 100, HOUR_MS), "0",
            "After SIGTERM new streams are still served for so long, while readiness says no.",
            "nothing watches readiness, unless someone decides otherwise; in a cluster 5000.",
            "time of a restart.";
        drain_ms: Duration, from_to(100, 24 * HOUR_MS), "60000",
            "After that open streams may go on for so long; then they are cut with what is final.",
            "most documents end by themselves.",
            "time of a restart.";
        reflection: Switch, Bound::OneOf(Switch::NAMES), "on",
            "Whether the schema can be asked for (gRPC reflection).",
            "tools such as grpcurl need it; it is under the key like everything else.",
            "nothing.";
        model_service: Switch, Bound::OneOf(Switch::NAMES), "on",
            "Whether ModelService answers.",
            "clients ask it for limits; it is under the key like everything else.",
            "nothing.";
    }
    /// TLS on the data port.
    tls: Tls {
        cert_file: Option<PathBuf>, Bound::Free, "",
            "PEM file with the server's certificate and its chain; empty is plaintext.",
            "a mesh or this machine alone needs none.",
            "a handshake a connection.";
        key_file: Option<PathBuf>, Bound::Free, "",
            "PEM file with the private key of tls.cert_file.",
            "both or none.",
            "nothing.";
        client_ca_file: Option<PathBuf>, Bound::Free, "",
            "PEM file of authorities; a client must then show a certificate of one of them.",
            "who may call is decided by keys, or by a mesh.",
            "a verification a connection.";
        client_sans: Names, Bound::Free, "",
            "Names of client certificates that may call, e.g. spiffe://mesh/ns/app/sa/web,*.apps.example; empty is all.",
            "the authority decides.",
            "nothing.";
    }
    /// Who may call.
    auth: Auth {
        keys_file: Option<PathBuf>, Bound::Free, "",
            "File of API keys, a line each: name, sha256 of the key in hex, not before, not after; empty is no keys.",
            "this machine alone needs none.",
            "a hash a call.";
    }
    /// The port of operators: /livez, /readyz, /metrics and health, in plaintext.
    admin: Admin {
        listen: Option<SocketAddr>, Bound::Free, "127.0.0.1:9464",
            "Address and port of the admin port; empty is none.",
            "only this machine; in a cluster [::]:9464.",
            "a thread.";
    }
    /// Traces, metrics and logs that are pushed by OTLP.
    telemetry: Telemetry {
        traces: Export, Bound::OneOf(Export::NAMES), "auto",
            "Whether traces are pushed; auto is where an endpoint is known.",
            "an endpoint is there to be used.",
            "a little time a window.";
        metrics: Export, Bound::OneOf(Export::NAMES), "auto",
            "Whether metrics are pushed, beside /metrics, which always answers.",
            "an endpoint is there to be used.",
            "a message a minute.";
        logs: Export, Bound::OneOf(Export::NAMES), "auto",
            "Whether logs are pushed, beside stderr.",
            "an endpoint is there to be used.",
            "a message a batch of lines.";
        trace_ratio: Option<TraceRatio>, Bound::Free, "",
            "Share of traces that are kept where the caller did not decide, 0 to 1; empty is OTEL_TRACES_SAMPLER_ARG, or all.",
            "few streams are long ones.",
            "a little time and traffic a stream.";
        trace_windows_max: NonZeroUsize, from_to(1, 65_536), "64",
            "Windows of one stream that get a trace span; the rest are counted.",
            "a book has thousands.",
            "traffic.";
    }
    /// Where OTLP goes. What is empty here is taken from the OTEL_ variables.
    otlp: Otlp {
        endpoint: Option<String>, Bound::Free, "",
            "URL of the receiver, e.g. http://collector:4317; empty is OTEL_EXPORTER_OTLP_ENDPOINT, or none.",
            "nobody listens unless someone says so.",
            "nothing.";
        protocol: Option<OtlpProtocol>, Bound::OneOf(OtlpProtocol::NAMES), "",
            "grpc or http/protobuf; empty is OTEL_EXPORTER_OTLP_PROTOCOL, or grpc.",
            "what collectors listen to on port 4317.",
            "nothing.";
        ca_file: Option<PathBuf>, Bound::Free, "",
            "PEM file of authorities for an https receiver; empty is those of the system.",
            "receivers outside have public certificates.",
            "nothing.";
        headers_file: Option<PathBuf>, Bound::Free, "",
            "File of headers for the receiver, `name: value` a line; secrets stand in files only.",
            "receivers inside need none.",
            "nothing.";
    }
    /// What one request may ask for.
    limits: Limits {
        tasks_max: NonZeroUsize, from_to(1, 1_024), "16",
            "Tasks of one request.",
            "each task reads the whole document again.",
            "compute: passes over every window.";
        labels_max: NonZeroUsize, from_to(1, 65_536), "256",
            "Labels of one task.",
            "labels beyond those of one pass cost a pass for each group.",
            "compute: passes over every window.";
        label_bytes_max: NonZeroUsize, from_to(1, 64 * KIB), "1024",
            "Length of one label or description.",
            "a long sentence; every window reads it again.",
            "compute: room that the text does not have.";
        questions_max: NonZeroUsize, from_to(1, 1_024), "32",
            "Questions of one task.",
            "each question reads the whole document again.",
            "compute: a pass over every window; memory: the best answers.";
        relation_passes_max: NonZeroUsize, from_to(1, 1_024), "16",
            "Passes in which the heads of one window ask for their tails.",
            "16 passes ask for some 300 pairs of head and relation, more than a window of prose has.",
            "compute: passes over a window that is dense with arguments.";
    }
    /// The model.
    model: Model {
        path: Option<PathBuf>, Bound::Free, "",
            "Directory of a GLiNER model; empty is the model in the binary.",
            "the binary alone works.",
            "memory: the weights.";
    }
    /// Devices, threads and the queue before them.
    compute: Compute {
        device: Devices, Bound::Free, "cpu",
            "What scores: cpu, or a list such as cuda:0,cuda:1, one worker a device.",
            "every machine has one.",
            "memory: the weights, once a CUDA device.";
        cores: Option<NonZeroUsize>, zero_or("the quota of the cgroup", 1, 4_096), "0",
            "Cores that scoring may use, workers and their threads together.",
            "more threads than the quota are throttled, all at once.",
            "the cores.";
        workers: Option<NonZeroUsize>, zero_or("chosen from the cores", 1, 1_024), "0",
            "Workers on the processor; the cores are shared out among them.",
            "measured: few wide workers or many narrow ones, by the number of cores.",
            "memory: one forward pass a worker.";
        queue_windows_max: NonZeroUsize, from_to(1, 65_536), "256",
            "Windows that wait for a worker; a full queue slows its streams.",
            "keeps every worker busy for a while, bounds the wait.",
            "memory: one encoded window each, a few KiB.";
        batch_pieces_max: NonZeroUsize, from_to(16, 1 << 20), "8192",
            "Pieces, padding included, that a device scores in one batch.",
            "a device gains little above it.",
            "memory: activations grow with it; latency too.";
        forward_stuck_s: NonZeroU32, from_to(1, 86_400), "60",
            "A forward pass that runs so long, and 20 times longer than any before it, is stuck: the process ends.",
            "a slow machine is forgiven, a device that hangs is not waited for.",
            "time until a hung process is replaced.";
    }
    /// What one stream may have under way.
    stream: Stream {
        windows_in_flight_max: NonZeroUsize, from_to(1, 1_024), "4",
            "Windows of one stream that are queued or scored at once.",
            "keeps a batch filled when few streams are open, leaves room when many are.",
            "memory: scores of so many windows a stream; fairness between streams.";
    }
    /// How a document is cut into windows.
    window: Window {
        words_max: Option<NonZeroUsize>, zero_or("from the model", 8, 1 << 20), "0",
            "Words of a window, margins included.",
            "what it was trained to read, or fewer for a task where its gleand.json says that this is better.",
            "memory and time of a forward pass; results change.";
        pieces_max: Option<NonZeroUsize>, zero_or("from the model", 16, 1 << 20), "0",
            "Pieces of a window, prompt included.",
            "the encoder's positions, or twice the words where it has none.",
            "memory and time of a forward pass; results change.";
        words_min: Option<NonZeroUsize>, zero_or("from the model", 1, 1 << 20), "0",
            "Words that a prompt must leave in a window; more labels are cut into groups.",
            "a quarter of the model's words.",
            "compute: more groups, more passes; results change.";
        margin_left_words: Option<NonZeroUsize>, zero_or("from the model", 1, 1 << 20), "0",
            "Words before the core that a window reads as context.",
            "an eighth of the model's words.",
            "compute: words that are scored twice; results change.";
        mention_words_max: Option<NonZeroUsize>, zero_or("from the model", 1, 1 << 20), "0",
            "Widest mention that is found wherever it stands.",
            "an eighth of the model's words.",
            "compute: so many words behind the core are scored twice; results change.";
        word_pieces_max: NonZeroUsize, from_to(1, 4_096), "64",
            "Pieces that one word gives the model; the rest of it is not read.",
            "no word of a language has so many.",
            "compute: one endless word fills a window.";
        word_bytes_max: NonZeroUsize, from_to(16, MIB), "4096",
            "A word without end is closed after so many bytes.",
            "no word of a language is so long.",
            "memory: once a stream.";
        candidates_held_max: NonZeroUsize, from_to(1, 1 << 24), "65536",
            "Overlapping candidates that wait for each other; past it the oldest are decided.",
            "far above what real text gives.",
            "memory: about 64 bytes each, a stream.";
    }
    /// The log, on stderr.
    log: Log {
        level: LogLevel, Bound::OneOf(LogLevel::NAMES), "info",
            "How much is logged.",
            "one line a stream.",
            "time and disk.";
        format: LogFormat, Bound::OneOf(LogFormat::NAMES), "text",
            "How a line of the log looks.",
            "people read it first.",
            "nothing.";
    }
}
