//! The document: a file, or standard input as it comes.
//!
//! A file can be read again from its start. Anything else is read once: it is handed out in whole words, so that what was
//! handed out can end as a document of its own wherever nothing that is held back must follow.

use std::io::{self, IsTerminal as _, SeekFrom};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::SystemTime;

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeekExt as _};

use super::exit::{Failure, Kind};
use super::place::Place;

/// Bytes of a word that may be held back until its end comes. The server cannot decide about that word earlier either.
const WORD_BYTES_MAX: usize = 64;

/// A document.
pub(super) struct Input {
    /// As typed; `-` is standard input.
    pub(super) name: String,
    /// Bytes of a regular file.
    pub(super) length: Option<u64>,
    /// A person types it.
    pub(super) is_terminal: bool,
    source: Source,
    buffer: Vec<u8>,
    /// Bytes handed out since the start, or since the part of a source that is read once started.
    given: u64,
    /// What the first bytes say about the encoding.
    first_bytes: Vec<u8>,
}

enum Source {
    Again { file: File, start: u64, state: State },
    Once(Once),
}

/// What tells that a file is not what it was.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State(u64, Option<SystemTime>);

/// What is read once.
struct Once {
    reader: Box<dyn AsyncRead + Unpin>,
    /// Read, and not handed out yet.
    waiting: Vec<u8>,
    /// As many bytes of them end at the end of a word.
    whole: usize,
    has_ended: bool,
    /// Where `waiting` starts, when nothing of it is whole.
    place: Place,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input")
            .field("length", &self.length)
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}

impl Input {
    /// Opens a file, or standard input for `-`; at most `chunk_bytes` are read at once.
    pub(super) async fn open(name: &str, chunk_bytes: usize) -> Result<Self, Failure> {
        let unreadable = |error: &io::Error| Failure::new(Kind::Input, format!("{name}: {error}"));
        let file = if name == "-" {
            let stdin = io::stdin();
            let is_terminal = stdin.is_terminal();
            // `gleand extract - < book.txt` is as good as naming the file.
            match stdin.as_fd().try_clone_to_owned().map(std::fs::File::from) {
                Ok(file) if file.metadata().is_ok_and(|metadata| metadata.is_file()) => {
                    File::from_std(file)
                }
                _ => {
                    let input = Self::once(name, Box::new(tokio::io::stdin()), chunk_bytes);
                    return Ok(Self { is_terminal, ..input });
                }
            }
        } else {
            File::open(Path::new(name)).await.map_err(|error| unreadable(&error))?
        };
        Self::of_file(name, file, chunk_bytes).await.map_err(|error| match error.kind() {
            io::ErrorKind::IsADirectory => {
                let message = format!("{name}: is a directory; name a file of plain text");
                Failure::new(Kind::Input, message)
            }
            _ => unreadable(&error),
        })
    }

    async fn of_file(name: &str, mut file: File, chunk_bytes: usize) -> io::Result<Self> {
        let metadata = file.metadata().await?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if !metadata.is_file() {
            return Ok(Self::once(name, Box::new(file), chunk_bytes));
        }
        let start = file.stream_position().await?;
        let state = State(metadata.len(), metadata.modified().ok());
        let length = Some(metadata.len().saturating_sub(start));
        let source = Source::Again { file, start, state };
        Ok(Self { length, ..Self::new(name, source, chunk_bytes) })
    }

    /// A document from any source, which is read once.
    pub(super) fn once(name: &str, reader: Box<dyn AsyncRead + Unpin>, chunk_bytes: usize) -> Self {
        let (waiting, place) = (Vec::new(), Place::default());
        let once = Once { reader, waiting, whole: 0, has_ended: false, place };
        Self::new(name, Source::Once(once), chunk_bytes)
    }

    fn new(name: &str, source: Source, chunk_bytes: usize) -> Self {
        Self {
            name: name.to_owned(),
            length: None,
            is_terminal: false,
            source,
            buffer: vec![0; chunk_bytes],
            given: 0,
            first_bytes: Vec::new(),
        }
    }

