//! Plain loops compiled for the widest vector unit that the processor has.

use pulp::{Arch, NullaryFnOnce};

/// Runs `work`, a closure marked `#[inline(always)]`, in the widest vectors of this processor.
///
/// A loop takes on the vector unit of the function that it is inlined into. [`Arch::dispatch`] calls
/// a closure by `FnOnce::call_once`, which for a closure that could be called twice is a function of
/// the compiler's own: where it was left standing alone, the loop inside ran in vectors of four.
/// Calling such a closure as what it is leaves nothing in between.
#[inline(always)]
pub(crate) fn vectorised<T>(work: impl FnMut() -> T) -> T {
    Arch::new().dispatch(Work(work))
}

struct Work<F>(F);

impl<T, F: FnMut() -> T> NullaryFnOnce for Work<F> {
    type Output = T;

    #[inline(always)]
    fn call(mut self) -> T {
        (self.0)()
    }
}

#[cfg(test)]
mod tests {
    use super::vectorised;
    use crate::exp::sigmoid;
    use std::hint::black_box;
    use std::time::{Duration, Instant};

    /// A loop of the size of the larger kernels', which is what the compiler left standing alone.
    #[inline(always)]
    fn slopes(gate: &[f32], up: &[f32], dgate: &mut [f32], dup: &mut [f32]) {
        for i in 0..dgate.len() {
            let sigmoid = sigmoid(gate[i]);
            let silu = gate[i] * sigmoid;
            dup[i] = up[i] * silu;
            dgate[i] = up[i] * gate[i] * (sigmoid + silu * (1.0 - sigmoid));
        }
    }

    /// The shortest of many tries, which neighbours do not lengthen.
    fn shortest(mut work: impl FnMut()) -> Duration {
        let time = |_| {
            let started = Instant::now();
            work();
            started.elapsed()
        };
        (0..400).map(time).min().unwrap_or_default()
    }

    #[test]
    #[ignore = "a measurement: --ignored --nocapture on an idle machine"]
    #[expect(clippy::print_stderr, reason = "its result")]
    fn speed_of_wide_vectors() {
        let values: Vec<f32> = (0..4096).map(|i| i as f32 / 1000.0 - 2.0).collect();
        let (mut dgate, mut dup) = (vec![0.0; 4096], vec![0.0; 4096]);
        let narrow = shortest(|| {
            slopes(black_box(&values), &values, &mut dgate, &mut dup);
            black_box((&mut dgate, &mut dup));
        });
        let expected = (dgate.clone(), dup.clone());
        let wide = shortest(|| {
            let values = black_box(&values);
            vectorised(
                #[inline(always)]
                || slopes(values, values, &mut dgate, &mut dup),
            );
            black_box((&mut dgate, &mut dup));
        });
        assert_eq!((dgate, dup), expected);
        eprintln!("wide {wide:?}, narrow {narrow:?}");
    }
}
