//! What the stub finds for tasks of every kind in a whole document: places of words instead of what a model would see.
//!
//! Entities: a label's description, or else its name. Open: the instruction. Questions: the question. Summary: the words
//! `In short`, and with whole sentences up to the next dot. Relations: a head, and the first tail behind it. Classes:
//! those whose words stand in the document. The score is the threshold that was asked for, so that a test sees it.

use gleand::wire;
use gleand::wire::task::Kind;

/// The score where no threshold was asked for.
pub(crate) const SCORE: f32 = 0.5;

/// What the label is looked for as.
pub(crate) fn needle(label: &wire::Label) -> &str {
    if label.description.is_empty() { &label.name } else { &label.description }
}

/// The results of one task, and how many they are.
pub(crate) fn results(task: &wire::Task, text: &str) -> (wire::Results, i64) {
    let finds = Finds { text, task: &task.id };
    let mut results = wire::Results::default();
    match task.kind.as_ref().expect("a kind") {
        Kind::Entities(entities) => results.mentions = finds.entities(entities),
        Kind::Open(open) => results.mentions = finds.open(open),
        Kind::Questions(questions) => results.answers = finds.questions(questions),
        Kind::Summary(summary) => results.summary_spans = finds.summary(summary),
        Kind::Relations(relations) => results.relations = finds.relations(relations),
        Kind::Classify(classify) => results.classes = finds.classify(classify),
    }
    let count = results.mentions.len()
        + results.answers.len()
        + results.summary_spans.len()
        + results.relations.len()
        + results.classes.len();
    (results, number(count))
}

struct Finds<'a> {
    text: &'a str,
    task: &'a str,
}

/// A range in bytes.
type Place = (usize, usize);

