//! P1, P2, P5 and P6 of every task, alone and beside others.

use gleand::pipeline::finding::Finding;
use gleand::pipeline::plan::WindowPolicy;
use gleand::pipeline::request::{
    ClassifyRequest, OpenRequest, QuestionRequest, QuestionsRequest, RelationRequest,
    RelationsRequest, SummaryRequest, TaskRequest,
};
use gleand::pipeline::schema::{LabelsPerSpan, Overlap};
use proptest::prelude::*;

use crate::driver::{play_plainly, play_randomly};
use crate::generate::{Ask, ask, entities, label, plan_of, policy, tame, wild};
use crate::oracle;
use crate::toy::Sight;

fn question(number: usize) -> QuestionRequest {
    let text = ["who", "what now", "which ship"][number % 3].to_owned();
    QuestionRequest { text, threshold: None }
}

fn questions(count: usize, answers_max: i32) -> TaskRequest {
    let questions = (0..count).map(question).collect();
    TaskRequest::Questions(QuestionsRequest { questions, threshold: None, answers_max })
}

fn relation(name: &str, heads: &[&str], tails: &[&str]) -> RelationRequest {
    let labels = |names: &[&str]| names.iter().map(|name| label(name)).collect();
    RelationRequest { label: label(name), heads: labels(heads), tails: labels(tails) }
}

fn relations(distance_words_max: i32, overlap: Overlap) -> TaskRequest {
    TaskRequest::Relations(RelationsRequest {
        relations: vec![
            relation("of", &["person"], &["ship"]),
            relation("on", &[], &["ship", "date"]),
        ],
        threshold: None,
        argument_threshold: None,
        distance_words_max,
        overlap,
    })
}

/// Any task of any kind; windows of eight words leave room for what stands before the text.
fn task(ask: &Ask) -> impl Strategy<Value = TaskRequest> + use<> {
    let ask = ask.clone();
    let overlap = ask.overlap;
    prop_oneof![
        Just(entities(&ask)),
        Just(TaskRequest::Open(OpenRequest {
            instruction: "all ships".to_owned(),
            threshold: None,
            overlap,
        })),
        (1usize..4, 0i32..4).prop_map(|(count, max)| questions(count, max)),
        (prop_oneof![Just(0), 1..40], any::<bool>()).prop_map(|(words_max, whole_sentences)| {
            TaskRequest::Summary(SummaryRequest {
                threshold: Some(0.5),
                words_max,
                whole_sentences,
            })
        }),
        any::<bool>().prop_map(|multi_label| TaskRequest::Classify(ClassifyRequest {
            labels: vec![label("a"), label("b c"), label("d")],
            threshold: Some(0.3),
            multi_label,
        })),
        (prop_oneof![Just(0), 1..20]).prop_map(move |distance| relations(distance, overlap)),
    ]
}

/// Room for the longest text that a task puts before a window.
fn roomy(ask: &Ask) -> Ask {
    Ask { words_max: ask.words_max + 16, ..ask.clone() }
}

