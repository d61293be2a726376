//! Every backward against finite differences, and every CPU kernel against the composition that
//! stands in for it on other devices.

#![expect(clippy::unwrap_used, reason = "a failed test should panic")]
#![expect(
    unused_qualifications,
    reason = "`crate::rope` is the function, `rope` its module"
)]

mod activations;
mod norms;
mod sequences;

use crate::{
    AdamW, Attention, Logits, Rotation, Span, Term, Transpose, adamw, cross_entropy, matmul,
    rms_norm, rope, swiglu,
};
use candle_core::{DType, Device, Result, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn random(rng: &mut ChaCha8Rng, shape: (usize, usize)) -> Tensor {
    let values: Vec<f32> = (0..shape.0 * shape.1)
        .map(|_| rng.random_range(-1.0..1.0))
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

/// Largest difference, relative to the largest expected value.
fn difference(actual: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(actual.len(), expected.len());
    let largest = expected.iter().fold(1e-6_f32, |max, x| max.max(x.abs()));
    actual
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
        / largest
}

fn assert_close(actual: &Tensor, expected: &Tensor, tolerance: f32, what: &str) {
    let difference = difference(&values(actual), &values(expected));
    assert!(
        difference < tolerance,
        "{what}: relative difference {difference}"
    );
}

/// `Σ y · weights`, summed in f64: a scalar whose gradient with respect to `y` is `weights`.
fn dot(y: &Tensor, weights: &Tensor) -> f64 {
    values(y)
        .iter()
        .zip(values(weights))
        .map(|(y, w)| f64::from(*y) * f64::from(w))
        .sum()
}

/// Compares `gradient` with central differences of `loss` at every element of `x`.
fn assert_gradient(x: &Tensor, gradient: &Tensor, loss: impl Fn(&Tensor) -> f64, what: &str) {
    const STEP: f32 = 5e-3;
    let base = values(x);
    let at = |index: usize, change: f32| {
        let mut moved = base.clone();
        moved[index] += change;
        loss(&Tensor::from_vec(moved, x.shape(), &Device::Cpu).unwrap())
    };
    let numeric: Vec<f32> = (0..base.len())
        .map(|index| ((at(index, STEP) - at(index, -STEP)) / f64::from(2.0 * STEP)) as f32)
        .collect();
    let difference = difference(&values(gradient), &numeric);
    assert!(
        difference < 2e-3,
        "{what}: relative difference {difference} from finite differences"
    );
}

#[test]
fn matmul_transposes_and_adds() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(1);
    let (a, b) = (random(rng, (5, 7)), random(rng, (7, 3)));
    let plain = matmul::composed(&a, &b, Transpose::Neither)?;
    let (at, bt) = (a.t()?.contiguous()?, b.t()?.contiguous()?);
    for (a, b, transpose) in [
        (&a, &b, Transpose::Neither),
        (&at, &b, Transpose::Left),
        (&a, &bt, Transpose::Right),
    ] {
        assert_close(&crate::matmul(a, b, transpose)?, &plain, 1e-6, "product");
        let start = random(rng, (5, 3));
        let mut c = start.copy()?;
        crate::matmul_add(&mut c, 0.5, a, b, transpose)?;
        assert_close(&c, &(start + (&plain * 0.5)?)?, 1e-6, "product added");
    }
    assert!(crate::matmul(&a, &a, Transpose::Neither).is_err());
    Ok(())
}

/// A layer and its adapter in one pass, the layer's weights stored in half the size.
#[test]
fn two_products_add_up() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(21);
    let (x, w) = (random(rng, (37, 50)), random(rng, (40, 50)));
    let (u, b) = (random(rng, (37, 4)), random(rng, (40, 4)));
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        let w = w.to_dtype(dtype)?;
        let large = Term {
            scale: 1.0,
            a: &x,
            b: (&w).into(),
            transpose: Transpose::Right,
        };
        let small = Term {
            scale: 0.5,
            a: &u,
            b: (&b).into(),
            ..large
        };
        let wide = w.to_dtype(DType::F32)?;
        let expected = (x.matmul(&wide.t()?)? + (u.matmul(&b.t()?)? * 0.5)?)?;
        let mut sum = crate::matmul_sum(large, small)?;
        assert_close(&sum, &expected, 1e-6, "sum");
        crate::matmul_sum_add(&mut sum, large, small)?;
        assert_close(&sum, &(expected * 2.0)?, 1e-6, "sum added");
        assert!(
            crate::matmul_sum(
                large,
                Term {
                    b: (&x).into(),
                    ..small
                }
            )
            .is_err()
        );
        assert!(crate::matmul_sum_add(&mut x.copy()?, large, small).is_err());
    }
    Ok(())
}

