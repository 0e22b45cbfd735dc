//! API keys: a file of their hashes, and the check of what a client sends.
//!
//! A line is `name sha256-hex [not_before] [not_after]`: times as in RFC 3339, `-` for one that is absent, `#` starts a comment.
//! The name is what logs call the client. Several lines may have one name: that is how a key is changed without a gap. The same
//! hash may not come twice.
//!
//! One round of SHA-256 without salt is enough here, and only here: a key is 256 random bits, not a password, so there is no
//! dictionary to try and nothing to stretch. Whoever makes keys otherwise gives that up:
//!
//! ```sh
//! key=$(openssl rand -hex 32)            # goes to the client
//! printf %s "$key" | sha256sum           # goes into the file; echo would hash a line feed, too
//! ```
//!
//! Neither a key nor its hash is ever shown, nor is a line of the file: it might be the key itself, in the wrong place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderValue;
use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::reload::{Contents, ReadError, Reloaded, Watcher};

/// Longest name of a key.
pub const NAME_BYTES_MAX: usize = 64;

/// Most keys in a file. Each call is compared with all of them, which takes 0.06 ms at this number.
pub const KEYS_MAX: usize = 1024;

/// Wrong lines that a message tells; of more than that only the number.
const MISTAKES_SHOWN: usize = 20;

/// Keys that open the door.
pub struct KeyRing {
    entries: Vec<Entry>,
}

struct Entry {
    name: Arc<str>,
    hash: [u8; 32],
    /// Valid from then on.
    not_before: Option<SystemTime>,
    /// No longer valid from then on.
    not_after: Option<SystemTime>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (keys, names) = (self.n_keys(), self.n_names());
        f.debug_struct("KeyRing").field("keys", &keys).field("names", &names).finish()
    }
}

/// Why a client has no valid key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// None was sent.
    #[error("no API key was sent: send the header `authorization: Bearer KEY`")]
    Missing,
    /// Nobody has it.
    #[error("the API key is not known here: send one that the operator gave you")]
    Invalid,
    /// It was valid once.
    #[error("the API key has expired: ask the operator for another")]
    Expired,
    /// It will be valid.
    #[error("the API key is not valid yet: ask the operator from when on it is")]
    NotYetValid,
}

impl KeyRing {
    /// Reads the lines of a file; an error tells all that is wrong. A file without any key is an error as well: it would
    /// refuse everybody, which is never what somebody meant to write.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let (mut entries, mut mistakes) = (Vec::new(), Vec::new());
        let mut lines: BTreeMap<[u8; 32], usize> = BTreeMap::new();
        for (line, text) in (1..).zip(text.lines()) {
            let entry = match Entry::parse(text) {
                Ok(Some(entry)) => entry,
                Ok(None) => continue,
                Err(mistake) => {
                    mistakes.push((line, mistake));
                    continue;
                }
            };
            if let Some(&first) = lines.get(&entry.hash) {
                mistakes.push((line, KeyMistake::Repeated { first }));
                continue;
            }
            lines.insert(entry.hash, line);
            entries.push(entry);
        }
        if !mistakes.is_empty() {
            return Err(KeysError::Lines(LineMistakes(mistakes)));
        }
        if entries.len() > KEYS_MAX {
            return Err(KeysError::TooMany { count: entries.len() });
        }
        if entries.is_empty() {
            return Err(KeysError::Empty);
        }
        Ok(Self { entries })
    }

    /// The name of the key that the `authorization` header holds, if it is valid at `now`.
    pub fn check(
        &self,
        authorization: Option<&HeaderValue>,
        now: SystemTime,
    ) -> Result<Arc<str>, KeyRefusal> {
        let key = authorization.and_then(|header| bearer(header.as_bytes()));
        let hash: [u8; 32] = Sha256::digest(key.ok_or(KeyRefusal::Missing)?).into();
        let entry = self.find(&hash).ok_or(KeyRefusal::Invalid)?;
        // Half-open, so that of two keys in turn exactly one is valid.
        if entry.not_before.is_some_and(|not_before| now < not_before) {
            return Err(KeyRefusal::NotYetValid);
        }
        if entry.not_after.is_some_and(|not_after| now >= not_after) {
            return Err(KeyRefusal::Expired);
        }
        Ok(Arc::clone(&entry.name))
    }

    /// Looks at every entry to its end, so that the time says neither which one it was nor how much of it was right.
    fn find(&self, hash: &[u8; 32]) -> Option<&Entry> {
        // One more than the index; zero is none.
        let mut found = 0_u64;
        for (number, entry) in (1_u64..).zip(&self.entries) {
            found.conditional_assign(&number, entry.hash.ct_eq(hash));
        }
        self.entries.get(usize::try_from(found.checked_sub(1)?).ok()?)
    }

    /// How many keys there are.
    #[must_use]
    pub fn n_keys(&self) -> usize {
        self.entries.len()
    }

    /// How many names they have.
    #[must_use]
    pub fn n_names(&self) -> usize {
        self.entries.iter().map(|entry| &entry.name).collect::<BTreeSet<_>>().len()
    }
}

