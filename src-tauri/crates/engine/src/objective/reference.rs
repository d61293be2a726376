//! Log-probabilities of answers, and what they were before the run: computed once, kept beside its
//! checkpoints.

use super::groups;
use crate::files::{self, at};
use crate::fingerprint::Fingerprint;
use crate::{Control, Decoder, Error, LoraInit, Request, Result, TrainOptions};
use attune_data::{Batch, Sample};
use candle_core::{DType, Device, Tensor};
use std::hash::Hash;
use std::path::Path;

/// Where a run stands before its first step.
#[derive(Debug, Clone, Copy)]
pub struct Preparation<'a> {
    /// The folder of the run's checkpoints.
    pub checkpoints: &'a Path,
    /// Whether no step was taken yet.
    pub fresh: bool,
    /// A name for the weights the run began with.
    pub weights: &'a str,
    /// The settings of the run.
    pub options: &'a TrainOptions,
    /// Who may ask for an end.
    pub control: &'a Control,
}

/// `Σ ln p` over the learnt tokens of each sample.
pub(crate) fn log_probabilities(
    decoder: &Decoder,
    samples: &[&Sample],
    max_tokens: usize,
    goes_on: &dyn Fn() -> bool,
) -> Result<Option<Vec<f64>>> {
    let lengths: Vec<usize> = samples.iter().map(|sample| sample.len()).collect();
    let mut sums = Vec::with_capacity(samples.len());
    for group in groups(&lengths, max_tokens) {
        if !goes_on() {
            return Ok(None);
        }
        let group = &samples[group];
        let batch = Batch::from_samples(group.iter().copied());
        let mut losses = decoder.token_losses(&batch)?.into_iter();
        sums.extend(group.iter().map(|sample| {
            let losses = losses.by_ref().take(sample.trained_tokens());
            -losses.map(f64::from).sum::<f64>()
        }));
    }
    Ok(Some(sums))
}

/// [`log_probabilities`] of each of `lists` under the weights the run began with, the adapter off.
/// Read from beside the run where they were computed before. `None` where an end was asked for.
pub(crate) fn reference(
    decoder: &mut Decoder,
    lists: &[(&str, Vec<&Sample>)],
    preparation: &Preparation<'_>,
) -> Result<Option<Vec<Vec<f64>>>> {
    let mut fingerprint = Fingerprint::new();
    preparation.weights.hash(&mut fingerprint);
    for (name, samples) in lists {
        name.hash(&mut fingerprint);
        for sample in samples {
            sample.tokens.hash(&mut fingerprint);
            sample.loss_mask.hash(&mut fingerprint);
        }
    }
    let checkpoints = preparation.checkpoints;
    let path = checkpoints.join(format!("reference-{}.safetensors", fingerprint.name()));
    if path.is_file() {
        return read(&path, lists).map(Some);
    }
    let adapter = decoder.lora().map(|lora| lora.init_lora_weights);
    let unchanged = adapter == Some(LoraInit::Default);
    if !preparation.fresh && !unchanged {
        return Err(Error::CheckpointMismatch {
            folder: checkpoints.to_owned(),
            reason: format!(
                "`{}`, the log-probabilities before the first step, is missing, and the weights \
                 have changed since",
                path.display()
            ),
        });
    }
    let options = preparation.options;
    let max_tokens = options.batch_size * options.max_length;
    let goes_on = || preparation.control.request() == Request::Run;
    let compute = |decoder: &Decoder| -> Result<Option<Vec<Vec<f64>>>> {
        let lists = lists.iter();
        let sums = lists.map(|(_, list)| log_probabilities(decoder, list, max_tokens, &goes_on));
        sums.collect()
    };
    let found = if unchanged {
        decoder.without_adapter(compute)?
    } else {
        compute(decoder)?
    };
    if let Some(found) = &found {
        std::fs::create_dir_all(checkpoints).map_err(at(checkpoints, "created"))?;
        write(&path, lists, found)?;
    }
    Ok(found)
}

fn write(path: &Path, lists: &[(&str, Vec<&Sample>)], sums: &[Vec<f64>]) -> Result<()> {
    let tensors = lists.iter().zip(sums).map(|((name, _), sums)| {
        let tensor = Tensor::new(sums.as_slice(), &Device::Cpu)?;
        Ok(((*name).to_owned(), tensor))
    });
    let tensors = tensors.collect::<Result<Vec<_>>>()?;
    let bytes = safetensors::serialize(tensors, None).map_err(candle_core::Error::wrap)?;
    files::write(path, &bytes)
}

fn read(path: &Path, lists: &[(&str, Vec<&Sample>)]) -> Result<Vec<Vec<f64>>> {
    let broken = |reason: String| Error::BrokenWeights {
        path: path.to_owned(),
        reason,
    };
    let tensors = candle_core::safetensors::load(path, &Device::Cpu)
        .map_err(|error| broken(error.to_string()))?;
    let list = |(name, samples): &(&str, Vec<&Sample>)| {
        let tensor = tensors.get(*name);
        let tensor = tensor.filter(|tensor| tensor.dims() == [samples.len()]);
        let tensor = tensor.filter(|tensor| tensor.dtype() == DType::F64);
        let tensor = tensor.ok_or_else(|| broken(format!("it lacks `{name}`")))?;
        Ok(tensor.to_vec1()?)
    };
    lists.iter().map(list).collect()
}
