//! Layers, mistakes and pages of the configuration.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

use super::*;

/// A file of its own in the temporary directory, removed when the test is over.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, text: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("gleand-config-{}-{name}.toml", std::process::id()));
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
}

fn mistakes(sources: &Sources) -> Vec<String> {
    Loaded::read(sources).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn every_default_of_the_table_is_within_its_bound() {
    let loaded = Loaded::read(&Sources::default()).unwrap();
    assert_eq!(loaded.origins.len(), KEYS.len());
    assert!(loaded.origins.iter().all(|origin| origin.source == "default"));
    assert_eq!(loaded.config.server.listen.to_string(), "127.0.0.1:50051");
    assert_eq!(loaded.config.server.document_bytes_max, None);
    assert_eq!(loaded.config.model.path, None);
    assert_eq!(loaded.config.compute.device.as_slice(), [Device::Cpu]);
}

#[test]
fn names_of_the_table_are_unique_and_lead_back_to_section_and_field() {
    let mut names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), KEYS.len());
    assert!(KEYS.iter().all(|key| format!("{}.{}", key.section(), key.field()) == key.name));
}

#[test]
fn a_flag_wins_over_the_environment_which_wins_over_the_file_which_wins_over_defaults() {
    let file = TempFile::new(
        "layers",
        "[server]\nstreams_max = 200\nheartbeat_ms = 1_000\n[compute]\ncores = 2\n",
    );
    let mut sources = Sources {
        file: Some(file.0.clone()),
        environment: environment(&[
            ("GLEAND__SERVER__STREAMS_MAX", "300"),
            ("GLEAND__COMPUTE__CORES", "3"),
        ]),
        ..Sources::default()
    };
    sources.default_of("extract", "log.level", "warn");
    sources.default_of("extract", "server.heartbeat_ms", "200");
    sources.flag("--set", "compute.cores", "4");
    let loaded = Loaded::read(&sources).unwrap();
    let source = |name: &str| {
        loaded.origins.iter().find(|origin| origin.key.name == name).unwrap().source.clone()
    };
    assert_eq!(loaded.config.server.streams_max.get(), 300);
    assert_eq!(source("server.streams_max"), "environment variable GLEAND__SERVER__STREAMS_MAX");
    assert_eq!(loaded.config.server.heartbeat_ms, std::time::Duration::from_secs(1));
    assert_eq!(source("server.heartbeat_ms"), format!("file {}", file.0.display()));
    assert_eq!(loaded.config.compute.cores.unwrap().get(), 4);
    assert_eq!(source("compute.cores"), "flag --set");
    assert_eq!(loaded.config.log.level, LogLevel::Warn);
    assert_eq!(source("log.level"), "default of `gleand extract`");
}

#[test]
fn all_mistakes_are_reported_at_once_with_source_key_and_bound() {
    let file = TempFile::new(
        "mistakes",
        "[server]\nstreams_max = 0\nlisen = \"[::]:1\"\nheartbeat_ms = 1.5\n[log]\nlevel = \"loud\"\n",
    );
    let mut sources = Sources {
        file: Some(file.0.clone()),
        environment: environment(&[("GLEAND__COMPUTE__CORES", "-1"), ("GLEAND__STREAM", "4")]),
        ..Sources::default()
    };
    sources.flag("--listen", "server.listen", "localhost");
    let of_file = format!("file {}", file.0.display());
    assert_eq!(
        mistakes(&sources),
        [
            format!("{of_file}: server.lisen is not a key; did you mean server.listen?"),
            "environment variable GLEAND__STREAM: stream is a section, not a value".to_owned(),
            "flag --listen: server.listen is not an address such as 127.0.0.1:50051 or [::]:50051"
                .to_owned(),
            format!("{of_file}: server.streams_max is out of bounds; allowed: 1 to 65536"),
            format!(
                "{of_file}: server.heartbeat_ms is not a whole number; allowed: 100 to 3600000"
            ),
            "environment variable GLEAND__COMPUTE__CORES: compute.cores is not a whole number; \
             allowed: 0 (the quota of the cgroup), or 1 to 4096"
                .to_owned(),
            format!("{of_file}: log.level is not one of off, error, warn, info, debug, trace"),
        ]
    );
}

#[test]
fn a_share_may_be_written_as_a_number() {
    for (text, share) in [("0.5", 0.5), ("1", 1.0), ("0.0", 0.0), ("\"0.25\"", 0.25)] {
        let file = TempFile::new("share", &format!("[telemetry]\ntrace_ratio = {text}\n"));
        let sources = Sources { file: Some(file.0.clone()), ..Sources::default() };
        let ratio = Loaded::read(&sources).unwrap().config.telemetry.trace_ratio.unwrap();
        assert!((ratio.as_f64() - share).abs() < 1e-9, "{text}");
    }
}

