//! What is allowed, line by line, with its reason.

/// A module at the top of the crate, the modules that it may use, and the crates that it may use.
pub(crate) type Layer = (&'static str, &'static [&'static str], &'static [&'static str]);

/// Who may use whom (ARCHITECTURE.md, "Layers"). `std` is free, but see `.clippy.toml`. Crates for tests alone do not count.
pub(crate) const LAYERS: &[Layer] = &[
    // Pure: no async, no tensors, no clock, no I/O, no log. regex-syntax has the tables of Unicode.
    ("pipeline", &[], &["bytes", "regex_syntax", "thiserror"]),
    // serde_json reads the files of a checkpoint, sha2 makes its digest; nothing here waits or sends.
    (
        "model",
        &["pipeline"],
        &[
            "candle_core",
            "candle_nn",
            "memmap2",
            "rayon",
            "safetensors",
            "serde",
            "serde_json",
            "sha2",
            "thiserror",
            "tokenizers",
        ],
    ),
    // Of tokio only `sync`, as a rule of its own says; futures-util joins futures in its tests.
    (
        "engine",
        &["pipeline", "telemetry"],
        &["futures_util", "rayon", "thiserror", "tokio", "tracing"],
    ),
    // Handles that others count with, and nothing of theirs. serde_json and tokio in its tests only.
    (
        "telemetry",
        &[],
        &[
            "http",
            "opentelemetry",
            "opentelemetry_appender_tracing",
            "opentelemetry_http",
            "opentelemetry_otlp",
            "opentelemetry_prometheus",
            "opentelemetry_sdk",
            "procfs",
            "prometheus",
            "reqwest",
            "serde_json",
            "thiserror",
            "tokio",
            "tonic",
            "tracing",
            "tracing_subscriber",
        ],
    ),
    // serde_json writes the JSON Schema of the table.
    ("config", &[], &["clap", "figment", "serde_json"]),
    // What is generated uses tonic and prost-types as well.
    ("wire", &[], &["prost"]),
    // futures-util holds the windows in flight, prost measures messages, sha2 makes the fingerprint.
    (
        "service",
        &["engine", "pipeline", "telemetry", "wire"],
        &[
            "bytes",
            "futures_util",
            "http",
            "http_body",
            "hyper",
            "hyper_util",
            "prost",
            "prost_types",
            "rustls",
            "sha2",
            "subtle",
            "thiserror",
            "time",
            "tokio",
            "tokio_rustls",
            "tokio_stream",
            "tokio_util",
            "tonic",
            "tonic_health",
            "tonic_reflection",
            "tonic_types",
            "tower",
            "tracing",
            "x509_parser",
        ],
    ),
    // Scores and reports: pure. Of the pipeline only the splitter, to cut windows as the daemon counts words.
    ("eval", &["pipeline"], &["serde", "serde_json", "thiserror"]),
    // The one place that speaks to a hub; rustls in its tests only.
    ("hub", &[], &["hf_hub", "indicatif", "rustls", "sha2", "thiserror", "tokio"]),
    // A client like any other: it reaches the daemon that it starts through gRPC, and `app` through function pointers.
    (
        "cli",
        &["config", "eval", "hub", "wire"],
        &[
            "anstyle",
            "anyhow",
            "clap",
            "indicatif",
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
            "tokio_stream",
            "tonic",
            "tonic_health",
            "tonic_types",
        ],
    ),
    // The one place that names every layer.
    (
        "app",
        &["cli", "config", "engine", "model", "pipeline", "service", "telemetry"],
        &["anyhow", "tokio", "tokio_util", "tonic_health", "tracing"],
    ),
    // rustls: the one crypto provider is installed first of all.
    ("main", &["app", "cli"], &["anyhow", "mimalloc", "rustls", "tokio"]),
    ("lib", &[], &[]),
];

/// Where messages of the wire may be named. The conversion is cut by direction and purpose: `order`, `request` and
/// `ingest` in, `results`, `convert` and `outbox` out, `models` both; `extraction`, `session` and `server` hand messages on; `cli::client` and the tests
/// of `service` are clients.
pub(crate) const WIRE_FILES: &[&str] = &[
    "src/cli/client/events.rs",
    "src/cli/client/mod.rs",
    "src/cli/client/request.rs",
    "src/cli/client/tests.rs",
    "src/service/convert.rs",
    "src/service/extraction.rs",
    "src/service/ingest.rs",
    "src/service/models.rs",
    "src/service/order.rs",
    "src/service/outbox.rs",
    "src/service/request.rs",
    "src/service/results.rs",
    "src/service/server.rs",
    "src/service/session.rs",
    "src/service/status.rs",
    "src/service/tests.rs",
];

/// Dependencies that no file of src names, and who uses them.
pub(crate) const USED_ELSEWHERE: &[(&str, &str)] =
    &[("tonic_prost", "the generated code"), ("reqwest_of_hf_hub", "gives hf-hub TLS")];

/// Every lint exception: file, lints, reason.
pub(crate) const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("src/app/mod.rs", "clippy::disallowed_methods", "owned by the guard, which ends it"),
    ("src/cli/config.rs", "clippy::struct_excessive_bools", "clap takes one of the three at most"),
    ("src/cli/notes.rs", "clippy::cast_precision_loss", "a rate for people"),
    ("src/cli/eval/session.rs", "clippy::cast_precision_loss", "a rate for people"),
    ("src/engine/clock.rs", "clippy::disallowed_methods", "measures only; nothing depends on it"),
    (
        "src/config/value.rs",
        "clippy::cast_possible_truncation, clippy::cast_sign_loss",
        "0 to 1 000 000, as was just checked",
    ),
    (
        "src/telemetry/target.rs",
        "clippy::disallowed_methods",
        "the SDK reads the OTEL_ variables of its specification, and so must who decides whether to start it",
    ),
    (
        "src/model/backbone/deberta.rs",
        "clippy::cast_possible_truncation, clippy::cast_possible_wrap",
        "distances are far below 2^24",
    ),
    (
        "src/model/backbone/deberta.rs",
        "clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss",
        "distances and rows are far below 2^31, and rows are clamped to the table",
    ),
    (
        "src/model/encode.rs",
        "clippy::cast_possible_truncation",
        "a prompt is far shorter than 2^32 pieces",
    ),
    ("src/model/float.rs", "clippy::excessive_precision", "the constants as published"),
    ("src/model/float.rs", "clippy::excessive_precision", "the constants as published"),
    ("src/model/layers.rs", "clippy::cast_possible_truncation", "the computation is in fp32"),
    (
        "src/model/load.rs",
        "unsafe_code",
        "weights of gigabytes would lie in memory twice while they load",
    ),
    (
        "src/pipeline/decode.rs",
        "clippy::cast_possible_truncation, clippy::cast_precision_loss",
        "scores are f32, and a window has far fewer than 2^52 words",
    ),
    (
        "src/pipeline/task/classify.rs",
        "clippy::cast_precision_loss",
        "a document has far fewer than 2^52 words",
    ),
    ("src/pipeline/task/classify.rs", "clippy::cast_possible_truncation", "scores are f32"),
    (
        "src/pipeline/words.rs",
        "clippy::struct_excessive_bools",
        "three facts about a word that do not exclude each other",
    ),
    (
        "src/service/extraction.rs",
        "clippy::disallowed_methods",
        "the one task of a stream, owned by its response",
    ),
    ("src/service/tests.rs", "clippy::disallowed_methods", "ends with the test's runtime"),
    (
        "src/wire/mod.rs",
        "clippy::allow_attributes, clippy::allow_attributes_without_reason, clippy::too_many_lines, unused_qualifications",
        "generated by prost and tonic from proto/, where the documentation is",
    ),
    ("tests/daemon/process.rs", "clippy::disallowed_methods", "a test gives up after a time"),
    (
        "tests/daemon/process.rs",
        "clippy::disallowed_methods",
        "joined by the extraction that it writes for",
    ),
    (
        "tests/parity/main.rs",
        "clippy::unwrap_used, clippy::cast_possible_truncation",
        "clippy knows tests by their attribute, and the functions that they share have none",
    ),
    (
        "tests/properties/main.rs",
        "clippy::unwrap_used, clippy::panic, clippy::string_slice, clippy::cast_possible_truncation",
        "clippy knows tests by their attribute, and the functions that they share have none",
    ),
    (
        "tests/properties/main.rs",
        "clippy::disallowed_methods",
        "a test takes its number of cases from outside",
    ),
    (
        "tests/tidy.rs",
        "clippy::panic, clippy::unwrap_used, clippy::string_slice",
        "a test that reads source files may stop at the first one that it cannot read",
    ),
    ("tests/properties/bounds.rs", "unsafe_code", "an allocator that counts is an unsafe trait"),
];

/// Hosts that a text may name.
pub(crate) const ALLOWED_HOSTS: &[&str] = &[
    "127.0.0.1",
    "arxiv.org",
    "cloud.google.com",
    "collector.observability",
    "creativecommons.org",
    "example.com",
    "git.example.com",
    "gleand.example.com",
    "github.com",
    "hub.example",
    "otlp.example.com",
    "prng.di.unimi.it",
    "prometheus.monitoring",
    "telemetry.example.com",
    "www.apache.org",
    "www.netlib.org",
    "www.rfc-editor.org",
];
