//! Promises P1, P2 and P5 to P8 as properties of the pure pipeline, against a one-shot oracle.
//!
//! No model and no runtime: a toy encoder and toy scorers stand behind the two ports. The number of
//! cases is [`cases`]; `PROPTEST_CASES` overrides it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    reason = "clippy knows tests by their attribute, and the functions that they share have none"
)]

mod driver;
mod generate;
mod oracle;
mod toy;

mod invariance;
mod truth;
mod tasks;
mod bounds;

/// Documents of each property; the properties together try more than 10 000.
#[expect(clippy::disallowed_methods, reason = "a test takes its number of cases from outside")]
fn cases() -> proptest::test_runner::Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(4000);
    proptest::test_runner::Config { cases, failure_persistence: None, ..Default::default() }
}
