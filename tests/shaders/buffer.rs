//! Numbers as bytes of a buffer, in the types shaders store them in.

use candle_core::{DType, Device, Tensor};

/// What activations are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    F32,
    F16,
    Bf16,
}

impl Stored {
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// How functions' names end.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// How far results may lie from the reference, relative to the largest of it, where f32 may
    /// by `f32`: a half more of the last place of what is stored.
    pub fn bound(self, f32: f64) -> f64 {
        match self {
            Self::F32 => f32,
            Self::F16 => f32 + 6e-4,
            Self::Bf16 => f32 + 5e-3,
        }
    }

    fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// The values rounded as they are stored.
    pub fn rounded(self, values: &[f32]) -> Vec<f32> {
        let dtype = match self {
            Self::F32 => return values.to_vec(),
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
        };
        let values = Tensor::new(values, &Device::Cpu).unwrap();
        let values = values.to_dtype(dtype).unwrap();
        values.to_dtype(DType::F32).unwrap().to_vec1().unwrap()
    }

    /// The bytes of values.
    pub fn bytes(self, values: &[f32]) -> Vec<u8> {
        let rounded = self.rounded(values);
        match self {
            Self::F32 => f32s(values),
            Self::F16 => rounded
                .iter()
                .flat_map(|x| half(*x).to_le_bytes())
                .collect(),
            Self::Bf16 => rounded
                .iter()
                .flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes())
                .collect(),
        }
    }

    /// The values of bytes.
    pub fn values(self, bytes: &[u8]) -> Vec<f32> {
        let halves = || {
            bytes
                .chunks_exact(2)
                .map(|x| u16::from_le_bytes([x[0], x[1]]))
        };
        match self {
            Self::F32 => values(bytes),
            Self::F16 => halves().map(from_half).collect(),
            Self::Bf16 => halves()
                .map(|x| f32::from_bits(u32::from(x) << 16))
                .collect(),
        }
    }

    /// Room for so many values, full of what is not a number.
    pub fn room(self, count: usize) -> Vec<u8> {
        vec![0xff; count * self.size()]
    }
}

/// The bits of an f32 that is a half.
fn half(x: f32) -> u16 {
    let sign = (x.to_bits() >> 16 & 0x8000) as u16;
    let magnitude = x.abs();
    if magnitude < 2.0_f32.powi(-14) {
        sign | (magnitude * 2.0_f32.powi(24)) as u16
    } else if magnitude.is_infinite() {
        sign | 0x7c00
    } else {
        sign | ((magnitude.to_bits() - (112 << 23)) >> 13) as u16
    }
}

fn from_half(bits: u16) -> f32 {
    let (exponent, fraction) = (bits >> 10 & 31, f32::from(bits & 1023));
    let magnitude = match exponent {
        0 => fraction * 2.0_f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2.0_f32.powi(i32::from(exponent) - 25),
    };
    if bits & 0x8000 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// The bytes of f32 values.
pub fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// The bytes of u32 values, which a struct of constants is too.
pub fn u32s(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// The f32 values of bytes.
pub fn values(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(4)
        .map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]]))
        .collect()
}
