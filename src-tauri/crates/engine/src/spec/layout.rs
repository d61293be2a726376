//! The tensors a spec means: names and shapes, and the linear layers among them.

use super::{
    Family, MlpKind, ModelSpec, NormKind, NormPlacement, QkNorm, QkvProjection, Residual, SCORE,
};

/// The linear layers that an adapter can stand beside, of all families together. Those of one
/// model: [`ModelSpec::linear_modules`].
pub const LINEAR_MODULES: [&str; 13] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
    "qkv_proj",
    "gate_up_proj",
    "query_key_value",
    "dense",
    "dense_h_to_4h",
    "dense_4h_to_h",
];

/// A linear layer of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinearShape {
    /// Its name inside the block, such as `self_attn.q_proj`.
    pub(crate) name: &'static str,
    /// Rows of the matrix.
    pub(crate) out: usize,
    /// Columns of the matrix.
    pub(crate) input: usize,
    /// Whether it has a bias.
    pub(crate) bias: bool,
}

impl LinearShape {
    /// What targets call it: the last part of its name.
    pub(crate) fn module(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }
}

impl ModelSpec {
    /// Width of all query heads.
    pub(crate) fn query_width(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Width of all key heads.
    pub(crate) fn key_width(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// What projects to queries, keys and values.
    pub(crate) fn qkv_linears(&self) -> Vec<LinearShape> {
        let names = self.family.names();
        let (q, kv) = (self.query_width(), self.key_width());
        let shape = |name, out| LinearShape {
            name,
            out,
            input: self.hidden_size,
            bias: self.attention_bias,
        };
        match self.qkv {
            QkvProjection::Separate => {
                let [query, key, value] = names.qkv;
                vec![shape(query, q), shape(key, kv), shape(value, kv)]
            }
            QkvProjection::Fused | QkvProjection::FusedByHead => {
                vec![shape(names.fused_qkv, q + 2 * kv)]
            }
        }
    }

    /// What attention ends with.
    pub(crate) fn output_linear(&self) -> LinearShape {
        LinearShape {
            name: self.family.names().output,
            out: self.hidden_size,
            input: self.query_width(),
            bias: self.output_bias,
        }
    }

    /// What the MLP begins with: gate and up, both in one, or up alone.
    pub(crate) fn up_linears(&self) -> Vec<LinearShape> {
        let names = self.family.names();
        let shape = |name, out| LinearShape {
            name,
            out,
            input: self.hidden_size,
            bias: self.mlp_bias,
        };
        let middle = self.intermediate_size;
        match self.mlp {
            MlpKind::Gated => vec![shape(names.gate, middle), shape(names.up, middle)],
            MlpKind::GatedFused => vec![shape(names.fused_gate_up, 2 * middle)],
            MlpKind::Plain => vec![shape(names.up, middle)],
        }
    }

    /// What the MLP ends with.
    pub(crate) fn down_linear(&self) -> LinearShape {
        LinearShape {
            name: self.family.names().down,
            out: self.hidden_size,
            input: self.intermediate_size,
            bias: self.mlp_bias,
        }
    }

    /// The linear layers of attention, in the order of the computation.
    fn attention_linears(&self) -> Vec<LinearShape> {
        let mut linears = self.qkv_linears();
        linears.push(self.output_linear());
        linears
    }

    /// The linear layers of an MLP, in the order of the computation.
    fn mlp_linears(&self) -> Vec<LinearShape> {
        let mut linears = self.up_linears();
        linears.push(self.down_linear());
        linears
    }

    /// The linear layers of a block that an adapter can stand beside, in the order of the
    /// computation. In a model with experts those of attention alone: what PEFT calls by the names
    /// of an MLP there are the experts, joined.
    pub(crate) fn linears(&self) -> Vec<LinearShape> {
        let mut linears = self.attention_linears();
        if self.experts.is_none() {
            linears.extend(self.mlp_linears());
        }
        linears
    }

    /// What the linear layers of a block are called, as `target_modules` names them.
    pub fn linear_modules(&self) -> Vec<&'static str> {
        self.linears().iter().map(LinearShape::module).collect()
    }

    /// Names of a block's norms: before and after attention, before and after the MLP.
    pub(crate) fn norm_names(&self) -> [Option<&'static str>; 4] {
        let (first, second) = ("input_layernorm", "post_attention_layernorm");
        let after = "post_feedforward_layernorm";
        match (self.norm_placement, self.residual) {
            (NormPlacement::Before, Residual::ParallelOneNorm) => [Some(first), None, None, None],
            (NormPlacement::Before, _) => [Some(first), None, Some(second), None],
            (NormPlacement::After, _) => [None, Some(second), None, Some(after)],
            (NormPlacement::Around, _) => [
                Some(first),
                Some(second),
                Some("pre_feedforward_layernorm"),
                Some(after),
            ],
        }
    }

    /// Names and widths of the weights that norm queries, then keys.
    pub(crate) fn qk_norms(&self) -> [Vec<(String, usize)>; 2] {
        let names = self.family.names().qk_norms;
        let heads = [self.num_attention_heads, self.num_key_value_heads];
        std::array::from_fn(|side| match self.qk_norm {
            None => Vec::new(),
            Some(QkNorm::Head) => vec![(names[side].to_owned(), self.head_dim)],
            Some(QkNorm::Whole) => vec![(names[side].to_owned(), heads[side] * self.head_dim)],
            Some(QkNorm::OwnPerHead) => (0..heads[side])
                .map(|head| (format!("{}.norms.{head}", names[side]), self.head_dim))
                .collect(),
        })
    }

    /// The full name of something in block `layer`.
    pub(crate) fn in_layer(&self, layer: usize, name: &str) -> String {
        format!("{}.{layer}.{name}", self.family.names().layers)
    }

    /// The token embedding's name.
    pub(crate) fn embedding_name(&self) -> String {
        format!("{}.weight", self.family.names().embed)
    }

    /// The final norm's name, without `.weight`.
    pub(crate) fn final_norm_name(&self) -> &'static str {
        self.family.names().norm
    }

