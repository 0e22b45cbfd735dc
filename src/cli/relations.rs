//! `--relations "works for(person->organization),born in:0.4(…)"`: which relations, between what.
//!
//! An item is `NAME[(HEADS->TAILS)][:THRESHOLD][=DESCRIPTION]`; items are separated by commas. HEADS and TAILS are
//! argument labels, separated by `|`, each `LABEL[:THRESHOLD][=DESCRIPTION]`; an empty side, or no parentheses, is
//! every label that the other relations name. Backslash and double quotes as in [`super::labels`].

use std::fmt;

use super::labels::{Label, parse_item};
use super::typed::{self, Marked, plain};

/// One relation as typed.
#[derive(Clone, PartialEq)]
pub(super) struct RelationType {
    /// What comes back with each relation; the model reads its description instead.
    pub(super) relation: Label,
    /// What a head may be; empty: every label of the task.
    pub(super) heads: Vec<Label>,
    /// What a tail may be; empty: every label of the task.
    pub(super) tails: Vec<Label>,
}

impl fmt::Debug for RelationType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A label's own Debug shows no text.
        f.debug_struct("RelationType")
            .field("relation", &self.relation)
            .field("heads", &self.heads)
            .field("tails", &self.tails)
            .finish()
    }
}

/// The relations of one `--relations` flag, in order. Never empty.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RelationList(pub(super) Vec<RelationType>);

const FORM: &str = "NAME(HEAD->TAIL), such as works for(person->organization)";

/// Reads the value of `--relations`; the error names the item and what to write instead.
pub(super) fn parse_relations(text: &str) -> Result<RelationList, String> {
    let marked = typed::mark(text)?;
    let items = items(&marked);
    let relations = items.iter().enumerate().map(|(index, item)| {
        parse(item).map_err(|problem| match index {
            0 if items.len() == 1 => problem,
            _ => format!("relation {}: {problem}", index + 1),
        })
    });
    relations.collect::<Result<_, _>>().map(RelationList)
}