/// The key of `Bearer KEY`. The scheme's case does not matter (RFC 9110, 11.1); another scheme is no key of ours.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = header.split_at(header.iter().position(|&byte| byte == b' ')?);
    let key = key.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer") && !key.is_empty()).then_some(key)
}

impl Entry {
    /// One line; `None` if it holds nothing.
    fn parse(line: &str) -> Result<Option<Self>, KeyMistake> {
        let mut fields = line.split_ascii_whitespace().take_while(|field| !field.starts_with('#'));
        let Some(name) = fields.next() else { return Ok(None) };
        if !is_name(name) {
            return Err(KeyMistake::Name);
        }
        let hash = fields.next().and_then(hash_of).ok_or(KeyMistake::Hash)?;
        if hash == <[u8; 32]>::from(Sha256::digest([])) {
            return Err(KeyMistake::HashOfNothing);
        }
        let not_before = time_of(fields.next(), "not_before")?;
        let not_after = time_of(fields.next(), "not_after")?;
        if fields.next().is_some() {
            return Err(KeyMistake::MoreFields);
        }
        if let (Some(not_before), Some(not_after)) = (not_before, not_after)
            && not_before >= not_after
        {
            return Err(KeyMistake::NeverValid);
        }
        Ok(Some(Self { name: Arc::from(name), hash, not_before, not_after }))
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.len() <= NAME_BYTES_MAX && name.bytes().all(allowed)
}

fn hash_of(hex: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    if pairs.len() != hash.len() || !rest.is_empty() {
        return None;
    }
    for (byte, &[high, low]) in hash.iter_mut().zip(pairs) {
        *byte = digit_of(high)? << 4 | digit_of(low)?;
    }
    Some(hash)
}

fn digit_of(hex: u8) -> Option<u8> {
    u8::try_from(char::from(hex).to_digit(16)?).ok()
}

fn time_of(field: Option<&str>, which: &'static str) -> Result<Option<SystemTime>, KeyMistake> {
    let Some(field) = field.filter(|&field| field != "-") else { return Ok(None) };
    // What the parser says of a time may quote it.
    match OffsetDateTime::parse(field, &Rfc3339) {
        Ok(time) => Ok(Some(time.into())),
        Err(_quotes) => Err(KeyMistake::Time { which }),
    }
}

/// Why a file of keys cannot be used. Nothing of what stands in it is told.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Some lines are wrong.
    #[error("{0}")]
    Lines(LineMistakes),
    /// There is no key in it.
    #[error("there is no key in it: add a line `name sha256-hex`")]
    Empty,
    /// There are too many.
    #[error("{count} keys are more than the {KEYS_MAX} allowed: remove those that have expired")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// It is no text.
    #[error("it is not UTF-8: name a file of lines `name sha256-hex`")]
    NotText,
}

/// Lines that are wrong, by number from 1: at least one.
#[derive(Debug)]
pub struct LineMistakes(Vec<(usize, KeyMistake)>);

impl LineMistakes {
    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, KeyMistake)> {
        self.0.iter().copied()
    }
}

impl fmt::Display for LineMistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (line, mistake)) in self.0.iter().take(MISTAKES_SHOWN).enumerate() {
            let separator = if place == 0 { "" } else { "; " };
            write!(f, "{separator}line {line}: {mistake}")?;
        }
        match self.0.len().saturating_sub(MISTAKES_SHOWN) {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}

