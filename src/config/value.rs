//! Types of values and their bounds. Every value is read from text, so file, environment and flags obey one grammar.

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

/// What a value must be besides its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Nothing more.
    Free,
    /// A whole number from `min` to `max`, both included.
    Numbers {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// As [`Bound::Numbers`], or 0, which then means something else.
    ZeroOr {
        /// What 0 means.
        zero: &'static str,
        /// Smallest number above 0.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// One of these words.
    OneOf(&'static [&'static str]),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Free => Ok(()),
            Self::Numbers { min, max } => write!(f, "{min} to {max}"),
            Self::ZeroOr { zero, min, max } => write!(f, "0 ({zero}), or {min} to {max}"),
            Self::OneOf(words) => write!(f, "one of {}", words.join(", ")),
        }
    }
}

/// A type that a key can have.
pub(super) trait Setting: Sized {
    /// The type in words, for the documentation and for mistakes.
    const KIND: &'static str;

    /// Reads `text`; the error says what is wrong with it, without repeating it.
    fn parse(text: &str, bound: Bound) -> Result<Self, String>;
}

/// A number within `bound`.
fn number(text: &str, bound: Bound) -> Result<u64, String> {
    let value: u64 =
        text.parse().map_err(|_not_a_number| format!("is not a whole number; allowed: {bound}"))?;
    let inside = match bound {
        Bound::Free | Bound::OneOf(_) => true,
        Bound::Numbers { min, max } => (min..=max).contains(&value),
        Bound::ZeroOr { min, max, .. } => value == 0 || (min..=max).contains(&value),
    };
    if inside { Ok(value) } else { Err(format!("is out of bounds; allowed: {bound}")) }
}

macro_rules! numbers {
    ($($kind:ty, $plain:ty;)*) => { $(
        impl Setting for $kind {
            const KIND: &'static str = "whole number";

            fn parse(text: &str, bound: Bound) -> Result<Self, String> {
                let value = <$plain>::try_from(number(text, bound)?).map_err(|_too_large| "is too large".to_owned())?;
                Self::new(value).ok_or_else(|| format!("must not be 0; allowed: {bound}"))
            }
        }

        impl Setting for Option<$kind> {
            const KIND: &'static str = "whole number";

            fn parse(text: &str, bound: Bound) -> Result<Self, String> {
                let value = <$plain>::try_from(number(text, bound)?).map_err(|_too_large| "is too large".to_owned())?;
                Ok(<$kind>::new(value))
            }
        }
    )* };
}

numbers! {
    NonZeroU32, u32;
    NonZeroU64, u64;
    NonZeroUsize, usize;
}

impl Setting for Duration {
    const KIND: &'static str = "milliseconds";

    fn parse(text: &str, bound: Bound) -> Result<Self, String> {
        number(text, bound).map(Self::from_millis)
    }
}

impl Setting for Option<Duration> {
    const KIND: &'static str = "milliseconds";

    fn parse(text: &str, bound: Bound) -> Result<Self, String> {
        number(text, bound).map(|millis| (millis > 0).then(|| Duration::from_millis(millis)))
    }
}

impl Setting for SocketAddr {
    const KIND: &'static str = "address";

    fn parse(text: &str, _bound: Bound) -> Result<Self, String> {
        text.parse().map_err(|_no_address| {
            "is not an address such as 127.0.0.1:50051 or [::]:50051".to_owned()
        })
    }
}

impl Setting for Option<PathBuf> {
    const KIND: &'static str = "path";

    fn parse(text: &str, _bound: Bound) -> Result<Self, String> {
        Ok((!text.is_empty()).then(|| PathBuf::from(text)))
    }
}

/// One thing that scores windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    Cpu,
    /// A CUDA device by its ordinal.
    Cuda(usize),
}

/// The devices of one daemon: the processor alone, or CUDA devices, each once. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devices(Vec<Device>);

impl Devices {
    /// The devices, in the order given.
    #[must_use]
    pub fn as_slice(&self) -> &[Device] {
        &self.0
    }
}

impl Setting for Devices {
    const KIND: &'static str = "devices";

