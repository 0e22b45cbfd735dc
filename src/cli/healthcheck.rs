//! `gleand healthcheck`: one health request, for probes in images without a shell.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::client::{ConnectArgs, Refusal, Target};
use super::exit::{Failure, Kind};
use super::notes::{Notes, Talk};
use super::{load, print};
use crate::config::{Config, ConfigArgs};

const EXAMPLES: &str = "\
Examples:
  gleand healthcheck                                       # the daemon of this machine, by server.listen or, with TLS, admin.listen
  gleand healthcheck --server http://gleand:50051 --timeout 2

Exit status: 0 serving, 4 not serving or not reachable.";

/// Asks a daemon whether it serves: that of --server, or the one of this machine, where server.listen says (admin.listen where that speaks TLS).
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, after_help = "See --help for examples.")]
pub(super) struct HealthcheckArgs {
    /// Name of a service, such as gleand.v1.ExtractionService; empty is the whole daemon.
    #[arg(long, default_value = "", value_name = "NAME")]
    service: String,
    /// Seconds to wait for the answer.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    timeout: u64,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command.
pub(super) async fn run(args: HealthcheckArgs) -> Result<(), Failure> {
    let target = match args.connect.target()? {
        Some(target) => target,
        None => {
            let loaded = load(&args.config.sources(), &Notes::new(Talk::Normal))?;
            Target::at(&reachable(plain_port(&loaded.config)).to_string())?
        }
    };
    let url = target.url();
    let answer =
        tokio::time::timeout(Duration::from_secs(args.timeout), ask(&target, &args.service));
    match answer.await {
        Ok(Ok(true)) => print("serving\n"),
        Ok(Ok(false)) => Err(Failure::new(Kind::Refused, format!("{url} is not serving"))),
        Ok(Err(refusal)) => Err(refusal.into_failure(url)),
        Err(_elapsed) => Err(Failure::new(
            Kind::Refused,
            format!("{url} did not answer within {} s", args.timeout),
        )),
    }
}

async fn ask(target: &Target, service: &str) -> Result<bool, Refusal> {
    target.connect().await?.is_serving(service).await
}

/// The port that answers health in plaintext: the data port, and where that speaks TLS the admin port.
fn plain_port(config: &Config) -> SocketAddr {
    let admin = config.tls.cert_file.as_ref().and(config.admin.listen);
    admin.unwrap_or(config.server.listen)
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