    /// The next bytes, at most as many as a chunk holds; none at the end. Does not wait for a full chunk.
    ///
    /// Nothing is lost when this is dropped half way.
    pub(super) async fn chunk(&mut self) -> Result<Vec<u8>, Failure> {
        let chunk = match &mut self.source {
            Source::Again { file, .. } => {
                file.read(&mut self.buffer).await.map(|count| self.buffer[..count].to_vec())
            }
            Source::Once(once) => once.chunk(&mut self.buffer).await,
        };
        let chunk = chunk.map_err(|error| self.unreadable(&error))?;
        self.given += chunk.len() as u64;
        let missing = 2_usize.saturating_sub(self.first_bytes.len());
        self.first_bytes.extend(chunk.iter().take(missing));
        Ok(chunk)
    }

    /// Bytes handed out since the start, or since the last new part.
    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// Whether nothing is lost when an attempt ends here.
    pub(super) fn can_go_back(&self) -> bool {
        matches!(self.source, Source::Again { .. }) || self.given == 0
    }

    /// Goes back to the start, or stays where nothing was handed out yet.
    pub(super) async fn go_back(&mut self) -> Result<(), Failure> {
        self.given = 0;
        let Source::Again { file, start, state } = &mut self.source else { return Ok(()) };
        let back = async {
            file.seek(SeekFrom::Start(*start)).await?;
            let metadata = file.metadata().await?;
            io::Result::Ok(State(metadata.len(), metadata.modified().ok()) == *state)
        };
        match back.await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let message = format!(
                    "{}: has changed since it was read first; what was printed may not fit",
                    self.name
                );
                Err(Failure::new(Kind::Input, message))
            }
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    /// Whether a document may end with what was handed out, so that the rest is read as a further one.
    pub(super) fn may_end_here(&self) -> bool {
        matches!(&self.source, Source::Once(once) if once.whole == 0)
    }

    /// Where the next part starts, once there is anything of it; `None` at the end of the input.
    pub(super) async fn next_part(&mut self) -> Result<Option<Place>, Failure> {
        let Source::Once(once) = &mut self.source else { return Ok(None) };
        let place = once.place;
        match once.fill(&mut self.buffer).await {
            Ok(false) => Ok(None),
            Ok(true) => {
                self.given = 0;
                Ok(Some(place))
            }
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        Failure::new(Kind::Input, format!("{}: {error}", self.name))
    }
}

impl Once {
    async fn chunk(&mut self, buffer: &mut [u8]) -> io::Result<Vec<u8>> {
        self.fill(buffer).await?;
        let count = self.whole.min(buffer.len());
        self.whole -= count;
        Ok(self.waiting.drain(..count).collect())
    }

