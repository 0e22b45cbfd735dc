//! Real handshakes over a pipe in memory, with certificates of the `openssl` command; and files that are wrong.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_rustls::TlsConnector;

use super::handshake::{HANDSHAKE_REASONS, accept, handshake_reason};
use super::pki::{EXPIRY_UNIX, Pki, Valid};
use super::san::{San, SanList, subject_alt_names};
use super::{TlsError, TlsFiles, Wrong, load, watch};
use crate::service::reload::{FILE_BYTES_MAX, ReadError, Watcher};

/// Far longer than a handshake takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A server with a certificate of `ours` that wants clients of `clients`.
fn pki() -> Pki {
    let pki = Pki::new();
    pki.authority("ours", "ours");
    pki.authority("clients", "clients");
    pki.leaf("ours", "server", "DNS:localhost", Valid::Now);
    pki
}

/// How a client comes.
#[derive(Clone, Copy)]
struct Comes<'a> {
    /// Name of its certificate.
    with: Option<&'a str>,
    /// Authority that it trusts.
    trusts: &'a str,
    protocols: &'a [&'a [u8]],
    version: &'static SupportedProtocolVersion,
}

const WELL: Comes<'static> =
    Comes { with: None, trusts: "ours", protocols: &[b"h2"], version: &version::TLS13 };

impl Comes<'_> {
    fn config(self, pki: &Pki) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let root = pki.read(&format!("{}.pem", self.trusts));
        roots.add(CertificateDer::from_pem_slice(&root).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[self.version])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.with {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let (cert, key) =
                    (pki.read(&format!("{name}.pem")), pki.read(&format!("{name}.key")));
                let chain = CertificateDer::pem_slice_iter(&cert).map(Result::unwrap).collect();
                let key = PrivateKeyDer::from_pem_slice(&key).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = self.protocols.iter().map(|name| name.to_vec()).collect();
        config
    }

    /// Shakes hands and then reads, as the refusal of a certificate comes late under TLS 1.3.
    async fn shake(self, pki: &Pki, io: DuplexStream) -> std::io::Result<()> {
        let connector = TlsConnector::from(Arc::new(self.config(pki)));
        let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), io).await?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        stream.flush().await?;
        let mut byte = [0];
        stream.read_exact(&mut byte).await.map(drop)
    }
}

/// What the server says of a client: who it is, or why it was refused.
async fn check(server: Arc<ServerConfig>, pki: &Pki, comes: Comes<'_>) -> Result<Vec<San>, String> {
    let (ours, theirs) = duplex(1 << 16);
    let serve = async {
        match accept(server, ours, LIMIT).await {
            Ok(mut stream) => {
                stream.read_exact(&mut [0; 24]).await.unwrap();
                stream.write_all(b"!").await.unwrap();
                stream.flush().await.unwrap();
                let peer = stream.get_ref().1.peer_certificates();
                Ok(peer.map_or_else(Vec::new, |chain| subject_alt_names(&chain[0])))
            }
            Err(error) => Err(handshake_reason(&error).to_owned()),
        }
    };
    let (served, shaken) = tokio::join!(serve, comes.shake(pki, theirs));
    assert_eq!(served.is_ok(), shaken.is_ok(), "both sides agree: {shaken:?}");
    if let Err(reason) = &served {
        assert!(HANDSHAKE_REASONS.contains(&reason.as_str()), "{reason}");
        let error = shaken.unwrap_err();
        assert!(error.kind() != std::io::ErrorKind::BrokenPipe, "the client learns why: {error}");
    }
    served
}

#[tokio::test]
async fn a_client_certificate_gives_a_name_or_a_reason() {
    let pki = pki();
    pki.authority("alike", "clients");
    pki.authority("strangers", "strangers");
    pki.leaf("clients", "good", "URI:spiffe://a.example/b,DNS:B.example", Valid::Now);
    pki.leaf("clients", "old", "", Valid::Before);
    pki.leaf("clients", "early", "", Valid::Later);
    pki.leaf("strangers", "stranger", "", Valid::Now);
    pki.leaf("alike", "alike-leaf", "", Valid::Now);
    let server = load(&pki.files("server", Some("clients"))).unwrap().config;
    for version in [&version::TLS13, &version::TLS12] {
        for (with, expected) in [
            (None, Err("CERTIFICATE_MISSING")),
            (Some("old"), Err("EXPIRED")),
            (Some("early"), Err("NOT_YET_VALID")),
            (Some("stranger"), Err("UNKNOWN_ISSUER")),
            (Some("alike-leaf"), Err("UNKNOWN_ISSUER")),
            // Not of an authority, but an authority.
            (Some("clients"), Err("BAD_CERTIFICATE")),
            (Some("good"), Ok(["spiffe://a.example/b", "b.example"].as_slice())),
        ] {
            let comes = Comes { with, version, ..WELL };
            let served = check(Arc::clone(&server), &pki, comes).await;
            let names = served.map(|names| names.iter().map(San::to_string).collect::<Vec<_>>());
            let expected =
                expected.map(|names| names.iter().map(|&name| name.to_owned()).collect());
            assert_eq!(names, expected.map_err(str::to_owned), "{with:?} with {version:?}");
        }
    }
    assert_eq!(server.send_tls13_tickets, 0, "a session is not taken up again unchecked");
    assert!(!server.session_storage.can_cache());
}

