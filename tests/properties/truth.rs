//! P4 to P8 against the oracle: the windowed document says what the whole text says.

use proptest::prelude::*;

use crate::driver::play_randomly;
use crate::generate::{FAR, ask, plan, tame};
use crate::oracle;
use crate::toy::Sight;

proptest! {
    #![proptest_config(crate::cases())]

    /// Scores depend on the word alone and no span is wider than promised, so windows must not show.
    #[test]
    fn p5_p6_windows_find_exactly_what_the_whole_text_has(
        (ask, script) in ask().prop_flat_map(|ask| (Just(ask.clone()), tame(&ask))),
        seed in any::<u64>(),
    ) {
        let played = play_randomly(&plan(&ask), &script, Sight::Word, seed);
        let truth = oracle::extract(&script, &ask);
        let found: Vec<oracle::Found> = played
            .mentions()
            .iter()
            .map(|m| (m.span.range.start.bytes, m.span.range.end.bytes, m.label, m.score))
            .collect();
        prop_assert_eq!(found, truth.mentions);
        prop_assert_eq!(played.summary.words, truth.words as u64, "every word is read");
        prop_assert_eq!(played.summary.received.bytes, script.bytes.len() as u64);
    }

    /// Every mention slices back to its text in three units.
    #[test]
    fn p8_offsets_slice_back_in_bytes_code_points_and_utf16(
        (ask, script) in ask().prop_flat_map(|ask| (Just(ask.clone()), tame(&ask))),
        seed in any::<u64>(),
    ) {
        let played = play_randomly(&plan(&ask), &script, Sight::Word, seed);
        let text = String::from_utf8_lossy(&script.bytes);
        let chars: Vec<char> = text.chars().collect();
        let utf16: Vec<u16> = text.encode_utf16().collect();
        for mention in played.mentions().into_iter().map(|mention| &mention.span) {
            let (start, end) = (mention.range.start, mention.range.end);
            let by_chars: String = chars[start.chars as usize..end.chars as usize].iter().collect();
            let Some(expected) = mention.text.clone() else {
                prop_assert!(by_chars.contains(FAR), "only a mention with a hole has no text");
                continue;
            };
            prop_assert_eq!(&by_chars, &expected);
            let by_utf16 = String::from_utf16(&utf16[start.utf16 as usize..end.utf16 as usize]).unwrap();
            prop_assert_eq!(&by_utf16, &expected);
            if !expected.contains('\u{fffd}') {
                let by_bytes = &script.bytes[start.bytes as usize..end.bytes as usize];
                prop_assert_eq!(by_bytes, expected.as_bytes());
            }
        }
    }
}
