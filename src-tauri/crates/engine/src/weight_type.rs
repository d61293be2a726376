//! How the frozen weights of a model are held in memory.

use attune_kernels::{GgmlType, Quantisation, stored_type};
use candle_core::{DType, Device};

/// What frozen matrices are stored as. They are widened to f32 where they are used. Norms and
/// biases are f32 always. On a device without bf16 whatever would be bf16 is f16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightType {
    /// f32, bf16 or f16.
    Float(DType),
    /// The linear layers of the blocks in 4-bit `NormalFloat` with double quantisation (`QLoRA`,
    /// Dettmers et al., 2023), embedding and output matrix in bf16.
    Nf4,
    /// The linear layers of the blocks in 8-bit integers with a magnitude for each row, embedding
    /// and output matrix in bf16.
    Int8,
    /// The linear layers of the blocks in a block type of ggml, which must divide their inputs,
    /// embedding and output matrix in bf16.
    Ggml(GgmlType),
    /// Every matrix in the type a GGUF file has it in, quantised or not, embedding and output
    /// matrix too. Those of a folder in bf16.
    Stored,
}

impl From<DType> for WeightType {
    fn from(dtype: DType) -> Self {
        Self::Float(dtype)
    }
}

impl WeightType {
    /// The type of the matrices that are not quantised, where it does not depend on the file.
    pub(crate) fn float(self) -> DType {
        match self {
            Self::Float(dtype) => dtype,
            Self::Nf4 | Self::Int8 | Self::Ggml(_) | Self::Stored => DType::BF16,
        }
    }

    /// [`Self::float`], as `device` can hold it.
    pub(crate) fn float_on(self, device: &Device) -> DType {
        stored_type(self.float(), device)
    }

    /// Whether some matrices are to be bf16.
    pub fn wants_bf16(self) -> bool {
        self.float() == DType::BF16
    }

    /// How the linear layers of the blocks are quantised, if they are.
    pub(crate) fn quantisation(self) -> Option<Quantisation> {
        match self {
            Self::Float(_) | Self::Stored => None,
            Self::Nf4 => Some(Quantisation::Nf4),
            Self::Int8 => Some(Quantisation::Int8),
            Self::Ggml(ty) => Some(Quantisation::Ggml(ty)),
        }
    }

    /// Whether f32 holds the weights with nothing lost.
    pub(crate) fn is_f32(self) -> bool {
        self == Self::Float(DType::F32)
    }

    /// Bytes of a matrix of a block's linear layer.
    pub(crate) fn linear_bytes(self, rows: usize, columns: usize) -> u64 {
        match self.quantisation() {
            Some(quantisation) => quantisation.bytes(rows, columns) as u64,
            None => (rows * columns * self.float().size_in_bytes()) as u64,
        }
    }
}