#[tokio::test]
async fn protocols_other_than_http2_are_refused() {
    let pki = pki();
    let server = load(&pki.files("server", None)).unwrap().config;
    for version in [&version::TLS13, &version::TLS12] {
        let refused = || Err("NO_ALPN".to_owned());
        let (none, other): (&[&[u8]], &[&[u8]]) = (&[], &[b"http/1.1"]);
        for (protocols, expected) in
            [(none, refused()), (other, refused()), (&[b"http/1.1", b"h2"], Ok(Vec::new()))]
        {
            let comes = Comes { protocols, version, ..WELL };
            assert_eq!(check(Arc::clone(&server), &pki, comes).await, expected, "{protocols:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_refuses_us_is_told_apart() {
    let pki = pki();
    pki.leaf("ours", "old", "DNS:localhost", Valid::Before);
    pki.leaf("ours", "other", "DNS:other.example", Valid::Now);
    for (cert, trusts) in [("server", "clients"), ("old", "ours"), ("other", "ours")] {
        let server = load(&pki.files(cert, None)).unwrap().config;
        let served = check(server, &pki, Comes { trusts, ..WELL }).await;
        assert_eq!(served, Err("PEER_REFUSED".to_owned()), "{cert}");
    }
}

#[tokio::test]
async fn what_is_no_tls_is_called_so() {
    let pki = pki();
    let server = load(&pki.files("server", Some("clients"))).unwrap().config;
    for (sent, expected) in [
        (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], "NOT_TLS"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", "NOT_TLS"),
        (&[0; 100], "NOT_TLS"),
        (b"", "PEER_CLOSED"),
        (&[22, 3, 1], "PEER_CLOSED"),
    ] {
        let (ours, mut theirs) = duplex(1 << 16);
        theirs.write_all(sent).await.unwrap();
        drop(theirs);
        let error = accept(Arc::clone(&server), ours, LIMIT).await.unwrap_err();
        assert_eq!(handshake_reason(&error), expected, "{sent:?}");
    }
    let (ours, _silent) = duplex(64);
    let error = accept(server, ours, Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(handshake_reason(&error), "TIMEOUT");
}

#[tokio::test]
async fn a_refused_client_that_goes_on_sending_is_left() {
    let pki = pki();
    let server = load(&pki.files("server", None)).unwrap().config;
    let (ours, theirs) = duplex(64);
    let (mut read, mut write) = tokio::io::split(theirs);
    let send = async { while write.write_all(&[0; 64]).await.is_ok() {} };
    let mut sink = tokio::io::sink();
    let receive = tokio::io::copy(&mut read, &mut sink);
    let (error, (), _) = tokio::join!(accept(server, ours, LIMIT), send, receive);
    assert_eq!(handshake_reason(&error.unwrap_err()), "NOT_TLS");
}

#[test]
fn wrong_files_are_named_with_what_is_wrong_and_without_what_is_in_them() {
    let pki = pki();
    let path = |name: &str| pki.dir.path(name);
    let put = |name: &str, bytes: &[u8]| fs::write(path(name), bytes).unwrap();
    let (cert, key) = (pki.read("server.pem"), pki.read("server.key"));
    put("half.pem", &cert[..cert.len() / 2]);
    put("half.key", &key[..key.len() / 2]);
    put("empty.pem", b"");
    let garbage =
        "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";
    put("garbage.pem", garbage.as_bytes());
    put("garbage.key", garbage.replace("CERTIFICATE", "PRIVATE KEY").as_bytes());
    put("second.pem", &[&pki.read("clients.pem"), garbage.as_bytes()].concat());
    put("large.pem", &vec![b'\n'; usize::try_from(FILE_BYTES_MAX).unwrap() + 1]);
    put("secret.key", b"-----BEGIN hunter2\nhunter2\n");
    pki.openssl("pkcs8 -topk8 -in server.key -out locked.key -passout pass:hunter2");
    pki.key("another");
    let (first, second) =
        (Wrong::BadCertificate { number: 1 }, Wrong::BadCertificate { number: 2 });
    let (cert, key) = ("server.pem", "server.key");
    for (cert, key, client_ca, bad, expected) in [
        ("half.pem", key, None, "half.pem", Wrong::NotPem),
        ("empty.pem", key, None, "empty.pem", Wrong::NotPem),
        ("server.key", key, None, "server.key", Wrong::NoCertificate),
        ("garbage.pem", key, None, "garbage.pem", first),
        (cert, "half.key", None, "half.key", Wrong::NotPem),
        (cert, "empty.pem", None, "empty.pem", Wrong::NotPem),
        (cert, "server.pem", None, "server.pem", Wrong::NoKey),
        (cert, "garbage.key", None, "garbage.key", Wrong::BadKey),
        (cert, "locked.key", None, "locked.key", Wrong::EncryptedKey),
        (cert, "secret.key", None, "secret.key", Wrong::NotPem),
        (cert, key, Some("half.pem"), "half.pem", Wrong::NotPem),
        (cert, key, Some("server.key"), "server.key", Wrong::NoCertificate),
        (cert, key, Some("second.pem"), "second.pem", second),
    ] {
        let files = TlsFiles { cert: path(cert), key: path(key), client_ca: client_ca.map(path) };
        let error = load(&files).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(bad) && !text.contains("hunter2"), "{text}");
        let TlsError::Wrong { wrong, .. } = error else { panic!("{text}") };
        assert_eq!(wrong, expected, "{bad}");
    }
    let files = TlsFiles { cert: path(cert), key: path("another.key"), client_ca: None };
    assert!(matches!(load(&files), Err(TlsError::Mismatch { .. })));
    let files = TlsFiles { cert: path("absent.pem"), key: path(key), client_ca: None };
    assert!(matches!(load(&files), Err(TlsError::Read(ReadError::Unreadable { .. }))));
    let files = TlsFiles { cert: path("large.pem"), key: path(key), client_ca: None };
    assert!(matches!(load(&files), Err(TlsError::Read(ReadError::TooLarge { .. }))));
}

#[test]
fn the_expiries_are_those_of_the_files_and_an_expired_server_still_loads() {
    let pki = pki();
    pki.leaf("clients", "brief", "", Valid::Before);
    fs::write(pki.dir.path("both.pem"), [pki.read("server.pem"), pki.read("brief.pem")].concat())
        .unwrap();
    let loaded = load(&pki.files("server", Some("both"))).unwrap();
    assert_eq!(loaded.server_expiry_unix, EXPIRY_UNIX);
    assert_eq!(loaded.client_ca_expiry_unix, Some(1_609_459_200), "the earliest");
    assert_eq!(loaded.config.alpn_protocols, [b"h2"]);
    for (seconds, complains) in [
        (0, true),
        (loaded.server_start_unix - 1, true),
        (loaded.server_start_unix, false),
        (EXPIRY_UNIX, false),
        (EXPIRY_UNIX + 1, true),
    ] {
        let now = UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap());
        assert_eq!(loaded.complaint(now).is_some(), complains, "{seconds}");
    }
    assert!(load(&pki.files("server", None)).unwrap().client_ca_expiry_unix.is_none());
    pki.leaf("ours", "old", "", Valid::Before);
    let old = load(&pki.files("old", None)).unwrap();
    assert_eq!(
        old.complaint(SystemTime::now()),
        Some("the server's certificate has expired"),
        "but it is served"
    );
}

#[tokio::test]
async fn a_certificate_waits_for_its_key() {
    let pki = pki();
    pki.leaf("clients", "next", "DNS:localhost", Valid::Now);
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let mut watcher = Watcher::new(move |what, ok| tell.lock().unwrap().push((what, ok)));
    let current = watch(&mut watcher, &pki.files("server", None), |_| ()).unwrap();
    let come = |trusts| Comes { trusts, ..WELL };
    let before = current.current();
    fs::copy(pki.dir.path("next.pem"), pki.dir.path("server.pem")).unwrap();
    for _ in 0..2 {
        watcher.look().await;
        assert_eq!(*told.lock().unwrap(), [("tls", false)], "told once");
    }
    check(Arc::clone(&current.current().config), &pki, come("ours")).await.unwrap();
    fs::copy(pki.dir.path("next.key"), pki.dir.path("server.key")).unwrap();
    watcher.look().await;
    assert_eq!(*told.lock().unwrap(), [("tls", false), ("tls", true)]);
    check(Arc::clone(&current.current().config), &pki, come("clients")).await.unwrap();
    check(Arc::clone(&before.config), &pki, come("ours")).await.unwrap();
}

#[test]
fn names_of_every_kind_are_found_and_nothing_else() {
    let pki = pki();
    let sans = "DNS:Host.Example,URI:spiffe://a.example/b,email:me@b.example,IP:10.0.0.1,IP:::1,RID:1.2.3,DNS:bad name";
    pki.leaf("clients", "client", sans, Valid::Now);
    let der = CertificateDer::from_pem_slice(&pki.read("client.pem")).unwrap();
    let names: Vec<_> = subject_alt_names(&der).iter().map(San::to_string).collect();
    let expected = ["host.example", "spiffe://a.example/b", "me@b.example", "10.0.0.1", "::1"];
    assert_eq!(names, expected, "the common name is none");
    let list = SanList::parse("10.0.0.1, *.example").unwrap();
    assert_eq!(
        list.allows(&subject_alt_names(&der)),
        Some("host.example"),
        "its first, in its order"
    );
    assert_eq!(subject_alt_names(&CertificateDer::from(vec![48, 0])), []);
}
