//! The admin port: is it alive, is it ready, what does it measure. Plaintext HTTP/1.1 and h2c.
//!
//! Must hold: it answers while every thread of the daemon is busy, so it has a thread and a runtime of its own, and what it asks
//! may not wait for anybody.

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

use crate::telemetry::Metrics;

/// Connections at once. The next one waits until a place is free.
const CONNECTIONS_MAX: usize = 64;
/// How long a client may take until its first request is there, and for the headers of each one after it.
const REQUEST_WAIT: Duration = Duration::from_secs(10);
/// How often and how long a silent HTTP/2 connection is asked whether it lives.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of headers; probes have few.
const HTTP1_BYTES_MAX: usize = 16 << 10;
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// Requests of one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 16;
/// How long answers that are being written may go on after the end.
const CLOSE_GRACE: Duration = Duration::from_millis(500);
/// How long to wait when the system has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const HEALTH_PATHS: &str = "/grpc.health.v1.Health/";
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const PROMETHEUS: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What the probes are told, each with the reason of a no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Whether the process should go on running.
    pub live: Result<(), &'static str>,
    /// Whether new streams should be sent here.
    pub ready: Result<(), &'static str>,
}

/// What gives the state of the daemon. Called on the admin thread: it may not wait.
pub type ProbeSource = Arc<dyn Fn() -> Probe + Send + Sync>;

/// The admin port and its thread. Both end when it is dropped.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Serves `listener` from a thread of its own. `health` answers the paths of `grpc.health.v1`.
    ///
    /// # Errors
    /// The system gives no thread or no runtime, or refuses the listener.
    pub fn start<H>(
        listener: std::net::TcpListener,
        probe: ProbeSource,
        metrics: Arc<Metrics>,
        health: H,
    ) -> io::Result<Self>
    where
        H: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
        H: Clone + Send + 'static,
        H::Future: Send + 'static,
    {
        let answers = Answers { probe, metrics, health };
        Self::start_with(listener, answers, REQUEST_WAIT)
    }

    fn start_with<H>(
        listener: std::net::TcpListener,
        answers: Answers<H>,
        request_wait: Duration,
    ) -> io::Result<Self>
    where
        H: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
        H: Clone + Send + 'static,
        H::Future: Send + 'static,
    {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let (stop, stopped) = watch::channel(false);
        let port = Port { answers, request_wait, stopped };
        let thread = thread::Builder::new()
            .name("gleand-admin".to_owned())
            .spawn(move || runtime.block_on(port.serve(listener)))?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let ended = self.thread.take().map(JoinHandle::join);
        if matches!(ended, Some(Err(_))) {
            tracing::error!("the admin thread panicked");
        }
    }
}

/// What is answered.
#[derive(Clone)]
struct Answers<H> {
    probe: ProbeSource,
    metrics: Arc<Metrics>,
    health: H,
}

impl<H> fmt::Debug for Answers<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answers")
    }
}

impl<H> Answers<H>
where
    H: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone,
{
    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path();
        if path.starts_with(HEALTH_PATHS) {
            return self.health.oneshot(request).await;
        }
        let answer: fn(&Self) -> (StatusCode, HeaderValue, String) = match path {
            "/livez" => |all| verdict((all.probe)().live, "ok"),
            "/readyz" => |all| verdict((all.probe)().ready, "ready"),
            "/metrics" => |all| match all.metrics.prometheus_text() {
                text if text.is_empty() => {
                    (StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "no metrics\n".to_owned())
                }
                text => (StatusCode::OK, PROMETHEUS, text),
            },
            _ => return Ok(respond(StatusCode::NOT_FOUND, PLAIN, "not found\n".to_owned(), true)),
        };
        let head = request.method() == Method::HEAD;
        if !head && request.method() != Method::GET {
            let text = "GET or HEAD\n".to_owned();
            let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, PLAIN, text, true);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Ok(response);
        }
        let (status, kind, text) = answer(&self);
        Ok(respond(status, kind, text, !head))
    }
}

fn verdict(yes: Result<(), &'static str>, text: &str) -> (StatusCode, HeaderValue, String) {
    match yes {
        Ok(()) => (StatusCode::OK, PLAIN, format!("{text}\n")),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{reason}\n")),
    }
}

