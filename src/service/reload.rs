//! Files that may change while we serve: certificates and API keys, read again by content.
//!
//! Kubernetes swaps a symlink and `cp` writes in place, so neither the time of a file nor its inode says whether it changed:
//! its bytes do. What cannot be read or used leaves the old value in place, and is told once, not at every look. A file that
//! is half written is such a case where its rest matters; a list of keys cut at the end of a line is not, so move a new file
//! into place. A value is made from the very bytes that were compared: nothing changes between the two.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// How often files are looked at. A kubelet takes up to a minute to bring a new secret, so this adds little.
pub const PERIOD: Duration = Duration::from_secs(10);

/// A larger file is refused: these are certificates and lists of keys.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a file holds. It may be a secret, so it is never shown.
pub struct Contents {
    /// The file, for messages.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, bytes } = self;
        f.debug_struct("Contents").field("path", path).field("bytes", &bytes.len()).finish()
    }
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system says no.
    #[error("{path:?} cannot be read ({}): see that it is there and that gleand may read it", source.kind())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A pipe or a device would never end.
    #[error("{path:?} is not a file: name a regular file")]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// Nothing of this kind is that large.
    #[error("{path:?} is larger than {FILE_BYTES_MAX} bytes: name another file")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a small file. It waits for the disk: on a runtime call it where that is allowed.
pub fn read(path: &Path) -> Result<Contents, ReadError> {
    let unreadable = |source| ReadError::Unreadable { path: path.to_owned(), source };
    // Asked before opening, as opening a pipe waits for a writer.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(ReadError::NotAFile { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    // What does not fit into 64 bits is larger, too.
    if u64::try_from(bytes.len()).map_or(true, |length| length > FILE_BYTES_MAX) {
        return Err(ReadError::TooLarge { path: path.to_owned() });
    }
    Ok(Contents { path: path.to_owned(), bytes })
}

/// Reads files in order, up to the first that cannot be read.
pub fn read_all<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<Contents>, ReadError> {
    paths.iter().map(|path| read(path.as_ref())).collect()
}

/// A value that may be replaced: whoever needs it asks for the one of now and keeps that one as long as needed.
pub struct Reloaded<T> {
    current: watch::Receiver<Arc<T>>,
}

impl<T> Reloaded<T> {
    /// A value that stays, where nothing is watched.
    #[must_use]
    pub fn fixed(value: T) -> Self {
        Self { current: watch::channel(Arc::new(value)).1 }
    }

    /// The value of now.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.borrow())
    }
}

// By hand, as `T` need not be cloned for it.
impl<T> Clone for Reloaded<T> {
    fn clone(&self) -> Self {
        Self { current: self.current.clone() }
    }
}

// Without the value, which may be a secret.
impl<T> fmt::Debug for Reloaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloaded").finish_non_exhaustive()
    }
}

