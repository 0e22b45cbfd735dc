//! A toy model: pieces and scores are hashes, so they are the same everywhere and mean nothing.

use gleand::pipeline::ports::{
    Encoder, LabelError, ModelFacts, ScoreMode, TaskThresholds, TaskWindows,
};
use gleand::pipeline::scores::{Prompt, Scores, WindowInput};

pub(crate) fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

#[derive(Debug)]
pub(crate) struct ToyEncoder;

impl Encoder for ToyEncoder {
    /// One to four pieces, the full stop always piece 1; zero-width and control characters have none.
    fn pieces(&self, word: &str) -> Vec<u32> {
        if word == "." {
            return vec![1];
        }
        if word.chars().all(|c| c.is_control() || c == '\u{200b}') {
            return Vec::new();
        }
        let h = hash(word.bytes());
        (0..1 + h % 4).map(|i| 2 + (h >> (8 * i)) as u32 % 60_000).collect()
    }

    fn unknown_piece(&self) -> Option<u32> {
        None
    }

    fn label_pieces(&self, label: &str) -> Result<Vec<u32>, LabelError> {
        Ok(self.pieces(label))
    }

    fn prompt(&self, labels: &[&str]) -> Prompt {
        let mut head = vec![0];
        let mut label_positions = Vec::new();
        for label in labels {
            label_positions.push(head.len() as u32);
            head.push(label.len() as u32);
            head.extend(self.pieces(label));
        }
        Prompt { head, label_positions, tail: vec![0] }
    }
}

pub(crate) fn facts(words_max: usize) -> ModelFacts {
    ModelFacts {
        words_max,
        pieces_max: None,
        labels_per_pass: 2,
        score_mode: ScoreMode::Min,
        thresholds: TaskThresholds::default(),
        windows: TaskWindows::default(),
    }
}

/// What a toy model looks at when it scores a word.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sight {
    /// The word alone, so that windows cannot matter.
    Word,
    /// The whole window and the place in it, so that any other window gives other scores.
    Window,
}

/// Start, end and inside probability of a word; the full stop is inside of nothing.
pub(crate) fn cell(pieces: &[u32], label: u64, context: u64) -> [f32; 3] {
    let h =
        hash(pieces.iter().flat_map(|p| p.to_le_bytes()).chain((label ^ context).to_le_bytes()));
    // Few distinct values, so that ties are the rule.
    let part = |shift: u64| [0.1, 0.4, 0.6, 0.7, 0.7, 0.9][((h >> shift) % 6) as usize];
    if pieces == [1] { [0.2, 0.2, 0.2] } else { [part(3), part(17), part(31).max(0.4)] }
}

pub(crate) fn score(input: &WindowInput, sight: Sight) -> Scores {
    let prompt = &input.prompt;
    let all = hash(input.pieces.iter().flat_map(|p| p.to_le_bytes()));
    let mut values = Vec::new();
    let mut from = 0;
    for (place, &end) in input.word_ends.iter().enumerate() {
        let pieces = &input.pieces[from as usize..end as usize];
        from = end;
        for (label, &at) in prompt.label_positions.iter().enumerate() {
            let next =
                prompt.label_positions.get(label + 1).map_or(prompt.head.len(), |&n| n as usize);
            let name =
                hash(prompt.head[at as usize + 1..next].iter().flat_map(|p| p.to_le_bytes()));
            let context = match sight {
                Sight::Word => 0,
                Sight::Window => all ^ place as u64,
            };
            values.extend(cell(pieces, name, context));
        }
    }
    Scores::new(input.words(), prompt.labels(), values).unwrap()
}
