//! The model that we ship, against the goldens of `make_golden.py`: whole texts of many scripts, four label sets.

use crate::golden::{DEFAULT, Golden};
use crate::spans::{check_spans, check_words};
use crate::stages::{check_pieces, check_probabilities, check_stages};

#[test]
fn the_default_model_answers_as_the_reference_does() {
    let golden = Golden::load(DEFAULT);
    let (mut staged, mut shifted, mut found) = (0, 0, 0);
    for (at, case) in golden.cases.iter().enumerate() {
        for row in 0..case.rows() {
            check_words(&golden, case, row);
            check_pieces(&golden, case, row);
            let window = golden.window(case, row);
            let scores = golden.model.scorer().score(&[&window]).unwrap().remove(0);
            check_probabilities(&golden, at, case, row, &scores);
            found += check_spans(&golden, case, row, &scores);
            shifted += usize::from(case.shifts_words(row));
            if golden.tensor(at, "encoder").is_some() {
                check_stages(&golden, at, case, row);
                staged += 1;
            }
        }
    }
    assert!(golden.cases.len() >= 60 && staged >= 2 && shifted >= 20 && found >= 5000);
}
