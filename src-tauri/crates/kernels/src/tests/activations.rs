//! GELU, plain and gating.

use super::{assert_close, assert_gradient, dot, random};
use crate::{Gelu, gelu};
use candle_core::{Result, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

#[test]
fn gelu_gradients() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(22);
    let (x, up, dy) = (
        (random(rng, (4, 9)) * 3.0)?,
        random(rng, (4, 9)),
        random(rng, (4, 9)),
    );
    for (kind, candles) in [(Gelu::Exact, x.gelu_erf()?), (Gelu::Tanh, x.gelu()?)] {
        let y = crate::gelu(&x, kind)?;
        assert_close(&y, &candles, 1e-6, "candle's");
        let (value, slope) = gelu::composed(&x, kind)?;
        assert_close(&y, &value, 1e-6, "forward");
        let dx = crate::gelu_backward(&x, &dy, kind)?;
        assert_close(&dx, &(slope * &dy)?, 1e-6, "dx");
        assert_gradient(&x, &dx, |x| dot(&crate::gelu(x, kind).unwrap(), &dy), "dx");

        let gated = |x: &Tensor, up: &Tensor| crate::geglu(x, up, kind).unwrap();
        assert_close(
            &gated(&x, &up),
            &gelu::geglu_composed(&x, &up, kind)?,
            1e-6,
            "gated",
        );
        let (dgate, dup) = crate::geglu_backward(&x, &up, &dy, kind)?;
        let (dgate2, dup2) = gelu::geglu_backward_composed(&x, &up, &dy, kind)?;
        assert_close(&dgate, &dgate2, 1e-6, "dgate");
        assert_close(&dup, &dup2, 1e-6, "dup");
        assert_gradient(&x, &dgate, |x| dot(&gated(x, &up), &dy), "dgate");
        assert_gradient(&up, &dup, |up| dot(&gated(&x, up), &dy), "dup");
    }
    Ok(())
}
