//! f32 master weights beside the bf16 copy that is computed with, in the memory of the f32 weights
//! alone: the copy, and of each weight the 16 bits that the copy lacks (Split-SGD, Kalamkar et al.,
//! 2020, with rounding in place of truncation).

use crate::gemm::Values;
use crate::storage::{on_cpu, view, weights};
use candle_core::{CpuStorage, DType, Device, InplaceOp1, Layout, Result, Tensor, bail};
use rayon::prelude::*;

/// Elements one task takes.
const CHUNK: usize = 64 * 1024;
/// Half of the distance between two bf16 numbers, in units of f32's last place.
const HALF: u16 = 0x8000;

/// The lower 16 bits of f32 weights of which a bf16 tensor holds the rounded rest. They are on the
/// CPU: for weights on another device, splitting and joining go through it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remainders(Vec<u16>);

impl Remainders {
    /// `master`, f32, rounded to bf16 (to nearest, ties to even), and what is left of it. A weight
    /// halfway between two bf16 numbers that is rounded up is moved by its last place, so that
    /// [`Remainders::join`] knows it from one rounded down.
    pub fn split(master: &Tensor) -> Result<(Tensor, Self)> {
        let rounded = Tensor::zeros(master.dims(), DType::BF16, master.device())?;
        let mut remainders = Self(vec![0; master.elem_count()]);
        remainders.set(&rounded, master)?;
        Ok((rounded, remainders))
    }

    /// The same into what is there: nothing is allocated.
    pub fn set(&mut self, rounded: &Tensor, master: &Tensor) -> Result<()> {
        let master = master.to_device(&Device::Cpu)?;
        let values = view(&master)?;
        if values.len() != self.0.len() || rounded.elem_count() != self.0.len() {
            bail!("remainders of another tensor");
        }
        self.0
            .par_chunks_mut(CHUNK)
            .zip(values.par_chunks(CHUNK))
            .for_each(|(lower, values)| {
                for (lower, value) in lower.iter_mut().zip(values) {
                    *lower = split(*value).1;
                }
            });
        if on_cpu(rounded) {
            return rounded.inplace_op1(&Round(&values));
        }
        let parts = Tensor::zeros(rounded.dims(), DType::BF16, &Device::Cpu)?;
        parts.inplace_op1(&Round(&values))?;
        rounded.slice_set(&parts.to_device(rounded.device())?, 0, 0)
    }

    /// The f32 weights of which `rounded` and these are the parts.
    pub fn join(&self, rounded: &Tensor) -> Result<Tensor> {
        let device = rounded.device().clone();
        let rounded = rounded.to_device(&Device::Cpu)?;
        let view = weights(&rounded)?;
        let Values::Bf16(upper) = view.values() else {
            bail!(
                "remainders belong to a bf16 tensor, not {:?}",
                rounded.dtype()
            );
        };
        if upper.len() != self.0.len() {
            bail!("remainders of another tensor");
        }
        let mut values = vec![0.0_f32; upper.len()];
        (
            values.par_chunks_mut(CHUNK),
            upper.par_chunks(CHUNK),
            self.0.par_chunks(CHUNK),
        )
            .into_par_iter()
            .for_each(|(values, upper, lower)| {
                for ((value, upper), lower) in values.iter_mut().zip(upper).zip(lower) {
                    *value = join(upper.0, *lower);
                }
            });
        Tensor::from_vec(values, rounded.dims(), &Device::Cpu)?.to_device(&device)
    }
}

/// Writes the rounded values into a bf16 tensor.
struct Round<'a>(&'a [f32]);

impl InplaceOp1 for Round<'_> {
    fn name(&self) -> &'static str {
        "round to bf16"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::BF16(rounded), Some((start, end))) =
            (storage, layout.contiguous_offsets())
        else {
            bail!("only a contiguous bf16 tensor holds rounded weights");
        };
        let rounded = &mut rounded[start..end];
        // SAFETY: a bf16 is a u16 in memory, and any u16 is one of its values.
        let rounded = unsafe {
            std::slice::from_raw_parts_mut(rounded.as_mut_ptr().cast::<u16>(), rounded.len())
        };
        rounded
            .par_chunks_mut(CHUNK)
            .zip(self.0.par_chunks(CHUNK))
            .for_each(|(rounded, values)| {
                for (rounded, value) in rounded.iter_mut().zip(values) {
                    *rounded = split(*value).0;
                }
            });
        Ok(())
    }
}

/// The nearest bf16 number, of two the even one, and the lower bits.
fn split(value: f32) -> (u16, u16) {
    let bits = value.to_bits();
    let (upper, lower) = ((bits >> 16) as u16, bits as u16);
    if value.is_nan() {
        return (upper | 0x40, 0);
    }
    let rounds_up = lower > HALF || (lower == HALF && upper % 2 == 1);
    if rounds_up {
        (upper + 1, lower.max(HALF + 1))
    } else {
        (upper, lower)
    }
}

fn join(rounded: u16, lower: u16) -> f32 {
    let upper = rounded - u16::from(lower > HALF);
    f32::from_bits(u32::from(upper) << 16 | u32::from(lower))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounded as candle, and torch, round; joined to the bit but where it was halfway and went up.
    #[test]
    fn what_is_split_is_joined_again() -> Result<()> {
        let mut values: Vec<f32> = (0..200_000_u32)
            .map(|index| f32::from_bits(index.wrapping_mul(2_654_435_761)))
            .filter(|value| value.is_finite())
            .collect();
        values.extend([0.0, -0.0, f32::MAX, f32::MIN_POSITIVE, f32::INFINITY, 1e-45]);
        let halfway = [0x3f80_8000, 0x3f81_8000, 0xbf80_8000, 0xbf81_8000].map(f32::from_bits);
        values.extend(halfway);
        let count = values.len();
        let master = Tensor::from_vec(values.clone(), count, &Device::Cpu)?;
        let (rounded, rest) = Remainders::split(&master)?;
        let bits = |x: &Tensor| -> Result<Vec<u32>> {
            let values = x.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            Ok(values.into_iter().map(f32::to_bits).collect())
        };
        assert_eq!(bits(&rounded)?, bits(&master.to_dtype(DType::BF16)?)?);
        let joined = bits(&rest.join(&rounded)?)?;
        let mut moved = 0;
        for (joined, value) in joined.iter().zip(&values) {
            let apart = joined - value.to_bits();
            assert!(apart == 0 || (apart == 1 && value.to_bits() as u16 == HALF));
            moved += apart;
        }
        assert!(moved >= 2 && (moved as usize) < count / 1000);
        // What was joined is split into the same parts.
        let (again, rest_again) = Remainders::split(&rest.join(&rounded)?)?;
        assert_eq!(bits(&again)?, bits(&rounded)?);
        assert!(rest_again == rest);
        assert!(rest.join(&master).is_err());
        Ok(())
    }
}
