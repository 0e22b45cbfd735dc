//! Long documents with other windows, margins and rules of merging, beside the same sentences one by one.

use super::Common;
use super::entities::{Data, ask, found, nothing_to_join, question};
use super::session::{Question, Session, WHOLE_WINDOW};
use crate::cli::Composition;
use crate::cli::exit::Failure;
use crate::eval::bootstrap::{Difference, difference};
use crate::eval::data::entities::Example;
use crate::eval::long;
use crate::eval::metric::counts::Tally;
use crate::eval::prediction::{Entities, Found};
use crate::eval::report::spans::entities_tally;
use crate::eval::report::sweep::{Edge, Rule, Setting, Sweep};
use crate::eval::text::{ByteRange, Span};
use crate::eval::windows::{best, cut, words};

/// Windows that are tried, in words, and the parts of them that are margin.
const WINDOWS: [usize; 6] = [64, 96, 128, 192, 256, 320];
const MARGINS: [usize; 3] = [16, 8, 4];
/// Window and margin of the tables of loss, and borders of their distances to the edge.
const EDGE_WINDOWS: [usize; 2] = [64, 256];
const EDGE_WORDS: [usize; 6] = [0, 2, 5, 10, 20, 1000];

/// The sentences and documents of all files, with the labels of each.
struct Long {
    sentences: Vec<Example>,
    documents: Vec<Example>,
    /// For each sentence its document and the byte at which it starts there.
    places: Vec<(usize, usize)>,
    words: Vec<Vec<ByteRange>>,
}

/// What one way to read found in each sentence.
struct Read {
    texts: Vec<Entities>,
    words_per_second: f64,
}

/// Tries all settings and prints a table.
pub(super) async fn run(
    common: &Common,
    composition: &Composition,
    files: &[Data],
    words_min: usize,
) -> Result<(), Failure> {
    let long = Long::new(files, words_min);
    if long.documents.is_empty() {
        return Err(nothing_to_join());
    }
    let words = long.words.iter().map(|words| words.len() as u64).sum();
    let by_sentence = long.by_sentence(common, composition, words).await?;
    let gold = entities_tally(&by_sentence.texts);
    let mut settings = Vec::new();
    let mut edges = Vec::new();
    for window in WINDOWS {
        let margins = MARGINS.iter().map(|part| window / part);
        let ways = margins.clone().map(|margin| (Rule::Core, margin));
        let ways = ways.chain([(Rule::Cut, 0)]).chain(margins.skip(1).map(|m| (Rule::Best, m)));
        for (rule, margin) in ways {
            let read = long.read(common, composition, (rule, window, margin), words).await?;
            let tally = entities_tally(&read.texts);
            if rule == Rule::Cut && EDGE_WINDOWS.contains(&window) {
                edges.extend(long.edges(window, &by_sentence.texts, &read.texts));
            }
            settings.push(setting((rule, window, margin), &gold, &tally, read.words_per_second));
            if let Some(setting) = settings.last() {
                tell(common, setting);
            }
        }
    }
    let report = Sweep {
        task: "entities_sweep".to_owned(),
        data: files.iter().map(|file| file.name.clone()).collect(),
        sentences: long.sentences.len(),
        documents: long.documents.len(),
        words,
        by_sentence: gold.all.scores(),
        by_sentence_words_per_second: by_sentence.words_per_second,
        settings,
        edges,
    };
    common.finish::<_, Entities>(&report, &report.table(), &[])
}

/// A sweep takes long, so each setting is told when it is done.
fn tell(common: &Common, setting: &Setting) {
    use crate::cli::notes::{Notes, Talk};
    let Setting { rule, window, margin, micro, words_per_second, .. } = setting;
    let notes = Notes::new(if common.quiet { Talk::Quiet } else { Talk::Normal });
    notes.figures(&format!(
        "{rule:?} window {window} margin {margin}: F1 {:.1}, {words_per_second:.0} words/s",
        micro.f1 * 100.0
    ));
}

fn setting(
    (rule, window, margin): (Rule, usize, usize),
    by_sentence: &Tally,
    tally: &Tally,
    words_per_second: f64,
) -> Setting {
    let difference = difference(&by_sentence.texts, &tally.texts)
        .unwrap_or_else(|_unpaired| Difference::default());
    Setting { rule, window, margin, micro: tally.all.scores(), difference, words_per_second }
}

impl Long {
    fn new(files: &[Data], words_min: usize) -> Self {
        let mut long = Self {
            sentences: Vec::new(),
            documents: Vec::new(),
            places: Vec::new(),
            words: Vec::new(),
        };
        for file in files {
            let documents = long::entities(&file.examples, words_min);
            let before = long.documents.len();
            let places = long::places(&file.examples, &documents);
            long.places.extend(places.into_iter().map(|(at, start)| (before + at, start)));
            long.sentences.extend(file.examples.iter().cloned());
            long.words.extend(documents.iter().map(|document| words(&document.text)));
            long.documents.extend(documents);
        }
        long
    }

