//! LayerNorm.

use super::{assert_close, assert_gradient, dot, random};
use crate::{LayerNormGradients, layer_norm};
use candle_core::{Result, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

#[test]
fn layer_norm_gradients() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(21);
    for (rows, width) in [(3, 20), (130, 5)] {
        let (x, dy) = (random(rng, (rows, width)), random(rng, (rows, width)));
        // A mean far from zero must not cost digits.
        let x = (x + 3.0)?;
        let vector = |rng: &mut ChaCha8Rng| random(rng, (1, width)).flatten_all();
        let (w, b) = (vector(rng)?, vector(rng)?);
        let y = crate::layer_norm(&x, &w, Some(&b), 1e-5)?;
        assert_close(
            &y,
            &layer_norm::composed(&x, &w, Some(&b), 1e-5)?,
            1e-5,
            "forward",
        );
        let plain = crate::layer_norm(&x, &w, None, 1e-5)?;
        assert_close(&plain.broadcast_add(&b)?, &y, 1e-5, "without bias");
        let (mut dw, mut db) = (w.zeros_like()?, w.zeros_like()?);
        let (mut dw2, mut db2) = (w.zeros_like()?, w.zeros_like()?);
        let gradients = LayerNormGradients {
            weight: Some(&mut dw),
            bias: Some(&mut db),
        };
        let dx = crate::layer_norm_backward(&x, &w, 1e-5, &dy, gradients)?;
        let gradients = LayerNormGradients {
            weight: Some(&mut dw2),
            bias: Some(&mut db2),
        };
        let dx2 = layer_norm::backward_composed(&x, &w, 1e-5, &dy, gradients)?;
        assert_close(&dx, &dx2, 1e-5, "dx");
        assert_close(&dw, &dw2, 1e-5, "dw");
        assert_close(&db, &db2, 1e-5, "db");
        if rows < 10 {
            let loss = |x: &Tensor, w: &Tensor, b: &Tensor| {
                dot(&crate::layer_norm(x, w, Some(b), 1e-5).unwrap(), &dy)
            };
            assert_gradient(&x, &dx, |x| loss(x, &w, &b), "dx");
            assert_gradient(&w, &dw, |w| loss(&x, w, &b), "dw");
            assert_gradient(&b, &db, |b| loss(&x, &w, b), "db");
        }
    }
    Ok(())
}
