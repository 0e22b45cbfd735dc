//! `gleand licenses`: the terms of everything that is in the binary.

use super::exit::Failure;
use super::print;

/// What is printed, in order. All three are files of the repository, which the image has too.
const TEXTS: [(&str, &str); 3] = [
    ("gleand", include_str!("../../LICENSE")),
    ("Notices", include_str!("../../NOTICE")),
    ("Crates in this binary", include_str!("../../LICENSES-CRATES.txt")),
];

/// Prints the licences of gleand, of the model in the binary, and of all crates in it.
#[derive(Debug, clap::Args)]
pub(super) struct LicensesArgs {}

/// Runs the command.
pub(super) fn run(_args: &LicensesArgs) -> Result<(), Failure> {
    let page = |(title, text): &(&str, &str)| {
        let line = "=".repeat(title.len());
        format!("{line}\n{title}\n{line}\n\n{text}\n")
    };
    print(&TEXTS.iter().map(page).collect::<String>())
}
