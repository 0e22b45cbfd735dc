//! Whole texts through a server that answers with what it was sent.

use std::future::Future;
use std::net::Ipv4Addr;
use std::pin::Pin;

use tokio::net::TcpListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Response, Status};

use super::*;
use crate::cli::event::Done;
use crate::cli::exit::{Failure, Kind};
use crate::wire::event::Kind as EventKind;
use crate::wire::extraction_service_server::{ExtractionService, ExtractionServiceServer};

/// One class, named like the text, and as many received bytes; a text of blanks is refused.
struct Echo;

type Reply<T> = Result<Response<T>, Status>;
type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn class(text: &str) -> wire::ClassScore {
    wire::ClassScore { label: text.to_owned(), ..wire::ClassScore::default() }
}

fn done(text: &str) -> wire::Done {
    let received_bytes = i64::try_from(text.len()).unwrap();
    wire::Done { received_bytes, ..wire::Done::default() }
}

fn check(text: &str) -> Result<(), Status> {
    let message = "config.tasks[0].classify.labels[0]: is odd";
    if text.trim().is_empty() { Err(Status::invalid_argument(message)) } else { Ok(()) }
}

#[tonic::async_trait]
impl ExtractionService for Echo {
    type ExtractStreamStream = Events<wire::ExtractStreamResponse>;
    type ExtractDocumentStream = Events<wire::ExtractDocumentResponse>;
    type ExtractManyStream = Events<wire::ExtractManyResponse>;

    async fn extract(
        &self,
        request: tonic::Request<wire::ExtractRequest>,
    ) -> Reply<wire::ExtractResponse> {
        let Some(wire::extract_request::Content::Text(text)) = request.into_inner().content else {
            return Err(Status::internal("no text"));
        };
        check(&text)?;
        let results = wire::Results { classes: vec![class(&text)], ..wire::Results::default() };
        let (results, done) = (Some(results), Some(done(&text)));
        let response = wire::ExtractResponse { results, done, ..wire::ExtractResponse::default() };
        Ok(Response::new(response))
    }

    async fn extract_stream(
        &self,
        request: tonic::Request<Streaming<wire::ExtractStreamRequest>>,
    ) -> Reply<Self::ExtractStreamStream> {
        let mut inbound = request.into_inner();
        let (mut bytes, mut total) = (Vec::new(), None);
        while let Some(message) = inbound.message().await? {
            match message.kind {
                Some(RequestKind::Chunk(chunk)) => bytes.extend_from_slice(&chunk.data),
                Some(RequestKind::Finish(finish)) => total = finish.optional_total_bytes,
                _ => {}
            }
        }
        let text = String::from_utf8(bytes).unwrap();
        check(&text)?;
        let length = i64::try_from(text.len()).unwrap();
        assert_eq!(total, Some(wire::finish::OptionalTotalBytes::TotalBytes(length)));
        let warning = wire::Warning { message: "slow".to_owned(), ..wire::Warning::default() };
        let mut kinds = vec![
            EventKind::Ready(wire::Ready::default()),
            EventKind::Warning(warning),
            EventKind::Interim(wire::Interim::default()),
            EventKind::Classes(wire::Classes { classes: vec![class(&text)] }),
        ];
        // Half an answer.
        if text != "half" {
            kinds.push(EventKind::Done(done(&text)));
        }
        let event = |kind| {
            let event = Some(wire::Event { kind: Some(kind) });
            Ok(wire::ExtractStreamResponse { event })
        };
        let responses: Vec<_> = kinds.into_iter().map(event).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(responses))))
    }

    async fn extract_document(
        &self,
        _: tonic::Request<wire::ExtractDocumentRequest>,
    ) -> Reply<Self::ExtractDocumentStream> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn extract_many(
        &self,
        _: tonic::Request<Streaming<wire::ExtractManyRequest>>,
    ) -> Reply<Self::ExtractManyStream> {
        Err(Status::unimplemented("not asked for"))
    }
}

/// Runs `test` against the echo.
async fn with_echo<F: Future<Output = ()>>(test: impl FnOnce(Server) -> F) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = listener.local_addr().unwrap().to_string();
    let serve = tonic::transport::Server::builder()
        .add_service(ExtractionServiceServer::new(Echo))
        .serve_with_incoming(TcpListenerStream::new(listener));
    let test = async { test(Target::at(&url).unwrap().connect().await.unwrap()).await };
    tokio::select! {
        end = serve => panic!("the server ended: {end:?}"),
        () = test => {}
    }
}

fn request() -> Request {
    let labels = crate::cli::labels::parse_labels("good,bad").unwrap().0;
    let kind = TaskKind::Classify { labels, threshold: None, multi_label: false };
    Request {
        tasks: vec![Task { id: "classify".to_owned(), kind }],
        invalid_utf8: InvalidUtf8::Reject,
        interim: false,
    }
}

fn check_echo(extracted: &Extracted, text: &str) {
    let labels: Vec<&str> =
        extracted.results.classes.iter().map(|class| class.label.as_str()).collect();
    assert!(labels == [text], "{extracted:?}");
    let expected = Done { received_bytes: text.len() as u64, ..Done::default() };
    assert_eq!(extracted.done, expected);
}

fn told(refusal: Refusal) -> (Kind, String) {
    match refusal.into_failure("http://x") {
        Failure::Told { kind, message } => (kind, message),
        Failure::OutputClosed => panic!("nothing was written"),
    }
}

#[tokio::test]
async fn a_text_and_a_document_give_everything_that_was_found_also_at_once() {
    with_echo(async |server| {
        let request = request();
        let long = "Ann ".repeat(CHUNK_BYTES);
        let (one, two, three) = tokio::join!(
            server.extract_text("short".to_owned(), &request),
            server.extract_document(long.as_bytes(), &request),
            server.extract_document(b"another", &request),
        );
        check_echo(&one.unwrap(), "short");
        let two = two.unwrap();
        check_echo(&two, &long);
        let told: Vec<&str> = two.warnings.iter().map(|told| told.message.as_str()).collect();
        assert_eq!(told, ["slow"]);
        check_echo(&three.unwrap(), "another");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_names_the_flag_and_half_an_answer_is_none() {
    with_echo(async |server| {
        let expected = (Kind::Usage, "--classify: labels[0]: is odd".to_owned());
        let refused = server.extract_text(" ".to_owned(), &request()).await;
        assert_eq!(told(refused.unwrap_err()), expected);
        let refused = server.extract_document(b" ", &request()).await;
        assert_eq!(told(refused.unwrap_err()), expected);
        let (kind, message) = told(server.extract_document(b"half", &request()).await.unwrap_err());
        assert_eq!(kind, Kind::Refused);
        assert!(message.contains("ended the stream before"), "{message}");
    })
    .await;
}