/// Splits at the commas outside of parentheses.
fn items(marked: &[Marked]) -> Vec<&[Marked]> {
    let mut depth = 0_usize;
    let is_border = |letter: &Marked| {
        match letter {
            ('(', false) => depth += 1,
            (')', false) => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && *letter == (',', false)
    };
    marked.split(is_border).collect()
}

fn parse(item: &[Marked]) -> Result<RelationType, String> {
    let special = item.iter().position(|letter| matches!(letter, ('(' | ')' | ':' | '=', false)));
    let (name, after, arguments) = match special.map(|at| (at, item.get(at))) {
        Some((at, Some(('(', _)))) => {
            let (name, rest) = item.split_at(at);
            let end = typed::find(rest, ')')
                .ok_or("the parenthesis is not closed (one in a name is written `\\(`)")?;
            (name, rest.get(end + 1..).unwrap_or_default(), rest.get(1..end).unwrap_or_default())
        }
        Some((_, Some((')', _)))) => {
            return Err(
                "a parenthesis closes that is not open (one in a name is written `\\)`)".to_owned()
            );
        }
        Some((at, _)) => {
            let (name, rest) = item.split_at(at);
            (name, rest, Default::default())
        }
        None => (item, Default::default(), Default::default()),
    };
    if plain(name).is_empty() {
        return Err(format!("the name is empty; expected {FORM}"));
    }
    let starts_well = |letter: &Marked| matches!(letter, (':' | '=', false));
    if after.iter().find(|(letter, _)| !letter.is_whitespace()).is_some_and(|at| !starts_well(at)) {
        return Err(format!(
            "`{}` stands after the parenthesis; only :THRESHOLD and =DESCRIPTION may",
            plain(after)
        ));
    }
    let relation = parse_item(&[name, after].concat())?;
    let (heads, tails) = parse_arguments(arguments)?;
    Ok(RelationType { relation, heads, tails })
}

fn parse_arguments(inside: &[Marked]) -> Result<(Vec<Label>, Vec<Label>), String> {
    if plain(inside).is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let (heads, tails) = at_arrow(inside)
        .ok_or_else(|| format!("`{}` has no arrow; expected {FORM}", plain(inside)))?;
    if at_arrow(tails).is_some() {
        return Err(format!("`{}` has two arrows; expected {FORM}", plain(inside)));
    }
    Ok((labels("head", heads)?, labels("tail", tails)?))
}

/// What stands before and after the first `->` or `→`.
fn at_arrow(inside: &[Marked]) -> Option<(&[Marked], &[Marked])> {
    let long = inside.windows(2).position(|pair| matches!(pair, [('-', false), ('>', false)]));
    let short = typed::find(inside, '→');
    let (at, length) = match (long, short) {
        (Some(long), Some(short)) if short < long => (short, 1),
        (Some(long), _) => (long, 2),
        (None, Some(short)) => (short, 1),
        (None, None) => return None,
    };
    Some((inside.get(..at)?, inside.get(at + length..)?))
}

fn labels(side: &str, marked: &[Marked]) -> Result<Vec<Label>, String> {
    if plain(marked).is_empty() {
        return Ok(Vec::new());
    }
    if typed::find(marked, ',').is_some() {
        return Err(format!(
            "the {side} `{}` has a comma; several labels are written person|company \
             (a comma in a name is written `\\,`)",
            plain(marked)
        ));
    }
    let read = |label| parse_item(label).map_err(|problem| format!("{side}: {problem}"));
    typed::split(marked, '|').into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The relations as they would be typed in full.
    fn check(text: &str, expected: &str) {
        let RelationList(relations) = parse_relations(text).unwrap();
        let label = |label: &Label| {
            let threshold = label.threshold.map(|at| format!(":{at}")).unwrap_or_default();
            let description = label.description.as_ref().map(|text| format!("={text}"));
            format!("{}{threshold}{}", label.name, description.unwrap_or_default())
        };
        let side = |labels: &[Label]| labels.iter().map(label).collect::<Vec<_>>().join("|");
        let shown = relations.iter().map(|RelationType { relation, heads, tails }| {
            format!("[{}] {} -> {}", label(relation), side(heads), side(tails))
        });
        assert_eq!(shown.collect::<Vec<_>>().join("; "), expected, "{text}");
    }

    fn refused(text: &str) -> String {
        parse_relations(text).unwrap_err()
    }

    #[test]
    fn reads_names_heads_and_tails() {
        check("works for(person->organization)", "[works for] person -> organization");
        check(
            "works for(person->organization), born in ( person → place | city )",
            "[works for] person -> organization; [born in] person -> place|city",
        );
        check("knows", "[knows]  -> ");
        check(
            "knows(),likes(->thing),eats(animal->)",
            "[knows]  -> ; [likes]  -> thing; [eats] animal -> ",
        );
    }

    #[test]
    fn reads_thresholds_and_descriptions() {
        check(
            "works for(person:0.4->company|party=who signs):0.3=is employed by (or was)",
            "[works for:0.3=is employed by (or was)] person:0.4 -> company|party=who signs",
        );
        check("knows:0.25,likes=is fond of", "[knows:0.25]  -> ; [likes=is fond of]  -> ");
    }

    #[test]
    fn a_backslash_or_quotes_take_special_meaning_away() {
        check(r"a\(b\)\,c(d\-> e\|f->g\)h)", r"[a(b),c] d-> e|f -> g)h");
        check(r"a(b\→c→d)", "[a] b→c -> d");
        check(r#""x(a->b)=one, two",y"#, "[x=one, two] a -> b; [y]  -> ");
    }

    #[test]
    fn says_what_is_wrong_with_which_relation() {
        let form = "expected NAME(HEAD->TAIL), such as works for(person->organization)";
        assert_eq!(refused(""), format!("the name is empty; {form}"));
        assert_eq!(refused("a(b->c),(b->c)"), format!("relation 2: the name is empty; {form}"));
        assert_eq!(refused("a(b c)"), format!("`b c` has no arrow; {form}"));
        assert_eq!(refused("a(b->c->d)"), format!("`b->c->d` has two arrows; {form}"));
        assert_eq!(
            refused("a(b->c"),
            "the parenthesis is not closed (one in a name is written `\\(`)"
        );
        assert_eq!(
            refused("a)b"),
            "a parenthesis closes that is not open (one in a name is written `\\)`)"
        );
        assert_eq!(
            refused("a(b->c) d"),
            "`d` stands after the parenthesis; only :THRESHOLD and =DESCRIPTION may"
        );
        assert_eq!(
            refused("a(b,c->d)"),
            "the head `b,c` has a comma; several labels are written person|company \
             (a comma in a name is written `\\,`)"
        );
        assert_eq!(
            refused("a(b->c||d)"),
            "tail: the name is empty; expected NAME[:THRESHOLD][=DESCRIPTION]"
        );
        assert!(refused("a(b->c:high)").starts_with("tail: `high` is no threshold"));
        assert!(refused("a(b->c):2").starts_with("`2` is no threshold"));
        assert_eq!(refused("a\\"), "ends with a backslash: write `\\\\` for one");
    }

    #[test]
    fn debug_shows_lengths_only() {
        let shown = format!("{:?}", parse_relations("secret(hidden->veiled)").unwrap());
        for text in ["secret", "hidden", "veiled"] {
            assert!(!shown.contains(text), "{shown}");
        }
    }
}
