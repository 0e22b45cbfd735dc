//! Authorities and certificates for tests, made by the `openssl` command when a test needs them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::TlsFiles;

/// A folder that goes with its owner.
pub(in crate::service) struct TestDir {
    path: PathBuf,
}

impl TestDir {
    pub(in crate::service) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("gleand-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a folder of our own");
        Self { path }
    }

    pub(in crate::service) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.path));
    }
}

/// When a certificate is valid.
#[derive(Clone, Copy)]
pub(in crate::service) enum Valid {
    Now,
    Before,
    Later,
}

impl Valid {
    fn dates(self) -> (&'static str, &'static str) {
        match self {
            Self::Now => ("20200101000000Z", "20900101000000Z"),
            Self::Before => ("20200101000000Z", "20210101000000Z"),
            Self::Later => ("20890101000000Z", "20900101000000Z"),
        }
    }
}

/// 2090-01-01T00:00:00Z, when all certificates expire that do not say otherwise.
pub(in crate::service) const EXPIRY_UNIX: i64 = 3_786_912_000;

/// A folder of keys and certificates: `NAME.key` and `NAME.pem`.
pub(in crate::service) struct Pki {
    pub(in crate::service) dir: TestDir,
}

impl Pki {
    pub(in crate::service) fn new() -> Self {
        let dir = TestDir::new();
        let config = "[ca]\ndefault_ca = d\n[d]\ndatabase = index\nserial = serial\nnew_certs_dir = .\ndefault_md = sha256\npolicy = p\n\
                      unique_subject = no\n[p]\ncommonName = supplied\n[req]\ndistinguished_name = n\n[n]\n";
        fs::write(dir.path("config"), config).unwrap();
        fs::write(dir.path("index"), "").unwrap();
        fs::write(dir.path("serial"), "1000").unwrap();
        Self { dir }
    }

    /// An authority; its subject is `/CN=SUBJECT`, so that two may look alike.
    pub(in crate::service) fn authority(&self, name: &str, subject: &str) {
        self.key(name);
        self.openssl(&format!(
            "req -config config -x509 -new -key {name}.key -out {name}.pem -days 9000 -subj /CN={subject} \
             -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign"
        ));
    }

    /// A certificate of `authority` for client and server, with names as openssl writes them: `DNS:a,URI:b`; or none.
    pub(in crate::service) fn leaf(&self, authority: &str, name: &str, sans: &str, valid: Valid) {
        self.key(name);
        let mut extensions = "basicConstraints=CA:false\n".to_owned();
        if !sans.is_empty() {
            extensions += &format!("subjectAltName={sans}\n");
        }
        fs::write(self.dir.path("extensions"), extensions).unwrap();
        let (start, end) = valid.dates();
        self.openssl(&format!(
            "req -config config -new -key {name}.key -out request -subj /CN={name}"
        ));
        self.openssl(&format!(
            "ca -batch -config config -notext -extfile extensions -in request -out {name}.pem \
             -cert {authority}.pem -keyfile {authority}.key -startdate {start} -enddate {end}"
        ));
    }

    pub(in crate::service) fn key(&self, name: &str) {
        self.openssl(&format!(
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key"
        ));
    }

    pub(in crate::service) fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        let output = command.current_dir(&self.dir.path).args(arguments.split(' ')).output();
        let output = output.expect("the openssl command is installed");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {stderr}");
    }

    pub(in crate::service) fn files(&self, name: &str, client_ca: Option<&str>) -> TlsFiles {
        TlsFiles {
            cert: self.dir.path(&format!("{name}.pem")),
            key: self.dir.path(&format!("{name}.key")),
            client_ca: client_ca.map(|name| self.dir.path(&format!("{name}.pem"))),
        }
    }

    pub(in crate::service) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.path(name)).unwrap()
    }
}