    /// The output matrix's name.
    pub(crate) fn head_name(&self) -> String {
        format!("{}.weight", self.family.names().head)
    }

    /// What a file calls the output matrix.
    pub(crate) fn stored_head_name(&self) -> String {
        format!("{}.weight", self.family.names().stored_head)
    }

    /// Whether a tensor is the matrix of a block's linear layer, which types of few bits are for.
    pub(crate) fn is_quantised(&self, name: &str, shape: &[usize]) -> bool {
        let score = format!("{SCORE}.weight");
        let outside = [self.embedding_name(), self.head_name(), score];
        shape.len() == 2 && !outside.iter().any(|one| one == name) && !self.is_router(name)
    }

    /// Whether a tensor in a file is none of the model's weights though its family's files have it.
    pub(crate) fn ignores(&self, name: &str) -> bool {
        let head = [self.head_name(), self.stored_head_name()];
        name.ends_with("rotary_emb.inv_freq")
            || (!self.has_output_matrix() && head.iter().any(|head| head == name))
            // Masks that early versions of transformers kept as buffers.
            || (self.family == Family::GptNeox
                && [".attention.bias", ".attention.masked_bias"]
                    .iter()
                    .any(|buffer| name.ends_with(buffer)))
    }

    /// Name and shape of every tensor of the model, in the order of the computation.
    pub(crate) fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let h = self.hidden_size;
        let table = vec![self.vocab_size, h];
        let mut tensors = vec![(self.embedding_name(), table.clone())];
        let norm = |tensors: &mut Vec<_>, name: &str| {
            tensors.push((format!("{name}.weight"), vec![h]));
            if self.norm == NormKind::Layer {
                tensors.push((format!("{name}.bias"), vec![h]));
            }
        };
        let [before_attention, later_norms @ ..] = self.norm_names();
        for layer in 0..self.num_hidden_layers {
            let named = |name: &str| self.in_layer(layer, name);
            if let Some(name) = before_attention {
                norm(&mut tensors, &named(name));
            }
            let experts = self.experts(layer);
            let mut linears = self.attention_linears();
            if experts.is_none() {
                linears.extend(self.mlp_linears());
            }
            for linear in linears {
                let weight = format!("{}.weight", named(linear.name));
                tensors.push((weight, vec![linear.out, linear.input]));
                if linear.bias {
                    tensors.push((format!("{}.bias", named(linear.name)), vec![linear.out]));
                }
            }
            if let Some(experts) = experts {
                for (name, shape) in self.expert_tensors(experts) {
                    tensors.push((format!("{}.weight", named(&name)), shape));
                }
            }
            for (name, width) in self.qk_norms().concat() {
                tensors.push((format!("{}.weight", named(&name)), vec![width]));
            }
            for name in later_norms.into_iter().flatten() {
                norm(&mut tensors, &named(name));
            }
        }
        norm(&mut tensors, self.final_norm_name());
        if self.has_output_matrix() {
            tensors.push((self.head_name(), table));
        }
        tensors.extend(self.score());
        tensors
    }
}