#[test]
fn bias_and_its_gradient() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(2);
    let (x, bias) = (random(rng, (4, 6)), random(rng, (1, 6)).flatten_all()?);
    let mut y = x.copy()?;
    crate::add_bias(&mut y, &bias)?;
    assert_close(&y, &x.broadcast_add(&bias)?, 1e-6, "bias");
    let mut gradient = bias.copy()?;
    crate::add_column_sums(&mut gradient, &x)?;
    assert_close(&gradient, &(bias + x.sum(0)?)?, 1e-6, "bias gradient");
    Ok(())
}

#[test]
fn sums_and_refuses_other_shapes() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(20);
    // More elements than one task takes.
    let (a, b) = (random(rng, (300, 200)), random(rng, (300, 200)));
    assert_close(&crate::add(&a, &b)?, &(&a + &b)?, 1e-7, "sum");
    assert!(crate::add(&a, &b.t()?.contiguous()?).is_err());
    Ok(())
}

#[test]
fn rms_norm_gradients() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(3);
    // More rows than one task takes, and a width that is no multiple of the lanes.
    for (rows, width, offset) in [(3, 20, 0.0), (130, 5, 0.0), (3, 20, 1.0), (130, 5, 1.0)] {
        let (x, w, dy) = (
            random(rng, (rows, width)),
            random(rng, (1, width)).flatten_all()?,
            random(rng, (rows, width)),
        );
        assert_close(
            &crate::rms_norm(&x, &w, offset, 1e-5)?,
            &rms_norm::composed(&x, &w, offset, 1e-5)?,
            1e-5,
            "forward",
        );
        let mut dw = w.zeros_like()?;
        let dx = crate::rms_norm_backward(&x, &w, offset, 1e-5, &dy, Some(&mut dw))?;
        let mut dw_composed = w.zeros_like()?;
        let dx_composed =
            rms_norm::backward_composed(&x, &w, offset, 1e-5, &dy, Some(&mut dw_composed))?;
        assert_close(&dx, &dx_composed, 1e-5, "dx");
        assert_close(&dw, &dw_composed, 1e-5, "dw");
        if rows < 10 {
            assert_gradient(
                &x,
                &dx,
                |x| dot(&crate::rms_norm(x, &w, offset, 1e-5).unwrap(), &dy),
                "dx",
            );
            assert_gradient(
                &w,
                &dw,
                |w| dot(&crate::rms_norm(&x, w, offset, 1e-5).unwrap(), &dy),
                "dw",
            );
        }
    }
    Ok(())
}

#[test]
fn products_with_a_number() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(23);
    // More elements than one task takes.
    let (a, b) = (random(rng, (300, 200)), random(rng, (300, 200)));
    assert_close(&crate::scaled(&a, 0.3)?, &(&a * 0.3)?, 1e-6, "product");
    let expected = (&a + (&b * 0.3)?)?;
    assert_close(&crate::add_scaled(&a, &b, 0.3)?, &expected, 1e-6, "sum");
    assert!(crate::add_scaled(&a, &b.t()?.contiguous()?, 0.3).is_err());
    Ok(())
}

#[test]
fn swiglu_gradients() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(4);
    let (gate, up, dy) = (
        random(rng, (4, 9)),
        random(rng, (4, 9)),
        random(rng, (4, 9)),
    );
    assert_close(
        &crate::swiglu(&gate, &up)?,
        &swiglu::composed(&gate, &up)?,
        1e-5,
        "forward",
    );
    let (dgate, dup) = crate::swiglu_backward(&gate, &up, &dy)?;
    let (dgate_composed, dup_composed) = swiglu::backward_composed(&gate, &up, &dy)?;
    assert_close(&dgate, &dgate_composed, 1e-5, "dgate");
    assert_close(&dup, &dup_composed, 1e-5, "dup");
    assert_gradient(
        &gate,
        &dgate,
        |gate| dot(&crate::swiglu(gate, &up).unwrap(), &dy),
        "dgate",
    );
    assert_gradient(
        &up,
        &dup,
        |up| dot(&crate::swiglu(&gate, up).unwrap(), &dy),
        "dup",
    );
    Ok(())
}