/// Who is told that a reload of something went well (`true`) or not: once per content.
type OnReload = dyn Fn(&'static str, bool) + Send + Sync;

/// Looks at files now and then, for as long as it runs.
pub struct Watcher {
    sources: Vec<Arc<dyn Look>>,
    on_reload: Arc<OnReload>,
}

impl Watcher {
    /// Watches nothing yet. `on_reload` gets what was loaded anew, and whether that went well; the first load is none.
    pub fn new(on_reload: impl Fn(&'static str, bool) + Send + Sync + 'static) -> Self {
        Self { sources: Vec::new(), on_reload: Arc::new(on_reload) }
    }

    /// Loads `what` from files, and again whenever one of them has other bytes. `load` gets the files in the order of
    /// `paths`, all of them, so that a pair that does not match is its error. `publish` sees each value that is taken,
    /// also the first. Here an error is for the caller; later it goes to the log and the old value stays.
    pub fn watch<T, E>(
        &mut self,
        what: &'static str,
        paths: Vec<PathBuf>,
        load: impl Fn(&[Contents]) -> Result<T, E> + Send + Sync + 'static,
        publish: impl Fn(&T) + Send + Sync + 'static,
    ) -> Result<Reloaded<T>, E>
    where
        T: Send + Sync + 'static,
        E: std::error::Error + From<ReadError> + 'static,
    {
        let files = read_all(&paths)?;
        let value = load(&files)?;
        publish(&value);
        let (sender, current) = watch::channel(Arc::new(value));
        let take = move |files: &[Contents]| {
            let value = load(files).map_err(|error| error.to_string())?;
            publish(&value);
            // There may be nobody left to see it.
            drop(sender.send_replace(Arc::new(value)));
            Ok(())
        };
        let seen = Mutex::new(Seen { used: digest(&files), refused: None });
        self.sources.push(Arc::new(Source { what, paths, take, seen }));
        Ok(Reloaded { current })
    }

    /// Looks at all files every `period`, until `stop` is there.
    pub async fn run(self, period: Duration, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await; // The first is at once, and all was loaded just now.
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return,
                _ = ticks.tick() => {}
            }
            tokio::select! {
                biased;
                () = &mut stop => return,
                () = self.look() => {}
            }
        }
    }

    /// Looks once. Off the runtime's threads: a file on a network may make us wait, and an RSA key takes milliseconds.
    pub(super) async fn look(&self) {
        for source in &self.sources {
            let (what, look) = (source.what(), Arc::clone(source));
            let outcome = match tokio::task::spawn_blocking(move || look.look()).await {
                Ok(outcome) => outcome,
                Err(stopped) if stopped.is_cancelled() => return,
                Err(_panicked) => Some(false),
            };
            if let Some(ok) = outcome {
                (self.on_reload)(what, ok);
            }
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.sources.iter().map(|source| source.what())).finish()
    }
}

/// A source without its types.
trait Look: Send + Sync {
    /// What is loaded from it, for the log and the metric.
    fn what(&self) -> &'static str;

    /// Looks at the files; `None` if there is nothing new.
    fn look(&self) -> Option<bool>;
}

/// Files, and what becomes of their bytes.
struct Source<F> {
    what: &'static str,
    paths: Vec<PathBuf>,
    take: F,
    /// Only one look at a time takes it; it is here because a look may run on any thread.
    seen: Mutex<Seen>,
}

/// What was found before.
struct Seen {
    /// Digest of what is in use.
    used: [u8; 32],
    /// What was refused since, so that it is told once.
    refused: Option<Refused>,
}

#[derive(PartialEq, Eq)]
enum Refused {
    /// Files that could not be read, and what was said about it.
    Unreadable(String),
    /// Files with this digest.
    Unusable([u8; 32]),
}

impl<F: Fn(&[Contents]) -> Result<(), String> + Send + Sync> Look for Source<F> {
    fn what(&self) -> &'static str {
        self.what
    }

    fn look(&self) -> Option<bool> {
        let what = self.what;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let files = match read_all(&self.paths) {
            Ok(files) => files,
            Err(error) => return seen.unreadable(what, &error),
        };
        let digest = digest(&files);
        if digest == seen.used {
            // Back to what is in use: nothing is wrong any more.
            seen.refused.take()?;
            tracing::info!(what, "the files hold again what is in use");
            return Some(true);
        }
        let refused = Refused::Unusable(digest);
        if seen.refused.as_ref() == Some(&refused) {
            return None;
        }
        // Before the attempt, so that a panic in it comes once as well.
        seen.refused = Some(refused);
        match (self.take)(&files) {
            Ok(()) => {
                *seen = Seen { used: digest, refused: None };
                tracing::info!(what, "loaded anew");
                Some(true)
            }
            Err(error) => {
                tracing::warn!(
                    what,
                    error,
                    "new files cannot be used: what was loaded stays in use"
                );
                Some(false)
            }
        }
    }
}

