//! Ways to compute the same that must give the same.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use attune_data::{Batch, Sample};
use attune_engine::{
    Decoder, PromptCache, SamplingOptions, evaluate, generate, generate_on, score,
};
use candle_core::{D, Tensor};

use crate::fixture::{FAMILIES, Fixture};
use crate::subject::{self, Adapter};
use crate::{TOLERANCE, difference};

/// Each family's model with the recorded adapter, and with all weights trainable.
fn trainable_models() -> impl Iterator<Item = (Fixture, Decoder)> {
    FAMILIES.into_iter().flat_map(|family| {
        let adapted = subject::adapted(&Fixture::load(family), Adapter::Recorded);
        let mut whole = subject::base(&Fixture::load(family));
        whole.make_trainable().unwrap();
        [
            (Fixture::load(family), adapted),
            (Fixture::load(family), whole),
        ]
    })
}

fn alone(samples: &[Sample]) -> Vec<Batch> {
    samples
        .iter()
        .map(|sample| Batch::from_samples([sample]))
        .collect()
}

fn assert_same(a: &(f64, BTreeMap<String, Tensor>), b: &(f64, BTreeMap<String, Tensor>)) {
    assert!(difference::of_values(&[a.0], &[b.0]) <= TOLERANCE);
    assert!(difference::of_named(&a.1, &b.1) <= TOLERANCE);
}

/// No sample of a packed batch sees another.
#[test]
fn packed_equals_unpacked() {
    for (fixture, decoder) in trainable_models() {
        let samples = fixture.samples();
        let packed = decoder.logits(&Batch::from_samples(&samples)).unwrap();
        let parts: Vec<Tensor> = alone(&samples)
            .iter()
            .map(|batch| decoder.logits(batch).unwrap())
            .collect();
        assert!(difference::of_tensors(&packed, &Tensor::cat(&parts, 0).unwrap()) <= TOLERANCE);
        // A neighbour's tokens do not show at all.
        let mut other = samples.clone();
        other[0].tokens.reverse();
        let changed = decoder.logits(&Batch::from_samples(&other)).unwrap();
        let second = |logits: &Tensor| {
            logits
                .narrow(0, samples[0].len(), samples[1].len())
                .unwrap()
        };
        let apart = difference::of_tensors(&second(&changed), &second(&packed));
        // How many rows pass an expert beside a sample's own decides which kernel multiplies them,
        // and with it the order of the sums.
        let allowed = if decoder.spec().experts.is_some() {
            TOLERANCE
        } else {
            0.0
        };
        assert!(apart <= allowed, "{apart}");
    }
}

/// Micro-batches weigh by their trained tokens, so it does not matter how a step is divided.
#[test]
fn accumulated_equals_whole() {
    for (fixture, mut decoder) in trainable_models() {
        let samples = fixture.data();
        let whole =
            subject::loss_and_gradients(&mut decoder, &[Batch::from_samples(&samples[..6])], false);
        let uneven = [
            Batch::from_samples(&samples[..1]),
            Batch::from_samples(&samples[1..6]),
        ];
        assert_same(
            &subject::loss_and_gradients(&mut decoder, &uneven, false),
            &whole,
        );
        let singles = alone(&samples[..6]);
        assert_same(
            &subject::loss_and_gradients(&mut decoder, &singles, false),
            &whole,
        );
    }
}

/// The same operations in the same order: the same bits.
#[test]
fn recompute_equals_stored() {
    for (fixture, mut decoder) in trainable_models() {
        let batch = [Batch::from_samples(&fixture.samples())];
        let stored = subject::loss_and_gradients(&mut decoder, &batch, false);
        let recomputed = subject::loss_and_gradients(&mut decoder, &batch, true);
        assert_eq!(stored.0.to_bits(), recomputed.0.to_bits());
        assert_eq!(difference::of_named(&recomputed.1, &stored.1), 0.0);
    }
}

/// `score` and `evaluate` are other ways to the recorded logits and loss.
#[test]
fn scores_are_the_log_probabilities_of_the_recorded_logits() {
    for family in FAMILIES {
        let fixture = Fixture::load(family);
        let (decoder, samples) = (subject::base(&fixture), fixture.samples());
        let tokens = &samples[0].tokens;
        let logits = fixture
            .logits("logits")
            .narrow(0, 0, tokens.len() - 1)
            .unwrap();
        let next = Tensor::new(&tokens[1..], logits.device())
            .unwrap()
            .unsqueeze(1)
            .unwrap();
        let chosen = logits.gather(&next, 1).unwrap().squeeze(1).unwrap();
        let expected = (chosen - logits.log_sum_exp(D::Minus1).unwrap()).unwrap();
        let found = Tensor::new(score(&decoder, tokens).unwrap(), logits.device()).unwrap();
        assert!(
            difference::of_tensors(&found, &expected) <= TOLERANCE,
            "{family}"
        );

        let losses = evaluate(&decoder, &samples, 1024, &mut |_| ()).unwrap();
        let trained: usize = losses.iter().map(|loss| loss.trained_tokens).sum();
        let mean = losses.iter().map(|loss| loss.loss_sum).sum::<f64>() / trained as f64;
        assert!(
            difference::of_values(&[mean], &[fixture.expected.loss]) <= TOLERANCE,
            "{family}"
        );
    }
}

/// What is kept of a conversation changes none of its answers: neither where a prompt goes on
/// after the answer before it, nor where it leaves it early.
#[test]
fn an_answer_is_the_same_with_what_is_known_of_its_prompt() {
    let tokenizer = subject::tokenizer();
    let never = AtomicBool::new(false);
    for family in FAMILIES {
        let fixture = Fixture::load(family);
        let decoder = subject::base(&fixture);
        let options = SamplingOptions {
            max_new_tokens: 6,
            ..SamplingOptions::default()
        };
        let mut known = PromptCache::default();
        let mut prompt = fixture.expected.prompts[0].clone();
        for turn in 0..4 {
            let prompts = [prompt.clone()];
            let alone = generate(
                &decoder,
                &tokenizer,
                &prompts,
                &options,
                &never,
                &mut |_, _| (),
            )
            .unwrap();
            let answer = generate_on(
                &decoder,
                &tokenizer,
                &prompt,
                &mut known,
                &options,
                &never,
                &mut |_| (),
            )
            .unwrap();
            assert_eq!(answer, alone[0], "{family}, turn {turn}");
            let length = prompt.len() + answer.tokens.len() - 1;
            assert_eq!(known.tokens().len(), length, "{family}, turn {turn}");
            if turn == 2 {
                prompt.truncate(fixture.expected.prompts[0].len() - 1);
            }
            prompt.extend(&answer.tokens[..4]);
            prompt.push(turn);
        }
    }
}