#[test]
fn rope_rotates_back() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(5);
    // All of each head, or the first six elements of eight.
    for head_dim in [6, 8] {
        let angles = random(rng, (11, 3));
        let (cos, sin) = (angles.cos()?, angles.sin()?);
        let (x, dy) = (
            random(rng, (4, 2 * head_dim)),
            random(rng, (4, 2 * head_dim)),
        );
        let positions = [0, 7, 10, 3];
        let rotated =
            |x: &Tensor, rotation| crate::rope(x, head_dim, &cos, &sin, &positions, rotation);
        let y = rotated(&x, Rotation::Forward)?;
        assert_close(
            &y,
            &rope::composed(&x, head_dim, &cos, &sin, &positions, 1.0)?,
            1e-6,
            "forward",
        );
        assert_close(&rotated(&y, Rotation::Backward)?, &x, 1e-6, "round trip");
        let dx = rotated(&dy, Rotation::Backward)?;
        assert_gradient(
            &x,
            &dx,
            |x| dot(&rotated(x, Rotation::Forward).unwrap(), &dy),
            "dx",
        );
        assert!(crate::rope(&x, 4, &cos, &sin, &positions, Rotation::Forward).is_err());
    }
    Ok(())
}

fn heads(window: Option<usize>) -> Attention {
    Attention {
        query_heads: 4,
        key_value_heads: 2,
        head_dim: 6,
        scale: 0.4,
        window,
        softcap: None,
        compute: crate::ComputeType::F32,
    }
}

#[test]
fn attention_gradients() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(6);
    let spans = [
        Span { start: 0, len: 3 },
        Span { start: 3, len: 1 },
        Span { start: 4, len: 5 },
    ];
    // A cap of 0.2 bends scores of this size.
    for (window, softcap) in [(None, None), (Some(2), None), (None, Some(0.2))] {
        let attention = Attention {
            softcap,
            ..heads(window)
        };
        let (q, k, v, dy) = (
            random(rng, (9, 24)),
            random(rng, (9, 12)),
            random(rng, (9, 12)),
            random(rng, (9, 24)),
        );
        let (o, lse) = attention.forward(&q, &k, &v, &spans)?;
        let (dq, dk, dv) = attention.backward(&q, &k, &v, &spans, &o, &lse, &dy)?;
        let loss = |q: &Tensor, k: &Tensor, v: &Tensor| {
            dot(&attention.forward(q, k, v, &spans).unwrap().0, &dy)
        };
        assert_gradient(&q, &dq, |q| loss(q, &k, &v), "dq");
        assert_gradient(&k, &dk, |k| loss(&q, k, &v), "dk");
        assert_gradient(&v, &dv, |v| loss(&q, &k, v), "dv");
    }
    Ok(())
}

/// Sequences longer than a block of query rows, windows across block borders.
#[test]
fn attention_agrees_with_the_composition() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(7);
    let spans = [
        Span { start: 0, len: 150 },
        Span {
            start: 150,
            len: 65,
        },
    ];
    for (window, softcap) in [
        (None, None),
        (Some(2), None),
        (Some(70), None),
        (Some(70), Some(0.2)),
    ] {
        let attention = Attention {
            softcap,
            ..heads(window)
        };
        let (q, k, v, dy) = (
            random(rng, (215, 24)),
            random(rng, (215, 12)),
            random(rng, (215, 12)),
            random(rng, (215, 24)),
        );
        let (o, lse) = attention.forward(&q, &k, &v, &spans)?;
        let (o_composed, lse_composed) = attention.forward_composed(&q, &k, &v, &spans)?;
        assert_close(&o, &o_composed, 1e-5, "o");
        assert_close(&lse, &lse_composed, 1e-5, "log-sum-exp");
        let (dq, dk, dv) = attention.backward(&q, &k, &v, &spans, &o, &lse, &dy)?;
        let (dq2, dk2, dv2) = attention.backward_composed(&q, &k, &v, &spans, &lse, &dy)?;
        assert_close(&dq, &dq2, 1e-5, "dq");
        assert_close(&dk, &dk2, 1e-5, "dk");
        assert_close(&dv, &dv2, 1e-5, "dv");
    }
    Ok(())
}