    async fn by_sentence(
        &self,
        common: &Common,
        composition: &Composition,
        words: u64,
    ) -> Result<Read, Failure> {
        let keys = [WHOLE_WINDOW].map(|(key, value)| (key, value.to_owned()));
        let mut session = Session::open(common, composition, &keys).await?;
        let questions = self.sentences.iter().map(|e| question(e, common.threshold)).collect();
        let reply = session.ask(questions).await?;
        let pairs = self.sentences.iter().zip(&reply.results);
        let texts = pairs.map(|(example, extracted)| {
            Entities::new(example, extracted.results.mentions.iter().map(found).collect())
        });
        Ok(Read { texts: texts.collect(), words_per_second: reply.rate(words) })
    }

    async fn read(
        &self,
        common: &Common,
        composition: &Composition,
        (rule, window, margin): (Rule, usize, usize),
        words: u64,
    ) -> Result<Read, Failure> {
        let mut keys = vec![("window.words_max", window.to_string())];
        if rule == Rule::Core {
            keys.push(("window.margin_left_words", margin.to_string()));
            keys.push(("window.mention_words_max", margin.to_string()));
        }
        let mut session = Session::open(common, composition, &keys).await?;
        // Each part of a document, with the document's number and the byte at which it starts.
        let mut parts: Vec<(usize, ByteRange)> = Vec::new();
        for (at, document) in self.documents.iter().enumerate() {
            match rule {
                Rule::Core => parts.push((at, ByteRange { start: 0, end: document.text.len() })),
                Rule::Cut | Rule::Best => {
                    let words = self.words.get(at).map_or(&[][..], Vec::as_slice);
                    parts.extend(cut(words, window, margin).into_iter().map(|part| (at, part)));
                }
            }
        }
        let questions = parts.iter().filter_map(|(at, part)| {
            let document = self.documents.get(*at)?;
            let request = ask(&document.labels, common.threshold);
            Some(Question { text: part.of(&document.text)?.to_owned(), request })
        });
        let reply = session.ask(questions.collect()).await?;
        let mut by_document: Vec<Vec<Found>> = self.documents.iter().map(|_| Vec::new()).collect();
        for ((at, part), extracted) in parts.iter().zip(&reply.results) {
            let shift = |found: Found| {
                let Found { span, score } = found;
                Found { span: Span::new(span.range().shifted(part.start), span.label), score }
            };
            if let Some(found_there) = by_document.get_mut(*at) {
                found_there.extend(extracted.results.mentions.iter().map(found).map(shift));
            }
        }
        let joined: Vec<Vec<Found>> = match rule {
            Rule::Best => by_document.into_iter().map(best).collect(),
            Rule::Core | Rule::Cut => by_document,
        };
        Ok(Read { texts: self.by_place(&joined), words_per_second: reply.rate(words) })
    }

    /// What was found in documents, as found in their sentences: a span belongs to the sentence in which it starts.
    fn by_place(&self, documents: &[Vec<Found>]) -> Vec<Entities> {
        let sentences = self.sentences.iter().zip(&self.places);
        let texts = sentences.map(|(example, &(document, start))| {
            let range = start..start + example.text.len();
            let there = documents.get(document).map_or(&[][..], Vec::as_slice);
            let inside = there.iter().filter(|found| range.contains(&found.span.start));
            let found = inside.map(|found| {
                let (from, to) = (found.span.start - start, found.span.end - start);
                let span = Span::new(ByteRange { start: from, end: to }, found.span.label.clone());
                Found { span, score: found.score }
            });
            Entities::new(example, found.collect())
        });
        texts.collect()
    }

    /// How many gold entities were found, by their distance in words to the nearer edge of their window.
    fn edges(&self, window: usize, by_sentence: &[Entities], windowed: &[Entities]) -> Vec<Edge> {
        let mut counts = [[0_u64; 3]; EDGE_WORDS.len() - 1];
        let texts = self.places.iter().zip(by_sentence.iter().zip(windowed));
        for (&(document, start), (alone, joined)) in texts {
            let words = self.words.get(document).map_or(&[][..], Vec::as_slice);
            for gold in &alone.gold {
                let first = words.partition_point(|word| word.end <= start + gold.start);
                let last = words.partition_point(|word| word.start < start + gold.end);
                let to_start = first % window;
                let to_end = window.saturating_sub(to_start + (last - first));
                let distance = to_start.min(to_end);
                let bucket =
                    EDGE_WORDS.iter().rposition(|from| distance >= *from).unwrap_or_default();
                let is_in =
                    |text: &Entities| text.predicted.iter().any(|found| found.span == *gold);
                if let Some(count) = counts.get_mut(bucket) {
                    count[0] += 1;
                    count[1] += u64::from(is_in(joined));
                    count[2] += u64::from(is_in(alone));
                }
            }
        }
        let part = |part: u64, whole: u64| crate::eval::metric::counts::fraction(part, whole);
        let borders = EDGE_WORDS.windows(2).zip(counts);
        let edge = |(borders, [entities, found, alone]): (&[usize], [u64; 3])| Edge {
            window,
            from: borders.first().copied().unwrap_or_default(),
            to: borders.last().copied().unwrap_or_default(),
            entities,
            recall: part(found, entities),
            recall_by_sentence: part(alone, entities),
        };
        borders.map(edge).collect()
    }
}
