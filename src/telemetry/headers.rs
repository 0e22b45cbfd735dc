//! The file of headers for the OTLP receiver: one `name: value` or `name=value` a line.
//!
//! Values are secrets. They are marked as such for the layers below, and `Debug` prints how many there are.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers that go with every export.
#[derive(Clone, Default)]
pub(super) struct Headers(HeaderMap);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Headers({})", self.0.len())
    }
}

impl Headers {
    /// Reads the text of a file. Blank lines and lines that begin with `#` say nothing.
    ///
    /// # Errors
    /// The number of the first line that is no header.
    pub(super) fn parse(text: &str) -> Result<Self, usize> {
        let mut headers = HeaderMap::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) = header(line).ok_or(index + 1)?;
            headers.insert(name, value);
        }
        Ok(Self(headers))
    }

    /// Puts them into `headers`, in the place of any that have the same name.
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0 {
            headers.insert(name.clone(), value.clone());
        }
    }
}

fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once([':', '='])?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
    let value = value.trim();
    let mut value = HeaderValue::from_str(value).ok().filter(|_| !value.is_empty())?;
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_a_header_are_read() {
        let text =
            "# of the receiver\n\nAuthorization: Basic dXNlcjpwYXNz=\r\n x-scope-orgid=a:b \n";
        let headers = Headers::parse(text).unwrap();
        let mut map = HeaderMap::new();
        map.insert("authorization", HeaderValue::from_static("from elsewhere"));
        headers.apply(&mut map);
        assert_eq!(map["authorization"], "Basic dXNlcjpwYXNz=");
        assert_eq!(map["x-scope-orgid"], "a:b");
        assert_eq!(map.len(), 2);
    }

    #[test]
    fn a_value_is_never_printed() {
        let headers = Headers::parse("authorization: secret").unwrap();
        let mut map = HeaderMap::new();
        headers.apply(&mut map);
        assert_eq!(format!("{headers:?}"), "Headers(1)");
        assert!(!format!("{map:?}").contains("secret"));
    }

    #[test]
    fn a_line_that_is_no_header_is_named_by_its_number() {
        for (text, line) in
            [("a", 1), ("a: b\n: c", 2), ("#\na=", 2), ("a b: c", 1), ("a: \u{7f}", 1)]
        {
            assert_eq!(Headers::parse(text).err(), Some(line), "{text:?}");
        }
    }
}
