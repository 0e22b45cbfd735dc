//! The document: a file, or standard input as it comes.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::exit::{Failure, Kind};

/// A document that is read once, from its start.
pub(super) struct Input {
    /// As typed; `-` is standard input.
    pub(super) name: String,
    /// Bytes of a regular file.
    pub(super) length: Option<u64>,
    /// A person types it.
    pub(super) is_terminal: bool,
    source: Box<dyn AsyncRead + Unpin>,
    /// What the first bytes say about the encoding.
    first_bytes: Vec<u8>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Input {
    /// Opens a file, or standard input for `-`.
    pub(super) async fn open(name: &str) -> Result<Self, Failure> {
        if name == "-" {
            let is_terminal = io::stdin().is_terminal();
            return Ok(Self::new(name, None, Box::new(tokio::io::stdin())).typed(is_terminal));
        }
        let unreadable = |error: &io::Error| Failure::new(Kind::Input, format!("{name}: {error}"));
        let file = File::open(Path::new(name)).await.map_err(|error| unreadable(&error))?;
        let metadata = file.metadata().await.map_err(|error| unreadable(&error))?;
        if metadata.is_dir() {
            return Err(Failure::new(
                Kind::Input,
                format!("{name}: is a directory; name a file of plain text"),
            ));
        }
        let length = metadata.is_file().then_some(metadata.len());
        Ok(Self::new(name, length, Box::new(file)))
    }

    /// A document from any source.
    pub(super) fn new(name: &str, length: Option<u64>, source: Box<dyn AsyncRead + Unpin>) -> Self {
        Self { name: name.to_owned(), length, is_terminal: false, source, first_bytes: Vec::new() }
    }

    fn typed(self, is_terminal: bool) -> Self {
        Self { is_terminal, ..self }
    }

    /// What is there to read, at most the length of `buffer`; empty at the end. Does not wait for a full buffer.
    pub(super) async fn read<'b>(&mut self, buffer: &'b mut [u8]) -> Result<&'b [u8], Failure> {
        let count = self.source.read(buffer).await;
        let count =
            count.map_err(|error| Failure::new(Kind::Input, format!("{}: {error}", self.name)))?;
        let read = buffer.get(..count).unwrap_or_default();
        let missing = 2_usize.saturating_sub(self.first_bytes.len());
        self.first_bytes.extend(read.iter().take(missing));
        Ok(read)
    }
}

/// What a document is called, and how it may be read after all when it is not UTF-8.
pub(super) fn how_to_convert(name: &str, first_bytes: &[u8]) -> String {
    let encoding = match first_bytes {
        [0xff, 0xfe] | [0xfe, 0xff] => "UTF-16",
        _ => "WINDOWS-1252",
    };
    let source = if name == "-" { "…".to_owned() } else { quoted_for_a_shell(name) };
    format!(
        "convert it first, for example: iconv -f {encoding} -t UTF-8 {source} | gleand extract … -\n\
         or read every invalid part as U+FFFD: --invalid-utf8 replace"
    )
}

impl Input {
    /// [`how_to_convert`] for this document.
    pub(super) fn how_to_convert(&self) -> String {
        how_to_convert(&self.name, &self.first_bytes)
    }
}

fn quoted_for_a_shell(name: &str) -> String {
    let is_plain =
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/+,@%=:".contains(&byte));
    if is_plain { name.to_owned() } else { format!("'{}'", name.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reads_what_is_there_and_does_not_wait_for_more() {
        let (mut writer, reader) = tokio::io::duplex(64);
        let mut input = Input::new("-", None, Box::new(reader));
        let mut buffer = [0; 32];
        tokio::io::AsyncWriteExt::write_all(&mut writer, b"one").await.unwrap();
        assert_eq!(input.read(&mut buffer).await.unwrap(), b"one");
        drop(writer);
        assert_eq!(input.read(&mut buffer).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_named() {
        let Err(Failure::Told { kind, message }) = Input::open("no/such/book.txt").await else {
            panic!("opened a file that does not exist");
        };
        assert_eq!(kind, Kind::Input);
        assert!(message.starts_with("no/such/book.txt: "), "{message}");
        let Err(Failure::Told { kind, message }) = Input::open("src").await else {
            panic!("opened a directory")
        };
        assert_eq!(
            (kind, message.as_str()),
            (Kind::Input, "src: is a directory; name a file of plain text")
        );
    }

    #[test]
    fn the_advice_names_file_and_encoding() {
        let advice = how_to_convert("my book.txt", b"\xff\xfe");
        assert!(advice.contains("iconv -f UTF-16 -t UTF-8 'my book.txt' |"), "{advice}");
        assert!(how_to_convert("a.txt", b"Ca").contains("iconv -f WINDOWS-1252 -t UTF-8 a.txt |"));
    }
}
