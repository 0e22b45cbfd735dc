//! The bidirectional LSTM over a window's words.
//!
//! Reference: `torch.nn.LSTM` over packed sequences, so the backward direction starts at the last real word. The input
//! products run on the device; the recurrence runs on the host on every device, because one step (a row times a matrix)
//! is far smaller than the launch of a kernel. The two directions run side by side.

use candle_core::{Result, Tensor};

use super::error::Loaded;
use super::float::{sigmoid, tanh};
use super::layers::Linear;
use super::weights::Scope;

/// All layers, each over both directions of the layer before.
#[derive(Clone)]
pub(super) struct BiLstm {
    layers: Vec<Layer>,
}

#[derive(Clone)]
struct Layer {
    forward: Direction,
    backward: Direction,
}

#[derive(Clone)]
struct Direction {
    // (width, 4 * half), gates input, forget, cell, output; both biases are in it
    input: Linear,
    // (half, 4 * half): row k is what component k of the state adds to the gates
    state: Vec<f32>,
    half: usize,
}

impl BiLstm {
    /// Loads `layers` layers that keep `width`.
    pub(super) fn load(scope: &Scope<'_>, layers: usize, width: usize) -> Loaded<Self> {
        let layers = (0..layers)
            .map(|layer| {
                Ok(Layer {
                    forward: Direction::load(scope, &format!("l{layer}"), width)?,
                    backward: Direction::load(scope, &format!("l{layer}_reverse"), width)?,
                })
            })
            .collect::<Loaded<_>>()?;
        Ok(Self { layers })
    }

    /// `(words, width)` to `(words, width)`.
    pub(super) fn forward(&self, words: Tensor) -> Result<Tensor> {
        self.layers.iter().try_fold(words, |words, layer| layer.forward(&words))
    }
}

impl Layer {
    fn forward(&self, words: &Tensor) -> Result<Tensor> {
        let (n_words, width) = words.dims2()?;
        let forward: Vec<f32> = self.forward.input.forward(words)?.flatten_all()?.to_vec1()?;
        let backward: Vec<f32> = self.backward.input.forward(words)?.flatten_all()?.to_vec1()?;
        let (forward, backward) = rayon::join(
            || self.forward.run(&forward, 0..n_words),
            || self.backward.run(&backward, (0..n_words).rev()),
        );
        let half = self.forward.half;
        let mut states = Vec::with_capacity(n_words * width);
        for (forward, backward) in forward.chunks_exact(half).zip(backward.chunks_exact(half)) {
            states.extend_from_slice(forward);
            states.extend_from_slice(backward);
        }
        Tensor::from_vec(states, (n_words, width), words.device())
    }
}

impl Direction {
    fn load(scope: &Scope<'_>, suffix: &str, width: usize) -> Loaded<Self> {
        let half = width / 2;
        let gates = 4 * half;
        let input = scope.tensor(&format!("weight_ih_{suffix}"), &[gates, width])?;
        let state = scope.tensor(&format!("weight_hh_{suffix}"), &[gates, half])?;
        let input_bias = scope.tensor(&format!("bias_ih_{suffix}"), &[gates])?;
        let state_bias = scope.tensor(&format!("bias_hh_{suffix}"), &[gates])?;
        Ok(Self {
            input: Linear::new(&input, (input_bias + state_bias)?)?,
            state: state.t()?.contiguous()?.flatten_all()?.to_vec1()?,
            half,
        })
    }

    /// States of all words, visited in `order`; `inputs` holds four gates a word.
    fn run(&self, inputs: &[f32], order: impl Iterator<Item = usize>) -> Vec<f32> {
        let (half, gates) = (self.half, 4 * self.half);
        let mut states = vec![0.0; inputs.len() / 4];
        let mut state = vec![0.0; half];
        let mut cell = vec![0.0; half];
        let mut sums = vec![0.0; gates];
        for word in order {
            sums.copy_from_slice(&inputs[word * gates..(word + 1) * gates]);
            self.add_state(&state, &mut sums);
            step(&sums, &mut cell, &mut state);
            states[word * half..(word + 1) * half].copy_from_slice(&state);
        }
        states
    }

    /// Adds the product of the state to the gates, four components at a time to spare passes over the sums.
    fn add_state(&self, state: &[f32], sums: &mut [f32]) {
        let gates = sums.len();
        let mut rows = self.state.chunks_exact(4 * gates);
        let mut components = state.chunks_exact(4);
        for (rows, s) in rows.by_ref().zip(components.by_ref()) {
            let (a, rest) = rows.split_at(gates);
            let (b, rest) = rest.split_at(gates);
            let (c, d) = rest.split_at(gates);
            for ((((sum, a), b), c), d) in sums.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *sum += (s[0] * a + s[1] * b) + (s[2] * c + s[3] * d);
            }
        }
        for (row, s) in rows.remainder().chunks_exact(gates).zip(components.remainder()) {
            for (sum, weight) in sums.iter_mut().zip(row) {
                *sum += s * weight;
            }
        }
    }
}

/// One word: gates to the next cell and state.
fn step(sums: &[f32], cell: &mut [f32], state: &mut [f32]) {
    let half = cell.len();
    let (input, rest) = sums.split_at(half);
    let (forget, rest) = rest.split_at(half);
    let (update, output) = rest.split_at(half);
    let gates = input.iter().zip(forget).zip(update).zip(output);
    for ((((i, f), u), o), (cell, state)) in gates.zip(cell.iter_mut().zip(state)) {
        *cell = sigmoid(*f) * *cell + sigmoid(*i) * tanh(*u);
        *state = sigmoid(*o) * tanh(*cell);
    }
}
