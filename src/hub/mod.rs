//! Brings the files of a model from a hub, and keeps a file only if it is the one that was asked for.
//!
//! Whoever fetches names a revision and the SHA-256 of every file, so neither the hub nor what lies between can put another
//! model in its place. Addresses and headers are those of the crate hf-hub; its cache is not used, because it makes paths of
//! what the server says.

mod wanted;

use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::api::tokio::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use indicatif::ProgressBar;
use sha2::{Digest as _, Sha256};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub use wanted::{Source, Wanted};

/// A hub that says nothing for this long is given up.
const STALL: Duration = Duration::from_secs(60);
const READ_BYTES: usize = 1 << 18;

/// What is fetched, and from where.
pub struct Order {
    /// The model, and the hub if it is not the usual one.
    pub source: Source,
    /// A commit, tag or branch of the model.
    pub revision: String,
    /// Its files.
    pub files: Vec<Wanted>,
    /// What the hub asks for where a model is not public; sent to the hub alone.
    pub token: Option<String>,
}

impl fmt::Debug for Order {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order")
            .field("source", &self.source)
            .field("revision", &self.revision)
            .field("files", &self.files)
            .field("has_token", &self.token.is_some())
            .finish()
    }
}

/// A file that is where it should be.
#[derive(Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its name below the directory.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Whether it was there already.
    pub was_there: bool,
}

/// Why a file is not there.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The hub cannot be reached, refuses, or breaks off.
    #[error("cannot fetch {file}: {why}")]
    Hub {
        /// The file.
        file: String,
        /// What the hub or the network said.
        why: String,
    },
    /// It is another file than the one that was asked for; nothing of it is kept.
    #[error(
        "{file} is not the file that was asked for: its SHA-256 is {found}, not {expected}; nothing of it was kept"
    )]
    Other {
        /// The file.
        file: String,
        /// Hex digits of what came.
        found: String,
        /// Hex digits that were given.
        expected: String,
    },
    /// The directory cannot be written.
    #[error("cannot write {path}: {error}")]
    Directory {
        /// Which file of it.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Fetches the files into `to`, one after the other, and tells `done` each that is there. Files that are there and are the
/// right ones are not fetched again.
///
/// # Errors
/// See [`FetchError`]; files before the one that failed stay.
pub async fn fetch(
    order: &Order,
    to: &Path,
    mut done: impl FnMut(&Fetched),
) -> Result<(), FetchError> {
    let api = api(order, to).map_err(|error| {
        let file = order.files.first().map_or_else(String::new, |wanted| wanted.file.clone());
        FetchError::Hub { file, why: chain(&error) }
    })?;
    let id = order.source.id.clone();
    let repo = api.repo(Repo::with_revision(id, RepoType::Model, order.revision.clone()));
    for wanted in &order.files {
        let path = to.join(&wanted.file);
        let there = digest(&path).await.ok().filter(|(digest, _)| *digest == wanted.sha256);
        let (bytes, was_there) = match there {
            Some((_, bytes)) => (bytes, true),
            None => (bring(&api, &repo, wanted, &path).await?, false),
        };
        done(&Fetched { file: wanted.file.clone(), bytes, was_there });
    }
    Ok(())
}

fn api(order: &Order, to: &Path) -> Result<Api, ApiError> {
    // The cache is named because the usual one is looked for in a home, which a container does not have.
    let builder = ApiBuilder::from_cache(Cache::new(to.to_owned())).with_token(order.token.clone());
    let builder = builder.with_progress(false).with_user_agent("gleand", env!("CARGO_PKG_VERSION"));
    match &order.source.endpoint {
        Some(endpoint) => builder.with_endpoint(endpoint.clone()).build(),
        None => builder.build(),
    }
}

/// One file: beside its place first, and there only when it is whole and the right one.
async fn bring(api: &Api, repo: &ApiRepo, wanted: &Wanted, path: &Path) -> Result<u64, FetchError> {
    let directory = |error| FetchError::Directory { path: path.to_owned(), error };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).await.map_err(directory)?;
    }
    // Of this process alone, so that two that fetch the same do not write into one file.
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let brought = download(api, repo, wanted, &part).await;
    let checked = match brought {
        Ok((digest, bytes)) if digest == wanted.sha256 => {
            fs::rename(&part, path).await.map_err(directory)?;
            return Ok(bytes);
        }
        Ok((digest, _)) => FetchError::Other {
            file: wanted.file.clone(),
            found: hex(&digest),
            expected: hex(&wanted.sha256),
        },
        Err(error) => error,
    };
    // What failed is said; that its rest stays is not worth a second complaint.
    drop(fs::remove_file(&part).await);
    Err(checked)
}

async fn download(
    api: &Api,
    repo: &ApiRepo,
    wanted: &Wanted,
    part: &Path,
) -> Result<([u8; 32], u64), FetchError> {
    let hub = |why: String| FetchError::Hub { file: wanted.file.clone(), why };
    let directory = |error| FetchError::Directory { path: part.to_owned(), error };
    let stalled = |_elapsed| hub(format!("the hub said nothing for {} s", STALL.as_secs()));

    let answer = api.client().get(repo.url(&wanted.file)).send();
    let answer = tokio::time::timeout(STALL, answer).await.map_err(stalled)?;
    // Without the address: after a redirect it may have a signature in it.
    let mut answer = answer.map_err(|error| hub(chain(&error.without_url())))?;
    if !answer.status().is_success() {
        let status = answer.status();
        return Err(hub(format!("the hub says {status}{}", hint(status.as_u16()))));
    }
    let bar = answer.content_length().map_or_else(ProgressBar::new_spinner, ProgressBar::new);

    let mut file = File::create(part).await.map_err(directory)?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    loop {
        let chunk = tokio::time::timeout(STALL, answer.chunk()).await.map_err(stalled)?;
        let Some(chunk) = chunk.map_err(|error| hub(chain(&error.without_url())))? else { break };
        hash.update(&chunk);
        file.write_all(&chunk).await.map_err(directory)?;
        bytes += chunk.len() as u64;
        bar.set_position(bytes);
    }
    // The last write has not happened yet, and `sync_all` alone would not tell that it failed.
    file.flush().await.map_err(directory)?;
    file.sync_all().await.map_err(directory)?;
    bar.finish_and_clear();
    Ok((hash.finalize().into(), bytes))
}

/// Digest and length of a file.
async fn digest(path: &Path) -> io::Result<([u8; 32], u64)> {
    let mut file = File::open(path).await?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = file.read(&mut buffer).await?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else { break };
        hash.update(read);
        bytes += read.len() as u64;
    }
    Ok((hash.finalize().into(), bytes))
}

/// What to change where the hub refuses.
fn hint(status: u16) -> &'static str {
    match status {
        401 | 403 => "; a model that is not public needs --token-file",
        404 => "; does the model have this file at this revision?",
        _ => "",
    }
}

/// An error and all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            write!(text, ": {said}").expect("writing to a string does not fail");
        }
        cause = error.source();
    }
    text
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