    /// Reads until there are whole words; false when there is nothing more.
    async fn fill(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        while self.whole == 0 && !self.has_ended {
            // A read that is dropped has taken nothing.
            let count = self.reader.read(buffer).await?;
            self.waiting.extend_from_slice(&buffer[..count]);
            self.has_ended = count == 0;
            self.whole = if self.has_ended { self.waiting.len() } else { words(&self.waiting) };
            self.place.pass(&self.waiting[..self.whole]);
        }
        Ok(self.whole > 0)
    }
}

/// How many bytes to hand out, so that no word is cut: a longer one than [`WORD_BYTES_MAX`] is, but no code point.
fn words(bytes: &[u8]) -> usize {
    let tail = bytes.iter().rev().take(WORD_BYTES_MAX);
    if let Some(after) = tail.clone().position(u8::is_ascii_whitespace) {
        return bytes.len() - after;
    }
    if bytes.len() < WORD_BYTES_MAX {
        return 0;
    }
    let is_open = |tail: &[u8]| {
        std::str::from_utf8(tail)
            .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    let open = (1..=3).find(|count| is_open(&bytes[bytes.len() - count..]));
    bytes.len() - open.unwrap_or_default()
}

/// What a document is called, and how it may be read after all when it is not UTF-8.
pub(super) fn how_to_convert(name: &str, first_bytes: &[u8]) -> String {
    let encoding = match first_bytes {
        [0xff, 0xfe] | [0xfe, 0xff] => "UTF-16",
        _ => "WINDOWS-1252",
    };
    let convert = format!("iconv -f {encoding} -t UTF-8");
    let convert = match name {
        "-" => format!("… | {convert}"),
        file => format!("{convert} {}", quoted_for_a_shell(file)),
    };
    format!(
        "convert it first, for example: {convert} | gleand extract … -\n\
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
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn message(failure: Failure) -> String {
        match failure {
            Failure::Told { kind: Kind::Input, message } => message,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn whole_words_come_as_they_are_there_and_the_last_one_at_the_end() {
        let (mut writer, reader) = tokio::io::duplex(64);
        let mut input = Input::once("-", Box::new(reader), 32);
        writer.write_all("one tw".as_bytes()).await.unwrap();
        assert_eq!(input.chunk().await.unwrap(), b"one ");
        assert!(input.may_end_here() && !input.can_go_back());
        assert_eq!(input.given(), 4);
        writer.write_all("o é".as_bytes()).await.unwrap();
        let start = Place { bytes: 4, chars: 4, utf16: 4 };
        assert_eq!(input.next_part().await.unwrap(), Some(start));
        assert!(input.can_go_back(), "nothing of this part was handed out");
        assert_eq!(input.chunk().await.unwrap(), b"two ");
        drop(writer);
        let start = Place { bytes: 8, chars: 8, utf16: 8 };
        assert_eq!(input.next_part().await.unwrap(), Some(start));
        assert_eq!(input.chunk().await.unwrap(), "é".as_bytes());
        assert_eq!(input.chunk().await.unwrap(), b"");
        assert_eq!(input.next_part().await.unwrap(), None);
    }

    #[tokio::test]
    async fn small_chunks_end_a_part_between_words_only() {
        let mut input = Input::once("-", Box::new(&b"ab cd"[..]), 2);
        let (mut read, mut ends) = (Vec::new(), Vec::new());
        loop {
            let chunk = input.chunk().await.unwrap();
            if chunk.is_empty() {
                break;
            }
            read.extend(chunk);
            ends.push((read.len(), input.may_end_here()));
        }
        assert_eq!(
            (read.as_slice(), ends.as_slice()),
            (&b"ab cd"[..], &[(2, false), (3, true), (5, true)][..])
        );
    }

    #[test]
    fn a_long_word_is_cut_between_code_points() {
        let check = |text: &[u8], expected: usize| assert_eq!(words(text), expected, "{text:?}");
        check(b"short", 0);
        check(b"one two", 4);
        let long = "x".repeat(WORD_BYTES_MAX);
        check(long.as_bytes(), WORD_BYTES_MAX);
        for (tail, open) in [("é", 1), ("漢", 1), ("漢", 2), ("😀", 1), ("😀", 3)] {
            check(&[long.as_bytes(), &tail.as_bytes()[..open]].concat(), WORD_BYTES_MAX);
            let whole = [long.as_bytes(), tail.as_bytes()].concat();
            check(&whole, whole.len());
        }
        check(&[long.as_bytes(), b"\xff"].concat(), WORD_BYTES_MAX + 1);
    }

    #[tokio::test]
    async fn a_file_is_read_again_unless_it_has_changed() {
        let path = std::env::temp_dir().join(format!("gleand-input-{}", std::process::id()));
        std::fs::write(&path, "Ann met Bob").unwrap();
        let mut input = Input::open(path.to_str().unwrap(), 8).await.unwrap();
        for _ in 0..2 {
            assert_eq!(input.chunk().await.unwrap(), b"Ann met ");
            assert!(!input.may_end_here() && input.can_go_back());
            input.go_back().await.unwrap();
        }
        std::fs::write(&path, "another text").unwrap();
        let changed = message(input.go_back().await.unwrap_err());
        std::fs::remove_file(&path).unwrap();
        assert!(changed.contains("has changed"), "{changed}");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_named() {
        let missing = message(Input::open("no/such/book.txt", 8).await.unwrap_err());
        assert!(missing.starts_with("no/such/book.txt: "), "{missing}");
        let folder = message(Input::open("src", 8).await.unwrap_err());
        assert_eq!(folder, "src: is a directory; name a file of plain text");
    }

    #[test]
    fn the_advice_names_file_and_encoding() {
        let advice = how_to_convert("my book.txt", b"\xff\xfe");
        assert!(advice.contains("iconv -f UTF-16 -t UTF-8 'my book.txt' |"), "{advice}");
        assert!(how_to_convert("-", b"").contains("… | iconv -f WINDOWS-1252 -t UTF-8 | gleand"));
        assert!(how_to_convert("a.txt", b"Ca").contains("iconv -f WINDOWS-1252 -t UTF-8 a.txt |"));
    }
}