impl Finds<'_> {
    fn entities(&self, task: &wire::EntitiesTask) -> Vec<wire::Mention> {
        let of_task = task.optional_threshold;
        let of_task = of_task.map(|wire::entities_task::OptionalThreshold::Threshold(value)| value);
        let labels = task.labels.iter().enumerate();
        let mut found: Vec<(Place, usize)> = labels
            .flat_map(|(index, label)| {
                self.places(needle(label)).into_iter().map(move |place| (place, index))
            })
            .collect();
        found.sort_unstable();
        let mention = |(ordinal, (place, index)): (usize, (Place, usize))| {
            let label = &task.labels[index];
            let score = own(label).or(of_task).unwrap_or(SCORE);
            let mention = self.mention(ordinal, place, &label.name, score);
            wire::Mention { label_index: small(index), ..mention }
        };
        found.into_iter().enumerate().map(mention).collect()
    }

    fn open(&self, task: &wire::OpenTask) -> Vec<wire::Mention> {
        let score = task
            .optional_threshold
            .map(|wire::open_task::OptionalThreshold::Threshold(value)| value);
        let places = self.places(&task.instruction).into_iter().enumerate();
        places
            .map(|(ordinal, place)| self.mention(ordinal, place, "match", score.unwrap_or(SCORE)))
            .collect()
    }

    fn mention(&self, ordinal: usize, place: Place, label: &str, score: f32) -> wire::Mention {
        wire::Mention {
            task_id: self.task.to_owned(),
            ordinal: number(ordinal),
            label_index: 0,
            label: label.to_owned(),
            score,
            byte_range: self.bytes(place),
            codepoint_range: self.codepoints(place),
            utf16_range: self.utf16(place),
            text: self.part(place).to_owned(),
        }
    }

    fn questions(&self, task: &wire::QuestionsTask) -> Vec<wire::Answer> {
        let score = task
            .optional_threshold
            .map(|wire::questions_task::OptionalThreshold::Threshold(value)| value);
        let count = usize::try_from(task.answers_max).unwrap().max(1);
        let mut answers: Vec<wire::Answer> = Vec::new();
        for (index, question) in task.questions.iter().enumerate() {
            let places: Vec<Place> = self.places(&question.text).into_iter().take(count).collect();
            let none = wire::Answer {
                task_id: self.task.to_owned(),
                question_index: small(index),
                no_answer: places.is_empty(),
                ..wire::Answer::default()
            };
            let answer = |(rank, place): (usize, &Place)| wire::Answer {
                rank: small(rank),
                score: score.unwrap_or(SCORE),
                byte_range: self.bytes(*place),
                codepoint_range: self.codepoints(*place),
                utf16_range: self.utf16(*place),
                text: self.part(*place).to_owned(),
                ..none.clone()
            };
            let found: Vec<_> = places.iter().enumerate().map(answer).collect();
            answers.extend(if found.is_empty() { vec![none] } else { found });
        }
        for (ordinal, answer) in answers.iter_mut().enumerate() {
            answer.ordinal = number(ordinal);
        }
        answers
    }

    fn summary(&self, task: &wire::SummaryTask) -> Vec<wire::SummarySpan> {
        let score = task
            .optional_threshold
            .map(|wire::summary_task::OptionalThreshold::Threshold(value)| value);
        let widened = |(start, end): Place| match self.part((end, self.text.len())).find('.') {
            Some(dot) if task.whole_sentences => (start, end + dot + 1),
            _ => (start, end),
        };
        // Two words each.
        let count = usize::try_from(task.words_max / 2).unwrap();
        let places = self.places("In short").into_iter().map(widened);
        let places = places.take(if count == 0 { usize::MAX } else { count }).enumerate();
        let span = |(ordinal, place): (usize, Place)| wire::SummarySpan {
            task_id: self.task.to_owned(),
            ordinal: number(ordinal),
            score: score.unwrap_or(SCORE),
            byte_range: self.bytes(place),
            codepoint_range: self.codepoints(place),
            utf16_range: self.utf16(place),
            text: self.part(place).to_owned(),
        };
        places.map(span).collect()
    }

    fn relations(&self, task: &wire::RelationsTask) -> Vec<wire::Relation> {
        let of_task = task
            .optional_threshold
            .map(|wire::relations_task::OptionalThreshold::Threshold(value)| value);
        let all: Vec<wire::Label> = task
            .relations
            .iter()
            .flat_map(|relation| relation.head_labels.iter().chain(&relation.tail_labels))
            .cloned()
            .collect();
        let distance = usize::try_from(task.distance_words_max).unwrap();
        let mut found = Vec::new();
        for (index, relation) in task.relations.iter().enumerate() {
            let side = |labels: &[wire::Label]| {
                let labels = if labels.is_empty() { all.clone() } else { labels.to_vec() };
                self.arguments(&labels)
            };
            let (heads, tails) = (side(&relation.head_labels), side(&relation.tail_labels));
            let own = relation
                .optional_threshold
                .map(|wire::relation_type::OptionalThreshold::Threshold(value)| value);
            for ((_, end), head) in heads {
                let tail = tails.iter().find(|((start, _), _)| *start >= end);
                let Some(((start, _), tail)) = tail else { continue };
                let words = self.part((end, *start)).split_whitespace().count();
                if distance == 0 || words <= distance {
                    found.push(wire::Relation {
                        task_id: self.task.to_owned(),
                        ordinal: number(found.len()),
                        relation_index: small(index),
                        relation: relation.name.clone(),
                        score: own.or(of_task).unwrap_or(SCORE),
                        head: Some(head),
                        tail: Some(tail.clone()),
                    });
                }
            }
        }
        found
    }

    fn arguments(&self, labels: &[wire::Label]) -> Vec<(Place, wire::Argument)> {
        let mut found = Vec::new();
        for (index, label) in labels.iter().enumerate() {
            found.extend(self.places(needle(label)).into_iter().map(|place| {
                let argument = wire::Argument {
                    label_index: small(index),
                    label: label.name.clone(),
                    score: own(label).unwrap_or(SCORE),
                    byte_range: self.bytes(place),
                    codepoint_range: self.codepoints(place),
                    utf16_range: self.utf16(place),
                    text: self.part(place).to_owned(),
                };
                (place, argument)
            }));
        }
        found.sort_by_key(|(place, _)| *place);
        found
    }

    fn classify(&self, task: &wire::ClassifyTask) -> Vec<wire::ClassScore> {
        let of_task = task
            .optional_threshold
            .map(|wire::classify_task::OptionalThreshold::Threshold(value)| value);
        let classes = task.labels.iter().enumerate();
        let classes = classes.filter(|(_, label)| self.text.contains(needle(label)));
        let whole = (0, self.text.len());
        let class = |(ordinal, (index, label)): (usize, (usize, &wire::Label))| wire::ClassScore {
            task_id: self.task.to_owned(),
            ordinal: number(ordinal),
            label_index: small(index),
            label: label.name.clone(),
            score: own(label).or(of_task).unwrap_or(SCORE),
            byte_range: self.bytes(whole),
            codepoint_range: self.codepoints(whole),
            utf16_range: self.utf16(whole),
        };
        let count = if task.multi_label { usize::MAX } else { 1 };
        classes.take(count).enumerate().map(class).collect()
    }

    fn places(&self, needle: &str) -> Vec<Place> {
        self.text.match_indices(needle).map(|(start, found)| (start, start + found.len())).collect()
    }

    fn part(&self, (start, end): Place) -> &str {
        self.text.get(start..end).unwrap()
    }

    fn bytes(&self, place: Place) -> Option<wire::Range> {
        self.range(place, str::len)
    }

    fn codepoints(&self, place: Place) -> Option<wire::Range> {
        self.range(place, |text| text.chars().count())
    }

    fn utf16(&self, place: Place) -> Option<wire::Range> {
        self.range(place, |text| text.encode_utf16().count())
    }

    fn range(&self, (start, end): Place, count: fn(&str) -> usize) -> Option<wire::Range> {
        let at = |place: usize| number(count(self.part((0, place))));
        Some(wire::Range { start: at(start), end: at(end) })
    }
}

fn own(label: &wire::Label) -> Option<f32> {
    label.optional_threshold.map(|wire::label::OptionalThreshold::Threshold(value)| value)
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap()
}

fn small(index: usize) -> i32 {
    i32::try_from(index).unwrap()
}
