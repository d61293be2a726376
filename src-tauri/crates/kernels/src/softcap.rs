//! Soft-capping: `c · tanh(x / c)` keeps scores within `±c` (Gemma 2; Bello et al., 2016).

use crate::tanh::tanh;
use crate::vectorised::vectorised;
use candle_core::{Result, Tensor};

/// Caps each value in place.
pub(crate) fn softcap(values: &mut [f32], cap: f32) {
    let inverse = 1.0 / cap;
    vectorised(
        #[inline(always)]
        || {
            for value in values.iter_mut() {
                *value = cap * tanh(*value * inverse);
            }
        },
    );
}

/// The derivative of the cap, from what it returned: `1 - (y / c)²`.
#[inline(always)]
pub(crate) fn softcap_slope(capped: f32, cap: f32) -> f32 {
    let part = capped / cap;
    1.0 - part * part
}

/// The capped values and the cap's derivative there, by candle's operations.
pub(crate) fn composed(x: &Tensor, cap: f32) -> Result<(Tensor, Tensor)> {
    let part = (x / f64::from(cap))?.tanh()?;
    let slope = (1.0 - part.sqr()?)?;
    Ok(((part * f64::from(cap))?, slope))
}
