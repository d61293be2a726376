//! Mixtures of experts: Qwen3-MoE and Mixtral. A router chooses for each token a few of many MLPs.

use super::config::{Config, layers_with};
use super::{Family, ModelSpec, QkNorm, llama};
use crate::Result;
use serde::Serialize;
use serde_json::{Map, Value};

/// The experts that take the MLP's place in some blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Experts {
    /// How many a block has.
    pub count: usize,
    /// How many of them a token passes.
    pub per_token: usize,
    /// Width of one.
    pub intermediate_size: usize,
    /// Whether the weights of those that a token passes sum to one; without it they are their
    /// probabilities among all.
    pub normalised: bool,
    /// Which blocks have them, one entry for each block.
    pub layers: Vec<bool>,
}

/// Qwen3-MoE: experts in every `decoder_sparse_step`-th block but `mlp_only_layers`.
pub(super) fn read_qwen3_moe(config: &Config<'_>, family: Family) -> Result<ModelSpec> {
    let mut spec = llama::read(config, family)?;
    spec.qk_norm = Some(QkNorm::Head);
    spec.mlp_bias = false;
    if config.flag("use_sliding_window", false) {
        let window = config.optional_size("sliding_window")?;
        spec.layers = layers_with(window, &vec![true; spec.num_hidden_layers]);
    }
    let step = config.optional_size("decoder_sparse_step")?.unwrap_or(1);
    let dense: Vec<u64> = match config.get("mlp_only_layers") {
        None => Vec::new(),
        Some(layers) => serde_json::from_value(layers.clone()).map_err(|_| {
            (config.bad)(format!(
                "`mlp_only_layers` is {layers}, not a list of layers"
            ))
        })?,
    };
    let has_experts = |layer: usize| (layer + 1).is_multiple_of(step);
    let experts = Experts {
        count: count(config, 128)?,
        per_token: config.optional_size("num_experts_per_tok")?.unwrap_or(8),
        intermediate_size: config
            .optional_size("moe_intermediate_size")?
            .unwrap_or(768),
        normalised: config.flag("norm_topk_prob", false),
        layers: (0..spec.num_hidden_layers)
            .map(|layer| has_experts(layer) && !dense.contains(&(layer as u64)))
            .collect(),
    };
    with(config, spec, experts)
}

/// Mixtral: experts in every block, as wide as the MLP would be.
pub(super) fn read_mixtral(config: &Config<'_>, family: Family) -> Result<ModelSpec> {
    let mut spec = llama::read_mistral(config, family)?;
    spec.norm_eps = config.number("rms_norm_eps")?.unwrap_or(1e-5);
    spec.mlp_bias = false;
    let experts = Experts {
        count: count(config, 8)?,
        per_token: config.optional_size("num_experts_per_tok")?.unwrap_or(2),
        intermediate_size: spec.intermediate_size,
        normalised: true,
        layers: vec![true; spec.num_hidden_layers],
    };
    with(config, spec, experts)
}

/// Files say it either way, whatever their family.
fn count(config: &Config<'_>, default: usize) -> Result<usize> {
    let named = match config.optional_size("num_experts")? {
        None => config.optional_size("num_local_experts")?,
        count => count,
    };
    Ok(named.unwrap_or(default))
}

fn with(config: &Config<'_>, mut spec: ModelSpec, experts: Experts) -> Result<ModelSpec> {
    if experts.per_token > experts.count {
        return Err((config.bad)(format!(
            "`num_experts_per_tok` is {}, and there are {} experts",
            experts.per_token, experts.count
        )));
    }
    spec.experts = Some(experts);
    Ok(spec)
}

pub(super) fn write_qwen3_moe(spec: &ModelSpec, fields: &mut Map<String, Value>) {
    llama::write(spec, fields);
    let Some(experts) = &spec.experts else { return };
    fields.insert("num_experts".into(), experts.count.into());
    let width = experts.intermediate_size;
    fields.insert("moe_intermediate_size".into(), width.into());
    fields.insert("num_experts_per_tok".into(), experts.per_token.into());
    fields.insert("norm_topk_prob".into(), experts.normalised.into());
    fields.insert("decoder_sparse_step".into(), 1.into());
    let layers = experts.layers.iter().enumerate();
    let dense = layers.filter_map(|(layer, sparse)| (!sparse).then_some(layer));
    fields.insert("mlp_only_layers".into(), dense.collect());
}

pub(super) fn write_mixtral(spec: &ModelSpec, fields: &mut Map<String, Value>) {
    llama::write(spec, fields);
    let Some(experts) = &spec.experts else { return };
    fields.insert("num_local_experts".into(), experts.count.into());
    fields.insert("num_experts_per_tok".into(), experts.per_token.into());
}

impl ModelSpec {
    /// The experts of block `layer`, if it has them in place of an MLP.
    pub(crate) fn experts(&self, layer: usize) -> Option<&Experts> {
        let experts = self.experts.as_ref();
        experts.filter(|experts| experts.layers.get(layer) == Some(&true))
    }

    /// The router's name inside the block.
    pub(crate) fn router(&self) -> &'static str {
        self.family.names().router
    }

    /// Names of gate, up and down of an expert inside the block.
    pub(crate) fn expert_linears(&self, expert: usize) -> [String; 3] {
        let names = self.family.names();
        names
            .expert
            .map(|name| format!("{}.{expert}.{name}", names.experts))
    }

    /// Last parts of the names of router and experts.
    pub(crate) fn expert_modules(&self) -> Vec<String> {
        let names = self.family.names();
        let router = names.router.rsplit('.').next();
        let modules = router.into_iter().chain(names.expert);
        modules.map(str::to_owned).collect()
    }

    /// Whether a tensor is a router's matrix.
    pub(crate) fn is_router(&self, name: &str) -> bool {
        self.experts.is_some() && name.ends_with(&format!(".{}.weight", self.router()))
    }

    /// Names inside the block and shapes of the matrices of router and experts: the router, then
    /// gate, up and down of each expert.
    pub(crate) fn expert_tensors(&self, experts: &Experts) -> Vec<(String, Vec<usize>)> {
        let (hidden, width) = (self.hidden_size, experts.intermediate_size);
        let mut tensors = vec![(self.router().to_owned(), vec![experts.count, hidden])];
        for expert in 0..experts.count {
            let [gate, up, down] = self.expert_linears(expert);
            tensors.push((gate, vec![width, hidden]));
            tensors.push((up, vec![width, hidden]));
            tensors.push((down, vec![hidden, width]));
        }
        tensors
    }

    /// Width of what a token passes between the two halves of an MLP or of its experts, in the
    /// widest block.
    pub(crate) fn middle_width(&self) -> usize {
        let width = |layer| match self.experts(layer) {
            Some(experts) => experts.per_token * experts.intermediate_size,
            None => self.intermediate_size,
        };
        (0..self.num_hidden_layers).map(width).max().unwrap_or(0)
    }

    /// Weights of the experts that a token does not pass.
    pub(crate) fn idle_parameters(&self) -> u64 {
        let Some(experts) = &self.experts else {
            return 0;
        };
        let blocks = experts.layers.iter().filter(|sparse| **sparse).count();
        let idle = blocks * (experts.count - experts.per_token);
        (idle * 3 * self.hidden_size * experts.intermediate_size) as u64
    }
}