/// What can be wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyMistake {
    /// The name.
    #[error("a name has 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 . _ -")]
    Name,
    /// The hash.
    #[error("after the name comes the SHA-256 of the key, 64 hex digits")]
    Hash,
    /// The key was empty when it was hashed.
    #[error("this is the SHA-256 of nothing: hash the key with printf %s KEY | sha256sum")]
    HashOfNothing,
    /// A time.
    #[error("{which} is a time as 2030-01-31T00:00:00Z, or - for none")]
    Time {
        /// Which of the two.
        which: &'static str,
    },
    /// The end comes before the start.
    #[error("not_after must be later than not_before")]
    NeverValid,
    /// Too much.
    #[error("nothing may follow not_after: one key a line")]
    MoreFields,
    /// The key is there already.
    #[error("line {first} has the same key: remove one of them")]
    Repeated {
        /// The line that has it.
        first: usize,
    },
}

/// Why the file of keys was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum KeysFileError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot be used.
    #[error("{path:?}: {source}")]
    Keys {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeysError,
    },
}

/// Loads a file of keys, and again whenever it changes.
pub fn watch(watcher: &mut Watcher, path: &Path) -> Result<Reloaded<KeyRing>, KeysFileError> {
    let publish = |ring: &KeyRing| {
        tracing::info!(keys = ring.n_keys(), names = ring.n_names(), "API keys loaded");
    };
    let path = path.to_owned();
    watcher.watch("keys", vec![path.clone()], move |files| load(&path, files), publish)
}

