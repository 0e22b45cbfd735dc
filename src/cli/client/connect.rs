//! How a daemon is reached: address, certificates and key, the same flags for every command, and what a failure means.

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use super::{Refusal, Server};
use crate::cli::exit::{Failure, Kind};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that is gone without a word is noticed after this and half as much again.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// How to reach a running daemon.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(in crate::cli) struct ConnectArgs {
    /// A running daemon to ask: https://host:port, http://host:port, or host:port for the latter.
    #[arg(short, long, value_name = "URL")]
    pub(in crate::cli) server: Option<String>,
    /// PEM file of the authorities that may have made the server's certificate [default: those of the system].
    #[arg(long, value_name = "FILE", requires = "server")]
    ca: Option<PathBuf>,
    /// PEM file of the certificate that this client shows, and of those up to its authority.
    #[arg(long, value_name = "FILE", requires_all = ["server", "key"])]
    cert: Option<PathBuf>,
    /// PEM file of its private key.
    #[arg(long, value_name = "FILE", requires_all = ["server", "cert"])]
    key: Option<PathBuf>,
    /// Name that the server's certificate must have [default: the host of --server].
    #[arg(long, value_name = "NAME", requires = "server")]
    domain: Option<String>,
    /// File with the API key that the server asks for.
    #[arg(long, value_name = "FILE", requires = "server")]
    api_key_file: Option<PathBuf>,
}

/// Where a daemon is and how to speak to it.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Target {
    endpoint: Endpoint,
    url: String,
    key: Key,
    /// Whether it is a daemon of this process: when that cannot be reached, waiting is of no use.
    is_own: bool,
}

/// Puts the API key into every call.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Key(Option<MetadataValue<Ascii>>);

impl Interceptor for Key {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("authorization", key.clone());
        }
        Ok(request)
    }
}

impl ConnectArgs {
    /// The daemon of `--server`, if it is given; or whatever is wrong with the flags.
    pub(in crate::cli) fn target(&self) -> Result<Option<Target>, Failure> {
        let Some(server) = &self.server else { return Ok(None) };
        let mut target = Target::at(server)?;
        if target.url.starts_with("https://") {
            let wrong = |error: &dyn Error| {
                let message = format!("{}: TLS cannot be set up: {}", target.url, chain(error));
                Failure::new(Kind::Usage, message)
            };
            let tls = target.endpoint.clone().tls_config(self.tls()?);
            target.endpoint = tls.map_err(|error| wrong(&error))?;
        } else if let Some(flag) = self.first_of_tls() {
            let message = format!("{flag} has no effect without TLS: write --server https://…");
            return Err(Failure::new(Kind::Usage, message));
        }
        target.key = self.api_key()?;
        Ok(Some(target))
    }

    fn tls(&self) -> Result<ClientTlsConfig, Failure> {
        let mut tls = ClientTlsConfig::new().timeout(CONNECT_TIMEOUT);
        tls = match &self.ca {
            Some(file) => {
                tls.ca_certificate(Certificate::from_pem(pem("--ca", file, "CERTIFICATE")?))
            }
            None => tls.with_native_roots(),
        };
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            let cert = pem("--cert", cert, "CERTIFICATE")?;
            tls = tls.identity(Identity::from_pem(cert, pem("--key", key, "PRIVATE KEY")?));
        }
        Ok(match &self.domain {
            Some(domain) => tls.domain_name(domain),
            None => tls,
        })
    }

    fn first_of_tls(&self) -> Option<&'static str> {
        [
            ("--ca", self.ca.is_some()),
            ("--cert", self.cert.is_some()),
            ("--domain", self.domain.is_some()),
        ]
        .into_iter()
        .find_map(|(flag, given)| given.then_some(flag))
    }

    fn api_key(&self) -> Result<Key, Failure> {
        let Some(file) = &self.api_key_file else { return Ok(Key::default()) };
        let text = String::from_utf8(read("--api-key-file", file)?).unwrap_or_default();
        let key = text.trim();
        // Neither the key nor a part of it may be told.
        let wrong = |what: &str| {
            Failure::new(Kind::Usage, format!("--api-key-file {}: {what}", file.display()))
        };
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(wrong("is not one line with a key"));
        }
        let mut value: MetadataValue<Ascii> = format!("Bearer {key}")
            .parse()
            .map_err(|_error| wrong("has characters that no key has; use ASCII"))?;
        value.set_sensitive(true);
        Ok(Key(Some(value)))
    }
}

