//! What each optimiser remembers of a parameter.

use super::OptimizerKind;
use crate::Result;
use attune_kernels::Moments8bit;
use candle_core::{DType, Device, Tensor};

/// Parameters of fewer elements keep moments of 4 bytes, as in bitsandbytes.
const SMALLEST_8BIT: usize = 4096;
/// Elements that share a magnitude in 8 bits.
const BLOCK_8BIT: u64 = 256;

/// The memory of one parameter of `n` elements.
pub(super) enum State {
    /// First and second moment, `(2, n)`.
    Moments(Tensor),
    /// The same in 8 bits.
    Moments8bit(Moments8bit),
    /// Row and column factors of a matrix's second moment.
    Factors { rows: Tensor, columns: Tensor },
    /// The second moment of any other parameter, `(n)`.
    Squares(Tensor),
    /// Lion's momentum, `(n)`.
    SignMomentum(Tensor),
    /// Gradient descent's momentum, `(n)`.
    Momentum(Tensor),
}

impl State {
    /// Before the first step: zeros, of a parameter of this shape.
    pub(super) fn new(kind: OptimizerKind, shape: &[usize], device: &Device) -> Result<Self> {
        let count = shape.iter().product();
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, device);
        Ok(match kind {
            OptimizerKind::AdamW8bit if count >= SMALLEST_8BIT => {
                Self::Moments8bit(Moments8bit::zeros(count))
            }
            OptimizerKind::AdamW | OptimizerKind::AdamW8bit => Self::Moments(zeros(&[2, count])?),
            OptimizerKind::Adafactor => match shape {
                [out, input] => Self::Factors {
                    rows: zeros(&[*out])?,
                    columns: zeros(&[*input])?,
                },
                _ => Self::Squares(zeros(&[count])?),
            },
            OptimizerKind::Lion => Self::SignMomentum(zeros(&[count])?),
            OptimizerKind::Sgd => Self::Momentum(zeros(&[count])?),
        })
    }

    /// Its tensors with what their names add to the parameter's.
    pub(super) fn parts(&self) -> Result<Vec<(&'static str, Tensor)>> {
        Ok(match self {
            Self::Moments(moments) => vec![("", moments.clone())],
            Self::Moments8bit(moments) => {
                let (codes, magnitudes) = moments.to_tensors()?;
                vec![(".codes", codes), (".magnitudes", magnitudes)]
            }
            Self::Factors { rows, columns } => {
                vec![(".rows", rows.clone()), (".columns", columns.clone())]
            }
            Self::Squares(squares) => vec![(".squares", squares.clone())],
            Self::SignMomentum(momentum) | Self::Momentum(momentum) => {
                vec![(".momentum", momentum.clone())]
            }
        })
    }

    /// Takes tensors in the order of `parts`.
    pub(super) fn restore(&mut self, parts: Vec<Tensor>) -> Result<()> {
        match (self, parts.as_slice()) {
            (Self::Moments8bit(moments), [codes, magnitudes]) => {
                *moments = Moments8bit::from_tensors(codes, magnitudes)?;
            }
            (Self::Factors { rows, columns }, [stored_rows, stored_columns]) => {
                (*rows, *columns) = (stored_rows.clone(), stored_columns.clone());
            }
            (
                Self::Moments(state)
                | Self::Squares(state)
                | Self::SignMomentum(state)
                | Self::Momentum(state),
                [stored],
            ) => *state = stored.clone(),
            _ => return Err(candle_core::Error::Msg("another optimiser's state".into()).into()),
        }
        Ok(())
    }
}

impl OptimizerKind {
    /// Bytes remembered of a parameter of this shape.
    pub fn state_bytes(self, shape: &[usize]) -> u64 {
        let count: u64 = shape.iter().map(|size| *size as u64).product();
        match (self, shape) {
            (Self::AdamW8bit, _) if count >= SMALLEST_8BIT as u64 => {
                2 * (count + 4 * count.div_ceil(BLOCK_8BIT))
            }
            (Self::AdamW | Self::AdamW8bit, _) => 8 * count,
            (Self::Adafactor, [out, input]) => 4 * (out + input) as u64,
            (Self::Adafactor | Self::Lion | Self::Sgd, _) => 4 * count,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_bytes_foretold_are_those_kept() {
        for kind in [
            OptimizerKind::AdamW,
            OptimizerKind::AdamW8bit,
            OptimizerKind::Adafactor,
            OptimizerKind::Lion,
            OptimizerKind::Sgd,
        ] {
            for shape in [&[70, 60][..], &[5000], &[20, 20], &[33]] {
                let kept: usize = State::new(kind, shape, &Device::Cpu)
                    .unwrap()
                    .parts()
                    .unwrap()
                    .iter()
                    .map(|(_, tensor)| tensor.elem_count() * tensor.dtype().size_in_bytes())
                    .sum();
                assert_eq!(kept as u64, kind.state_bytes(shape), "{kind:?} {shape:?}");
            }
        }
    }
}