fn load(path: &Path, files: &[Contents]) -> Result<KeyRing, KeysFileError> {
    let wrong = |source| KeysFileError::Keys { path: path.to_owned(), source };
    let [file] = files else { return Err(wrong(KeysError::Empty)) };
    match str::from_utf8(&file.bytes) {
        Ok(text) => KeyRing::parse(text).map_err(wrong),
        Err(_says_where) => Err(wrong(KeysError::NotText)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECRET: &str = "6f0c4ab1f9d37e52";

    fn hex(key: &str) -> String {
        Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn check(ring: &KeyRing, header: &str, now: &str) -> Result<String, KeyRefusal> {
        let now = OffsetDateTime::parse(now, &Rfc3339).unwrap().into();
        let header = HeaderValue::from_str(header).unwrap();
        ring.check(Some(&header), now).map(|name| (*name).to_owned())
    }

    #[test]
    fn a_key_opens_from_its_start_until_its_end() {
        let file = format!(
            "# our clients\n\nalways {}\r\n  until {} - 2030-01-01T00:00:00Z # soon\n\
             from {} 2029-12-31T23:00:00-01:00 -\nturn {} - 2030-01-01T00:00:00Z\nturn {} 2030-01-01T00:00:00Z",
            hex("a"),
            hex("b").to_uppercase(),
            hex("c"),
            hex("d"),
            hex("e"),
        );
        let ring = KeyRing::parse(&file).unwrap();
        let (before, at) = ("2029-12-31T23:59:59Z", "2030-01-01T00:00:00Z");
        let after = "2030-01-01T00:00:01Z";
        let refused = Err::<&str, _>;
        for (key, now, expected) in [
            ("a", before, Ok("always")),
            ("a", after, Ok("always")),
            ("b", before, Ok("until")),
            ("b", "2029-12-31T23:59:59.999Z", Ok("until")),
            ("b", at, refused(KeyRefusal::Expired)),
            ("b", after, refused(KeyRefusal::Expired)),
            ("c", before, refused(KeyRefusal::NotYetValid)),
            ("c", "2029-12-31T23:59:59.999Z", refused(KeyRefusal::NotYetValid)),
            ("c", at, Ok("from")),
            ("c", after, Ok("from")),
            ("d", before, Ok("turn")),
            ("d", at, refused(KeyRefusal::Expired)),
            ("e", before, refused(KeyRefusal::NotYetValid)),
            ("e", at, Ok("turn")),
            ("f", at, refused(KeyRefusal::Invalid)),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(check(&ring, &format!("Bearer {key}"), now), expected, "{key} at {now}");
        }
        assert_eq!(format!("{ring:?}"), "KeyRing { keys: 5, names: 4 }");
    }

    #[test]
    fn a_header_is_a_scheme_and_a_key() {
        let ring = KeyRing::parse(&format!("me {}", hex(SECRET))).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 31);
        assert_eq!(ring.check(None, now), Err(KeyRefusal::Missing));
        let at = "2030-01-01T00:00:00Z";
        for scheme in ["Bearer ", "bearer ", "BEARER  "] {
            assert_eq!(check(&ring, &format!("{scheme}{SECRET}"), at), Ok("me".to_owned()));
        }
        for header in ["", "Bearer", "Bearer ", "Bearer   ", SECRET, "Basic bWU6", " Bearer"] {
            assert_eq!(check(&ring, header, at), Err(KeyRefusal::Missing), "{header:?}");
        }
        let (short, long) = (SECRET.trim_start_matches('6'), format!("{SECRET}0"));
        for key in [short, &long, &format!("{SECRET} {SECRET}"), &hex(SECRET), &"k".repeat(1 << 16)]
        {
            let header = format!("Bearer {key}");
            assert_eq!(check(&ring, &header, at), Err(KeyRefusal::Invalid), "{}", key.len());
        }
        let opaque = HeaderValue::from_bytes(b"Bearer \xff\xfe").unwrap();
        assert_eq!(ring.check(Some(&opaque), now), Err(KeyRefusal::Invalid));
    }

    #[test]
    fn every_wrong_line_is_told_by_number_and_never_by_content() {
        let good = hex("good");
        let lines = [
            (SECRET.to_owned(), Some(KeyMistake::Hash)),
            (format!("me {SECRET}"), Some(KeyMistake::Hash)),
            (format!("me {good}"), None),
            (format!("{SECRET}! {}", hex("1")), Some(KeyMistake::Name)),
            (format!("{} {}", "n".repeat(NAME_BYTES_MAX + 1), hex("2")), Some(KeyMistake::Name)),
            (format!("{} {}", "n".repeat(NAME_BYTES_MAX), hex("3")), None),
            (format!("me {good}0"), Some(KeyMistake::Hash)),
            (format!("me {}", good.replace('a', "g")), Some(KeyMistake::Hash)),
            (format!("me {}", hex("")), Some(KeyMistake::HashOfNothing)),
            (format!("me {} {SECRET}", hex("4")), Some(KeyMistake::Time { which: "not_before" })),
            (
                format!("me {} - 2030-01-01", hex("5")),
                Some(KeyMistake::Time { which: "not_after" }),
            ),
            (format!("me {} - - {SECRET}", hex("6")), Some(KeyMistake::MoreFields)),
            (
                format!("me {} 2030-01-01T00:00:00Z 2030-01-01T01:00:00+01:00", hex("7")),
                Some(KeyMistake::NeverValid),
            ),
            (format!("you {}", good.to_uppercase()), Some(KeyMistake::Repeated { first: 3 })),
        ];
        let text: Vec<_> = lines.iter().map(|(line, _)| line.as_str()).collect();
        let expected: Vec<_> = (1..)
            .zip(&lines)
            .filter_map(|(line, (_, mistake))| Some((line, (*mistake)?)))
            .collect();
        let error = KeyRing::parse(&text.join("\n")).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.starts_with("line 1: after the name") && !shown.contains(SECRET), "{shown}");
        assert!(!shown.to_lowercase().contains(&good), "{shown}");
        let KeysError::Lines(mistakes) = error else { panic!("{shown}") };
        assert_eq!(mistakes.iter().collect::<Vec<_>>(), expected);

        let many = KeyRing::parse(&"?\n".repeat(1000)).unwrap_err().to_string();
        assert!(many.contains("line 20: ") && many.ends_with(" (and 980 more)"), "{many}");
    }

    #[test]
    fn a_file_has_one_key_to_the_limit() {
        for text in ["", "\n", "# me 00\n", "   "] {
            assert!(matches!(KeyRing::parse(text), Err(KeysError::Empty)), "{text:?}");
        }
        let lines = |count: usize| -> String {
            (0..count).map(|key| format!("k {}\n", hex(&key.to_string()))).collect()
        };
        assert_eq!(KeyRing::parse(&lines(KEYS_MAX)).unwrap().n_keys(), KEYS_MAX);
        let over = KeyRing::parse(&lines(KEYS_MAX + 1));
        assert!(matches!(over, Err(KeysError::TooMany { count }) if count == KEYS_MAX + 1));
        // The first and the last of many are found.
        let ring = KeyRing::parse(&lines(KEYS_MAX)).unwrap();
        for key in [0, KEYS_MAX - 1] {
            assert!(check(&ring, &format!("Bearer {key}"), "2030-01-01T00:00:00Z").is_ok());
        }
    }

    #[test]
    fn a_file_that_is_no_text_is_named() {
        let file = Contents { path: PathBuf::from("keys"), bytes: b"me \xff".to_vec() };
        let error = load(Path::new("keys"), &[file]).unwrap_err().to_string();
        assert_eq!(error, "\"keys\": it is not UTF-8: name a file of lines `name sha256-hex`");
    }
}
