//! The list of experiment settings: each is defined here, once, and nowhere else.
//!
//! Names, defaults and ranges are those of H2O LLM Studio wherever it has the setting; `h2o` names
//! its key. Where one deviates, a comment says why.

use serde::{Deserialize, Serialize};

use super::{Group, Level, Setting, choice, integer, list, number};
use crate::api::{Condition, SettingKind};
use attune_engine::{LINEAR_MODULES, LoraInit, OptimizerKind};

/// How the frozen weights of the model are stored in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackboneDtype {
    /// 4 bytes per weight.
    Float32,
    /// 2 bytes, the range of float32.
    Bfloat16,
    /// 2 bytes, more digits and a smaller range.
    Float16,
    /// One byte, a magnitude for each row.
    Int8,
    /// Half a byte: 4-bit NormalFloat with double quantisation, as QLoRA has it.
    Nf4,
}

/// How the learning rate falls after warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScheduleChoice {
    /// Half a cosine.
    Cosine,
    /// Not at all.
    Constant,
    /// A straight line.
    Linear,
}

/// Which checkpoint stands for the experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaveCheckpoint {
    /// The newest.
    Last,
    /// The lowest validation loss.
    Best,
}

macro_rules! define_settings {
    ($($group:ident {$(
        $(#[doc = $help:literal])+
        $key:ident: $type:ty = $default:expr, $kind:expr, $level:ident, $title:literal
        $(, h2o $h2o:literal)? $(, when $other:ident = $value:expr)?;
    )+})+) => {
        /// Everything that defines a run. The YAML keys are the fields' names.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct ExperimentConfig {
            $($($(#[doc = $help])+ pub $key: $type,)+)+
        }

        impl Default for ExperimentConfig {
            fn default() -> Self {
                Self { $($($key: $default,)+)+ }
            }
        }

        /// Every setting, in the order of the list.
        pub(super) fn list_all() -> Vec<Setting> {
            vec![$($(Setting {
                key: stringify!($key),
                title: $title,
                help: concat!($($help),+).trim_ascii(),
                group: Group::$group,
                level: Level::$level,
                kind: $kind,
                h2o_name: [$(Some($h2o),)? None][0],
                applies_when: [$(Some(Condition { key: stringify!($other).to_owned(), value: $value.into() }),)? None]
                    .into_iter()
                    .next()
                    .flatten(),
            },)+)+]
        }
    };
}

define_settings! {
    General {
        /// Name of the experiment. Without one it is named after its dataset and model.
        experiment_name: Option<String> = None, SettingKind::Text, Basic, "Name", h2o "experiment_name";
        // H2O says llm_backbone and train_dataframe; Attune has one word for each thing.
        /// The model to tune: id, name, unambiguous prefix, or a folder.
        model: String = String::new(), SettingKind::Text, Basic, "Model", h2o "llm_backbone";
        // H2O draws a new seed unless told otherwise. So does Attune, and then writes the seed it
        // drew into the run's config.yaml, so that every run can be repeated.
        /// Decides every random choice. -1 draws one and records it.
        seed: i64 = -1, integer(-1, i64::from(u32::MAX)), Expert, "Seed", h2o "seed";
    }
    Dataset {
        /// The dataset to train on: id, name or unambiguous prefix.
        dataset: String = String::new(), SettingKind::Text, Basic, "Dataset", h2o "train_dataframe";
        /// A dataset to validate on. Without one, a part of the dataset is held out.
        validation_dataset: Option<String> = None, SettingKind::Text, Advanced, "Validation dataset", h2o "validation_dataframe";
        // From 0 rather than 0.01: a run without validation has a use, and H2O offers it elsewhere.
        /// Share of the conversations held out for validation; 0 holds out none.
        validation_size: f64 = 0.01, number(0.0, 0.95), Basic, "Validation size", h2o "validation_size", when validation_dataset = serde_json::Value::Null;
        /// Share of the conversations to use, chosen by seed before validation is held out. Below 1 for a quick trial.
        data_sample: f64 = 1.0, number(0.01, 1.0), Advanced, "Data sample", h2o "data_sample";
        /// Train on answers only. Off, the tokens of prompts and of the system turn count in the loss too.
        mask_prompt_labels: bool = true, SettingKind::Switch, Advanced, "Train on answers only", h2o "mask_prompt_labels";
        /// Shuffle the conversations anew in every epoch. Off, they keep the order of the file.
        shuffle: bool = true, SettingKind::Switch, Expert, "Shuffle";
    }
    Tokens {
        /// Longest sample in tokens; what is longer is cut at its end. Memory and time grow with it.
        max_length: usize = 512, integer(32, 131_072), Basic, "Maximum length", h2o "max_length";
        /// Join short conversations into rows of the maximum length. They do not see each other. The batch size then counts rows.
        packing: bool = false, SettingKind::Switch, Advanced, "Packing";
    }
    Model {
        // H2O's default is int4, which needs a GPU library. A processor computes fastest in float32.
        /// How the frozen weights are held in memory while an adapter is trained. The 2-byte ones halve their memory, int8 takes a quarter and nf4 (QLoRA) an eighth of it, each less exact than the one before. Where every weight is trained, float32, or bfloat16: computed with in bfloat16 and moved in float32, in the memory of float32.
        backbone_dtype: BackboneDtype = BackboneDtype::Float32, choice(&["float32", "bfloat16", "float16", "int8", "nf4"]), Advanced, "Weight precision", h2o "backbone_dtype";
        // On in H2O, which computes on graphics processors. Few desktops' processors have the matrix
        // units that gain by it, and off a run's numbers are exact whatever it was made on.
        /// Round what is multiplied to bfloat16 and sum in float32. Faster on processors with matrix units (Intel AMX), not on others; a little less exact on all.
        mixed_precision: bool = false, SettingKind::Switch, Advanced, "Mixed precision", h2o "mixed_precision";
        /// Compute each layer twice instead of keeping its intermediate values: much less memory, about a third more time.
        gradient_checkpointing: bool = true, SettingKind::Switch, Advanced, "Save memory by recomputing", h2o "gradient_checkpointing";
        /// Start from an adapter folder in PEFT layout, or from an earlier experiment by id or name.
        pretrained_weights: Option<String> = None, SettingKind::Text, Advanced, "Start from", h2o "pretrained_weights";
    }
    Adapter {
        /// Train a small adapter (LoRA) beside the frozen model. Off trains every weight: several times the memory.
        lora: bool = true, SettingKind::Switch, Basic, "LoRA", h2o "lora";
        /// Rank of the adapter: how much it can learn. 4 to 16 suit most tasks, more for new knowledge.
        lora_r: usize = 4, integer(1, 256), Basic, "LoRA rank", h2o "lora_r", when lora = true;
        /// Strength of the adapter; its effect is scaled by alpha / rank.
        lora_alpha: f64 = 16.0, number(1.0, 256.0), Advanced, "LoRA alpha", h2o "lora_alpha", when lora = true;
        /// The layers that carry the adapter; none named means every linear layer but the head. A model
        /// has those of its family.
        lora_target_modules: Vec<String> = Vec::new(), list(&LINEAR_MODULES), Expert, "LoRA layers", h2o "lora_target_modules", when lora = true;
        /// Layers that carry the adapter as a regular expression over their whole names, as PEFT's target_modules text: `.*layers\.(0|1)\..*_proj`. Instead of the list.
        lora_target_pattern: Option<String> = None, SettingKind::Text, Expert, "LoRA layers by pattern", when lora = true;
        /// Ranks of single layers, as `pattern=rank`: `down_proj=16`. A pattern is a regular expression for the end of a name; the first that matches counts.
        lora_rank_pattern: Vec<String> = Vec::new(), list(&[]), Expert, "LoRA rank by layer", when lora = true;
        /// The same for alpha: `down_proj=32`.
        lora_alpha_pattern: Vec<String> = Vec::new(), list(&[]), Expert, "LoRA alpha by layer", when lora = true;
        // 0 rather than H2O's 0.05: a run on little data gains nothing by it and pays with time.
        /// Share of the adapter's inputs set to zero at random while training, against overfitting.
        lora_dropout: f64 = 0.0, number(0.0, 0.5), Advanced, "LoRA dropout", h2o "lora_dropout", when lora = true;
        /// Scale by alpha / √rank (rsLoRA), which keeps high ranks stable.
        use_rslora: bool = false, SettingKind::Switch, Expert, "Rank-stabilised LoRA", h2o "use_rslora", when lora = true;
        /// Train length and direction of the weights apart (DoRA): often better at low ranks, slower, and more memory.
        use_dora: bool = false, SettingKind::Switch, Advanced, "DoRA", h2o "use_dora", when lora = true;
        /// How the adapter starts: at random and without effect, or as the principal part of the weights (PiSSA), which learns faster and takes time before the first step.
        lora_init: LoraInit = LoraInit::Default, choice(&["default", "pissa"]), Expert, "LoRA start", when lora = true;
        /// How many times faster than A the adapter's matrix B learns (LoRA+). 1 is plain LoRA; 16 is usual with it.
        loraplus_lr_ratio: f64 = 1.0, number(1.0, 64.0), Expert, "LoRA+ rate ratio", when lora = true;
        /// Train these whole beside the adapter, for new tokens or another language. They are large, and are saved with the adapter.
        lora_modules_to_save: Vec<String> = Vec::new(), list(&["embed_tokens", "lm_head"]), Expert, "Trained whole", h2o "lora_unfreeze_layers", when lora = true;
    }
    Training {
        // From 0.01 rather than 0, which in H2O evaluates only: `attune evaluate` does that.
        /// Passes over the training data; 0.5 is half a pass.
        epochs: f64 = 1.0, number(0.01, 50.0), Basic, "Epochs", h2o "epochs";
        /// End after this many optimiser steps, even within an epoch.
        max_steps: Option<u64> = None, integer(1, 100_000_000), Advanced, "Maximum steps";
        /// Highest learning rate. 1e-4 suits LoRA; full fine-tuning wants about a tenth of it.
        learning_rate: f64 = 1e-4, number(1e-9, 1.0), Basic, "Learning rate", h2o "learning_rate";
        // Of H2O's list, AdamW, AdamW8bit and SGD; its SGD is Nesterov's, which TRL does not offer.
        /// The rule of a step. AdamW8bit remembers a quarter of AdamW, Lion half, Adafactor almost nothing; Lion wants a third to a tenth of the rate.
        optimizer: OptimizerKind = OptimizerKind::AdamW, choice(&["AdamW", "AdamW8bit", "Adafactor", "Lion", "SGD"]), Advanced, "Optimiser", h2o "optimizer";
        // A switch rather than further optimisers, as bitsandbytes names them: all can be paged.
        /// Keep what the optimiser remembers in a file in the run's folder instead of in memory. Makes room for a larger run and changes nothing else; each step reads and writes the file.
        paged_optimizer: bool = false, SettingKind::Switch, Expert, "Page the optimiser to disk";
        /// What is left of the step before.
        sgd_momentum: f64 = 0.9, number(0.0, 0.999), Expert, "SGD momentum", when optimizer = "SGD";
        /// Conversations (rows, with packing) computed together. Memory grows with it.
        batch_size: usize = 2, integer(1, 256), Basic, "Batch size", h2o "batch_size";
        // Up to 256 rather than 8: a small device reaches a large batch only this way.
        /// Batches that make one optimiser step: the effect of a larger batch without its memory.
        grad_accumulation: usize = 1, integer(1, 256), Advanced, "Gradient accumulation", h2o "grad_accumulation";
        /// How the learning rate falls after warm-up.
        schedule: ScheduleChoice = ScheduleChoice::Cosine, choice(&["Cosine", "Constant", "Linear"]), Advanced, "Schedule", h2o "schedule";
        /// Learning rate at the end, as a share of the highest. No effect with a constant schedule.
        min_learning_rate_ratio: f64 = 0.0, number(0.0, 0.1), Expert, "Minimum learning rate", h2o "min_learning_rate_ratio";
        /// Epochs over which the learning rate rises from zero.
        warmup_epochs: f64 = 0.0, number(0.0, 5.0), Advanced, "Warm-up", h2o "warmup_epochs";
        /// Pull of the trained weights towards zero.
        weight_decay: f64 = 0.0, number(0.0, 1.0), Advanced, "Weight decay", h2o "weight_decay";
        /// Longest gradient, as the norm over all trained weights; longer ones are scaled down. 0 turns it off.
        gradient_clip: f64 = 0.0, number(0.0, 10.0), Advanced, "Gradient clipping", h2o "gradient_clip";
        /// AdamW's memory of gradients; Lion's weight of the momentum in a step.
        adam_beta1: f64 = 0.9, number(0.0, 0.9999), Expert, "AdamW beta 1";
        /// AdamW's memory of squared gradients; Lion's memory of gradients, where 0.99 is usual.
        adam_beta2: f64 = 0.999, number(0.0, 0.999_999), Expert, "AdamW beta 2";
        /// Keeps AdamW from dividing by zero.
        adam_epsilon: f64 = 1e-8, number(1e-15, 1e-2), Expert, "AdamW epsilon";
        /// Noise on the embeddings while training (NEFTune), which often makes answers richer. 5 is usual; 0 turns it off.
        neftune_noise_alpha: f64 = 0.0, number(0.0, 15.0), Expert, "NEFTune noise", h2o "neftune_noise_alpha";
    }
    Validation {
        // From 0 rather than 0.01: 0 turns evaluation off.
        /// Epochs between two evaluations of the validation data; 0 never evaluates.
        evaluation_epochs: f64 = 1.0, number(0.0, 1.0), Advanced, "Evaluation interval", h2o "evaluation_epochs";
        /// Evaluate once before the first step, to see what tuning changed.
        evaluate_before_training: bool = false, SettingKind::Switch, Advanced, "Evaluate before training", h2o "evaluate_before_training";
        /// Held-out questions answered before the first step and at each evaluation, to read how the answers change; 0 asks none.
        sample_prompts: usize = 3, integer(0, 32), Advanced, "Sample answers";
        /// End when so many evaluations in a row brought no lower validation loss; 0 never ends early.
        early_stopping_patience: u32 = 0, integer(0, 1000), Advanced, "Early stopping";
    }
    Checkpoints {
        // Of H2O's four, the two that name a result. Attune keeps both while it trains, always.
        /// Which checkpoint stands for the experiment in evaluation, chat and export.
        save_checkpoint: SaveCheckpoint = SaveCheckpoint::Last, choice(&["last", "best"]), Advanced, "Result", h2o "save_checkpoint";
        /// Optimiser steps between two checkpoints, beside those at evaluations and at the end. A killed run continues from the last one.
        checkpoint_steps: u64 = 50, integer(0, 1_000_000), Advanced, "Checkpoint interval";
    }
    Prediction {
        /// Longest answer in tokens.
        max_length_inference: usize = 256, integer(1, 4096), Advanced, "Maximum answer length", h2o "max_length_inference";
        /// Answers generated at once; 0 chooses for you.
        batch_size_inference: usize = 0, integer(0, 512), Expert, "Prediction batch size", h2o "batch_size_inference";
        // H2O has do_sample beside it; here 0 is greedy, and nothing can contradict it.
        /// Randomness of answers in chat; 0 takes the likeliest token each time. Evaluation is always greedy.
        temperature: f64 = 0.0, number(0.0, 10.0), Advanced, "Temperature", h2o "temperature";
        /// Choose among this many likeliest tokens; 0 among all.
        top_k: usize = 0, integer(0, 100), Expert, "Top k", h2o "top_k";
        /// Choose among the likeliest tokens that together reach this probability.
        top_p: f64 = 1.0, number(0.5, 1.0), Expert, "Top p", h2o "top_p";
        /// Choose among tokens at least this likely, relative to the likeliest; 0 turns it off.
        min_p: f64 = 0.0, number(0.0, 1.0), Expert, "Min p";
        /// Makes tokens that already occurred less likely; 1 turns it off.
        repetition_penalty: f64 = 1.0, number(1.0, 10.0), Expert, "Repetition penalty", h2o "repetition_penalty";
        /// Texts that end an answer, beside the model's own stop tokens.
        stop_tokens: Vec<String> = Vec::new(), list(&[]), Expert, "Stop texts", h2o "stop_tokens";
    }
}
