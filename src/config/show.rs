//! `gleand config`: the effective configuration, and the table itself, as text.

use std::fmt::Write as _;

use super::table::{KEYS, Key};
use super::{Loaded, Origin};

/// The effective configuration as a TOML file that gives the same configuration again, each value with its source.
#[must_use]
pub fn toml_page(loaded: &Loaded) -> String {
    let lines: Vec<(&Origin, String)> =
        loaded.origins.iter().map(|origin| (origin, assignment(origin))).collect();
    let width = lines.iter().map(|(_, line)| line.chars().count()).max().unwrap_or_default();
    let mut page = String::new();
    let mut section = "";
    for (origin, line) in &lines {
        open_section(&mut page, &mut section, origin.key);
        push(&mut page, format_args!("{line:width$}  # {}\n", one_line(&origin.source)));
    }
    page
}

/// Every key with its type, bound, default, reason and cost, as a commented TOML file.
#[must_use]
pub fn keys_page() -> String {
    let mut page = String::new();
    let mut section = "";
    for key in KEYS {
        open_section(&mut page, &mut section, key);
        let bound = match key.bound.to_string() {
            bound if bound.is_empty() => key.kind.to_owned(),
            bound => format!("{}, {bound}", key.kind),
        };
        let Key { what, reason, cost, .. } = key;
        push(
            &mut page,
            format_args!("# {what}\n# Type: {bound}.\n# Why: {reason}\n# Cost: {cost}\n"),
        );
        push(&mut page, format_args!("{} = {}\n\n", key.field(), literal(key.default)));
    }
    page
}

/// Every key as Markdown: the reference page in `deploy/`.
#[must_use]
pub fn markdown_page() -> String {
    let mut page = String::from(MARKDOWN_HEAD);
    let mut section = "";
    for key in KEYS {
        if section != key.section() {
            section = key.section();
            push(&mut page, format_args!("\n## [{section}]\n"));
        }
        let Key { name, kind, bound, default, what, reason, cost } = key;
        let variable = name.to_ascii_uppercase().replace('.', "__");
        let bound = bound.to_string();
        let bound = if bound.is_empty() { String::new() } else { format!(", {bound}") };
        push(
            &mut page,
            format_args!(
                "\n### `{name}`\n\n{what}\n\n- Type: {kind}{bound}. Default: `{}`.\n- Environment: `GLEAND__{variable}`.\n- \
                 Why: {reason}\n- Cost: {cost}\n",
                literal(default)
            ),
        );
    }
    page
}

const MARKDOWN_HEAD: &str = "\
# Configuration

<!-- Made by `gleand config --markdown`; a test compares. -->

Later sources win: defaults, the TOML file of `--config FILE`, the environment (`GLEAND__SECTION__KEY`), flags
(`--set section.key=value`). Unknown keys and all mistakes are told at once, each with its source, and end the start with
status 2. Secrets stand in files only; keys name the files. `gleand config` prints the effective configuration, each value
with its source, and the memory that the daemon needs at worst; more than the cgroup allows is refused at the start.
";

fn open_section(page: &mut String, section: &mut &'static str, key: &'static Key) {
    if *section != key.section() {
        *section = key.section();
        let gap = if page.is_empty() || page.ends_with("\n\n") { "" } else { "\n" };
        push(page, format_args!("{gap}[{section}]\n"));
    }
}

fn assignment(origin: &Origin) -> String {
    format!("{} = {}", origin.key.field(), literal(&origin.text))
}

/// A TOML literal: whole numbers bare, everything else a quoted string.
fn literal(text: &str) -> String {
    if !text.is_empty() && text.len() < 19 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => {
                push(&mut quoted, format_args!("\\u{:04X}", u32::from(letter)));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// A source may be a path with a line break in it, which must not end the comment.
fn one_line(source: &str) -> String {
    source.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn push(page: &mut String, line: std::fmt::Arguments<'_>) {
    page.write_fmt(line).expect("writing to a string does not fail");
}