impl Target {
    /// The daemon at an address; without a scheme it is reached without TLS.
    pub(in crate::cli) fn at(url: &str) -> Result<Self, Failure> {
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        if !url.starts_with("http://") && !url.starts_with("https://") {
            let message = format!("{url}: only http:// and https:// are understood");
            return Err(Failure::new(Kind::Usage, message));
        }
        let endpoint = Endpoint::from_shared(url.clone())
            .map_err(|error| {
                Failure::new(Kind::Usage, format!("{url} is no URL of a server: {error}"))
            })?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE / 2);
        Ok(Self { endpoint, url, key: Key::default(), is_own: false })
    }

    /// A daemon of this process.
    pub(in crate::cli) fn own(address: SocketAddr) -> Result<Self, Failure> {
        Ok(Self { is_own: true, ..Self::at(&address.to_string())? })
    }

    /// Where it is.
    pub(in crate::cli) fn url(&self) -> &str {
        &self.url
    }

    /// Makes a new connection, which may lead to another replica than the one before.
    pub(in crate::cli) async fn connect(&self) -> Result<Server, Refusal> {
        match self.endpoint.connect().await {
            Ok(channel) => Ok(Server { channel, url: self.url.clone(), key: self.key.clone() }),
            Err(error) => Err(Refusal::unreached(chain(&error), self.is_own)),
        }
    }
}

/// A failure of TLS that another attempt meets as well, told with the flag that helps.
pub(super) fn lasting(trouble: &str) -> Option<String> {
    let has = |part: &str| trouble.contains(part);
    let (what, help) = if has("UnknownIssuer") {
        ("the server's certificate is not trusted", "name the authority that made it with --ca")
    } else if has("NotValidForName") || has("not valid for name") {
        ("the server's certificate has another name", "tell its name with --domain")
    } else if has("invalid peer certificate") {
        ("the server's certificate is not trusted", "it needs another one")
    } else if has("CertificateRequired") {
        ("the server wants a certificate of the client", "give one with --cert and --key")
    } else if has("received fatal alert") {
        ("the server ended the TLS handshake", "it may not accept the certificate of --cert")
    } else if has("received corrupt message") {
        ("the server does not speak TLS", "write http://")
    } else if has("HTTP/2 was not negotiated") {
        ("the server does not speak HTTP/2", "is it a gRPC server?")
    } else {
        return None;
    };
    Some(format!("{what}: {help} ({trouble})"))
}

/// An error and its causes in one line, each told once.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !told.ends_with(&text) {
            told = format!("{told}: {text}");
        }
        cause = error.source();
    }
    told
}

fn read(flag: &str, file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|error| {
        Failure::new(Kind::Usage, format!("{flag} {}: cannot be read: {error}", file.display()))
    })
}

/// Reads a file that must hold something of this kind.
fn pem(flag: &str, file: &Path, kind: &str) -> Result<Vec<u8>, Failure> {
    let text = read(flag, file)?;
    let has_kind = String::from_utf8_lossy(&text).lines().any(|line| {
        line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&format!("{kind}-----"))
    });
    if !has_kind {
        let message = format!(
            "{flag} {}: has no `-----BEGIN … {kind}-----`; give a PEM file",
            file.display()
        );
        return Err(Failure::new(Kind::Usage, message));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_told_with_the_flag_that_helps() {
        let check = |trouble: &str, flag: &str| {
            let told = lasting(trouble).unwrap();
            assert!(told.contains(flag) && told.ends_with(&format!("({trouble})")), "{told}");
        };
        check("transport error: invalid peer certificate: UnknownIssuer", "--ca");
        check("invalid peer certificate: certificate not valid for name \"x\"", "--domain");
        check("invalid peer certificate: Expired", "needs another");
        check("received fatal alert: CertificateRequired", "--cert and --key");
        check("received fatal alert: UnknownCA", "--cert");
        check("received corrupt message of type InvalidContentType", "http://");
        assert_eq!(lasting("transport error: tcp connect error: Connection refused"), None);
    }

    #[test]
    fn a_key_is_sent_and_never_shown() {
        let path = std::env::temp_dir().join(format!("gleand-key-{}", std::process::id()));
        let args = |text: &str| {
            fs::write(&path, text).unwrap();
            let server = Some("host:1".to_owned());
            ConnectArgs { server, api_key_file: Some(path.clone()), ..ConnectArgs::default() }
        };
        let mut target = args("  secret-key\n").target().unwrap().unwrap();
        assert_eq!(target.url(), "http://host:1");
        assert!(!format!("{target:?}").contains("secret"), "{target:?}");
        let request = target.key.call(Request::new(())).unwrap();
        assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer secret-key");
        for bad in ["", " \n", "secret two", "secret\nlines", "secrét\u{7f}"] {
            let failure = args(bad).target().unwrap_err().to_string();
            assert!(failure.contains("--api-key-file") && !failure.contains("secr"), "{failure}");
        }
        fs::remove_file(&path).unwrap();
    }
}
