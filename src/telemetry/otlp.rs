//! Exporters by OTLP, over gRPC and HTTP(S).
//!
//! Must hold: exporters are made inside a tokio runtime of two threads or more (gRPC sends on it while the SDK's own threads
//! wait); the HTTP client is the blocking one (the other panics on those threads).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::thread;
use std::time::Duration;

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, SpanExporter, WithExportConfig,
    WithHttpConfig, WithTonicConfig,
};
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, ClientTlsConfig};

use super::headers::Headers;
use super::target::{OtlpSettings, Protocol, Signal, Target};

/// Exports cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// A file cannot be read.
    #[error("{key}: cannot read {}", path.display())]
    Read {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file of headers has a line that is none. The line holds a secret and is not shown.
    #[error("otlp.headers_file: line {line} of {} is not `name: value`", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Number of the line.
        line: usize,
    },
    /// The file of certificates has none.
    #[error("otlp.ca_file: {} holds no PEM certificate", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A variable of the environment asks for what is not there.
    #[error("{name} must be grpc or http/protobuf")]
    Protocol {
        /// The variable.
        name: String,
    },
    /// The endpoint is no URL of the protocol.
    #[error("the OTLP endpoint for {signal} must begin with http:// or https://")]
    Endpoint {
        /// What would be sent there.
        signal: &'static str,
    },
    /// The HTTP client could not be made.
    #[error("the HTTP client for OTLP could not be made")]
    Client(#[source] reqwest::Error),
    /// The HTTP client could not be made, because there is no thread for it.
    #[error("the HTTP client for OTLP got no thread")]
    Thread,
    /// The exporter refuses its settings.
    #[error("the OTLP exporter for {signal} could not be made")]
    Build {
        /// What it would send.
        signal: &'static str,
        /// What it said.
        source: ExporterBuildError,
    },
}

/// Makes exporters that share headers.
#[derive(Debug)]
pub(super) struct Exporters {
    headers: Headers,
}

impl Exporters {
    /// Reads what all exporters need.
    pub(super) fn new(settings: &OtlpSettings) -> Result<Self, OtlpError> {
        let headers = match &settings.headers_file {
            Some(path) => {
                let key = "otlp.headers_file";
                let text = fs::read_to_string(path).map_err(|source| OtlpError::Read {
                    key,
                    path: path.clone(),
                    source,
                })?;
                Headers::parse(&text)
                    .map_err(|line| OtlpError::Header { path: path.clone(), line })?
            }
            None => Headers::default(),
        };
        Ok(Self { headers })
    }

    pub(super) fn traces(&self, target: &Target) -> Result<SpanExporter, OtlpError> {
        let builder = SpanExporter::builder();
        match target.protocol {
            Protocol::Grpc => self.grpc(builder.with_tonic(), target)?.build(),
            Protocol::Http => self.http(builder.with_http(), target)?.build(),
        }
        .map_err(|source| refused(Signal::Traces, source))
    }

    pub(super) fn metrics(&self, target: &Target) -> Result<MetricExporter, OtlpError> {
        let builder = MetricExporter::builder();
        match target.protocol {
            Protocol::Grpc => self.grpc(builder.with_tonic(), target)?.build(),
            Protocol::Http => self.http(builder.with_http(), target)?.build(),
        }
        .map_err(|source| refused(Signal::Metrics, source))
    }

    pub(super) fn logs(&self, target: &Target) -> Result<LogExporter, OtlpError> {
        let builder = LogExporter::builder();
        match target.protocol {
            Protocol::Grpc => self.grpc(builder.with_tonic(), target)?.build(),
            Protocol::Http => self.http(builder.with_http(), target)?.build(),
        }
        .map_err(|source| refused(Signal::Logs, source))
    }

    fn grpc<B: WithExportConfig + WithTonicConfig>(
        &self,
        builder: B,
        target: &Target,
    ) -> Result<B, OtlpError> {
        let headers = self.headers.clone();
        // After the headers of the environment, so that ours win.
        let builder = builder.with_endpoint(&target.endpoint).with_interceptor(
            move |mut request: tonic::Request<()>| {
                let mut map =
                    std::mem::replace(request.metadata_mut(), MetadataMap::new()).into_headers();
                headers.apply(&mut map);
                *request.metadata_mut() = MetadataMap::from_headers(map);
                Ok(request)
            },
        );
        if !target.is_tls() {
            return Ok(builder);
        }
        // The exporter's own default trusts nobody at all.
        let tls = match &target.ca_file {
            Some(path) => {
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificates(path)?))
            }
            None => ClientTlsConfig::new().with_native_roots(),
        };
        Ok(builder.with_tls_config(tls))
    }

    fn http<B: WithExportConfig + WithHttpConfig>(
        &self,
        builder: B,
        target: &Target,
    ) -> Result<B, OtlpError> {
        let ca = target.ca_file.as_deref().map(certificates).transpose()?;
        let inner = client(ca, target.timeout)?;
        let client = Client { inner, headers: self.headers.clone() };
        Ok(builder
            .with_endpoint(&target.endpoint)
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .with_http_client(client))
    }
}

