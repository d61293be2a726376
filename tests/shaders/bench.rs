//! Runs a shader's cases and keeps what came of them.

use crate::Outcome;
use crate::buffer::{Stored, values};
use crate::shim::{Dispatch, Program};
use candle_core::{Device, Tensor};
use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// What is known of one function.
#[derive(Default)]
pub struct Line {
    pub cases: usize,
    pub largest: f64,
    pub bound: f64,
}

/// A shader's program and what was found so far.
pub struct Bench {
    program: Program,
    /// Numbers for the cases.
    pub rng: ChaCha8Rng,
    /// What to store activations in.
    pub stored: Vec<Stored>,
    pub lines: BTreeMap<String, Line>,
}

impl Bench {
    pub fn new(program: Program, stored: &[Stored]) -> Self {
        Self {
            program,
            rng: ChaCha8Rng::seed_from_u64(5),
            stored: stored.to_vec(),
            lines: BTreeMap::new(),
        }
    }

    /// Whether the shader is one made wrong, of which fewer cases tell.
    pub fn is_spared(&self) -> bool {
        self.stored.len() == 1
    }

    /// So many numbers of ± `size`.
    pub fn random(&mut self, count: usize, size: f32) -> Vec<f32> {
        (0..count)
            .map(|_| self.rng.random_range(-size..size))
            .collect()
    }

    /// Runs a dispatch with threads and groups in two orders; the results must be the same bits.
    pub fn dispatch(
        &mut self,
        function: &str,
        grid: [u32; 3],
        threads: u32,
        shared: &[usize],
        buffers: &mut [Vec<u8>],
    ) -> Outcome<()> {
        let dispatch = Dispatch {
            function,
            grid,
            threads,
            shared,
        };
        let mut again = buffers.to_vec();
        self.program.run(&dispatch, self.rng.random(), buffers)?;
        self.program.run(&dispatch, self.rng.random(), &mut again)?;
        if again != buffers {
            return Err(format!("{function}: another order of threads, another result").into());
        }
        Ok(())
    }

    /// Counts a case and refuses one whose result lies further than `bound` from the reference,
    /// relative to the largest of it.
    pub fn compare(
        &mut self,
        function: &str,
        actual: &[f32],
        expected: &[f32],
        bound: f64,
    ) -> Outcome<()> {
        if actual.len() != expected.len() {
            return Err(
                format!("{function}: {} values for {}", actual.len(), expected.len()).into(),
            );
        }
        let largest = expected.iter().fold(1e-6_f32, |max, x| max.max(x.abs()));
        let (mut difference, mut at) = (0.0_f64, 0);
        for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
            let apart = f64::from((actual - expected).abs() / largest);
            // Not a number stays so, and is above any bound.
            if apart.is_nan() || apart > difference {
                (difference, at) = (apart, index);
            }
            if difference.is_nan() {
                break;
            }
        }
        let line = self.lines.entry(function.to_owned()).or_default();
        line.cases += 1;
        line.largest = line.largest.max(difference);
        line.bound = line.bound.max(bound);
        if difference <= bound {
            Ok(())
        } else {
            let (count, actual, expected) = (actual.len(), actual[at], expected[at]);
            Err(format!(
                "{function}: {difference:e} from the CPU, above {bound:e}: element {at} of {count} \
                 is {actual:e}, not {expected:e}"
            )
            .into())
        }
    }

    /// The same for a tensor, from the bytes that hold the result.
    pub fn compare_stored(
        &mut self,
        function: &str,
        stored: Stored,
        actual: &[u8],
        expected: &Tensor,
        bound: f64,
    ) -> Outcome<()> {
        let expected: Vec<f32> = expected.flatten_all()?.to_vec1()?;
        self.compare(
            function,
            &stored.values(actual),
            &expected,
            stored.bound(bound),
        )
    }

    /// The same where values may be differences of nearly equal numbers: relative to the size of
    /// those, `floor`, at least.
    pub fn compare_above(
        &mut self,
        function: &str,
        stored: Stored,
        actual: &[u8],
        expected: &Tensor,
        floor: f32,
        bound: f64,
    ) -> Outcome<()> {
        let mut actual = stored.values(actual);
        let mut expected: Vec<f32> = expected.flatten_all()?.to_vec1()?;
        actual.push(floor);
        expected.push(floor);
        self.compare(function, &actual, &expected, stored.bound(bound))
    }

    /// The same for f32.
    pub fn compare_f32(
        &mut self,
        function: &str,
        actual: &[u8],
        expected: &Tensor,
        bound: f64,
    ) -> Outcome<()> {
        let expected: Vec<f32> = expected.flatten_all()?.to_vec1()?;
        self.compare(function, &values(actual), &expected, bound)
    }
}

/// A CPU tensor.
pub fn tensor(values: &[f32], shape: (usize, usize)) -> Outcome<Tensor> {
    Ok(Tensor::from_slice(values, shape, &Device::Cpu)?)
}

/// Rows in two dispatches where there are several: from where, and how many. The cut is at a
/// multiple of `tile`.
pub fn cuts(rows: usize, tile: usize) -> Vec<(u32, u32)> {
    let first = rows / 2 / tile * tile;
    let rows = rows as u32;
    let first = first as u32;
    if first == 0 {
        vec![(0, rows)]
    } else {
        // The later part first: neither may write what is the other's.
        vec![(first, rows - first), (0, first)]
    }
}
