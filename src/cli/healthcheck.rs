//! `gleand healthcheck`: one health request, for probes in images without a shell.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::client::Server;
use super::exit::{Failure, Kind};
use super::notes::{Notes, Talk};
use super::{load, print};
use crate::config::ConfigArgs;

const EXAMPLES: &str = "\
Examples:
  gleand healthcheck                                       # the daemon of this machine, by server.listen
  gleand healthcheck --server http://gleand:50051 --timeout 2

Exit status: 0 serving, 4 not serving or not reachable.";

/// Asks a daemon whether it serves.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, after_help = "See --help for examples.")]
pub(super) struct HealthcheckArgs {
    /// The daemon to ask [default: where server.listen of the configuration says].
    #[arg(short, long, value_name = "URL")]
    server: Option<String>,
    /// Name of a service, such as gleand.v1.ExtractionService; empty is the whole daemon.
    #[arg(long, default_value = "", value_name = "NAME")]
    service: String,
    /// Seconds to wait for the answer.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    timeout: u64,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command.
pub(super) async fn run(args: HealthcheckArgs) -> Result<(), Failure> {
    let url = match args.server {
        Some(url) => url,
        None => {
            let loaded = load(&args.config.sources(), &Notes::new(Talk::Normal))?;
            reachable(loaded.config.server.listen).to_string()
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(args.timeout), ask(&url, &args.service));
    match answer.await {
        Ok(Ok(true)) => print("serving\n"),
        Ok(Ok(false)) => Err(Failure::new(Kind::Refused, format!("{url} is not serving"))),
        Ok(Err(failure)) => Err(failure),
        Err(_elapsed) => Err(Failure::new(
            Kind::Refused,
            format!("{url} did not answer within {} s", args.timeout),
        )),
    }
}

async fn ask(url: &str, service: &str) -> Result<bool, Failure> {
    let server = Server::connect(url).await?;
    server.is_serving(service).await.map_err(|refusal| refusal.into_failure(server.url()))
}

/// Where a daemon of this machine is reached that listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let host = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        named => named.ip(),
    };
    SocketAddr::new(host, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_listens_everywhere_is_asked_on_this_machine() {
        let check = |listen: &str, expected: &str| {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), expected);
        };
        check("0.0.0.0:1", "127.0.0.1:1");
        check("[::]:2", "[::1]:2");
        check("10.1.2.3:4", "10.1.2.3:4");
    }
}