    fn parse(text: &str, _bound: Bound) -> Result<Self, String> {
        if text.trim() == "cpu" {
            return Ok(Self(vec![Device::Cpu]));
        }
        let mut devices = Vec::new();
        for name in text.split(',').map(str::trim) {
            let device = name
                .strip_prefix("cuda:")
                .and_then(|ordinal| ordinal.parse().ok())
                .map(Device::Cuda)
                .ok_or("is neither cpu nor a list such as cuda:0,cuda:1")?;
            if devices.contains(&device) {
                return Err("names a device twice".to_owned());
            }
            devices.push(device);
        }
        Ok(Self(devices))
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What needs a person.
    Error,
    /// What may need one.
    Warn,
    /// Life of the process, one line a stream.
    Info,
    /// For those who look for a fault.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The words of the configuration, quietest first.
    pub const NAMES: &'static [&'static str] = &["off", "error", "warn", "info", "debug", "trace"];

    /// The word of the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Setting for LogLevel {
    const KIND: &'static str = "word";

    fn parse(text: &str, bound: Bound) -> Result<Self, String> {
        [Self::Off, Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace]
            .into_iter()
            .find(|level| level.name() == text)
            .ok_or_else(|| format!("is not {bound}"))
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// The words of the configuration.
    pub const NAMES: &'static [&'static str] = &["text", "json"];
}

impl Setting for LogFormat {
    const KIND: &'static str = "word";

    fn parse(text: &str, bound: Bound) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("is not {bound}")),
        }
    }
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It is there.
    On,
    /// It is not.
    Off,
}

impl Switch {
    /// The words of the configuration.
    pub const NAMES: &'static [&'static str] = &["on", "off"];

    /// Whether it is on.
    #[must_use]
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

impl Setting for Switch {
    const KIND: &'static str = "word";

    fn parse(text: &str, bound: Bound) -> Result<Self, String> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err(format!("is not {bound}")),
        }
    }
}

/// Whether a signal is pushed by OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// Where an endpoint is known.
    Auto,
    /// Yes, and without an endpoint to the one that the protocol names by default.
    Otlp,
    /// No.
    None,
}

impl Export {
    /// The words of the configuration.
    pub const NAMES: &'static [&'static str] = &["auto", "otlp", "none"];
}

impl Setting for Export {
    const KIND: &'static str = "word";

    fn parse(text: &str, bound: Bound) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "otlp" => Ok(Self::Otlp),
            "none" => Ok(Self::None),
            _ => Err(format!("is not {bound}")),
        }
    }
}

/// How OTLP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// gRPC.
    Grpc,
    /// Protobuf over HTTP.
    Http,
}

impl OtlpProtocol {
    /// The words of the configuration.
    pub const NAMES: &'static [&'static str] = &["grpc", "http/protobuf"];
}

impl Setting for Option<OtlpProtocol> {
    const KIND: &'static str = "word";

    fn parse(text: &str, bound: Bound) -> Result<Self, String> {
        match text {
            "" => Ok(None),
            "grpc" => Ok(Some(OtlpProtocol::Grpc)),
            "http/protobuf" => Ok(Some(OtlpProtocol::Http)),
            _ => Err(format!("is not {bound}")),
        }
    }
}

/// A share of traces, in millionths, so that it can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceRatio {
    millionths: u32,
}

impl TraceRatio {
    /// The share, 0 to 1.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.millionths) / 1e6
    }
}

impl Setting for Option<TraceRatio> {
    const KIND: &'static str = "number from 0 to 1";

    fn parse(text: &str, _bound: Bound) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let ratio: f64 = text.parse().map_err(|_not_a_number| "is not a number from 0 to 1")?;
        if !(0.0..=1.0).contains(&ratio) {
            return Err("is out of bounds; allowed: 0 to 1".to_owned());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 1 000 000, as was just checked"
        )]
        Ok(Some(TraceRatio { millionths: (ratio * 1e6).round() as u32 }))
    }
}

/// Names, separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Vec<String>);

impl Names {
    /// The names, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

impl Setting for Names {
    const KIND: &'static str = "list";

    fn parse(text: &str, _bound: Bound) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        if names.iter().any(String::is_empty) {
            return Err("has an empty name between two commas".to_owned());
        }
        Ok(Self(names))
    }
}

impl Setting for Option<String> {
    const KIND: &'static str = "text";

    fn parse(text: &str, _bound: Bound) -> Result<Self, String> {
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }
}

impl Setting for Option<SocketAddr> {
    const KIND: &'static str = "address";

    fn parse(text: &str, bound: Bound) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { SocketAddr::parse(text, bound).map(Some) }
    }
}
