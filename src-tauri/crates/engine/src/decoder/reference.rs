//! The model as it was before its training, to measure against.

use super::Decoder;
use crate::Result;
use crate::block::Block;
use crate::fingerprint::Fingerprint;
use crate::lora::Lora;
use attune_kernels::embedding;
use candle_core::DType;
use std::hash::Hash;

impl Decoder {
    /// Runs `work` on the model with its adapter off: without the low-rank parts, and with the
    /// weights the adapter trains whole as they are in the base. Not for one that PiSSA started,
    /// whose base lacks what it started from.
    pub(crate) fn without_adapter<T>(
        &mut self,
        work: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        let linears = self.layers.iter_mut().flat_map(Block::linears_mut);
        let adapters: Vec<Option<Lora>> = linears.map(|linear| linear.lora.take()).collect();
        self.exchange_whole()?;
        let result = work(self);
        // Whether or not it failed.
        self.exchange_whole()?;
        let linears = self.layers.iter_mut().flat_map(Block::linears_mut);
        for (linear, lora) in linears.zip(adapters) {
            linear.lora = lora;
        }
        result
    }

    fn exchange_whole(&mut self) -> Result<()> {
        self.visit_mut(&mut |parameter| {
            parameter.exchange_base();
            Ok(())
        })
    }

    /// A name for the weights: of their vectors and of a row of the embedding, which no two
    /// trainings leave the same.
    pub(crate) fn weights_name(&self) -> Result<String> {
        // In whatever type it is held, a GGUF file's blocks among them.
        let mut vectors = vec![embedding(self.embed.operand(), &[0])?.get(0)?];
        self.visit(&mut |parameter| {
            if parameter.value.rank() == 1 && !parameter.is_quantised() {
                vectors.push(parameter.value.clone());
            }
        });
        let mut fingerprint = Fingerprint::new();
        for vector in vectors {
            for value in vector.to_dtype(DType::F32)?.to_vec1::<f32>()? {
                value.to_bits().hash(&mut fingerprint);
            }
        }
        Ok(fingerprint.name())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use crate::{DType, Decoder, Device, WeightType};
    use std::path::Path;

    /// A GGUF file's embedding is in blocks, of which the name takes the numbers.
    #[test]
    fn weights_in_blocks_have_the_name_of_what_they_stand_for() {
        let file = Path::new("../../../tests/parity/fixtures/gguf/Q4_K.gguf");
        let name = |stored: WeightType| {
            let decoder = Decoder::load(file, stored, &Device::Cpu, &mut |_| ()).unwrap();
            decoder.weights_name().unwrap()
        };
        assert_eq!(name(WeightType::Stored), name(DType::F32.into()));
    }
}
