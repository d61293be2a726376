//! Generation: several prompts at once, each with a cache of its own.

use crate::cache::{Cache, PromptCache};
use crate::linear::Products;
use crate::{Decoder, Result};
use attune_data::{TokenStream, Tokenizer};
use candle_core::{DType, Device, Tensor};
use candle_transformers::generation::{LogitsProcessor, Sampling};
use candle_transformers::utils::apply_repeat_penalty;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use ts_rs::TS;

/// How tokens are chosen and when to end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct SamplingOptions {
    /// 0 takes the likeliest token.
    pub temperature: f64,
    /// Sample among this many of the likeliest; 0 for all.
    pub top_k: usize,
    /// Sample among the likeliest that together reach this probability; 1 for all.
    pub top_p: f64,
    /// Leave out tokens less likely than this part of the likeliest; 0 for none.
    pub min_p: f64,
    /// Divides the scores of tokens already seen; 1 for no change.
    pub repetition_penalty: f32,
    /// Ends after this many tokens.
    pub max_new_tokens: usize,
    /// Ends before any of these texts.
    pub stop_strings: Vec<String>,
    /// Of the random choices.
    pub seed: u64,
}

impl Default for SamplingOptions {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            max_new_tokens: 256,
            stop_strings: Vec::new(),
            seed: 0,
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The model ended it.
    StopToken,
    /// A stop string came up.
    StopString,
    /// The limit on tokens or the model's positions were reached.
    Length,
    /// The user ended it.
    Cancelled,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Completion {
    /// Without special tokens and stop strings.
    pub text: String,
    /// What was generated, the stop token included.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub stop_reason: StopReason,
}

/// One prompt on its way.
struct Running<'a> {
    index: usize,
    cache: Cache,
    /// Tokens the model has not seen yet.
    pending: Vec<u32>,
    /// Prompt and answer, for the repetition penalty.
    seen: Vec<u32>,
    sampler: LogitsProcessor,
    stream: TokenStream<'a>,
    text: StopText,
    tokens: Vec<u32>,
}

/// Answers every prompt. `on_text` is told each piece of whole characters with the number of its
/// prompt; `cancel` ends all within one token. An answer does not depend on the prompts beside it:
/// prompt `i` draws from `seed + i`.
pub fn generate(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    prompts: &[Vec<u32>],
    options: &SamplingOptions,
    cancel: &AtomicBool,
    on_text: &mut dyn FnMut(usize, &str),
) -> Result<Vec<Completion>> {
    let mut running = Vec::with_capacity(prompts.len());
    for (index, prompt) in prompts.iter().enumerate() {
        let prompt = not_empty(prompt, tokenizer);
        let cache = decoder.cache()?;
        running.push(Running::start(index, prompt, cache, tokenizer, options));
    }
    let mut completions: Vec<Option<Completion>> = vec![None; prompts.len()];
    run(
        decoder,
        tokenizer,
        running,
        options,
        cancel,
        on_text,
        &mut |index, completion, _| {
            completions[index] = Some(completion);
        },
    )?;
    Ok(completions.into_iter().flatten().collect())
}

/// Answers a prompt that may go on where an earlier one, or its answer, ended: what `known` holds of
/// it is not fed again, and what the model has seen by the end is kept there.
pub fn generate_on(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    prompt: &[u32],
    known: &mut PromptCache,
    options: &SamplingOptions,
    cancel: &AtomicBool,
    on_text: &mut dyn FnMut(&str),
) -> Result<Completion> {
    let prompt = not_empty(prompt, tokenizer);
    let cache = known.begin(decoder, &prompt)?;
    let running = vec![Running::start(0, prompt, cache, tokenizer, options)];
    let mut answer = None;
    run(
        decoder,
        tokenizer,
        running,
        options,
        cancel,
        &mut |_, text| on_text(text),
        &mut |_, completion, cache| {
            known.keep(cache);
            answer = Some(completion);
        },
    )?;
    answer.ok_or_else(|| candle_core::Error::Msg("a prompt was not answered".to_owned()).into())
}