fn refused(signal: Signal, source: ExporterBuildError) -> OtlpError {
    OtlpError::Build { signal: signal.name(), source }
}

fn certificates(path: &Path) -> Result<Vec<u8>, OtlpError> {
    let path = path.to_path_buf();
    match fs::read(&path) {
        Ok(pem) if String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") => Ok(pem),
        Ok(_) => Err(OtlpError::NoCertificate { path }),
        Err(source) => Err(OtlpError::Read { key: "otlp.ca_file", path, source }),
    }
}

/// A blocking client may only be made on a thread that is no thread of a runtime.
fn client(ca: Option<Vec<u8>>, timeout: Duration) -> Result<reqwest::blocking::Client, OtlpError> {
    let make = move || {
        // A receiver does not move, and headers of ours are for nobody else.
        let mut builder = reqwest::blocking::Client::builder()
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(pem) = ca {
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem)?);
        }
        builder.build()
    };
    let thread = thread::Builder::new().name("gleand-otlp-start".to_owned()).spawn(make);
    let made = thread.ok().and_then(|thread| thread.join().ok()).ok_or(OtlpError::Thread)?;
    made.map_err(OtlpError::Client)
}

/// A client whose headers win over those that the exporter takes from the environment.
#[derive(Debug)]
struct Client {
    inner: reqwest::blocking::Client,
    headers: Headers,
}

impl HttpClient for Client {
    fn send_bytes<'life0, 'async_trait>(
        &'life0 self,
        mut request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        self.headers.apply(request.headers_mut());
        self.inner.send_bytes(request)
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::pin::pin;
    use std::sync::mpsc::{Receiver, sync_channel};
    use std::task::{Context, Poll, Waker};

    use opentelemetry_sdk::trace::SpanExporter as _;

    use super::*;

    /// A receiver that takes one request and gives its head.
    fn receiver() -> (String, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let (sender, receiver) = sync_channel(1);
        let take = move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            sender.send(String::from_utf8(head).unwrap().to_ascii_lowercase()).unwrap();
        };
        thread::Builder::new().spawn(take).unwrap();
        (endpoint, receiver)
    }

    fn target(protocol: Protocol, endpoint: &str, ca_file: Option<PathBuf>) -> Target {
        let timeout = Duration::from_secs(5);
        Target { protocol, endpoint: endpoint.to_owned(), ca_file, timeout }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn http_exports_carry_our_headers_and_go_out_on_a_plain_thread() {
        let exporters = Exporters { headers: Headers::parse("authorization: Basic s=").unwrap() };
        let (endpoint, received) = receiver();
        let exporter = exporters.traces(&target(Protocol::Http, &endpoint, None)).unwrap();
        // As the SDK does. Nothing here is really asynchronous, so one poll is enough.
        let plain = thread::Builder::new().spawn(move || {
            let export = pin!(exporter.export(Vec::new()));
            export.poll(&mut Context::from_waker(Waker::noop()))
        });
        assert!(matches!(plain.unwrap().join().unwrap(), Poll::Ready(Ok(()))));
        let head = received.recv_timeout(Duration::from_secs(5)).unwrap();
        assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nauthorization: basic s=\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-type: application/x-protobuf\r\n"), "{head}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_file_that_does_not_serve_is_named_and_not_shown() {
        let file = env::temp_dir().join(format!("gleand-otlp-{}", std::process::id()));
        fs::write(&file, "authorization: fine\nthe secret\n").unwrap();
        let settings = OtlpSettings { headers_file: Some(file.clone()), ..OtlpSettings::default() };
        let broken = Exporters::new(&settings).unwrap_err().to_string();
        assert!(broken.contains("line 2") && !broken.contains("secret"), "{broken}");
        let exporters = Exporters { headers: Headers::default() };
        for protocol in [Protocol::Grpc, Protocol::Http] {
            let target = target(protocol, "https://localhost:1", Some(file.clone()));
            let error = exporters.logs(&target).unwrap_err();
            assert!(matches!(error, OtlpError::NoCertificate { .. }), "{error}");
        }
        fs::remove_file(&file).unwrap();
        let absent = Exporters::new(&settings).unwrap_err();
        assert!(matches!(absent, OtlpError::Read { key: "otlp.headers_file", .. }), "{absent}");
    }
}
