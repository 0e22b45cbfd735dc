//! A handshake, and why one failed, in words for the log and the metric.
//!
//! Under TLS 1.3 a client is done before the server has looked at its certificate: the refusal reaches it at its first read.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::{CertificateError, Error as TlsFault, InvalidMessage, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::H2;

/// All that [`handshake_reason`] may say.
pub const HANDSHAKE_REASONS: [&str; 11] = [
    "UNKNOWN_ISSUER",
    "EXPIRED",
    "NOT_YET_VALID",
    "CERTIFICATE_MISSING",
    "BAD_CERTIFICATE",
    "NOT_TLS",
    "NO_ALPN",
    "PEER_REFUSED",
    "PEER_CLOSED",
    "TIMEOUT",
    "OTHER",
];

/// How long a client that was refused may take to read why.
const LINGER: Duration = Duration::from_secs(1);

/// How much of what it sends meanwhile is thrown away.
const LINGER_BYTES_MAX: u64 = 64 << 10;

/// Shakes hands within `limit`. A client that does not ask for HTTP/2 is refused too, as gRPC wants it. A refused one may
/// take a second more to read why.
pub async fn accept<IO>(
    config: Arc<ServerConfig>,
    io: IO,
    limit: Duration,
) -> io::Result<TlsStream<IO>>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = TlsAcceptor::from(config).accept(io).into_fallible();
    match timeout(limit, handshake).await {
        Err(elapsed) => Err(io::Error::new(io::ErrorKind::TimedOut, elapsed)),
        Ok(Ok(mut stream)) => match require_h2(stream.get_ref().1) {
            Ok(()) => Ok(stream),
            Err(error) => {
                linger(&mut stream).await;
                Err(error)
            }
        },
        Ok(Err((error, mut io))) => {
            // The alert is on its way; closing now with bytes unread would reset the connection and take it back.
            if handshake_reason(&error) != "PEER_CLOSED" {
                linger(&mut io).await;
            }
            Err(error)
        }
    }
}

async fn linger<IO: AsyncRead + AsyncWrite + Unpin>(io: &mut IO) {
    let read = async {
        io.shutdown().await?;
        tokio::io::copy(&mut io.take(LINGER_BYTES_MAX), &mut tokio::io::sink()).await
    };
    // The reason is known already; whether the client read it is its own affair.
    drop(timeout(LINGER, read).await);
}

/// rustls refuses a client whose protocols are all others; one that names none passes it and stops here.
fn require_h2(connection: &ServerConnection) -> io::Result<()> {
    if connection.alpn_protocol() == Some(H2) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, TlsFault::NoApplicationProtocol))
}

/// Why a handshake failed, one of [`HANDSHAKE_REASONS`].
#[must_use]
pub fn handshake_reason(error: &io::Error) -> &'static str {
    let fault = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsFault>());
    match (fault, error.kind()) {
        (Some(fault), _) => reason_of_fault(fault),
        // A probe of a balancer that only connects, for one.
        (
            None,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe,
        ) => "PEER_CLOSED",
        // Of ours; a socket may also say so when the network is gone.
        (None, io::ErrorKind::TimedOut) => "TIMEOUT",
        (None, _) => "OTHER",
    }
}

fn reason_of_fault(fault: &TlsFault) -> &'static str {
    match fault {
        TlsFault::InvalidCertificate(error) => reason_of_certificate(error),
        TlsFault::NoCertificatesPresented => "CERTIFICATE_MISSING",
        TlsFault::NoApplicationProtocol => "NO_ALPN",
        // The first bytes are no record of TLS: plain HTTP/2, most often.
        TlsFault::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        ) => "NOT_TLS",
        // It does not like our certificate, or has no version or cipher in common with us.
        TlsFault::AlertReceived(_) => "PEER_REFUSED",
        _ => "OTHER",
    }
}

fn reason_of_certificate(error: &CertificateError) -> &'static str {
    match error {
        // A bad signature is what a CA of the same name with another key looks like.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => "UNKNOWN_ISSUER",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "EXPIRED",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "NOT_YET_VALID"
        }
        _ => "BAD_CERTIFICATE",
    }
}
