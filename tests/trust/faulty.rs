//! The daemon with a scorer that misbehaves on marked text: `zzpanic` panics, `zzerror` is an error, `zzspin` never ends.
//! Everything else is the real thing. `tests/trust` runs it; see `gleand::app::Wrap`.

use std::process::ExitCode;
use std::sync::OnceLock;

use gleand::app;
use gleand::cli;
use gleand::model::Model;
use gleand::pipeline::ports::{ScoreError, Scorer};
use gleand::pipeline::scores::{Scores, WindowInput};

/// Pieces of the three words, as the default model reads them.
static MARKS: OnceLock<[Vec<u32>; 3]> = OnceLock::new();

struct Faulty(Box<dyn Scorer>);

impl Scorer for Faulty {
    fn score(&mut self, batch: &[&WindowInput]) -> Result<Vec<Scores>, ScoreError> {
        let [panic, error, spin] = MARKS.get().expect("set in main");
        let marked = |mark: &[u32]| {
            batch.iter().any(|window| window.pieces.windows(mark.len()).any(|part| part == mark))
        };
        // As a careless library would: with what it was given in the message.
        assert!(
            !marked(panic),
            "cannot score the text zzpanic canarypayload {:?}",
            batch[0].pieces
        );
        if marked(error) {
            return Err(ScoreError { windows: batch.len(), source: "planted".into() });
        }
        while marked(spin) {
            std::hint::spin_loop();
        }
        self.0.score(batch)
    }
}

fn main() -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("the first");
    let model = Model::embedded().expect("the default model");
    let encoder = model.encoder();
    let marks = ["zzpanic", "zzerror", "zzspin"].map(|word| encoder.pieces(word));
    assert!(MARKS.set(marks).is_ok(), "set once");
    let composition = cli::Composition {
        serve: |loaded| Box::pin(app::serve(loaded, |scorer| Box::new(Faulty(scorer)))),
        ..app::composition()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let exit = runtime.block_on(cli::run(std::env::args_os(), composition));
    runtime.shutdown_background();
    exit
}
