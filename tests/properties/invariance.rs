//! P1 and P2: neither cuts nor order nor polling change a result.

use proptest::prelude::*;

use crate::driver::{play_plainly, play_randomly};
use crate::generate::{ask, plan, plan_with, wild};
use crate::toy::Sight;
use gleand::pipeline::plan::WindowPolicy;

proptest! {
    #![proptest_config(crate::cases())]

    /// Scores depend on the whole window, so that any other window would show.
    #[test]
    fn p1_p2_neither_chunks_nor_order_nor_polling_change_a_result(
        ask in ask(), script in wild(), seed in any::<u64>()
    ) {
        let plan = plan(&ask);
        let plain = play_plainly(&plan, &script, Sight::Window);
        let random = play_randomly(&plan, &script, Sight::Window, seed);
        prop_assert_eq!(plain.lines(), random.lines());
        prop_assert_eq!(plain.summary, random.summary);
    }

    /// The same with windows that pieces cut, not words, and bounds that are reached all the time.
    #[test]
    fn p1_p2_hold_where_pieces_cut_windows_and_bounds_are_reached(
        ask in ask(), script in wild(), seed in any::<u64>(), pieces in 40usize..90
    ) {
        let policy = WindowPolicy {
            pieces_max: Some(pieces),
            text_words_min: Some(4),
            word_pieces_max: 3,
            word_bytes_max: crate::generate::WORD_BYTES_MAX,
            candidates_max: 5,
            windows_in_flight_max: ask.windows_in_flight_max,
            ..WindowPolicy::default()
        };
        let plan = plan_with(&ask, policy);
        let plain = play_plainly(&plan, &script, Sight::Window);
        for window in &plain.windows {
            prop_assert!(window.cost() <= pieces, "{} of {pieces}", window.cost());
            prop_assert!(window.words() <= ask.words_max);
        }
        let random = play_randomly(&plan, &script, Sight::Window, seed);
        prop_assert_eq!(plain.lines(), random.lines());
        prop_assert_eq!(plain.summary, random.summary);
    }
}
