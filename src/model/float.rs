//! Functions of single numbers and of rows, without branches or calls, so that loops over them vectorise.

/// Partial results of a reduction: a fixed number, so that a row's bits do not depend on the processor.
const LANES: usize = 16;

/// `exp(x)` to about 2 ulp between -87 and 88, clamped outside. Cephes' `expf`: <https://www.netlib.org/cephes/>.
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "the constants as published")]
pub(super) fn exp(x: f32) -> f32 {
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest whole number, and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_375 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_150_0e-4;
    p = p * r + 1.398_199_950_7e-3;
    p = p * r + 8.333_451_907_3e-3;
    p = p * r + 4.166_579_589_4e-2;
    p = p * r + 1.666_666_545_9e-1;
    p = p * r + 5.000_000_120_1e-1;
    let e = p * (r * r) + r + 1.0;
    e * f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000))
}

/// The logistic function.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, to about 1e-7 of one.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    2.0 / (1.0 + exp(-2.0 * x)) - 1.0
}

/// GELU with the exact error function, approximated to 3e-7 (Abramowitz and Stegun 7.1.26).
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "the constants as published")]
pub(super) fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let mut p = 1.061_405_429;
    p = p * t - 1.453_152_027;
    p = p * t + 1.421_413_741;
    p = p * t - 0.284_496_736;
    p = p * t + 0.254_829_592;
    let erf = 1.0 - p * t * exp(-z * z);
    0.5 * (x + x.abs() * erf)
}

/// The sum of a row.
pub(super) fn sum(row: &[f32]) -> f32 {
    reduce(row, 0.0, |sum, x| sum + x, |sum, x| sum + x)
}

/// The sum of the squares of a row.
pub(super) fn sum_of_squares(row: &[f32]) -> f32 {
    reduce(row, 0.0, |sum, x| sum + x * x, |sum, x| sum + x)
}

/// The largest value of a row.
pub(super) fn largest(row: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    reduce(row, f32::NEG_INFINITY, larger, larger)
}

#[inline(always)]
fn reduce(
    row: &[f32],
    zero: f32,
    take: impl Fn(f32, f32) -> f32,
    join: impl Fn(f32, f32) -> f32,
) -> f32 {
    let mut lanes = [zero; LANES];
    let blocks = row.chunks_exact(LANES);
    let rest = blocks.remainder();
    for block in blocks {
        for (lane, x) in lanes.iter_mut().zip(block) {
            *lane = take(*lane, *x);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane = take(*lane, *x);
    }
    lanes.into_iter().fold(zero, join)
}

#[cfg(test)]
mod tests {
    use super::{exp, gelu, sigmoid, sum, tanh};

    /// The worst distance of `approximation` from `exact` on a grid, relative where values are large.
    fn worst(from: f32, to: f32, approximation: fn(f32) -> f32, exact: fn(f64) -> f64) -> f64 {
        const STEPS: u16 = 50_000;
        (0..=STEPS)
            .map(|step| from + (to - from) * f32::from(step) / f32::from(STEPS))
            .map(|x| {
                let exact = exact(f64::from(x));
                (f64::from(approximation(x)) - exact).abs() / exact.abs().max(1.0)
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn approximations_are_as_close_as_fp32_needs() {
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        assert!(worst(-87.0, 0.0, exp, f64::exp) < 2e-7);
        assert!(worst(0.0, 87.0, exp, f64::exp) < 5e-7);
        assert!(worst(-90.0, 90.0, sigmoid, logistic) < 3e-7);
        assert!(worst(-20.0, 20.0, tanh, f64::tanh) < 4e-7);
    }

    #[test]
    fn gelu_is_the_exact_one_and_not_the_tanh_form() {
        // scipy.special.erf, 0.5 x (1 + erf(x / sqrt 2)); the tanh form differs by up to 5e-4.
        let expected = [
            (-6.0, -5.919_525e-9),
            (-2.3, -0.024_665_453),
            (-1.0, -0.158_655_25),
            (-0.1, -0.046_017_216),
            (0.0, 0.0),
            (0.5, 0.345_731_23),
            (2.3, 2.275_334_5),
            (8.0, 8.0),
        ];
        for (x, y) in expected {
            assert!((gelu(x) - y).abs() < 1e-6, "gelu({x}) = {}, expected {y}", gelu(x));
        }
    }

    #[test]
    fn a_row_shorter_than_the_lanes_is_summed() {
        assert!((sum(&[1.0, 2.0, 3.5]) - 6.5).abs() < 1e-6);
    }
}
