//! Quantised matrices on a device: their parts as they are, for a kernel of ours, and a form that
//! candle's operations widen without the CPU.

use super::ggml::{Spread, spread};
use super::int8::STEP;
use super::nf4::VALUES;
use super::{QuantisedMatrix, QuantisedParts};
use candle_core::{DType, Device, DeviceLocation, Result, Tensor};
use std::sync::{Arc, Mutex, PoisonError};

/// Elements of NF4 that share a magnitude.
const NF4_BLOCK: usize = 64;
/// Half of a part of a block of ggml: what shares a scale and a minimum at least.
const HALF_PART: usize = 16;

/// What a matrix has on a device, made when it is first wanted there. Clones of a matrix share it.
#[derive(Clone, Default)]
pub(super) struct Resident(Arc<Mutex<Copies>>);

#[derive(Default)]
struct Copies {
    at: Option<DeviceLocation>,
    planes: Option<Arc<Planes>>,
    parts: Option<Arc<Vec<Tensor>>>,
}

impl Resident {
    fn with<T>(&self, device: &Device, work: impl FnOnce(&mut Copies) -> Result<T>) -> Result<T> {
        let mut copies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if copies.at != Some(device.location()) {
            *copies = Copies {
                at: Some(device.location()),
                ..Copies::default()
            };
        }
        work(&mut copies)
    }
}

/// `scale · (code - offset) - minimum` of each element, groups of them sharing scale and minimum.
struct Planes {
    codes: Tensor,
    /// The two values of each byte `(256, 2)`, where a byte holds two codes.
    pairs: Option<Tensor>,
    /// What codes of a byte each are counted from.
    offset: f64,
    /// `(groups, 1)`
    scales: Tensor,
    /// `(groups, 1)`
    minimums: Option<Tensor>,
    /// Of each group.
    group: usize,
    /// What every element is multiplied by in the end.
    step: Option<f64>,
}

impl Planes {
    fn new(matrix: &QuantisedMatrix, device: &Device) -> Result<Self> {
        let column = |values: Vec<f32>| {
            let count = values.len();
            Tensor::from_vec(values, (count, 1), device)
        };
        match matrix.parts() {
            QuantisedParts::Nf4 {
                codes,
                magnitudes,
                outer_magnitudes,
                mean,
                map,
            } => {
                let magnitude = |(block, code): (usize, &u8)| {
                    map[usize::from(*code)] * outer_magnitudes[block / 256] + mean
                };
                let scales: Vec<f32> = magnitudes.iter().enumerate().map(magnitude).collect();
                let mut codes = codes.to_vec();
                codes.resize(scales.len() * NF4_BLOCK / 2, 0);
                Ok(Self {
                    codes: bytes(&codes, device)?,
                    pairs: Some(pairs(|code| VALUES[usize::from(code)], device)?),
                    offset: 0.0,
                    scales: column(scales)?,
                    minimums: None,
                    group: NF4_BLOCK,
                    step: None,
                })
            }
            QuantisedParts::Int8 { codes, magnitudes } => {
                let codes: Vec<u8> = codes.iter().map(|code| *code as u8 ^ 128).collect();
                Ok(Self {
                    codes: bytes(&codes, device)?,
                    pairs: None,
                    offset: 128.0,
                    scales: column(magnitudes.to_vec())?,
                    minimums: None,
                    group: matrix.columns,
                    step: Some(f64::from(STEP)),
                })
            }
            QuantisedParts::Ggml { ty, blocks } => {
                let Spread {
                    mut codes,
                    scales,
                    minimums,
                    offset,
                } = spread(ty, blocks);
                let two_a_byte = codes.iter().all(|code| *code < 16);
                if two_a_byte {
                    codes = codes.chunks(2).map(|two| two[0] << 4 | two[1]).collect();
                }
                let value = |code: u8| f32::from(code) - f32::from(offset);
                let minimums = if minimums.iter().all(|minimum| *minimum == 0.0) {
                    None
                } else {
                    Some(column(minimums)?)
                };
                Ok(Self {
                    codes: bytes(&codes, device)?,
                    pairs: two_a_byte.then(|| pairs(value, device)).transpose()?,
                    offset: f64::from(offset),
                    scales: column(scales)?,
                    minimums,
                    group: HALF_PART,
                    step: None,
                })
            }
        }
    }

