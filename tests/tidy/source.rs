//! A file of Rust taken apart as far as the rules need it: code, comments, and the crates and modules that it names.
//!
//! This is a scanner, not a parser: it knows comments, strings, `use` trees, paths and inline modules. What a macro
//! puts together it does not see; every path that is written out, also in an attribute or a macro call, it does.

use std::collections::BTreeSet;

/// One file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Path from the root of the repository.
    pub(crate) path: String,
    /// The text as it is.
    pub(crate) text: String,
    /// The text with blanks in place of comments, strings and characters; equally long.
    pub(crate) code: String,
    /// The comments alone.
    pub(crate) comments: String,
}

impl Source {
    /// Takes a text apart.
    pub(crate) fn new(path: &str, text: String) -> Self {
        let (mut code, mut comments) = (String::with_capacity(text.len()), String::new());
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (kind, length) = next_part(rest, code.chars().next_back());
            let (part, tail) = rest.split_at(length);
            match kind {
                Part::Code => code.push_str(part),
                Part::Literal => blank(part, &mut code),
                Part::Comment => {
                    blank(part, &mut code);
                    comments.push_str(part);
                    comments.push('\n');
                }
            }
            rest = tail;
        }
        Self { path: path.to_owned(), text, code, comments }
    }

    /// Lines of the file.
    pub(crate) fn lines(&self) -> usize {
        self.text.lines().count()
    }

    /// The attributes that start with `open`, as they are in the text, in one line each.
    pub(crate) fn attributes(&self, open: &str) -> Vec<String> {
        let starts = self.code.match_indices(open).map(|(at, _)| at);
        starts
            .map(|at| one_line(&self.text[at..at + closing(&self.code[at..], '[', ']')]))
            .collect()
    }

    /// What the file names: its own modules at the top of the crate, and other crates among `crates`.
    pub(crate) fn names(&self, module: &[&str], crates: &BTreeSet<String>) -> Names {
        let mut reader =
            Reader { tokens: tokens(&self.code), at: 0, crates, names: Names::default() };
        reader.read(module.iter().map(|&name| name.to_owned()).collect());
        reader.names
    }
}

/// What a file names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// Modules at the top of this crate.
    pub(crate) modules: BTreeSet<String>,
    /// Other crates, as they are written in code.
    pub(crate) crates: BTreeSet<String>,
}

enum Part {
    Code,
    Literal,
    Comment,
}

/// What `rest` starts with, and how many bytes of it belong to that.
fn next_part(rest: &str, before: Option<char>) -> (Part, usize) {
    let inside_name = before.is_some_and(is_name);
    let up_to = |end: &str, from: usize| {
        rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len())
    };
    if rest.starts_with("//") {
        return (Part::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Part::Comment, nested_comment(rest));
    }
    if rest.starts_with('"') {
        return (Part::Literal, quoted(rest, '"'));
    }
    if !inside_name {
        let raw = rest.trim_start_matches(['b', 'c']);
        if let Some(hashes) = raw.strip_prefix('r') {
            let text = hashes.trim_start_matches('#');
            if text.starts_with('"') {
                let end = format!("\"{}", "#".repeat(hashes.len() - text.len()));
                return (Part::Literal, up_to(&end, rest.len() - text.len() + 1));
            }
        }
    }
    if let Some(character) = rest.strip_prefix('\'') {
        let mut characters = character.chars();
        let (first, second) = (characters.next(), characters.next());
        // Otherwise it is a lifetime.
        if first == Some('\\') || second == Some('\'') {
            return (Part::Literal, quoted(rest, '\''));
        }
    }
    (Part::Code, rest.chars().next().map_or(1, char::len_utf8))
}

fn nested_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let tail = &rest.as_bytes()[at..];
        let step = if tail.starts_with(b"/*") {
            depth += 1;
            2
        } else if tail.starts_with(b"*/") {
            depth -= 1;
            2
        } else {
            1
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

/// Bytes of a literal, both quotes included.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

fn blank(part: &str, code: &mut String) {
    code.extend(part.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
}

/// Bytes up to and including the bracket that closes the first `open`.
fn closing(code: &str, open: char, close: char) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return at + 1;
            }
        }
    }
    code.len()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Names, `::`, and every other character by itself.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if is_name(first) {
            rest.find(|c| !is_name(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (token, tail) = rest.split_at(length);
        tokens.push(token);
        rest = tail.trim_start();
    }
    tokens
}

struct Reader<'a> {
    tokens: Vec<&'a str>,
    at: usize,
    crates: &'a BTreeSet<String>,
    names: Names,
}

impl<'a> Reader<'a> {
    fn token(&self, offset: usize) -> &'a str {
        self.tokens.get(self.at + offset).copied().unwrap_or("")
    }

    /// Reads a whole file, whose modules nest as its braces do.
    fn read(&mut self, file: Vec<String>) {
        let mut module = file;
        // Braces open inside each inline module, innermost last.
        let mut open: Vec<usize> = Vec::new();
        let mut before = "";
        while self.at < self.tokens.len() {
            let token = self.token(0);
            match token {
                "mod" if self.token(2) == "{" => {
                    module.push(self.token(1).to_owned());
                    open.push(0);
                    self.at += 2;
                }
                "{" => open.iter_mut().for_each(|braces| *braces += 1),
                "}" if open.last() == Some(&0) => {
                    open.pop();
                    module.pop();
                }
                "}" => open.iter_mut().for_each(|braces| *braces -= 1),
                _ if matches!(before, "::" | ".") => {}
                _ if before == "use" || self.token(1) == "::" => self.path(&module),
                _ => {}
            }
            before = token;
            self.at += 1;
        }
    }

    /// Finds the top module or the crate that the path at this place leads to.
    fn path(&mut self, module: &[String]) {
        let mut last = 0;
        let above = match self.token(0) {
            "crate" | "gleand" => 0,
            "super" => {
                while self.token(last + 1) == "::" && self.token(last + 2) == "super" {
                    last += 2;
                }
                module.len().saturating_sub(1 + last / 2)
            }
            name => {
                if self.crates.contains(name) {
                    self.names.crates.insert(name.to_owned());
                }
                return;
            }
        };
        if above == 0 && self.token(last + 1) == "::" {
            self.members(last + 2);
        }
    }

    /// Takes the name at `offset`, or the first names of the members of the group there.
    fn members(&mut self, offset: usize) {
        if self.token(offset) != "{" {
            self.names.modules.insert(self.token(offset).to_owned());
            return;
        }
        let mut depth = 0;
        for at in offset.. {
            match self.token(at) {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return;
            }
            if depth == 1 && matches!(self.token(at), "{" | ",") && self.token(at + 1) != "}" {
                self.names.modules.insert(self.token(at + 1).to_owned());
            }
        }
    }
}