#[test]
fn a_file_that_cannot_be_read_or_parsed_is_named() {
    let missing = Sources { file: Some(PathBuf::from("no/such/file.toml")), ..Sources::default() };
    let said = mistakes(&missing);
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("file no/such/file.toml: "), "{said:?}");
    let file = TempFile::new("syntax", "[server\n");
    let said = mistakes(&Sources { file: Some(file.0.clone()), ..Sources::default() });
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with(&format!("file {}: ", file.0.display())), "{said:?}");
}

#[test]
fn bounds_between_two_keys_are_checked() {
    let mut sources = Sources::default();
    sources.flag("--set", "server.chunk_bytes_max", "4194304");
    sources.flag("--set", "tls.cert_file", "server.pem");
    sources.flag("--set", "tls.client_sans", "web.example");
    let said = mistakes(&sources);
    let expected = [
        "flag --set: server.chunk_bytes_max of 4194304 bytes does not fit",
        "default: tls.key_file must be set beside tls.cert_file",
        "flag --set: tls.client_sans needs tls.client_ca_file",
    ];
    assert_eq!(said.len(), expected.len(), "{said:?}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.starts_with(expected), "{said:?}");
    }
}

#[test]
fn other_names_of_ours_are_ignored_with_one_warning_and_those_of_kubernetes_silently() {
    let kubernetes = [
        ("GLEAND_SERVICE_HOST", "10.0.0.1"),
        ("GLEAND_SERVICE_PORT", "50051"),
        ("GLEAND_SERVICE_PORT_GRPC", "50051"),
        ("GLEAND_PORT", "tcp://10.0.0.1:50051"),
        ("GLEAND_PORT_50051_TCP", "tcp://10.0.0.1:50051"),
        ("GLEAND_PORT_50051_TCP_PROTO", "tcp"),
        ("GLEAND_PORT_50051_TCP_PORT", "50051"),
        ("GLEAND_PORT_50051_TCP_ADDR", "10.0.0.1"),
        ("GLEAND_HEADLESS_SERVICE_HOST", "None"),
        ("GLEAND_HEADLESS_PORT_9464_UDP", "udp://10.0.0.1:9464"),
        ("PATH", "/bin"),
    ];
    let mut sources = Sources { environment: environment(&kubernetes), ..Sources::default() };
    assert_eq!(Loaded::read(&sources).unwrap().warnings, [""; 0]);
    sources.environment.extend(environment(&[("GLEAND_PORT", "50051"), ("GLEAND_LISTEN", "x")]));
    let warnings = Loaded::read(&sources).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("ignored environment variables: GLEAND_LISTEN, GLEAND_PORT ("),
        "{warnings:?}"
    );
}

#[test]
fn devices_are_the_processor_or_a_list_of_cuda_devices() {
    let read = |text: &str| {
        let mut sources = Sources::default();
        sources.flag("--device", "compute.device", text);
        Loaded::read(&sources).map(|loaded| loaded.config.compute.device.as_slice().to_vec())
    };
    assert_eq!(read("cuda:0, cuda:3").unwrap(), [Device::Cuda(0), Device::Cuda(3)]);
    for wrong in ["", "cuda", "cuda:", "cpu,cuda:0", "cuda:0,cuda:0", "tpu:0"] {
        assert!(read(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn the_effective_configuration_is_a_file_that_gives_it_again() {
    let mut sources = Sources::default();
    sources.flag("--model", "model.path", "a \"quoted\" \\ path");
    sources.flag("--set", "server.document_bytes_max", u64::MAX.to_string());
    let loaded = Loaded::read(&sources).unwrap();
    let page = toml_page(&loaded);
    assert!(page.contains("# flag --model\n"), "{page}");
    let file = TempFile::new("again", &page);
    let again =
        Loaded::read(&Sources { file: Some(file.0.clone()), ..Sources::default() }).unwrap();
    assert_eq!(again.config, loaded.config);
}

#[test]
fn the_page_of_keys_is_a_file_of_the_defaults() {
    let file = TempFile::new("keys", &keys_page());
    let read = Loaded::read(&Sources { file: Some(file.0.clone()), ..Sources::default() }).unwrap();
    assert_eq!(read.config, Loaded::read(&Sources::default()).unwrap().config);
}
