//! The same numbers through the same operations on two devices.

use attune_engine::GpuBackendKind;
use candle_core::{DType, Device, Result, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Sums in another order, and a GPU's own `exp` and `tanh`. TF32 would not pass.
const TOLERANCE: f32 = 2e-4;

/// Seeded tensors on one device.
pub struct Inputs {
    pub device: Device,
    rng: ChaCha8Rng,
}

impl Inputs {
    fn new(device: Device) -> Self {
        Self {
            device,
            rng: ChaCha8Rng::seed_from_u64(7),
        }
    }

    /// `rows × columns` of ±1.
    pub fn matrix(&mut self, rows: usize, columns: usize) -> Result<Tensor> {
        self.vector(rows * columns)?.reshape((rows, columns))
    }

    /// `count` of ±1.
    pub fn vector(&mut self, count: usize) -> Result<Tensor> {
        let values = (0..count).map(|_| self.rng.random_range(-1.0_f32..1.0));
        Tensor::from_vec(values.collect(), count, &Device::Cpu)?.to_device(&self.device)
    }

    /// Zeros.
    pub fn zeros(&self, shape: impl Into<candle_core::Shape>) -> Result<Tensor> {
        Tensor::zeros(shape, DType::F32, &self.device)
    }
}

/// Runs `case` on the CPU and on a device of this kind, and compares all that it returns.
pub fn compare(kind: GpuBackendKind, case: impl Fn(&mut Inputs) -> Result<Vec<Tensor>>) {
    let run = |device| case(&mut Inputs::new(device)).unwrap();
    let expected = run(Device::Cpu);
    let computed = run(kind.open().unwrap());
    assert_eq!(computed.len(), expected.len());
    for (index, (computed, expected)) in computed.iter().zip(&expected).enumerate() {
        assert_eq!(computed.shape(), expected.shape(), "result {index}");
        let difference = difference(computed, expected);
        assert!(
            difference < TOLERANCE,
            "result {index} is {difference} apart, of the largest value"
        );
    }
}

/// Largest difference, relative to the largest expected value. What is infinite must be in both.
fn difference(computed: &Tensor, expected: &Tensor) -> f32 {
    let values = |x: &Tensor| -> Vec<f32> {
        let x = x.to_device(&Device::Cpu).unwrap();
        let x = x.to_dtype(DType::F32).unwrap().flatten_all().unwrap();
        x.to_vec1().unwrap()
    };
    let (computed, expected) = (values(computed), values(expected));
    let largest = expected.iter().fold(1e-6_f32, |max, x| max.max(x.abs()));
    let apart = computed.iter().zip(&expected).map(|(a, b)| {
        let apart = if a == b { 0.0 } else { (a - b).abs() };
        if apart.is_nan() { f32::INFINITY } else { apart }
    });
    apart.fold(0.0, f32::max) / largest
}

/// A number that a device returned, to be compared with the others.
pub fn number(value: f64) -> Result<Tensor> {
    Tensor::new(&[value as f32], &Device::Cpu)
}

/// Numbers likewise.
pub fn numbers(values: impl IntoIterator<Item = f64>) -> Result<Tensor> {
    let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
    Tensor::new(values, &Device::Cpu)
}
