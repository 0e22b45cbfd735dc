//! Where each signal is sent: our keys first, then the variables of OpenTelemetry's specification, then its defaults.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use super::otlp::OtlpError;

/// Whether a signal is exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Export {
    /// If an endpoint is known.
    #[default]
    Auto,
    /// Yes.
    Otlp,
    /// No.
    None,
}

/// How exports are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC.
    Grpc,
    /// protobuf over HTTP/1.1.
    Http,
}

/// Settings of all exporters.
#[derive(Clone, Debug, Default)]
pub struct OtlpSettings {
    /// Base URL of the receiver.
    pub endpoint: Option<String>,
    /// How to talk to it.
    pub protocol: Option<Protocol>,
    /// Whom to trust; else the certificates of the machine.
    pub ca_file: Option<PathBuf>,
    /// Headers for every export; secret.
    pub headers_file: Option<PathBuf>,
}

/// What can be exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}

/// Where one signal is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) protocol: Protocol,
    /// With scheme; over HTTP with the path of the signal.
    pub(super) endpoint: String,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) timeout: Duration,
}

const TIMEOUT: Duration = Duration::from_secs(10);

impl Target {
    /// Where to send `signal`, or nowhere.
    pub(super) fn resolve(
        signal: Signal,
        export: Export,
        settings: &OtlpSettings,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, OtlpError> {
        let upper = signal.name().to_ascii_uppercase();
        let own = |what: &str| variable(&format!("OTEL_EXPORTER_OTLP_{upper}_{what}"));
        let general = |what: &str| variable(&format!("OTEL_EXPORTER_OTLP_{what}"));
        let either = |what: &str| own(what).or_else(|| general(what));
        let wanted = match export {
            Export::None => false,
            Export::Otlp => true,
            Export::Auto => {
                let disabled = variable("OTEL_SDK_DISABLED");
                let exporter = variable(&format!("OTEL_{upper}_EXPORTER"));
                let known = settings.endpoint.is_some() || either("ENDPOINT").is_some();
                !disabled.is_some_and(|value| value.eq_ignore_ascii_case("true"))
                    && match exporter.as_deref() {
                        None => known,
                        Some(names) => names.split(',').any(|name| name.trim() == "otlp"),
                    }
            }
        };
        if !wanted {
            return Ok(None);
        }
        let protocol = match settings.protocol {
            Some(protocol) => protocol,
            None => protocol(&upper, &variable)?,
        };
        let path = match protocol {
            Protocol::Grpc => String::new(),
            Protocol::Http => format!("/v1/{}", signal.name()),
        };
        let below = |base: String| format!("{}{path}", base.trim_end_matches('/'));
        let endpoint = settings
            .endpoint
            .clone()
            .map(below)
            // As it is: the path may be any.
            .or_else(|| own("ENDPOINT"))
            .or_else(|| general("ENDPOINT").map(below))
            .unwrap_or_else(|| match protocol {
                Protocol::Grpc => "http://localhost:4317".to_owned(),
                Protocol::Http => below("http://localhost:4318".to_owned()),
            });
        let insecure = either("INSECURE").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let endpoint = match (endpoint.contains("://"), protocol) {
            (false, Protocol::Grpc) if insecure => format!("http://{endpoint}"),
            (false, Protocol::Grpc) => format!("https://{endpoint}"),
            (_, _) => endpoint,
        };
        if !["http://", "https://"].iter().any(|scheme| endpoint.starts_with(scheme)) {
            return Err(OtlpError::Endpoint { signal: signal.name() });
        }
        let ca_file = settings.ca_file.clone().or_else(|| either("CERTIFICATE").map(Into::into));
        let timeout = either("TIMEOUT").and_then(|value| value.parse().ok());
        let timeout = timeout.map_or(TIMEOUT, Duration::from_millis);
        Ok(Some(Self { protocol, endpoint, ca_file, timeout }))
    }

    pub(super) fn is_tls(&self) -> bool {
        self.endpoint.starts_with("https://")
    }
}

fn protocol(
    upper: &str,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<Protocol, OtlpError> {
    let names =
        [format!("OTEL_EXPORTER_OTLP_{upper}_PROTOCOL"), "OTEL_EXPORTER_OTLP_PROTOCOL".into()];
    for name in names {
        match variable(&name).as_deref() {
            None => {}
            Some("grpc") => return Ok(Protocol::Grpc),
            Some("http/protobuf") => return Ok(Protocol::Http),
            Some(_) => return Err(OtlpError::Protocol { name }),
        }
    }
    Ok(Protocol::Grpc)
}

/// The share of traces to keep that the environment asks for, if it names no sampler that says otherwise.
pub(super) fn ratio_from(variable: impl Fn(&str) -> Option<String>) -> Option<f64> {
    if variable("OTEL_TRACES_SAMPLER").is_some() {
        return None;
    }
    let ratio = variable("OTEL_TRACES_SAMPLER_ARG").and_then(|value| value.parse().ok());
    Some(ratio.filter(|ratio| (0.0..=1.0).contains(ratio)).unwrap_or(1.0))
}

/// A variable of the environment that is set and not empty.
#[expect(
    clippy::disallowed_methods,
    reason = "the SDK reads the OTEL_ variables of its specification, and so must who decides whether to start it"
)]
pub(super) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where traces go with these variables.
    fn traces(
        export: Export,
        settings: &OtlpSettings,
        variables: &[(&str, &str)],
    ) -> Result<Option<Target>, OtlpError> {
        let find = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Target::resolve(Signal::Traces, export, settings, find)
    }

    fn endpoint(settings: &OtlpSettings, variables: &[(&str, &str)]) -> Option<String> {
        traces(Export::Auto, settings, variables).unwrap().map(|target| target.endpoint)
    }

    const GENERAL: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://general:4317");
    const OWN: (&str, &str) = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://own:4317/any");
    const HTTP: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");

    #[test]
    fn auto_sends_where_an_endpoint_is_known() {
        let none = OtlpSettings::default();
        assert_eq!(endpoint(&none, &[]), None);
        assert_eq!(endpoint(&none, &[GENERAL]).as_deref(), Some("http://general:4317"));
        assert_eq!(endpoint(&none, &[GENERAL, OWN]).as_deref(), Some("http://own:4317/any"));
        let other = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs:4317");
        assert_eq!(endpoint(&none, &[other]), None);
        assert_eq!(endpoint(&none, &[GENERAL, ("OTEL_SDK_DISABLED", "true")]), None);
        assert_eq!(endpoint(&none, &[GENERAL, ("OTEL_TRACES_EXPORTER", "none")]), None);
        let asked = endpoint(&none, &[("OTEL_TRACES_EXPORTER", "console,otlp")]);
        assert_eq!(asked.as_deref(), Some("http://localhost:4317"));
        let always = traces(Export::Otlp, &none, &[("OTEL_SDK_DISABLED", "true")]).unwrap();
        assert_eq!(always.unwrap().endpoint, "http://localhost:4317");
        assert_eq!(traces(Export::None, &none, &[GENERAL]).unwrap(), None);
    }

    #[test]
    fn our_keys_win_over_every_variable() {
        let ours = OtlpSettings {
            endpoint: Some("https://ours:4318/".to_owned()),
            protocol: Some(Protocol::Http),
            ca_file: Some("ours.pem".into()),
            headers_file: None,
        };
        let variables = [
            GENERAL,
            OWN,
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "theirs.pem"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
        ];
        let target = traces(Export::Auto, &ours, &variables).unwrap().unwrap();
        let expected = Target {
            protocol: Protocol::Http,
            endpoint: "https://ours:4318/v1/traces".to_owned(),
            ca_file: Some("ours.pem".into()),
            timeout: Duration::from_millis(250),
        };
        assert_eq!(target, expected);
        assert!(target.is_tls());
    }

    #[test]
    fn only_a_base_gets_the_path_of_the_signal() {
        let none = OtlpSettings::default();
        let general = endpoint(&none, &[GENERAL, HTTP]);
        assert_eq!(general.as_deref(), Some("http://general:4317/v1/traces"));
        assert_eq!(endpoint(&none, &[OWN, HTTP]).as_deref(), Some("http://own:4317/any"));
        let exporter = ("OTEL_TRACES_EXPORTER", "otlp");
        let default = endpoint(&none, &[exporter, HTTP]);
        assert_eq!(default.as_deref(), Some("http://localhost:4318/v1/traces"));
    }

    #[test]
    fn an_endpoint_without_a_scheme_is_safe_unless_it_says_otherwise() {
        let bare =
            OtlpSettings { endpoint: Some("collector:4317".to_owned()), ..OtlpSettings::default() };
        assert_eq!(endpoint(&bare, &[]).as_deref(), Some("https://collector:4317"));
        let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "true");
        assert_eq!(endpoint(&bare, &[insecure]).as_deref(), Some("http://collector:4317"));
        assert!(matches!(
            traces(Export::Auto, &bare, &[HTTP]),
            Err(OtlpError::Endpoint { signal: "traces" })
        ));
    }

    #[test]
    fn a_protocol_that_is_not_there_is_refused() {
        let json = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
        let error = traces(Export::Auto, &OtlpSettings::default(), &[GENERAL, json]).unwrap_err();
        let text = "OTEL_EXPORTER_OTLP_PROTOCOL must be grpc or http/protobuf";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn the_environment_gives_the_ratio_where_it_names_no_sampler() {
        let ratio = |sampler: Option<&str>, argument: Option<&str>| {
            ratio_from(|name| match name {
                "OTEL_TRACES_SAMPLER" => sampler.map(str::to_owned),
                _ => argument.map(str::to_owned),
            })
        };
        assert_eq!(ratio(None, None), Some(1.0));
        assert_eq!(ratio(None, Some("0.25")), Some(0.25));
        assert_eq!(ratio(None, Some("7")), Some(1.0));
        assert_eq!(ratio(Some("always_off"), Some("0.25")), None);
    }
}
