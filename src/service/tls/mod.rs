//! TLS: the server's certificate, and the authorities whose clients may come in.
//!
//! HTTP/2 alone, TLS 1.2 and 1.3, aws-lc-rs named here so that no other provider is ever asked for. With a client CA a client
//! must show a certificate of it; which of its names are let in is the matter of [`san`]. Errors name the file and what is
//! wrong with it, and never show what stands in it: a line of a broken file may be a part of the key.

pub mod handshake;
pub mod san;
#[cfg(test)]
pub(in crate::service) mod pki;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};

use super::reload::{Contents, ReadError, Reloaded, Watcher, read_all};

/// What HTTP/2 is called when client and server agree on a protocol (ALPN).
pub const H2: &[u8] = b"h2";

/// Where certificates and keys are, all as PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The server's certificate, then those between it and a root.
    pub cert: PathBuf,
    /// The key of that certificate.
    pub key: PathBuf,
    /// Authorities whose clients may come in; without it a client needs no certificate.
    pub client_ca: Option<PathBuf>,
}

impl TlsFiles {
    fn paths(&self) -> Vec<PathBuf> {
        [&self.cert, &self.key].into_iter().chain(&self.client_ca).cloned().collect()
    }
}

/// What was made of the files.
pub struct TlsLoaded {
    /// For the acceptor.
    pub config: Arc<ServerConfig>,
    /// Until when the server's own certificate is valid, in seconds since 1970.
    pub server_expiry_unix: i64,
    /// Until when the first of the client authorities to expire is valid. Such a one still works: a root is trusted by
    /// its being there, and nobody looks at its dates.
    pub client_ca_expiry_unix: Option<i64>,
    /// From when on the server's own certificate is valid.
    pub server_start_unix: i64,
}

impl fmt::Debug for TlsLoaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsLoaded")
            .field("server_expiry_unix", &self.server_expiry_unix)
            .field("client_ca_expiry_unix", &self.client_ca_expiry_unix)
            .finish_non_exhaustive()
    }
}

impl TlsLoaded {
    /// What clients will find wrong with the server's certificate at `now`. It is served all the same: whoever does not
    /// check keeps working, and a daemon that does not start helps nobody.
    #[must_use]
    pub fn complaint(&self, now: SystemTime) -> Option<&'static str> {
        let now = match now.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |s| -s),
        };
        if now < self.server_start_unix {
            Some("the server's certificate is not valid yet")
        } else if now > self.server_expiry_unix {
            Some("the server's certificate has expired")
        } else {
            None
        }
    }
}

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// One is wrong.
    #[error("{path:?}: {wrong}")]
    Wrong {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        wrong: Wrong,
    },
    /// The key and the certificate are of different pairs.
    #[error(
        "the key in {key:?} is not that of the certificate in {cert:?}: take both from one pair"
    )]
    Mismatch {
        /// File of the certificate.
        cert: PathBuf,
        /// File of the key.
        key: PathBuf,
    },
    /// The library refuses what was read.
    #[error("TLS cannot be set up: {0}")]
    Setup(&'static str),
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It is not PEM, or only half of it is there.
    #[error("it is not PEM, or only a part of it is there")]
    NotPem,
    /// PEM, but of something else.
    #[error("there is no certificate in it (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// What stands there as a certificate is none.
    #[error(
        "certificate {number} in it cannot be used: it must be an X.509 certificate of version 3"
    )]
    BadCertificate {
        /// Which one, from 1.
        number: usize,
    },
    /// PEM, but of something else.
    #[error("there is no private key in it (-----BEGIN PRIVATE KEY-----)")]
    NoKey,
    /// Nobody is there to type the password.
    #[error(
        "the private key in it is encrypted: store it without a password, readable for gleand alone"
    )]
    EncryptedKey,
    /// What stands there as a key is none that we know.
    #[error(
        "the private key in it cannot be used: it must be RSA (2048 to 8192 bits), ECDSA (P-256, P-384, P-521) or Ed25519"
    )]
    BadKey,
}

/// Reads the files once.
pub fn load(files: &TlsFiles) -> Result<TlsLoaded, TlsError> {
    make(&read_all(&files.paths())?)
}