/// A model without a first token still needs something to begin from.
fn not_empty(prompt: &[u32], tokenizer: &Tokenizer) -> Vec<u32> {
    if prompt.is_empty() {
        vec![tokenizer.bos_token().or(tokenizer.eos_token()).unwrap_or(0)]
    } else {
        prompt.to_vec()
    }
}

/// Runs all to their ends. `on_end` is told each answer, and what the model has seen of it.
fn run(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    mut running: Vec<Running<'_>>,
    options: &SamplingOptions,
    cancel: &AtomicBool,
    on_text: &mut dyn FnMut(usize, &str),
    on_end: &mut dyn FnMut(usize, Completion, Cache),
) -> Result<()> {
    let mut products = Products::Exact;
    while !running.is_empty() {
        let logits = {
            let (pending, mut caches): (Vec<&[u32]>, Vec<&mut Cache>) = running
                .iter_mut()
                .map(|one| (one.pending.as_slice(), &mut one.cache))
                .unzip();
            decoder
                .advance(&pending, &mut caches, products)?
                .to_device(&Device::Cpu)?
                .to_dtype(DType::F32)?
        };
        let mut still = Vec::with_capacity(running.len());
        for (row, mut one) in running.into_iter().enumerate() {
            let token = one.choose(&logits.get(row)?, options)?;
            let ended = one.accept(
                token,
                decoder,
                tokenizer,
                options,
                cancel.load(Ordering::Relaxed),
                on_text,
            );
            match ended {
                Some(stop_reason) => {
                    let index = one.index;
                    let (completion, cache) = one.complete(stop_reason, on_text);
                    on_end(index, completion, cache);
                }
                None => still.push(one),
            }
        }
        running = still;
        products = Products::Rounded;
    }
    Ok(())
}

impl<'a> Running<'a> {
    /// A prompt of one token or more, of which `cache` may hold the beginning.
    fn start(
        index: usize,
        prompt: Vec<u32>,
        cache: Cache,
        tokenizer: &'a Tokenizer,
        options: &SamplingOptions,
    ) -> Self {
        let seed = options.seed.wrapping_add(index as u64);
        Self {
            index,
            pending: prompt[cache.len()..].to_vec(),
            cache,
            seen: prompt,
            sampler: LogitsProcessor::from_sampling(seed, sampling(options)),
            stream: tokenizer.stream(),
            text: StopText::new(options.stop_strings.clone()),
            tokens: Vec::new(),
        }
    }

    fn choose(&mut self, logits: &Tensor, options: &SamplingOptions) -> Result<u32> {
        let logits = if options.repetition_penalty == 1.0 {
            logits.clone()
        } else {
            apply_repeat_penalty(logits, options.repetition_penalty, &self.seen)?
        };
        let min_p = options.min_p as f32;
        Ok(self.sampler.sample_f(&logits, |probabilities| {
            let highest = probabilities.iter().copied().fold(0.0, f32::max);
            for p in probabilities.iter_mut().filter(|p| **p < min_p * highest) {
                *p = 0.0;
            }
        })?)
    }

    /// Takes a token in; why the answer ends with it, if it does.
    fn accept(
        &mut self,
        token: u32,
        decoder: &Decoder,
        tokenizer: &Tokenizer,
        options: &SamplingOptions,
        cancelled: bool,
        on_text: &mut dyn FnMut(usize, &str),
    ) -> Option<StopReason> {
        if options.max_new_tokens == 0 {
            return Some(StopReason::Length);
        }
        self.tokens.push(token);
        self.seen.push(token);
        if tokenizer.stop_tokens().contains(&token) {
            return Some(StopReason::StopToken);
        }
        if let Some(piece) = self.stream.push(token) {
            let index = self.index;
            if self.text.push(&piece, &mut |text| on_text(index, text)) {
                return Some(StopReason::StopString);
            }
        }
        self.pending = vec![token];
        if cancelled {
            Some(StopReason::Cancelled)
        } else if self.tokens.len() >= options.max_new_tokens
            || self.cache.len() >= decoder.spec().context()
        {
            Some(StopReason::Length)
        } else {
            None
        }
    }