/// Rows that no sample has would be left unwritten, rows that two have written twice at once.
#[test]
fn attention_refuses_samples_that_do_not_lie_end_to_end() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(8);
    let (q, k) = (random(rng, (9, 24)), random(rng, (9, 12)));
    let span = |start, len| Span { start, len };
    let attention = heads(None);
    let (o, sums) = attention.forward(&q, &k, &k, &[span(0, 4), span(4, 5)])?;
    for spans in [
        [span(0, 4), span(5, 4)],
        [span(0, 4), span(3, 6)],
        [span(0, 4), span(4, 4)],
        [span(0, 4), span(4, 6)],
    ] {
        assert!(attention.forward(&q, &k, &k, &spans).is_err());
        let backward = attention.backward(&q, &k, &k, &spans, &o, &sums, &q);
        assert!(backward.is_err());
    }
    Ok(())
}

/// The last queries over a cache give what the whole sequence gives at those rows.
#[test]
fn cached_attention_equals_the_whole() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(8);
    for window in [None, Some(3)] {
        let attention = heads(window);
        let (q, k, v) = (
            random(rng, (10, 24)),
            random(rng, (10, 12)),
            random(rng, (10, 12)),
        );
        let (whole, _) = attention.forward(&q, &k, &v, &[Span { start: 0, len: 10 }])?;
        let (last, _) = attention.cached(
            &q.narrow(0, 7, 3)?.contiguous()?,
            &[Span { start: 0, len: 3 }],
            &[(k, v)],
        )?;
        assert_close(&last, &whole.narrow(0, 7, 3)?, 1e-6, "cached");
    }
    Ok(())
}

#[test]
fn cross_entropy_gradients() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(9);
    let (hidden, weight) = (random(rng, (5, 4)), random(rng, (13, 4)));
    let targets = [0, 12, 7, 7, 3];
    let capped = Logits {
        scale: 0.7,
        softcap: Some(0.5),
        ..Logits::default()
    };
    for head in [Logits::default(), capped] {
        let mut dweight = weight.zeros_like()?;
        let (loss, dhidden) =
            crate::linear_cross_entropy(&hidden, &weight, &targets, head, 0.2, Some(&mut dweight))?;
        let mut dweight2 = weight.zeros_like()?;
        let (losses2, dhidden2) = cross_entropy::composed(
            &hidden,
            &weight,
            &targets,
            head,
            &[0.2; 5],
            Some(&mut dweight2),
        )?;
        assert!((loss - losses2.iter().sum::<f64>()).abs() < 1e-5);
        assert_close(&dhidden, &dhidden2, 1e-5, "dhidden");
        assert_close(&dweight, &dweight2, 1e-5, "dweight");
        let losses = crate::linear_token_losses(&hidden, &weight, &targets, head)?;
        assert!((losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() - loss).abs() < 1e-5);
        assert!(
            difference(
                &losses,
                &cross_entropy::losses_composed(&hidden, &weight, &targets, head)?
            ) < 1e-5
        );
        let logits = head.of(&hidden, &weight)?;
        let by_logits = candle_nn::ops::log_softmax(&logits, 1)?
            .gather(&Tensor::new(&targets, &Device::Cpu)?.unsqueeze(1)?, 1)?
            .neg()?;
        assert!(difference(&losses, &values(&by_logits)) < 1e-5);
        let scaled = |hidden: &Tensor, weight: &Tensor| {
            0.2 * crate::linear_cross_entropy(hidden, weight, &targets, head, 0.2, None)
                .unwrap()
                .0
        };
        assert_gradient(
            &hidden,
            &dhidden,
            |hidden| scaled(hidden, &weight),
            "dhidden",
        );
        assert_gradient(
            &weight,
            &dweight,
            |weight| scaled(&hidden, weight),
            "dweight",
        );
    }
    let outside = [0, 1, 2, 3, 13];
    assert!(crate::linear_cross_entropy(&hidden, &weight, &outside, capped, 1.0, None).is_err());
    Ok(())
}