proptest! {
    #![proptest_config(crate::cases())]

    /// Scores depend on the whole window, so that any other window would show.
    #[test]
    fn p1_p2_p6_neither_chunks_nor_order_nor_polling_change_a_result_of_any_task(
        (ask, tasks) in ask().prop_map(|ask| roomy(&ask)).prop_flat_map(|ask| {
            (Just(ask.clone()), prop::collection::vec(task(&ask), 1..4))
        }),
        script in wild(),
        seed in any::<u64>(),
    ) {
        let plan = plan_of(&tasks, &ask, policy(&ask));
        let plain = play_plainly(&plan, &script, Sight::Window);
        let random = play_randomly(&plan, &script, Sight::Window, seed);
        prop_assert_eq!(plain.lines_by_task(), random.lines_by_task());
        prop_assert_eq!(plain.summary, random.summary);
    }

    /// A task finds the same beside any other.
    #[test]
    fn p3_no_task_changes_the_results_of_another(
        (ask, tasks) in ask().prop_map(|ask| roomy(&ask)).prop_flat_map(|ask| {
            (Just(ask.clone()), prop::collection::vec(task(&ask), 2..4))
        }),
        script in wild(),
        seed in any::<u64>(),
    ) {
        let together = play_randomly(&plan_of(&tasks, &ask, policy(&ask)), &script, Sight::Window, seed);
        for (at, lines) in together.lines_by_task().into_iter().enumerate() {
            let alone = plan_of(&tasks[at..=at], &ask, policy(&ask));
            let alone = play_plainly(&alone, &script, Sight::Window);
            prop_assert_eq!(&alone.lines_by_task()[0], &lines);
        }
    }

    /// Scores depend on the word alone, so windows must not show in the best answers of the whole text.
    #[test]
    fn p5_the_best_answers_are_those_of_the_whole_text(
        (ask, script) in ask().prop_map(|ask| roomy(&ask)).prop_flat_map(|ask| (Just(ask.clone()), tame(&ask))),
        answers_max in 1usize..5,
        seed in any::<u64>(),
    ) {
        let ask = Ask { overlap: Overlap::Flat, labels_per_span: LabelsPerSpan::One, ..ask };
        let plan = plan_of(&[questions(2, i32::try_from(answers_max).unwrap())], &ask, policy(&ask));
        let played = play_randomly(&plan, &script, Sight::Word, seed);
        let mut truth = oracle::extract_labels(&script, &ask, &["answer"]).mentions;
        truth.sort_by(|a, b| b.3.total_cmp(&a.3).then(a.0.cmp(&b.0)));
        truth.truncate(answers_max);
        for number in 0..2 {
            let answers = played.found.iter().filter_map(|found| match &found.finding {
                Finding::Answer(answer) if answer.question == number => Some(answer),
                _ => None,
            });
            let answers: Vec<_> = answers.collect();
            prop_assert!(answers.iter().enumerate().all(|(rank, answer)| answer.rank == rank));
            let best = answers.iter().filter_map(|answer| answer.best.as_ref());
            let best: Vec<_> = best
                .map(|(score, span)| (span.range.start.bytes, span.range.end.bytes, 0, *score))
                .collect();
            prop_assert_eq!(answers.len(), truth.len().max(1), "no answer is told as one");
            prop_assert_eq!(&best, &truth);
        }
    }

    /// Relations of neighbouring arguments are those of the whole text: no window loses or doubles one.
    #[test]
    fn p5_relations_are_those_of_the_whole_text(
        (ask, script) in ask().prop_map(|ask| roomy(&ask)).prop_flat_map(|ask| {
            // A pair of two narrow arguments and one word between them has room behind every core, of which a quarter
            // of the window is the most.
            let ask = Ask { mention_words_max: 2, words_max: ask.words_max + 16, ..ask };
            (Just(ask.clone()), tame(&ask))
        }),
        seed in any::<u64>(),
    ) {
        let ask = Ask { overlap: Overlap::Flat, labels_per_span: LabelsPerSpan::One, ..ask };
        let policy = WindowPolicy { mention_words_max: Some(6), margin_words: Some(6), ..policy(&ask) };
        // Without flushes, behind which nothing is seen.
        let script = crate::generate::Script { flushes: Vec::new(), ..script };
        let request = TaskRequest::Relations(RelationsRequest {
            relations: vec![relation("of", &["person"], &["ship", "person"])],
            threshold: None,
            argument_threshold: None,
            distance_words_max: 1,
            overlap: Overlap::Flat,
        });
        let plan = plan_of(&[request], &ask, policy);
        let played = play_randomly(&plan, &script, Sight::Word, seed);
        let limited = played.summary.tasks[0].relations_limited > 0;
        let found: Vec<_> = played.found.iter().filter_map(|found| match &found.finding {
            Finding::Relation(relation) => Some([&relation.head, &relation.tail].map(|argument| {
                let range = argument.span.range;
                (range.start.bytes, range.end.bytes, argument.label)
            })),
            _ => None,
        }).collect();
        let truth = oracle::relations(&script, &ask, &["person", "ship"], "of", 1);
        if limited {
            prop_assert!(found.iter().all(|pair| truth.contains(pair)));
        } else {
            prop_assert_eq!(found, truth);
        }
    }

    /// A summary is that of the whole text, also where its spans are widened and only the best are kept.
    #[test]
    fn p5_a_summary_is_that_of_the_whole_text(
        (ask, script) in ask().prop_map(|ask| roomy(&ask)).prop_flat_map(|ask| {
            (Just(ask.clone()), tame(&ask))
        }),
        whole_sentences in any::<bool>(),
        words_max in prop_oneof![Just(0_usize), 1..60_usize],
        seed in any::<u64>(),
    ) {
        let ask = Ask { overlap: Overlap::Flat, labels_per_span: LabelsPerSpan::One, ..ask };
        let request = TaskRequest::Summary(SummaryRequest {
            threshold: Some(0.5),
            words_max: i32::try_from(words_max).unwrap(),
            whole_sentences,
        });
        let plan = plan_of(&[request], &ask, policy(&ask));
        let played = play_randomly(&plan, &script, Sight::Word, seed);
        let found = played.found.iter().filter_map(|found| match &found.finding {
            Finding::Summary(found) => {
                let range = found.span.range;
                Some((range.start.bytes, range.end.bytes, found.score))
            }
            _ => None,
        });
        let truth = oracle::summary(&script, &ask, whole_sentences, words_max);
        prop_assert_eq!(found.collect::<Vec<_>>(), truth);
    }
}
