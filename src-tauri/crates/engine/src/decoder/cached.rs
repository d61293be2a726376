//! Feeding sequences that have a cache: prompts in blocks of rows, then token after token.

use super::{Decoder, Rows};
use crate::Result;
use crate::block::Context;
use crate::cache::{Cache, LayerCache};
use crate::linear::Products;
use crate::parameter::Parameter;
use attune_kernels::{Operand, Quantisation, Span, in_pool};
use candle_core::Tensor;
use std::ops::Range;

/// Rows that go through the model at once, so that a long prompt does not take memory by its
/// length.
const BLOCK: usize = 512;

/// What a sequence is fed.
struct Feed {
    tokens: Vec<u32>,
    fed: usize,
    /// Of the sequence when all is fed.
    length: usize,
}

impl Decoder {
    /// An empty cache for one sequence.
    pub(crate) fn cache(&self) -> Result<Cache> {
        let width = self.spec.key_width();
        let layers = (0..self.layers.len())
            .map(|_| LayerCache::new(width, &self.device))
            .collect::<Result<_>>()?;
        Ok(Cache {
            layers,
            tokens: Vec::new(),
            exact: 0,
        })
    }

    /// Whether rounded products are others than exact ones.
    pub(crate) fn rounds(&self) -> bool {
        let rounds = |parameter: &Parameter| match parameter.operand() {
            Operand::Tensor(_) => false,
            Operand::Quantised(matrix) => matches!(matrix.quantisation(), Quantisation::Ggml(_)),
        };
        let mut any = false;
        self.visit(&mut |parameter| any |= rounds(parameter));
        any
    }

    /// Feeds each sequence's new tokens, one or more, and returns the scores `(sequences,
    /// vocabulary)` of what follows each.
    pub(crate) fn advance(
        &self,
        tokens: &[&[u32]],
        caches: &mut [&mut Cache],
        products: Products,
    ) -> Result<Tensor> {
        self.check_writes()?;
        in_pool(|| self.advance_by(BLOCK, tokens, caches, products))
    }

    fn advance_by(
        &self,
        most: usize,
        tokens: &[&[u32]],
        caches: &mut [&mut Cache],
        products: Products,
    ) -> Result<Tensor> {
        self.check_tokens(tokens.iter().copied().flatten())?;
        let mut feeds: Vec<Feed> = tokens
            .iter()
            .zip(caches.iter_mut())
            .map(|(tokens, cache)| {
                let length = cache.len() + tokens.len();
                // Where the longer sequence turns by other angles, its keys are made anew.
                let same = self.spec.rope_regime(cache.len()) == self.spec.rope_regime(length);
                let mut new = if same { Vec::new() } else { cache.take() };
                new.extend_from_slice(tokens);
                Feed {
                    tokens: new,
                    fed: 0,
                    length,
                }
            })
            .collect();
        // Sequences are fed up in their order, so that their last rows come in it.
        let mut last = Vec::new();
        loop {
            let mut room = most;
            let mut block = Vec::new();
            for (index, feed) in feeds.iter_mut().enumerate() {
                let end = feed.tokens.len().min(feed.fed + room);
                if end > feed.fed {
                    room -= end - feed.fed;
                    block.push((index, feed.fed..end));
                    feed.fed = end;
                }
            }
            if block.is_empty() {
                break;
            }
            last.extend(self.feed(&feeds, &block, caches, products)?);
        }
        let hidden = match last.as_slice() {
            [one] => one.clone(),
            several => Tensor::cat(several, 0)?,
        };
        let hidden = self.norm.forward(&hidden)?;
        let (head, weight) = (self.head(), self.output().operand());
        Ok(match products {
            Products::Exact => head.of(&hidden, weight)?,
            Products::Rounded => head.for_inference(&hidden, weight)?,
        })
    }