    fn complete(
        mut self,
        stop_reason: StopReason,
        on_text: &mut dyn FnMut(usize, &str),
    ) -> (Completion, Cache) {
        let index = self.index;
        let on_text = &mut |text: &str| on_text(index, text);
        let mut stop_reason = stop_reason;
        if stop_reason != StopReason::StopString {
            let rest = self.stream.finish().unwrap_or_default();
            if self.text.push(&rest, on_text) {
                stop_reason = StopReason::StopString;
            } else {
                self.text.release(on_text);
            }
        }
        let completion = Completion {
            text: self.text.text,
            tokens: self.tokens,
            stop_reason,
        };
        (completion, self.cache)
    }
}

fn sampling(options: &SamplingOptions) -> Sampling {
    let (k, p, temperature) = (options.top_k, options.top_p, options.temperature);
    match (temperature > 0.0, k > 0, p < 1.0) {
        (false, ..) => Sampling::ArgMax,
        (true, false, false) => Sampling::All { temperature },
        (true, true, false) => Sampling::TopK { k, temperature },
        (true, false, true) => Sampling::TopP { p, temperature },
        (true, true, true) => Sampling::TopKThenTopP { k, p, temperature },
    }
}

/// Text up to the first stop string. What could still become one is held back.
struct StopText {
    stops: Vec<String>,
    /// What was told already.
    text: String,
    held: String,
}

impl StopText {
    fn new(mut stops: Vec<String>) -> Self {
        stops.retain(|stop| !stop.is_empty());
        Self {
            stops,
            text: String::new(),
            held: String::new(),
        }
    }

    /// Takes a piece in; whether a stop string is complete. Text before it is told to `on_text`.
    fn push(&mut self, piece: &str, on_text: &mut dyn FnMut(&str)) -> bool {
        self.held.push_str(piece);
        let found = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()))
            .min();
        if let Some(position) = found {
            self.held.truncate(position);
            self.release(on_text);
            return true;
        }
        let safe = (0..=self.held.len())
            .filter(|start| self.held.is_char_boundary(*start))
            .find(|start| {
                self.stops
                    .iter()
                    .any(|stop| stop.starts_with(&self.held[*start..]))
            })
            .unwrap_or(self.held.len());
        let rest = self.held.split_off(safe);
        self.release(on_text);
        self.held = rest;
        false
    }

    /// Tells what was held back.
    fn release(&mut self, on_text: &mut dyn FnMut(&str)) {
        let told = std::mem::take(&mut self.held);
        if !told.is_empty() {
            on_text(&told);
            self.text.push_str(&told);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::StopText;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut text = StopText::new(stops.iter().map(|stop| (*stop).to_owned()).collect());
        let mut told = String::new();
        let stopped = pieces
            .iter()
            .any(|piece| text.push(piece, &mut |piece| told.push_str(piece)));
        if !stopped {
            text.release(&mut |piece| told.push_str(piece));
        }
        assert_eq!(told, text.text);
        (told, stopped)
    }

    #[test]
    fn stop_strings_end_the_text_even_across_pieces() {
        assert_eq!(
            run(&["###"], &["one #", "# two ##", "# three"]),
            ("one ## two ".into(), true)
        );
        assert_eq!(
            run(&["END", "\n\n"], &["a\n", "b\n\nEND"]),
            ("a\nb".into(), true)
        );
    }

    #[test]
    fn what_does_not_become_a_stop_string_is_told_in_the_end() {
        assert_eq!(run(&["###"], &["a #", "#"]), ("a ##".into(), false));
        assert_eq!(run(&["é!"], &["caf", "é", "s"]), ("cafés".into(), false));
        assert_eq!(run(&[], &["a", "b"]), ("ab".into(), false));
    }
}