fn respond(status: StatusCode, kind: HeaderValue, text: String, body: bool) -> Response<Body> {
    let length = HeaderValue::from(text.len());
    let mut response = Response::new(if body { Body::new(text) } else { Body::empty() });
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

/// What every connection needs.
#[derive(Clone)]
struct Port<H> {
    answers: Answers<H>,
    request_wait: Duration,
    stopped: watch::Receiver<bool>,
}

impl<H> Port<H>
where
    H: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    H: Clone + Send + 'static,
    H::Future: Send + 'static,
{
    /// Takes connections until it is stopped, then lets the answers that are on their way go.
    async fn serve(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        // The runtime ends with this function, and every task with it.
        let connections = TaskTracker::new();
        let mut stopped = self.stopped.clone();
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (listener.accept().await, place)
            };
            let (accepted, place) = tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => break,
                next = next => next,
            };
            match accepted {
                Ok((stream, _)) => {
                    let connection = self.clone().connection(stream);
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin port could not take a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        connections.close();
        drop(timeout(CLOSE_GRACE, connections.wait()).await);
    }

    /// Serves one connection. How it fails is its client's business.
    async fn connection(self, stream: TcpStream) {
        let Self { answers, request_wait, mut stopped } = self;
        let asked = Arc::new(Notify::new());
        let noticed = Arc::clone(&asked);
        let service = service_fn(move |request| {
            noticed.notify_one();
            answers.clone().answer(request)
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(request_wait)
            .max_buf_size(HTTP1_BYTES_MAX)
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADER_BYTES_MAX);
        let served = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(served);
        // hyper's own clock does not run while it finds out which HTTP this is.
        let silent = async {
            if timeout(request_wait, asked.notified()).await.is_ok() {
                pending::<()>().await;
            }
        };
        tokio::select! {
            _ = served.as_mut() => return,
            () = silent => return,
            _ = stopped.wait_for(|stop| *stop) => {}
        }
        served.as_mut().graceful_shutdown();
        drop(served.await);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener as StdListener, TcpStream as StdStream};
    use std::sync::mpsc::sync_channel;
    use std::sync::{Barrier, Mutex};

    use tonic::transport::Endpoint;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    use tonic_health::server::HealthReporter;

    use super::*;
    use crate::telemetry::Telemetry;

    /// Far longer than any of these tests takes.
    const HANGS: Duration = Duration::from_secs(60);

    struct Setting {
        admin: Admin,
        probe: Arc<Mutex<Probe>>,
        reporter: HealthReporter,
    }

    fn setting(request_wait: Duration) -> Setting {
        let (reporter, health) = tonic_health::server::health_reporter();
        let probe = Arc::new(Mutex::new(Probe { live: Ok(()), ready: Err("starting") }));
        let source = Arc::clone(&probe);
        let answers = Answers {
            probe: Arc::new(move || *source.lock().unwrap()),
            metrics: Telemetry::quiet().metrics,
            health,
        };
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let admin = Admin::start_with(listener, answers, request_wait).unwrap();
        Setting { admin, probe, reporter }
    }

    /// Sends `request` and reads until the end.
    fn talk(address: SocketAddr, request: &str) -> String {
        let mut stream = StdStream::connect(address).unwrap();
        stream.set_read_timeout(Some(HANGS)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn ask(address: SocketAddr, line: &str) -> String {
        talk(address, &format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
    }

    fn status(answer: &str) -> &str {
        answer.get(9..12).unwrap_or_default()
    }

    #[test]
    fn probes_say_why_not() {
        let Setting { admin, probe, .. } = setting(REQUEST_WAIT);
        let at = admin.address();
        let answer = ask(at, "GET /readyz");
        assert!(status(&answer) == "503" && answer.ends_with("\r\n\r\nstarting\n"), "{answer}");
        *probe.lock().unwrap() = Probe { live: Err("a forward is stuck"), ready: Ok(()) };
        let answer = ask(at, "GET /readyz?from=kubelet");
        assert!(status(&answer) == "200" && answer.ends_with("\r\n\r\nready\n"), "{answer}");
        let answer = ask(at, "GET /livez");
        assert!(status(&answer) == "503" && answer.ends_with("stuck\n"), "{answer}");
    }

    #[test]
    fn metrics_are_text_of_prometheus() {
        let Setting { admin, .. } = setting(REQUEST_WAIT);
        let answer = ask(admin.address(), "GET /metrics");
        assert_eq!(status(&answer), "200");
        assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
        assert!(answer.contains("\ngleand_streams_active 0\n"), "{answer}");
    }

    #[test]
    fn other_paths_and_methods_are_refused() {
        let Setting { admin, probe, .. } = setting(REQUEST_WAIT);
        *probe.lock().unwrap() = Probe { live: Ok(()), ready: Ok(()) };
        let at = admin.address();
        for line in ["GET /", "GET /livez/", "GET /metrics/x", "POST /debug"] {
            assert_eq!(status(&ask(at, line)), "404", "{line}");
        }
        for line in ["POST /livez", "DELETE /metrics"] {
            let answer = ask(at, line);
            assert_eq!(status(&answer), "405", "{line}");
            assert!(answer.contains("allow: GET, HEAD\r\n"), "{answer}");
        }
        let answer = ask(at, "HEAD /livez");
        assert!(status(&answer) == "200" && answer.contains("content-length: 3\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        let long = format!("GET /livez HTTP/1.1\r\nhost: x\r\na: {}\r\n\r\n", "a".repeat(20_000));
        assert_eq!(status(&talk(at, &long)), "431");
    }

    #[test]
    fn who_says_nothing_is_shown_out() {
        let Setting { admin, probe, .. } = setting(Duration::from_millis(50));
        *probe.lock().unwrap() = Probe { live: Ok(()), ready: Ok(()) };
        for start in ["", "PRI * HTTP/2.0\r\n", "GET /livez HTTP/1.1\r\n"] {
            assert!(!talk(admin.address(), start).contains("200 OK"), "{start:?}");
        }
        // The second request never comes.
        let answer = talk(admin.address(), "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n");
        assert_eq!(status(&answer), "200");
    }

    #[test]
    fn a_full_house_is_waited_for() {
        let Setting { admin, .. } = setting(Duration::from_millis(300));
        let silent: Vec<_> =
            (0..CONNECTIONS_MAX).map(|_| StdStream::connect(admin.address()).unwrap()).collect();
        assert_eq!(status(&ask(admin.address(), "GET /livez")), "200");
        drop(silent);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn it_answers_while_every_thread_of_the_daemon_is_busy() {
        let Setting { admin, .. } = setting(REQUEST_WAIT);
        let address = admin.address();
        let (sender, receiver) = sync_channel(1);
        let client = move || {
            let answers = (0..20).map(|_| ask(address, "GET /livez"));
            sender.send(answers.filter(|answer| status(answer) == "200").count()).unwrap();
        };
        let blocked = TaskTracker::new();
        let (all_busy, open) = (Arc::new(Barrier::new(3)), Arc::new(Barrier::new(3)));
        for _io_thread in 0..2 {
            let (all_busy, open) = (Arc::clone(&all_busy), Arc::clone(&open));
            blocked.spawn(async move { (all_busy.wait(), open.wait()) });
        }
        all_busy.wait();
        thread::Builder::new().spawn(client).unwrap();
        assert_eq!(receiver.recv_timeout(HANGS).unwrap(), 20);
        open.wait();
        blocked.close();
        blocked.wait().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn health_is_told_over_h2c_and_a_watch_ends_with_the_port() {
        let Setting { admin, reporter, .. } = setting(REQUEST_WAIT);
        let url = format!("http://{}", admin.address());
        let channel = Endpoint::try_from(url).unwrap().connect().await.unwrap();
        let mut client = HealthClient::new(channel);
        let request = || HealthCheckRequest { service: String::new() };
        let answer = client.check(request()).await.unwrap().into_inner();
        assert_eq!(answer.status, 1);
        let unknown = client.check(HealthCheckRequest { service: "x".to_owned() }).await;
        assert_eq!(unknown.unwrap_err().code(), tonic::Code::NotFound);
        let mut watch = client.watch(request()).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status, 1);
        reporter.set_service_status("", tonic_health::ServingStatus::NotServing).await;
        assert_eq!(watch.message().await.unwrap().unwrap().status, 2);
        let closed = timeout(HANGS, tokio::task::spawn_blocking(move || drop(admin))).await;
        assert!(closed.unwrap().is_ok());
        assert!(matches!(timeout(HANGS, watch.message()).await, Ok(Err(_) | Ok(None))));
    }

    #[test]
    fn the_port_is_free_once_it_is_dropped() {
        let Setting { admin, .. } = setting(REQUEST_WAIT);
        let address = admin.address();
        let idle = StdStream::connect(address).unwrap();
        assert_eq!(status(&ask(address, "GET /livez")), "200");
        drop(admin);
        drop(idle);
        assert!(StdListener::bind(address).is_ok() || StdStream::connect(address).is_err());
    }
}
