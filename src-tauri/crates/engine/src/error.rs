//! Why the engine refuses or fails.

use std::path::PathBuf;

/// What every fallible function of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// A refusal or failure, in words for the person who brought the model or the data.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("`{}` could not be {action}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// "read", "written", …
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A folder holds no `config.json`.
    #[error("`{}` is not a model folder: it has no config.json", folder.display())]
    NoConfig {
        /// The folder.
        folder: PathBuf,
    },
    /// A JSON file of a model or adapter cannot be understood.
    #[error("`{}`: {reason}", path.display())]
    BadConfig {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        reason: String,
    },
    /// The model asks for something the engine does not compute.
    #[error("this model needs {what}, which Attune cannot train or run yet")]
    Unsupported {
        /// The feature, by its name in `config.json`.
        what: String,
    },
    /// A folder holds no weights.
    #[error("`{}` holds no weights: neither model.safetensors nor model.safetensors.index.json", folder.display())]
    NoWeights {
        /// The folder.
        folder: PathBuf,
    },
    /// A weights file is damaged.
    #[error("`{}` is not a readable safetensors file: {reason}", path.display())]
    BrokenWeights {
        /// The file.
        path: PathBuf,
        /// What the reader met.
        reason: String,
    },
    /// A weight is too large for f16, which it was to be held in.
    #[error("`{}`: the tensor `{name}` holds {value}, and float16 ends at 65504", path.display())]
    BeyondF16 {
        /// The folder or file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// A magnitude in it.
        value: f32,
    },
    /// A tensor is not in the files.
    #[error("`{}` lacks the tensor `{name}` (expected shape {expected:?})", folder.display())]
    MissingTensor {
        /// The folder.
        folder: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape by the configuration.
        expected: Vec<usize>,
    },
    /// A tensor has another shape than the configuration says.
    #[error("`{}`: the tensor `{name}` has shape {found:?}, the configuration says {expected:?}", folder.display())]
    WrongShape {
        /// The folder.
        folder: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape by the configuration.
        expected: Vec<usize>,
        /// Its shape in the file.
        found: Vec<usize>,
    },
    /// The files hold a tensor that the configuration has no place for.
    #[error("`{}` holds the tensor `{name}`, for which its configuration has no place", folder.display())]
    UnexpectedTensor {
        /// The folder.
        folder: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A folder holds no PEFT adapter.
    #[error("`{}` holds no adapter: adapter_config.json and adapter_model.safetensors are expected", folder.display())]
    NoAdapter {
        /// The folder.
        folder: PathBuf,
    },
    /// A target module does not exist in the model.
    #[error("the model has no linear layer named `{name}`; it has {modules}")]
    UnknownModule {
        /// The name asked for.
        name: String,
        /// The names it has.
        modules: String,
    },
    /// An adapter asks for something the engine does not compute.
    #[error("`{}` is {what}, which Attune does not compute", path.display())]
    UnsupportedAdapter {
        /// Its configuration.
        path: PathBuf,
        /// The feature, by its name in the file.
        what: String,
    },
    /// A setting of an adapter means nothing, or nothing in this model.
    #[error("the adapter's {setting}: {reason}")]
    BadAdapterSetting {
        /// The setting, by PEFT's name.
        setting: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A name that no held adapter has.
    #[error("no adapter named `{name}` is held; {held}")]
    UnknownAdapter {
        /// The name asked for.
        name: String,
        /// Those that are.
        held: String,
    },
    /// A checkpoint belongs to another run.
    #[error("the checkpoint `{}` cannot continue this run: {reason}", folder.display())]
    CheckpointMismatch {
        /// The checkpoint.
        folder: PathBuf,
        /// What differs.
        reason: String,
    },
    /// The model's head is another than what is asked of it.
    #[error("this model {has} and {lacks}")]
    OtherHead {
        /// What the model does.
        has: &'static str,
        /// What it does not do.
        lacks: &'static str,
    },
    /// The labels of samples or of a head make no sense together.
    #[error("the labels do not fit: {0}")]
    BadLabels(String),
    /// There is nothing to learn from or nothing to learn with.
    #[error("nothing to train: {0}")]
    NothingToTrain(String),
    /// The loss left the numbers.
    #[error("the loss is not a finite number at step {step}; the run diverged")]
    Diverged {
        /// The optimiser step.
        step: u64,
    },
    /// A token is not in the model's vocabulary.
    #[error("token {token} lies outside the model's vocabulary of {vocabulary}")]
    TokenOutsideVocabulary {
        /// The token.
        token: u32,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// A sequence is longer than the model's positions.
    #[error("{length} tokens are more than the model's {maximum} positions")]
    TooLong {
        /// Tokens in the sequence.
        length: usize,
        /// Positions the model was made for.
        maximum: usize,
    },
    /// Text could not be turned into tokens or back.
    #[error(transparent)]
    Data(#[from] attune_data::Error),
    /// A device cannot be opened.
    #[error("the device `{device}` cannot be used: {reason}")]
    DeviceUnavailable {
        /// `cuda`, `metal`.
        device: &'static str,
        /// What the driver or candle says.
        reason: String,
    },
    /// A tensor operation failed; a defect of Attune or of the device.
    #[error("a tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// A stable name a program may branch on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File { source, .. } if is_full(source) => "disk-full",
            Self::File { .. } => "file-failed",
            Self::NoConfig { .. } => "model-no-config",
            Self::BadConfig { .. } => "model-bad-config",
            Self::Unsupported { .. } => "model-unsupported",
            Self::NoWeights { .. } => "model-no-weights",
            Self::BrokenWeights { .. } => "model-broken-weights",
            Self::BeyondF16 { .. } => "model-beyond-float16",
            Self::MissingTensor { .. } => "model-missing-tensor",
            Self::WrongShape { .. } => "model-wrong-shape",
            Self::UnexpectedTensor { .. } => "model-unexpected-tensor",
            Self::NoAdapter { .. } => "adapter-missing",
            Self::UnknownModule { .. } => "adapter-unknown-module",
            Self::UnsupportedAdapter { .. } => "adapter-unsupported",
            Self::BadAdapterSetting { .. } => "adapter-bad-setting",
            Self::UnknownAdapter { .. } => "adapter-unknown",
            Self::CheckpointMismatch { .. } => "checkpoint-mismatch",
            Self::OtherHead { .. } => "model-other-head",
            Self::BadLabels(_) => "bad-labels",
            Self::NothingToTrain(_) => "nothing-to-train",
            Self::Diverged { .. } => "training-diverged",
            Self::TokenOutsideVocabulary { .. } => "token-outside-vocabulary",
            Self::TooLong { .. } => "sequence-too-long",
            Self::Data(error) => error.code(),
            Self::DeviceUnavailable { .. } => "device-unavailable",
            Self::Tensor(_) => "tensor-failed",
        }
    }

    /// What the user can do about it.
    pub fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::File { source, .. } if is_full(source) => {
                "Free some space on that disk and try again."
            }
            Self::File { .. } => "Check that the file exists and that you may read and write it.",
            Self::NoConfig { .. } => {
                "Choose a Hugging Face model folder: config.json, tokenizer.json and safetensors files."
            }
            Self::BadConfig { .. } => "Download the file again, or correct it.",
            Self::Unsupported { .. } => {
                "Choose a Llama, SmolLM, Mistral, Mixtral, Qwen2, Qwen3, Gemma, Phi-3 or 4, OLMo2, Granite, StableLM or Pythia model."
            }
            Self::NoWeights { .. } => {
                "Download the model's safetensors files; pickle files (.bin, .pt) are never read."
            }
            Self::BrokenWeights { .. } => {
                "The download was probably cut off: download the file again."
            }
            Self::BeyondF16 { .. } => {
                "Set backbone_dtype to float32, or compute on a device that has bfloat16, such as the processor (--device cpu)."
            }
            Self::MissingTensor { .. }
            | Self::WrongShape { .. }
            | Self::UnexpectedTensor { .. } => {
                "Check that config.json and the weights belong to the same model."
            }
            Self::NoAdapter { .. } => "Choose a folder that PEFT or Attune saved an adapter into.",
            Self::UnknownModule { .. } => "Correct lora_target_modules, or leave it empty for all.",
            Self::UnsupportedAdapter { .. } => {
                "Choose a LoRA, rsLoRA or DoRA adapter, or merge this one with PEFT and open the merged model."
            }
            Self::BadAdapterSetting { .. } => "Correct the setting, or leave it out.",
            Self::UnknownAdapter { .. } => "Add the adapter first, or choose one that is held.",
            Self::CheckpointMismatch { .. } => {
                "Start a new experiment, or restore the dataset and settings it began with."
            }
            Self::OtherHead { .. } => {
                "Choose a language model to write text, and a model with a classification head to score labels."
            }
            Self::BadLabels(_) => "Correct the label columns, or choose another kind of problem.",
            Self::NothingToTrain(_) => "Check the dataset's answer column and the maximum length.",
            Self::Diverged { .. } => {
                "Lower the learning rate or set gradient_clip, and continue from the last checkpoint."
            }
            Self::TokenOutsideVocabulary { .. } => "Use the tokenizer that belongs to the model.",
            Self::DeviceUnavailable { .. } => {
                "`attune doctor` says what is missing; --device cpu computes on the processor."
            }
            Self::TooLong { .. } => "Shorten the text or lower the maximum length.",
            Self::Data(error) => return error.remedy(),
            Self::Tensor(_) => return None,
        };
        Some(remedy.to_owned())
    }

    /// The file or folder at fault.
    pub fn place(&self) -> Option<String> {
        match self {
            Self::File { path, .. }
            | Self::BadConfig { path, .. }
            | Self::UnsupportedAdapter { path, .. }
            | Self::BeyondF16 { path, .. }
            | Self::BrokenWeights { path, .. } => Some(path.display().to_string()),
            Self::NoConfig { folder }
            | Self::NoWeights { folder }
            | Self::MissingTensor { folder, .. }
            | Self::WrongShape { folder, .. }
            | Self::UnexpectedTensor { folder, .. }
            | Self::NoAdapter { folder }
            | Self::CheckpointMismatch { folder, .. } => Some(folder.display().to_string()),
            Self::Data(error) => error.place(),
            _ => None,
        }
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
    )
}