    /// The elements in f32, with the bits that the CPU's have.
    fn widen(&self, (rows, columns): (usize, usize)) -> Result<Tensor> {
        let values = match &self.pairs {
            // As u32: the largest number of an index's type means no row to candle, and 255 is a byte.
            Some(pairs) => pairs.index_select(&self.codes.to_dtype(DType::U32)?, 0)?,
            None => (self.codes.to_dtype(DType::F32)? - self.offset)?,
        };
        let groups = self.scales.dim(0)?;
        let mut values = values
            .reshape((groups, self.group))?
            .broadcast_mul(&self.scales)?;
        if let Some(minimums) = &self.minimums {
            values = values.broadcast_sub(minimums)?;
        }
        if let Some(step) = self.step {
            values = (values * step)?;
        }
        let values = values.flatten_all()?;
        let count = rows * columns;
        let values = if values.elem_count() == count {
            values
        } else {
            values.narrow(0, 0, count)?
        };
        values.reshape((rows, columns))
    }
}

impl QuantisedMatrix {
    /// The matrix in f32 on `device`, which keeps the codes from the first time on: at every
    /// product the elements are widened there.
    pub(crate) fn widened_on(&self, device: &Device) -> Result<Tensor> {
        if self.rows * self.columns == 0 {
            return Tensor::zeros((self.rows, self.columns), DType::F32, device);
        }
        let planes = self.resident.with(device, |copies| {
            if let Some(planes) = &copies.planes {
                return Ok(Arc::clone(planes));
            }
            let planes = Arc::new(Planes::new(self, device)?);
            copies.planes = Some(Arc::clone(&planes));
            Ok(planes)
        })?;
        planes.widen((self.rows, self.columns))
    }

    /// Its parts as they are, on `device`, in the order in which [`QuantisedParts`] names them, NF4's
    /// mean left out. Codes and blocks are bytes.
    #[cfg_attr(
        not(all(target_os = "macos", target_arch = "aarch64")),
        expect(dead_code, reason = "only Metal has kernels that take them")
    )]
    pub(crate) fn parts_on(&self, device: &Device) -> Result<Arc<Vec<Tensor>>> {
        self.resident.with(device, |copies| {
            if let Some(parts) = &copies.parts {
                return Ok(Arc::clone(parts));
            }
            let floats = |values: &[f32]| Tensor::new(values, device);
            let parts = Arc::new(match self.parts() {
                QuantisedParts::Nf4 {
                    codes,
                    magnitudes,
                    outer_magnitudes,
                    mean: _,
                    map,
                } => vec![
                    bytes(codes, device)?,
                    bytes(magnitudes, device)?,
                    floats(outer_magnitudes)?,
                    floats(map)?,
                ],
                QuantisedParts::Int8 { codes, magnitudes } => {
                    let codes: Vec<u8> = codes.iter().map(|code| *code as u8).collect();
                    vec![bytes(&codes, device)?, floats(magnitudes)?]
                }
                QuantisedParts::Ggml { ty: _, blocks } => vec![bytes(blocks, device)?],
            });
            copies.parts = Some(Arc::clone(&parts));
            Ok(parts)
        })
    }
}

fn bytes(values: &[u8], device: &Device) -> Result<Tensor> {
    Tensor::from_slice(values, values.len(), device)
}

/// The values of the two codes of each byte, the upper half first.
fn pairs(value: impl Fn(u8) -> f32, device: &Device) -> Result<Tensor> {
    let values: Vec<f32> = (0..=255)
        .flat_map(|byte: u8| [value(byte >> 4), value(byte & 15)])
        .collect();
    Tensor::from_vec(values, (256, 2), device)
}
