//! The names that a client's certificate holds, and which of them are let in.
//!
//! Names are compared within their kind: an address of mail never matches a host. The subject's common name is no name here.

use std::fmt;
use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

/// Longest name; SPIFFE allows as much.
pub const NAME_BYTES_MAX: usize = 2048;

/// One name of a certificate (subject alternative name). It holds visible ASCII only, so it may stand in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum San {
    /// A host, in lower case.
    Dns(String),
    /// A URI, a SPIFFE id for one.
    Uri(String),
    /// An address of mail.
    Email(String),
    /// An address of a host.
    Ip {
        /// The address.
        address: IpAddr,
        /// The address as text.
        text: String,
    },
}

impl San {
    /// The name as logs have it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Dns(text) | Self::Uri(text) | Self::Email(text) | Self::Ip { text, .. } => text,
        }
    }

    fn ip(address: IpAddr) -> Self {
        // An IPv4 address in the clothes of IPv6 is the IPv4 address.
        let address = address.to_canonical();
        Self::Ip { address, text: address.to_string() }
    }
}

impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The names of a certificate that the handshake has verified, in its order. Kinds and characters that no allow-list can
/// name are left out; so is everything if the certificate cannot be read.
#[must_use]
pub fn subject_alt_names(certificate: &CertificateDer<'_>) -> Vec<San> {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    names.value.general_names.iter().filter_map(san_of).collect()
}

fn san_of(name: &GeneralName<'_>) -> Option<San> {
    match *name {
        GeneralName::DNSName(text) => Some(San::Dns(visible(text)?.to_ascii_lowercase())),
        GeneralName::URI(text) => Some(San::Uri(visible(text)?.to_owned())),
        GeneralName::RFC822Name(text) => Some(San::Email(visible(text)?.to_owned())),
        GeneralName::IPAddress(bytes) => {
            let address = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            Some(San::ip(address.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()?))
        }
        GeneralName::OtherName(..)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::RegisteredID(..)
        | GeneralName::Invalid(..) => None,
    }
}

fn visible(text: &str) -> Option<&str> {
    let fits = (1..=NAME_BYTES_MAX).contains(&text.len());
    (fits && text.bytes().all(|byte| byte.is_ascii_graphic())).then_some(text)
}

/// Names that are let in; an empty list lets in every client whose certificate is good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SanList {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// This name.
    Exact(San),
    /// One label, then this, which starts with a dot.
    OneLabel(String),
}

/// Why a list of names cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", mistakes.join("; "))]
pub struct SanListError {
    /// All mistakes, in order: at least one.
    mistakes: Vec<String>,
}

impl SanList {
    /// Reads names with commas between them: a host, `*.` and a host, a URI, an address of mail, an address of a host.
    pub fn parse(text: &str) -> Result<Self, SanListError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let (mut patterns, mut mistakes) = (Vec::new(), Vec::new());
        for (number, item) in (1..).zip(text.split(',')) {
            match Pattern::parse(item.trim()) {
                Ok(pattern) => patterns.push(pattern),
                Err(mistake) => mistakes.push(format!("name {number} {mistake}")),
            }
        }
        if mistakes.is_empty() { Ok(Self { patterns }) } else { Err(SanListError { mistakes }) }
    }

    /// Whether it lets in every good certificate.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The first of a client's names that is let in: who it is in the logs. With an empty list that is its first name, or
    /// `-` if it has none.
    #[must_use]
    pub fn allows<'a>(&self, names: &'a [San]) -> Option<&'a str> {
        if self.is_empty() {
            return Some(names.first().map_or("-", San::as_str));
        }
        let allowed = |name: &&San| self.patterns.iter().any(|pattern| pattern.matches(name));
        names.iter().find(allowed).map(San::as_str)
    }
}