/// Loads the files, and again whenever one of them changes. `publish` sees all that is taken, for its expiries.
pub fn watch(
    watcher: &mut Watcher,
    files: &TlsFiles,
    publish: impl Fn(&TlsLoaded) + Send + Sync + 'static,
) -> Result<Reloaded<TlsLoaded>, TlsError> {
    watcher.watch("tls", files.paths(), make, move |loaded: &TlsLoaded| {
        tracing::info!(server_expiry_unix = loaded.server_expiry_unix, "certificates loaded");
        if let Some(complaint) = loaded.complaint(SystemTime::now()) {
            tracing::warn!(complaint, "clients will refuse us");
        }
        publish(loaded);
    })
}

/// Of the certificate, its key, and the client authorities if there are any.
fn make(files: &[Contents]) -> Result<TlsLoaded, TlsError> {
    let ([cert, key] | [cert, key, _]) = files else {
        return Err(TlsError::Setup("name a certificate and its key"));
    };
    let client_ca = files.get(2);
    let chain = certificates(cert)?;
    let (server_start_unix, server_expiry_unix) = validity(cert, 0, &chain)?;
    let provider = Arc::new(default_provider());
    let certified = CertifiedKey::from_der(chain, private_key(key)?, &provider)
        .map_err(|error| refused(&error, cert, key))?;

    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|_says_the_same| TlsError::Setup("the provider knows neither TLS 1.3 nor 1.2"))?;
    let mut client_ca_expiry_unix = None;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let (roots, expiry) = authorities(file)?;
            client_ca_expiry_unix = Some(expiry);
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            // Fails without roots or with revocation lists that are broken; there are roots, and no lists.
            let verifier = verifier.build().map_err(|_never| wrong(file, Wrong::NoCertificate))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![H2.to_vec()];
    if client_ca.is_some() {
        // A session that is taken up again is not checked again: a certificate that has expired since would still be good
        // for a day. Connections here live long, so there is little to save.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    let config = Arc::new(config);
    Ok(TlsLoaded { config, server_expiry_unix, client_ca_expiry_unix, server_start_unix })
}

fn wrong(file: &Contents, wrong: Wrong) -> TlsError {
    TlsError::Wrong { path: file.path.clone(), wrong }
}

/// Certificates of a file, at least one.
fn certificates(file: &Contents) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&file.bytes)
        .collect::<Result<_, _>>()
        .map_err(|_may_quote_a_line| wrong(file, Wrong::NotPem))?;
    if chain.is_empty() {
        let none = if has_pem(file) { Wrong::NoCertificate } else { Wrong::NotPem };
        return Err(wrong(file, none));
    }
    Ok(chain)
}

fn private_key(file: &Contents) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&file.bytes).map_err(|error| {
        let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
        let why = match error {
            pem::Error::NoItemsFound if contains(&file.bytes, encrypted) => Wrong::EncryptedKey,
            pem::Error::NoItemsFound if has_pem(file) => Wrong::NoKey,
            _may_quote_a_line => Wrong::NotPem,
        };
        wrong(file, why)
    })
}

fn has_pem(file: &Contents) -> bool {
    contains(&file.bytes, b"-----BEGIN ")
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Why a certificate and a key make no pair.
fn refused(error: &rustls::Error, cert: &Contents, key: &Contents) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::Mismatch { cert: cert.path.clone(), key: key.path.clone() }
        }
        rustls::Error::InvalidCertificate(_) => wrong(cert, Wrong::BadCertificate { number: 1 }),
        _ => wrong(key, Wrong::BadKey),
    }
}

/// From when until when certificate `index` of a file is valid, in seconds since 1970.
fn validity(
    file: &Contents,
    index: usize,
    chain: &[CertificateDer<'_>],
) -> Result<(i64, i64), TlsError> {
    let parsed = chain.get(index).and_then(|der| x509_parser::parse_x509_certificate(der).ok());
    let (_, certificate) =
        parsed.ok_or_else(|| wrong(file, Wrong::BadCertificate { number: index + 1 }))?;
    let validity = certificate.validity();
    Ok((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

/// The authorities of a file, and when the first of them expires.
fn authorities(file: &Contents) -> Result<(RootCertStore, i64), TlsError> {
    let chain = certificates(file)?;
    let (mut roots, mut first) = (RootCertStore::empty(), i64::MAX);
    for (index, der) in chain.iter().enumerate() {
        let (_, expiry) = validity(file, index, &chain)?;
        first = first.min(expiry);
        // One that cannot be used is an error, not skipped: its clients would stand outside without a word.
        roots
            .add(der.clone())
            .map_err(|_bad| wrong(file, Wrong::BadCertificate { number: index + 1 }))?;
    }
    Ok((roots, first))
}