    /// Feeds parts of sequences; returns the last rows of those that are fed up.
    fn feed(
        &self,
        feeds: &[Feed],
        block: &[(usize, Range<usize>)],
        caches: &mut [&mut Cache],
        products: Products,
    ) -> Result<Option<Tensor>> {
        let mut rows = Rows {
            spans: Vec::with_capacity(block.len()),
            positions: Vec::new(),
            lengths: Vec::with_capacity(block.len()),
        };
        let (mut tokens, mut last) = (Vec::new(), Vec::new());
        for (index, part) in block {
            let feed = &feeds[*index];
            let first = feed.length - feed.tokens.len();
            rows.spans.push(Span {
                start: rows.positions.len(),
                len: part.len(),
            });
            rows.lengths.push(feed.length);
            rows.positions
                .extend(part.clone().map(|place| (first + place) as u32));
            tokens.extend_from_slice(&feed.tokens[part.clone()]);
            caches[*index].extend(&feed.tokens[part.clone()], products);
            if part.end == feed.tokens.len() {
                last.push(tokens.len() as u32 - 1);
            }
        }
        let angles = self.angles(&rows)?;
        let context = Context {
            spans: &rows.spans,
            positions: &rows.positions,
            angles: &angles,
            products,
        };
        let fed = |index: usize| block.iter().any(|(fed, _)| *fed == index);
        let mut x = self.embed(&tokens)?;
        for (number, layer) in self.layers.iter().enumerate() {
            let mut caches: Vec<&mut LayerCache> = caches
                .iter_mut()
                .enumerate()
                .filter(|(index, _)| fed(*index))
                .map(|(_, cache)| &mut cache.layers[number])
                .collect();
            x = layer.forward(&x, &context, Some(&mut caches))?.0;
        }
        if last.is_empty() {
            return Ok(None);
        }
        if last.len() == tokens.len() {
            return Ok(Some(x));
        }
        Ok(Some(self.select(&x, &last)?))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::ModelSpec;
    use candle_core::Device;
    use serde_json::json;

    /// Angles that depend on the length in two ways, one of them past 16 tokens, and a window.
    fn decoder(scaling: &serde_json::Value) -> Decoder {
        let config = json!({
            "model_type": "mistral", "hidden_size": 16, "intermediate_size": 24,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "vocab_size": 40, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
            "sliding_window": 5, "rope_scaling": scaling,
        });
        let spec = ModelSpec::from_json(&config).unwrap();
        Decoder::random(&spec, 3, &Device::Cpu).unwrap()
    }

    /// Prompts in blocks are prompts in one piece, whatever lies beside them and before them.
    #[test]
    fn prompts_in_blocks_are_prompts_in_one_piece() {
        let dynamic = json!({ "rope_type": "dynamic", "factor": 2.0,
            "original_max_position_embeddings": 16 });
        for scaling in [json!(null), dynamic] {
            let decoder = decoder(&scaling);
            let tokens = |count: u32, seed: u32| -> Vec<u32> {
                (0..count).map(|at| (seed + at * at * 7) % 40).collect()
            };
            let (long, short, more) = (tokens(23, 1), tokens(2, 5), tokens(9, 3));
            let run = |most: usize| {
                let mut caches = [decoder.cache().unwrap(), decoder.cache().unwrap()];
                let [a, b] = &mut caches;
                let mut caches = [a, b];
                let first = decoder
                    .advance_by(most, &[&long, &short], &mut caches, Products::Exact)
                    .unwrap();
                let second = decoder
                    .advance_by(most, &[&short, &more], &mut caches, Products::Exact)
                    .unwrap();
                assert_eq!([caches[0].len(), caches[1].len()], [25, 11]);
                Tensor::cat(&[first, second], 0).unwrap()
            };
            let expected = run(1000);
            assert_eq!(expected.dims(), [4, 40]);
            for most in [1, 3, 7, 24] {
                let apart = (run(most) - &expected)
                    .unwrap()
                    .abs()
                    .unwrap()
                    .max_all()
                    .unwrap();
                let apart = apart.to_scalar::<f32>().unwrap();
                assert!(apart < 1e-6, "blocks of {most}: {apart}");
            }
        }
    }
}
