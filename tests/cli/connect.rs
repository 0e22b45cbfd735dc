//! TLS, certificates and keys of the command line, and what is said where one of them is wrong.

use std::path::PathBuf;
use std::process::Command;

use super::command::{Ended, TempFile, run};
use super::stub::{Behaviour, Stub, Tls};

/// Two authorities; a server's and a client's certificate of the first one.
struct Certificates(PathBuf);

impl Certificates {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("gleand-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let made = Self(folder);
        for authority in ["ca", "other"] {
            made.openssl(&format!(
                "req -x509 {KEY} -keyout {authority}.key -out {authority}.pem -subj /CN={authority}"
            ));
        }
        for (file, name) in [("server", "localhost"), ("client", "client")] {
            let own = format!(
                "-subj /CN={name} -addext subjectAltName=DNS:{name} -addext basicConstraints=CA:FALSE"
            );
            made.openssl(&format!(
                "req -x509 {KEY} -keyout {file}.key -out {file}.pem -CA ca.pem -CAkey ca.key {own}"
            ));
        }
        made
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(&self.0)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, file: &str) -> String {
        self.0.join(file).to_str().unwrap().to_owned()
    }

    fn tls(&self, client_ca: Option<&str>) -> Tls {
        let read = |file: &str| std::fs::read_to_string(self.0.join(file)).unwrap();
        Tls { cert: read("server.pem"), key: read("server.key"), client_ca: client_ca.map(read) }
    }
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";

impl Drop for Certificates {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn check(url: &str, flags: &[&str], code: i32, said: &str) {
    let ended = check_end(url, flags, code, said);
    assert!(!ended.stderr.contains("attempt"), "another attempt is of no use: {}", ended.stderr);
}

fn check_end(url: &str, flags: &[&str], code: i32, said: &str) -> Ended {
    let arguments = ["extract", "--server", url, "--labels", "Ann", "Cargo.toml"];
    let ended = run(&[&arguments, flags].concat());
    assert_eq!(ended.code, code, "{flags:?}: {ended:?}");
    assert!(ended.stderr.contains(said), "{flags:?}: {said:?} is not in {}", ended.stderr);
    ended
}

#[test]
fn tls_names_what_is_not_trusted_and_the_flag_that_helps() {
    let files = Certificates::new("trust");
    let stub = Stub::with(vec![Behaviour::Find], Some(&files.tls(None)));
    let url = format!("https://localhost:{}", stub.port());
    let (ca, other) = (files.path("ca.pem"), files.path("other.pem"));
    check(&url, &["--ca", &ca], 0, "");
    check(&url, &["--ca", &other], 4, "name the authority that made it with --ca");
    check(&url, &[], 4, "UnknownIssuer");
    let by_number = format!("https://127.0.0.1:{}", stub.port());
    check(&by_number, &["--ca", &ca], 4, "tell its name with --domain");
    check(&by_number, &["--ca", &ca, "--domain", "localhost"], 0, "");
    let plain = Stub::start(Behaviour::Find);
    let wrong = format!("https://localhost:{}", plain.port());
    check(&wrong, &["--ca", &ca], 4, "write http://");
    for command in [&["healthcheck"][..], &["models"]] {
        let ended = run(&[command, &["--server", &url, "--ca", &other]].concat());
        assert_eq!(ended.code, 4, "{ended:?}");
        assert!(ended.stderr.contains("UnknownIssuer"), "{ended:?}");
    }
    let ended = run(&["healthcheck", "--server", &url, "--ca", &ca]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "serving\n"), "{ended:?}");
}

#[test]
fn a_server_that_wants_a_certificate_gets_that_of_the_flags() {
    let files = Certificates::new("client");
    let stub = Stub::with(vec![Behaviour::Find], Some(&files.tls(Some("ca.pem"))));
    let url = format!("https://localhost:{}", stub.port());
    let path = |file: &str| files.path(file);
    let (ca, cert, key) = (path("ca.pem"), path("client.pem"), path("client.key"));
    let (wrong_cert, wrong_key) = (path("other.pem"), path("other.key"));
    check(&url, &["--ca", &ca, "--cert", &cert, "--key", &key], 0, "");
    // With TLS 1.3 the refusal comes after the handshake, and the connection may be gone before it is read.
    check_end(&url, &["--ca", &ca], 4, "--cert and --key");
    let stranger = ["--ca", &ca, "--cert", &wrong_cert, "--key", &wrong_key];
    check_end(&url, &stranger, 4, "--cert");
    check(&url, &["--ca", &ca, "--cert", &cert, "--key", &wrong_key], 2, "TLS cannot be set up");
}

#[test]
fn what_the_flags_get_wrong_is_usage() {
    let (url, nothing) = ("https://localhost:1", TempFile::new("nothing.pem", b"not PEM\n"));
    check(url, &["--ca", "no/such.pem"], 2, "--ca no/such.pem: cannot be read: No such file");
    check(url, &["--ca", nothing.path()], 2, "has no `-----BEGIN … CERTIFICATE-----`");
    check(url, &["--cert", nothing.path()], 2, "--key <FILE>");
    check(url, &["--api-key-file", "no/such.key"], 2, "--api-key-file no/such.key: cannot be read");
    check("http://localhost:1", &["--ca", "x"], 2, "--ca has no effect without TLS");
    let ended = run(&["extract", "--labels", "a", "--ca", "x", "-"]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("--server <URL>"), "{ended:?}");
}

#[test]
fn a_key_is_sent_and_a_missing_or_wrong_one_names_its_flag() {
    let stub = Stub::start(Behaviour::Ask("opensesame"));
    let file = |text: &str| TempFile::new(&format!("{}.key", text.len()), text.as_bytes());
    let (right, wrong) = (file(" opensesame\n"), file("closesesame"));
    check(&stub.url(), &["--api-key-file", right.path()], 0, "");
    check(&stub.url(), &[], 4, "(KEY_MISSING); give a key with --api-key-file");
    let told = "(KEY_INVALID); give another key with --api-key-file";
    check(&stub.url(), &["--api-key-file", wrong.path()], 4, told);
}