impl Pattern {
    fn parse(item: &str) -> Result<Self, &'static str> {
        if item.is_empty() {
            return Err("is empty: remove one of the commas");
        }
        if visible(item).is_none() {
            return Err("holds a blank or a character beyond ASCII, or is too long");
        }
        if item.contains("://") {
            return exact(San::Uri(item.to_owned()));
        }
        if item.contains('@') {
            return exact(San::Email(item.to_owned()));
        }
        if let Ok(address) = item.parse() {
            return Ok(Self::Exact(San::ip(address)));
        }
        let item = item.to_ascii_lowercase();
        match item.strip_prefix('*') {
            None if is_host(&item) => Ok(Self::Exact(San::Dns(item))),
            Some(rest) if rest.strip_prefix('.').is_some_and(is_host) => {
                Ok(Self::OneLabel(rest.to_owned()))
            }
            _ => Err(
                "is no name of a certificate: write a host, *.host, a URI with ://, a mail address or an IP address",
            ),
        }
    }

    fn matches(&self, name: &San) -> bool {
        match (self, name) {
            (Self::Exact(San::Ip { address, .. }), San::Ip { address: other, .. }) => {
                address == other
            }
            (Self::Exact(exact), name) => exact == name,
            (Self::OneLabel(rest), San::Dns(host)) => {
                host.strip_suffix(rest.as_str()).is_some_and(is_label)
            }
            (Self::OneLabel(_), San::Uri(_) | San::Email(_) | San::Ip { .. }) => false,
        }
    }
}

fn exact(san: San) -> Result<Pattern, &'static str> {
    if san.as_str().contains('*') {
        return Err("has a * where none is possible: only a host may start with *.");
    }
    Ok(Pattern::Exact(san))
}

fn is_host(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(text: &str) -> San {
        San::Dns(text.to_owned())
    }

    #[test]
    fn a_list_lets_in_its_names_and_no_others() {
        let uri = |text: &str| San::Uri(text.to_owned());
        let email = |text: &str| San::Email(text.to_owned());
        let ip = |text: &str| San::ip(text.parse().unwrap());
        for (list, name, allowed) in [
            ("a.example", dns("a.example"), true),
            ("A.Example", dns("a.example"), true),
            (" b , a.example", dns("a.example"), true),
            ("a.example", dns("b.a.example"), false),
            ("a.example", dns("a.example."), false),
            ("a.example", uri("a.example"), false),
            ("*.a.example", dns("b.a.example"), true),
            ("*.a.example", dns("a.example"), false),
            ("*.a.example", dns(".a.example"), false),
            ("*.a.example", dns("c.b.a.example"), false),
            ("*.a.example", dns("*.a.example"), false),
            ("*.a.example", dns("ba.example"), false),
            ("*.a.example", email("b.a.example"), false),
            ("spiffe://a/b", uri("spiffe://a/b"), true),
            ("spiffe://a/b", uri("spiffe://a/B"), false),
            ("spiffe://a/b", uri("spiffe://a/b/c"), false),
            ("spiffe://a/b", dns("spiffe://a/b"), false),
            ("me@a.example", email("me@a.example"), true),
            ("me@a.example", dns("me@a.example"), false),
            ("10.0.0.1", ip("10.0.0.1"), true),
            ("10.0.0.1", ip("::ffff:10.0.0.1"), true),
            ("10.0.0.1", dns("10.0.0.1"), false),
            ("0:0::1", ip("::1"), true),
        ] {
            let parsed = SanList::parse(list).unwrap();
            let names = [dns("other"), name.clone()];
            let expected = allowed.then_some(name.as_str());
            assert_eq!(parsed.allows(&names), expected, "{list} {name:?}");
        }
    }

    #[test]
    fn an_empty_list_lets_everybody_in() {
        for text in ["", " "] {
            let list = SanList::parse(text).unwrap();
            assert!(list.is_empty());
            assert_eq!(list.allows(&[dns("a"), dns("b")]), Some("a"));
            assert_eq!(list.allows(&[]), Some("-"));
        }
        assert_eq!(SanList::parse("a").unwrap().allows(&[]), None);
    }

    #[test]
    fn all_mistakes_of_a_list_are_told() {
        let list = "a,,*,*.,*a.b,a.*.b,a b,spiffe://*/a,é,a..b,*.*.b,ok.example";
        let error = SanList::parse(list).unwrap_err().to_string();
        for number in 2..=11 {
            assert!(error.contains(&format!("name {number} ")), "{number}: {error}");
        }
        assert!(!error.contains("name 1 ") && !error.contains("name 12 "), "{error}");
    }
}
