//! Values as typed: a backslash takes the next character as it is, double quotes around an item protect its commas.

/// A character, and whether a backslash or quotes took its special meaning.
pub(super) type Marked = (char, bool);

/// Reads the escapes and quotes of a value; a quote opens at the start of an item only.
pub(super) fn mark(text: &str) -> Result<Vec<Marked>, String> {
    let mut marked: Vec<Marked> = Vec::new();
    let mut letters = text.chars();
    let (mut quoted, mut at_start) = (false, true);
    while let Some(letter) = letters.next() {
        let (next, was_at_start) = match letter {
            '\\' => {
                let next = letters.next().ok_or("ends with a backslash: write `\\\\` for one")?;
                ((next, true), at_start && next.is_whitespace())
            }
            '"' if quoted => {
                quoted = false;
                continue;
            }
            '"' if at_start => {
                quoted = true;
                continue;
            }
            ',' => ((letter, quoted), !quoted),
            letter => ((letter, false), at_start && letter.is_whitespace()),
        };
        at_start = was_at_start;
        marked.push(next);
    }
    if quoted { Err("a double quote is not closed".to_owned()) } else { Ok(marked) }
}

/// The first place of a character that still has its special meaning.
pub(super) fn find(marked: &[Marked], letter: char) -> Option<usize> {
    marked.iter().position(|other| *other == (letter, false))
}

/// What stands before and after the first special `letter`; all of it and nothing where there is none.
pub(super) fn split_once(marked: &[Marked], letter: char) -> (&[Marked], Option<&[Marked]>) {
    match find(marked, letter) {
        Some(at) => (marked.get(..at).unwrap_or_default(), marked.get(at + 1..)),
        None => (marked, None),
    }
}

/// The parts between special `letter`s.
pub(super) fn split(marked: &[Marked], letter: char) -> Vec<&[Marked]> {
    marked.split(|other| *other == (letter, false)).collect()
}

/// The characters without blanks around them.
pub(super) fn plain(marked: &[Marked]) -> String {
    let text: String = marked.iter().map(|(letter, _)| letter).collect();
    text.trim().to_owned()
}
