//! A norm and its weights: RMSNorm or LayerNorm, over rows or over the heads in them.

use crate::Result;
use crate::parameter::Parameter;
use crate::spec::{ModelSpec, NormKind, QkNorm};
use attune_kernels::{
    LayerNormGradients, layer_norm, layer_norm_backward, rms_norm, rms_norm_backward,
};
use candle_core::Tensor;

/// What normalises rows as wide as its weight.
pub(crate) struct Norm {
    weight: Parameter,
    /// LayerNorm's, where it has one.
    bias: Option<Parameter>,
    kind: NormKind,
    epsilon: f64,
}

impl Norm {
    /// The norm called `name`, its parameters taken from `take`.
    pub(crate) fn build(
        spec: &ModelSpec,
        name: &str,
        take: &mut dyn FnMut(&str) -> Result<Parameter>,
    ) -> Result<Self> {
        let bias = match spec.norm {
            NormKind::Layer => Some(take(&format!("{name}.bias"))?),
            NormKind::Rms | NormKind::RmsPlusOne => None,
        };
        Ok(Self {
            bias,
            ..Self::without_bias(spec, name, take)?
        })
    }

    fn without_bias(
        spec: &ModelSpec,
        name: &str,
        take: &mut dyn FnMut(&str) -> Result<Parameter>,
    ) -> Result<Self> {
        Ok(Self {
            weight: take(&format!("{name}.weight"))?,
            bias: None,
            kind: spec.norm,
            epsilon: spec.norm_eps,
        })
    }

    /// `x (N, width)` to `(N, width)`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (weight, epsilon) = (&self.weight.value, self.epsilon);
        let offset = match self.kind {
            NormKind::Rms => 0.0,
            NormKind::RmsPlusOne => 1.0,
            NormKind::Layer => {
                let bias = self.bias.as_ref().map(|bias| &bias.value);
                return Ok(layer_norm(x, weight, bias, epsilon)?);
            }
        };
        Ok(rms_norm(x, weight, offset, epsilon)?)
    }

    /// Adds this norm's gradients and returns that of `x`.
    pub(crate) fn backward(&mut self, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let (weight, epsilon) = (self.weight.value.clone(), self.epsilon);
        let offset = match self.kind {
            NormKind::Rms => 0.0,
            NormKind::RmsPlusOne => 1.0,
            NormKind::Layer => {
                let gradients = LayerNormGradients {
                    weight: self.weight.gradient_mut(),
                    bias: self.bias.as_mut().and_then(Parameter::gradient_mut),
                };
                return Ok(layer_norm_backward(x, &weight, epsilon, dy, gradients)?);
            }
        };
        let gradient = self.weight.gradient_mut();
        Ok(rms_norm_backward(
            x, &weight, offset, epsilon, dy, gradient,
        )?)
    }

    pub(crate) fn is_trainable(&self) -> bool {
        self.weight.is_trainable()
    }

    pub(crate) fn visit<'a>(&'a self, visit: &mut dyn FnMut(&'a Parameter)) {
        visit(&self.weight);
        self.bias.iter().for_each(visit);
    }

    pub(crate) fn visit_mut(
        &mut self,
        visit: &mut dyn FnMut(&mut Parameter) -> Result<()>,
    ) -> Result<()> {
        visit(&mut self.weight)?;
        self.bias.iter_mut().try_for_each(visit)
    }
}

/// What normalises queries or keys `(N, heads · head_dim)`.
pub(crate) struct HeadNorm {
    /// One, or one for each head.
    norms: Vec<Norm>,
    kind: QkNorm,
    head_dim: usize,
}

impl HeadNorm {
    /// The norms of queries and of keys, if the model has them.
    pub(crate) fn build_pair(
        spec: &ModelSpec,
        take: &mut dyn FnMut(&str) -> Result<Parameter>,
    ) -> Result<Option<[Self; 2]>> {
        let Some(kind) = spec.qk_norm else {
            return Ok(None);
        };
        let mut side = |names: &[(String, usize)]| -> Result<Self> {
            let norms = names
                .iter()
                .map(|(name, _)| Norm::without_bias(spec, name, take));
            Ok(Self {
                norms: norms.collect::<Result<_>>()?,
                kind,
                head_dim: spec.head_dim,
            })
        };
        let [queries, keys] = spec.qk_norms();
        Ok(Some([side(&queries)?, side(&keys)?]))
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match (self.kind, self.norms.as_slice()) {
            (QkNorm::Head, [norm]) => {
                let heads = x.reshape(((), self.head_dim))?;
                Ok(norm.forward(&heads)?.reshape(x.shape())?)
            }
            (QkNorm::Whole, [norm]) => norm.forward(x),
            (_, norms) => {
                let heads = norms
                    .iter()
                    .enumerate()
                    .map(|(head, norm)| norm.forward(&self.head(x, head)?));
                Ok(Tensor::cat(&heads.collect::<Result<Vec<_>>>()?, 1)?)
            }
        }
    }

    pub(crate) fn backward(&mut self, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        if let (QkNorm::Head, [norm]) = (self.kind, self.norms.as_mut_slice()) {
            let rows = |x: &Tensor| x.reshape(((), self.head_dim));
            return Ok(norm.backward(&rows(x)?, &rows(dy)?)?.reshape(x.shape())?);
        }
        if let (QkNorm::Whole, [norm]) = (self.kind, self.norms.as_mut_slice()) {
            return norm.backward(x, dy);
        }
        let parts = (0..self.norms.len())
            .map(|head| Ok((self.head(x, head)?, self.head(dy, head)?)))
            .collect::<Result<Vec<_>>>()?;
        let heads = self
            .norms
            .iter_mut()
            .zip(&parts)
            .map(|(norm, (x, dy))| norm.backward(x, dy));
        Ok(Tensor::cat(&heads.collect::<Result<Vec<_>>>()?, 1)?)
    }

    /// The columns of one head.
    fn head(&self, x: &Tensor, head: usize) -> Result<Tensor> {
        let columns = x.narrow(1, head * self.head_dim, self.head_dim)?;
        Ok(columns.contiguous()?)
    }

    pub(crate) fn visit<'a>(&'a self, visit: &mut dyn FnMut(&'a Parameter)) {
        for norm in &self.norms {
            norm.visit(visit);
        }
    }

    pub(crate) fn visit_mut(
        &mut self,
        visit: &mut dyn FnMut(&mut Parameter) -> Result<()>,
    ) -> Result<()> {
        self.norms
            .iter_mut()
            .try_for_each(|norm| norm.visit_mut(visit))
    }
}
