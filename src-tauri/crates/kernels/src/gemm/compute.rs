//! In what and by whom a product is computed.

use ::gemm::Parallelism;

/// What the large products of a step are computed in. Sums are f32 in either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ComputeType {
    /// The operands in f32.
    #[default]
    F32,
    /// The operands rounded to bf16, to nearest and ties to even, whatever they are held in: mixed
    /// precision (Micikevicius et al., 2018), as PyTorch's bf16 autocast has it. On the matrix
    /// units of a processor that has them (AMX), otherwise on its vector units, rounded all the
    /// same. Products of few rows or columns, which reading bounds and not arithmetic, stay in f32.
    Bf16,
}

/// In what and by whom a product is computed.
#[derive(Clone, Copy)]
pub(crate) struct How {
    pub(crate) compute: ComputeType,
    pub(crate) parallelism: Parallelism,
}

impl From<Parallelism> for How {
    fn from(parallelism: Parallelism) -> Self {
        Self {
            compute: ComputeType::F32,
            parallelism,
        }
    }
}

impl ComputeType {
    /// By the calling thread.
    pub(crate) fn alone(self) -> How {
        How {
            compute: self,
            parallelism: Parallelism::None,
        }
    }

    /// By every thread of the pool.
    pub(crate) fn shared(self) -> How {
        How {
            compute: self,
            parallelism: super::all_threads(),
        }
    }
}
