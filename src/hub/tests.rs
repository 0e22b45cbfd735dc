//! Against a server of a few lines that speaks enough HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;

/// Where the model of these tests lies on its hub.
const BASE: &str = "/mirror/org/name/resolve/refs%2Fpr%2F1/";

/// Serves files of the model; everything else is 404. Remembers the requests.
struct Hub {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl Hub {
    async fn serving(files: &[(&'static str, &'static str)]) -> Self {
        Self::start(files.iter().copied().collect(), None).await
    }

    async fn sending_to(address: SocketAddr) -> Self {
        Self::start(BTreeMap::new(), Some(address)).await
    }

    async fn start(
        files: BTreeMap<&'static str, &'static str>,
        elsewhere: Option<SocketAddr>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                answer(listener.accept().await.unwrap().0, (&files, elsewhere), &heard).await;
            }
        });
        Self { address, asked, _task: task }
    }

    fn order(&self, files: &[(&str, &str)]) -> Order {
        let wanted = |(file, content): &(&str, &str)| Wanted {
            file: (*file).to_owned(),
            sha256: Sha256::digest(content).into(),
        };
        Order {
            source: format!("http://{}/mirror/org/name", self.address).parse().unwrap(),
            revision: "refs/pr/1".to_owned(),
            files: files.iter().map(wanted).collect(),
            token: Some("letmein".to_owned()),
        }
    }
}

async fn answer(
    stream: TcpStream,
    (files, elsewhere): (&BTreeMap<&str, &str>, Option<SocketAddr>),
    asked: &Mutex<Vec<String>>,
) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        stream.read_line(&mut head).await.unwrap();
    }
    let path = head.split(' ').nth(1).unwrap().to_owned();
    asked.lock().unwrap().push(head);
    let file = path.strip_prefix(BASE).and_then(|name| files.get(name));
    let (status, body) = match (file, elsewhere) {
        (Some(body), _) => ("200 OK".to_owned(), *body),
        (None, Some(to)) => (format!("302 Found\r\nlocation: http://{to}{path}"), ""),
        (None, None) => ("404 Not Found".to_owned(), "no"),
    };
    // One file breaks off before its end.
    let length = body.len() + usize::from(path.ends_with("broken"));
    let answer =
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.unwrap();
}

/// A directory that goes away with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gleand-hub-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

async fn fetched(order: &Order, to: &Path) -> Result<Vec<Fetched>, FetchError> {
    // As `main` does.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let mut all = Vec::new();
    fetch(order, to, |one| {
        all.push(Fetched { file: one.file.clone(), ..*one });
    })
    .await
    .map(|()| all)
}

#[tokio::test]
async fn files_come_from_the_revision_with_the_token_and_only_once() {
    let hub = Hub::serving(&[("config.json", "{}"), ("onnx/a.bin", "weights")]).await;
    let scratch = Scratch::new("once");
    let order = hub.order(&[("config.json", "{}"), ("onnx/a.bin", "weights")]);

    let first = fetched(&order, &scratch.0).await.unwrap();
    assert_eq!(
        first.iter().map(|one| (one.file.as_str(), one.bytes, one.was_there)).collect::<Vec<_>>(),
        [("config.json", 2, false), ("onnx/a.bin", 7, false)]
    );
    assert_eq!(std::fs::read_to_string(scratch.0.join("onnx/a.bin")).unwrap(), "weights");
    let asked = hub.asked.lock().unwrap().clone();
    assert!(asked[0].contains("authorization: Bearer letmein"), "{}", asked[0]);

    let second = fetched(&order, &scratch.0).await.unwrap();
    assert!(second.iter().all(|one| one.was_there));
    assert_eq!(hub.asked.lock().unwrap().len(), 2, "nothing is asked for again");
    assert_eq!(scratch.names(), ["config.json", "onnx"]);
}

#[tokio::test]
async fn the_token_does_not_follow_a_redirect_to_another_server() {
    let storage = Hub::serving(&[("model.bin", "weights")]).await;
    let hub = Hub::sending_to(storage.address).await;
    let scratch = Scratch::new("redirect");
    fetched(&hub.order(&[("model.bin", "weights")]), &scratch.0).await.unwrap();
    assert_eq!(std::fs::read_to_string(scratch.0.join("model.bin")).unwrap(), "weights");
    let has_token = |hub: &Hub| hub.asked.lock().unwrap()[0].contains("authorization");
    assert!(has_token(&hub));
    assert!(!has_token(&storage));
}

#[test]
fn an_order_is_shown_without_its_token() {
    let source = "org/name".parse().unwrap();
    let token = Some("letmein".to_owned());
    let order = Order { source, revision: "1".to_owned(), files: Vec::new(), token };
    let shown = format!("{order:?}");
    assert!(shown.contains("has_token: true") && !shown.contains("letmein"), "{shown}");
}

#[tokio::test]
async fn another_file_is_not_kept() {
    let hub = Hub::serving(&[("model.bin", "other")]).await;
    let scratch = Scratch::new("other");
    let error = fetched(&hub.order(&[("model.bin", "right")]), &scratch.0).await.unwrap_err();
    assert!(matches!(error, FetchError::Other { .. }), "{error}");
    assert!(error.to_string().contains("nothing of it was kept"));
    assert!(scratch.names().is_empty());
}

#[tokio::test]
async fn what_the_hub_does_not_have_or_breaks_off_is_told() {
    let hub = Hub::serving(&[("broken", "half")]).await;
    let scratch = Scratch::new("absent");
    let absent = fetched(&hub.order(&[("absent", "x")]), &scratch.0).await.unwrap_err().to_string();
    assert!(absent.contains("404") && absent.contains("at this revision?"), "{absent}");
    let broken = fetched(&hub.order(&[("broken", "half")]), &scratch.0).await.unwrap_err();
    assert!(matches!(broken, FetchError::Hub { .. }), "{broken}");
    assert!(scratch.names().is_empty());
}
