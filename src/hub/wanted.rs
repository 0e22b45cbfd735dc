//! What is asked of a hub, read from text: a model `org/name` or its address, and files with their hashes.

use std::path::{Component, Path};
use std::str::FromStr;

/// A model and the hub that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// `https://host/prefix` of a hub; without one it is the usual hub.
    pub endpoint: Option<String>,
    /// `org/name`, or `name`.
    pub id: String,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "is neither a model such as org/name nor the address of one, such as https://hub.example/org/name"
                .to_owned()
        };
        let Some((scheme, rest)) = text.split_once("://") else {
            return is_id(text)
                .then(|| Self { endpoint: None, id: text.to_owned() })
                .ok_or_else(wrong);
        };
        if !matches!(scheme, "http" | "https") {
            return Err(wrong());
        }
        let mut parts = rest.trim_end_matches('/').rsplitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(name), Some(org), Some(host)) if !host.is_empty() => {
                let id = format!("{org}/{name}");
                let endpoint = Some(format!("{scheme}://{host}"));
                is_id(&id).then_some(Self { endpoint, id }).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }
}

/// Names as hubs have them, which are also safe in a path: no `..`, no query, no escape.
fn is_id(id: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with('.')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    id.split('/').count() <= 2 && id.split('/').all(is_name)
}

/// A file of a model, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its path below the model, with `/`.
    pub file: String,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (file, digits) = text
            .rsplit_once('=')
            .ok_or("has no hash: write FILE=HASH, the SHA-256 of the file in hex")?;
        let is_plain = |part| matches!(part, Component::Normal(_));
        let is_below = !file.is_empty() && Path::new(file).components().all(is_plain);
        if !is_below || file.contains(['\\', '?', '#', '%']) || file.chars().any(char::is_control) {
            return Err("names no file below a model, such as model.safetensors".to_owned());
        }
        let sha256 = unhex(digits).ok_or("has no SHA-256: 64 hex digits after the =")?;
        Ok(Self { file: file.to_owned(), sha256 })
    }
}

fn unhex(digits: &str) -> Option<[u8; 32]> {
    let digits = digits.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_an_id_or_its_address() {
        let source = |text: &str| text.parse::<Source>();
        let plain = |id: &str| Ok(Source { endpoint: None, id: id.to_owned() });
        let at = |endpoint: &str, id: &str| {
            Ok(Source { endpoint: Some(endpoint.to_owned()), id: id.to_owned() })
        };
        assert_eq!(source("org/name-1.0_x"), plain("org/name-1.0_x"));
        assert_eq!(source("name"), plain("name"));
        assert_eq!(source("https://hub.example/org/name"), at("https://hub.example", "org/name"));
        assert_eq!(
            source("http://[::1]:8080/a/b/org/name/"),
            at("http://[::1]:8080/a/b", "org/name")
        );
        for wrong in [
            "",
            "a/b/c",
            "../b",
            "a/..",
            "a b",
            "a?b",
            "ftp://h/o/n",
            "https://h/n",
            "https:///o/n",
            "a/%2e",
        ] {
            assert!(source(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_has_a_name_below_the_model_and_a_hash() {
        let hash = "0aF".repeat(21) + "b";
        let wanted: Wanted = format!("onnx/model=1.bin={hash}").parse().unwrap();
        assert_eq!(wanted.file, "onnx/model=1.bin");
        assert_eq!((wanted.sha256[0], wanted.sha256[1], wanted.sha256[31]), (0x0a, 0xf0, 0xfb));
        let told = |text: &str| text.parse::<Wanted>().unwrap_err();
        assert!(told("model.bin").contains("FILE=HASH"));
        assert!(told("model.bin=abc").contains("64 hex digits"));
        assert!(told(&format!("model.bin={}", "g".repeat(64))).contains("64 hex digits"));
        for file in ["", "/etc/passwd", "../up", "a/../b", "a?b", "a\nb", "."] {
            assert!(told(&format!("{file}={hash}")).contains("below a model"), "{file:?}");
        }
    }
}