/// More rows than fit in one chunk of logits.
#[test]
fn cross_entropy_chunks_add_up() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(10);
    let (hidden, weight) = (random(rng, (1030, 3)), random(rng, (50, 3)));
    let targets: Vec<u32> = (0..1030).map(|row| row % 50).collect();
    let mut whole = weight.zeros_like()?;
    let (loss, dhidden) = crate::linear_cross_entropy(
        &hidden,
        &weight,
        &targets,
        Logits::default(),
        1.0,
        Some(&mut whole),
    )?;
    let (mut parts, mut sum) = (weight.zeros_like()?, 0.0);
    for row in 0..1030 {
        let x = hidden.narrow(0, row, 1)?.contiguous()?;
        let (loss, dx) = crate::linear_cross_entropy(
            &x,
            &weight,
            &targets[row..=row],
            Logits::default(),
            1.0,
            Some(&mut parts),
        )?;
        sum += loss;
        assert_close(&dhidden.narrow(0, row, 1)?, &dx, 1e-5, "dhidden");
    }
    assert!((loss / sum - 1.0).abs() < 1e-6);
    assert_close(&whole, &parts, 1e-5, "dweight");
    Ok(())
}

#[test]
fn embedding_gradient_adds_repeated_tokens() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(11);
    let (table, dy) = (random(rng, (5, 3)), random(rng, (4, 3)));
    let tokens = [2, 0, 2, 4];
    let mut gradient = table.zeros_like()?;
    crate::embedding_backward(&mut gradient, &tokens, &dy)?;
    let loss = |table: &Tensor| dot(&crate::embedding(table, &tokens).unwrap(), &dy);
    assert_gradient(&table, &gradient, loss, "table");
    Ok(())
}

#[test]
fn adamw_agrees_with_the_composition() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(12);
    let mut parameter = random(rng, (3, 4));
    let mut moments = Tensor::zeros((2, 12), candle_core::DType::F32, &Device::Cpu)?;
    let (mut parameter2, mut moments2) = (parameter.copy()?, moments.copy()?);
    for step in 1..=3 {
        let gradient = random(rng, (3, 4));
        let options = AdamW {
            learning_rate: 0.1,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            weight_decay: 0.1,
            step,
            gradient_scale: 0.5,
        };
        adamw(&mut parameter, &mut moments, &gradient, &options)?;
        crate::adamw::composed(&mut parameter2, &mut moments2, &gradient, &options)?;
        assert_close(&parameter, &parameter2, 1e-5, "parameter");
        assert_close(&moments, &moments2, 1e-5, "moments");
    }
    Ok(())
}

/// The result must not depend on how the pool happens to divide the work.
#[test]
fn results_do_not_depend_on_the_number_of_threads() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(13);
    let (q, k, v, dy) = (
        random(rng, (200, 24)),
        random(rng, (200, 12)),
        random(rng, (200, 12)),
        random(rng, (200, 24)),
    );
    let spans = [
        Span { start: 0, len: 120 },
        Span {
            start: 120,
            len: 80,
        },
    ];
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| -> Result<_> {
            let attention = heads(None);
            let (o, lse) = attention.forward(&q, &k, &v, &spans)?;
            let (dq, dk, dv) = attention.backward(&q, &k, &v, &spans, &o, &lse, &dy)?;
            let w = random(&mut ChaCha8Rng::seed_from_u64(14), (1, 24)).flatten_all()?;
            let mut dw = w.zeros_like()?;
            let dx = crate::rms_norm_backward(&q, &w, 0.0, 1e-5, &dy, Some(&mut dw))?;
            let y = crate::matmul(&q, &dy, Transpose::Left)?;
            Ok([o, dq, dk, dv, dx, dw, y]
                .iter()
                .flat_map(values)
                .collect::<Vec<f32>>())
        })
    };
    assert_eq!(run(1)?, run(3)?);
    Ok(())
}
