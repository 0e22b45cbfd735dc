//! `--threshold 0.4`, or for one task: `--threshold summary=0.3`.

use super::labels::parse_threshold;

/// Names of tasks in `--threshold`, and the flags that ask for them.
pub(super) const TASKS: [(&str, &str); 6] = [
    ("entities", "--labels"),
    ("open", "--open"),
    ("questions", "--ask"),
    ("summary", "--summary"),
    ("relations", "--relations"),
    ("classify", "--classify"),
];

/// The value of one `--threshold`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Threshold {
    /// Name of the task, one of [`TASKS`]; every task that was asked for when absent.
    pub(super) task: Option<&'static str>,
    /// Least score.
    pub(super) score: f32,
}

/// Reads the value of `--threshold`.
pub(super) fn parse_task_threshold(text: &str) -> Result<Threshold, String> {
    let Some((name, score)) = text.split_once('=') else {
        return Ok(Threshold { task: None, score: parse_threshold(text)? });
    };
    let known = TASKS.iter().map(|(task, _)| *task);
    let task = known.clone().find(|task| *task == name.trim()).ok_or_else(|| {
        let names = known.collect::<Vec<_>>().join(", ");
        format!(
            "`{}` is no task; write 0.4 for all tasks, or TASK=0.4 with one of {names}",
            name.trim()
        )
    })?;
    Ok(Threshold { task: Some(task), score: parse_threshold(score)? })
}

/// The threshold of a task: the last one that names it, or else the last one for all.
pub(super) fn of_task(thresholds: &[Threshold], task: &str) -> Option<f32> {
    let last = |wanted: Option<&str>| {
        thresholds.iter().rev().find(|threshold| threshold.task == wanted).map(|found| found.score)
    };
    last(Some(task)).or_else(|| last(None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_for_all_and_a_named_one_wins() {
        let read = |texts: &[&str]| -> Vec<Threshold> {
            texts.iter().map(|text| parse_task_threshold(text).unwrap()).collect()
        };
        let given = read(&["summary=0.3", "0.4", " open = 0.5", "0.6", "open=0.7"]);
        assert_eq!(of_task(&given, "summary"), Some(0.3));
        assert_eq!(of_task(&given, "open"), Some(0.7));
        assert_eq!(of_task(&given, "entities"), Some(0.6));
        assert_eq!(of_task(&read(&["open=0.7"]), "entities"), None);
    }

    #[test]
    fn says_what_to_write_instead() {
        let refused = |text: &str| parse_task_threshold(text).unwrap_err();
        assert_eq!(
            refused("persons=0.4"),
            "`persons` is no task; write 0.4 for all tasks, or TASK=0.4 with one of \
             entities, open, questions, summary, relations, classify"
        );
        assert_eq!(
            refused("open=1"),
            "`1` is no threshold: it is more than 0 and less than 1, such as 0.4"
        );
        assert!(refused("high").starts_with("`high` is no threshold"));
    }
}