impl Seen {
    fn unreadable(&mut self, what: &'static str, error: &ReadError) -> Option<bool> {
        let error = error.to_string();
        let refused = Refused::Unreadable(error.clone());
        if self.refused.as_ref() == Some(&refused) {
            return None;
        }
        tracing::warn!(what, error, "files cannot be read: what was loaded stays in use");
        self.refused = Some(refused);
        Some(false)
    }
}

/// Of all files together; lengths keep bytes from wandering between files unseen.
fn digest(files: &[Contents]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file.bytes.len().to_le_bytes());
        hash.update(&file.bytes);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tokio::sync::{mpsc, oneshot};

    use super::super::tls::pki::TestDir;
    use super::*;

    /// A value that is a text without the word "broken".
    fn load(files: &[Contents]) -> Result<String, ReadError> {
        let text: Vec<_> =
            files.iter().map(|file| String::from_utf8_lossy(&file.bytes).into_owned()).collect();
        assert!(!text.iter().any(|text| text == "panic"), "a loader that panics");
        match text.iter().any(|text| text.contains("broken")) {
            true => Err(ReadError::NotAFile { path: files[0].path.clone() }),
            false => Ok(text.join("+")),
        }
    }

    /// A watched value, looked at when the test says so.
    struct Watched {
        watcher: Watcher,
        value: Reloaded<String>,
        told: Arc<Mutex<Vec<bool>>>,
        published: Arc<Mutex<Vec<String>>>,
    }

    impl Watched {
        fn new(paths: Vec<PathBuf>) -> Self {
            let (told, published) = (Arc::default(), Arc::default());
            let (tell, publish) = (Arc::clone(&told), Arc::clone(&published));
            let mut watcher = Watcher::new(move |what, ok| {
                assert_eq!(what, "text");
                let tell: &Mutex<Vec<bool>> = &tell;
                tell.lock().unwrap().push(ok);
            });
            let publish = move |value: &String| {
                let publish: &Mutex<Vec<String>> = &publish;
                publish.lock().unwrap().push(value.clone());
            };
            let value = watcher.watch("text", paths, load, publish).expect("the first is good");
            Self { watcher, value, told, published }
        }

        /// What one look tells, if it tells anything.
        async fn look(&self) -> Option<bool> {
            self.watcher.look().await;
            let told = std::mem::take(&mut *self.told.lock().unwrap());
            assert!(told.len() < 2, "told once");
            told.first().copied()
        }

        fn now(&self) -> String {
            (*self.value.current()).clone()
        }
    }

    #[tokio::test]
    async fn a_swapped_symlink_brings_new_content_and_old_content_brings_nothing() {
        let dir = TestDir::new();
        for (version, text) in [("..1", "one"), ("..2", "two"), ("..3", "two")] {
            fs::create_dir(dir.path(version)).unwrap();
            fs::write(dir.path(version).join("file"), text).unwrap();
        }
        let swap = |version: &str| {
            symlink(version, dir.path("..tmp")).unwrap();
            fs::rename(dir.path("..tmp"), dir.path("..data")).unwrap();
        };
        swap("..1");
        symlink("..data/file", dir.path("file")).unwrap();
        let watched = Watched::new(vec![dir.path("file")]);
        let held = watched.value.current();
        assert_eq!(watched.look().await, None, "nothing changed");
        swap("..2");
        assert_eq!(watched.now(), "one", "nobody looked yet");
        assert_eq!(watched.look().await, Some(true));
        assert_eq!((held.as_str(), watched.now().as_str()), ("one", "two"));
        swap("..3");
        assert_eq!(watched.look().await, None, "another file of the same bytes");
        swap("..1");
        assert_eq!(watched.look().await, Some(true));
        assert_eq!(watched.now(), "one");
        assert_eq!(*watched.published.lock().unwrap(), ["one", "two", "one"]);
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_told_once_and_the_old_stays() {
        let dir = TestDir::new();
        let (a, b) = (dir.path("a"), dir.path("b"));
        fs::write(&a, "a1").unwrap();
        fs::write(&b, "b1").unwrap();
        let watched = Watched::new(vec![a.clone(), b.clone()]);
        for bad in ["broken", "panic"] {
            fs::write(&a, bad).unwrap();
            assert_eq!(watched.look().await, Some(false), "{bad}");
            assert_eq!(watched.look().await, None, "{bad}: told once");
            assert_eq!(watched.now(), "a1+b1");
        }
        fs::write(&a, "a1").unwrap();
        assert_eq!(watched.look().await, Some(true), "back to what is in use: no longer failing");
        assert_eq!(watched.look().await, None);
        fs::remove_file(&b).unwrap();
        assert_eq!(watched.look().await, Some(false));
        assert_eq!(watched.look().await, None, "told once");
        fs::create_dir(&b).unwrap();
        assert_eq!(watched.look().await, Some(false), "something else is wrong now");
        fs::remove_dir(&b).unwrap();
        fs::write(&b, vec![b'x'; 1 << 21]).unwrap();
        assert_eq!(watched.look().await, Some(false), "too large");
        fs::write(&b, "b2").unwrap();
        assert_eq!(watched.look().await, Some(true));
        assert_eq!(watched.now(), "a1+b2");
        // The same bytes together, but cut elsewhere.
        fs::write(&a, "a1b").unwrap();
        fs::write(&b, "2").unwrap();
        assert_eq!(watched.look().await, Some(true));
        assert_eq!(watched.now(), "a1b+2");
    }

    #[tokio::test]
    async fn it_looks_on_until_it_is_stopped() {
        let dir = TestDir::new();
        let file = dir.path("file");
        fs::write(&file, "one").unwrap();
        let (tell, mut told) = mpsc::channel(1);
        let mut watcher = Watcher::new(move |_, ok| tell.try_send(ok).expect("one at a time"));
        let value = watcher.watch("text", vec![file.clone()], load, |_: &String| ()).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = watcher.run(Duration::from_millis(1), async move { drop(stopped.await) });
        let body = async {
            for (text, ok, current) in
                [("two", true, "two"), ("broken", false, "two"), ("three", true, "three")]
            {
                // Moved into place, as the look must not come between.
                fs::write(dir.path("new"), text).unwrap();
                fs::rename(dir.path("new"), &file).unwrap();
                assert_eq!(told.recv().await, Some(ok), "{text}");
                assert_eq!(*value.current(), current);
            }
            drop(stop);
        };
        tokio::join!(run, body);
        Watcher::new(|_, _| ()).run(PERIOD, async {}).await;
    }

    #[test]
    fn a_file_is_read_up_to_its_limit_and_a_device_not_at_all() {
        let dir = TestDir::new();
        let file = dir.path("file");
        let limit = usize::try_from(FILE_BYTES_MAX).unwrap();
        for (length, fits) in [(0, true), (limit, true), (limit + 1, false), (3 * limit, false)] {
            fs::write(&file, vec![b's'; length]).unwrap();
            match read(&file) {
                Ok(contents) => {
                    assert!(fits && contents.bytes.len() == length);
                    assert!(!format!("{contents:?}").contains("115"), "bytes are not shown");
                }
                Err(error) => assert!(!fits && matches!(error, ReadError::TooLarge { .. })),
            }
        }
        for path in [Path::new("/dev/zero"), &dir.path("")] {
            assert!(matches!(read(path), Err(ReadError::NotAFile { .. })), "{path:?}");
        }
        let error = read(&dir.path("absent")).unwrap_err().to_string();
        assert!(error.contains("absent") && error.contains("cannot be read"), "{error}");
    }

    #[test]
    fn a_first_load_that_fails_is_an_error() {
        let mut watcher = Watcher::new(|_, _| ());
        let paths = vec![PathBuf::from("/does/not/exist")];
        assert!(watcher.watch("text", paths, load, |_: &String| ()).is_err());
        assert_eq!(format!("{watcher:?}"), "[]");
        assert_eq!(*Reloaded::fixed(7).current(), 7);
    }
}
