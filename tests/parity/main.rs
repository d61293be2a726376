//! Attune computes what transformers and PEFT compute.
//!
//! `make_fixtures.py` has recorded them on tiny random checkpoints; its values are the expected
//! ones here. How to record anew: the head of that file.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod adapters;
mod autocast;
mod bites;
mod configurations;
mod difference;
mod equivalence;
mod export;
mod fixture;
mod gguf;
mod gguf_experts;
mod heads;
mod initial;
mod mixed_precision;
mod optimizers;
mod preferences;
mod quantised;
mod sizes;
mod subject;
mod table;

use std::collections::BTreeMap;
use std::io::Write as _;

use attune_data::Batch;
use candle_core::Tensor;

use fixture::{FAMILIES, Fixture, Training};
use subject::{Adapter, Trained};
use table::Table;

/// Largest relative difference allowed. f32 has seven digits; sums in another order cost two.
const TOLERANCE: f64 = 1e-4;

/// Every number of every family, in one table that is printed whether or not it passes.
#[test]
fn every_family_computes_what_transformers_and_peft_compute() {
    let mut table = Table::default();
    for family in FAMILIES {
        let fixture = Fixture::load(family);
        table.row(&format!("{family}, {} weights", fixture.expected.stored_as));
        whole_model(&fixture, &mut table);
        adapter(&fixture, &mut table);
        for (kind, recorded) in &fixture.expected.training {
            training(&fixture, kind, recorded, &mut table);
        }
    }
    let versions = Fixture::load(FAMILIES[0]).expected.versions;
    let versions: Vec<String> = versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let text = format!(
        "\nLargest |a − b| / max|b|, Attune beside {}:\n\n{}\n",
        versions.join(", "),
        table.markdown()
    );
    // Not println: the table is a result, to be seen without --nocapture.
    std::io::stdout().write_all(text.as_bytes()).unwrap();
    assert_eq!(table.beyond(TOLERANCE), Vec::<String>::new());
}

/// Logits, loss and the gradient of every weight.
fn whole_model(fixture: &Fixture, table: &mut Table) {
    let batch = Batch::from_samples(&fixture.samples());
    let mut decoder = subject::base(fixture);
    decoder.make_trainable().unwrap();
    table.add(
        "logits",
        difference::of_tensors(&decoder.logits(&batch).unwrap(), &fixture.logits("logits")),
    );
    let (loss, gradients) = subject::loss_and_gradients(&mut decoder, &[batch], false);
    table.add(
        "loss",
        difference::of_values(&[loss], &[fixture.expected.loss]),
    );
    table.add(
        "gradients",
        difference::of_named(&gradients, &fixture.tensors("gradient")),
    );
}

/// The same with PEFT's adapter, whose gradients are the only ones.
fn adapter(fixture: &Fixture, table: &mut Table) {
    let batch = Batch::from_samples(&fixture.samples());
    let mut decoder = subject::adapted(fixture, Adapter::Recorded);
    let logits = decoder.logits(&batch).unwrap();
    table.add(
        "LoRA logits",
        difference::of_tensors(&logits, &fixture.logits("lora.logits")),
    );
    let (loss, gradients) = subject::loss_and_gradients(&mut decoder, &[batch], false);
    table.add(
        "LoRA loss",
        difference::of_values(&[loss], &[fixture.expected.lora_loss]),
    );
    table.add(
        "LoRA gradients",
        difference::of_named(&gradients, &fixture.tensors("lora.gradient")),
    );
}

/// Twenty optimiser steps through the loop that users run.
fn training(fixture: &Fixture, kind: &str, recorded: &Training, table: &mut Table) {
    let mut decoder = subject::base(fixture);
    let [losses, norms, weights] = if kind == "lora" {
        decoder.load_adapter(&fixture.adapter()).unwrap();
        [
            "20 LoRA steps: losses",
            "20 LoRA steps: norms",
            "20 LoRA steps: weights",
        ]
    } else {
        decoder.make_trainable().unwrap();
        [
            "20 full steps: losses",
            "20 full steps: norms",
            "20 full steps: weights",
        ]
    };
    // Copies: the training changes the tensors in place.
    let before = decoder
        .trainable()
        .into_iter()
        .map(|(name, value)| (name, value.copy().unwrap()))
        .collect();
    let found = subject::trained(&mut decoder, fixture, recorded.learning_rate);
    let of =
        |number: fn(&fixture::Step) -> f64| recorded.steps.iter().map(number).collect::<Vec<f64>>();
    table.add(
        losses,
        difference::of_values(&found.losses, &of(|step| step.loss)),
    );
    table.add(
        norms,
        difference::of_values(&found.grad_norms, &of(|step| step.grad_norm)),
    );
    assert!(difference::of_values(&found.learning_rates, &of(|step| step.learning_rate)) < 1e-12);
    assert_eq!(
        found.trained_tokens,
        recorded
            .steps
            .iter()
            .map(|step| step.trained_tokens)
            .collect::<Vec<_>>()
    );
    let expected = fixture.tensors(&format!("{kind}.trained"));
    table.add(weights, difference::of_named(&found.weights, &expected));
    assert_moved(&before, &found);
}

/// Weights that agree would prove nothing had the training not moved each of them.
fn assert_moved(before: &BTreeMap<String, Tensor>, found: &Trained) {
    for (name, weights) in &found.weights {
        let moved = difference::of_tensors(weights, &before[name]);
        assert!(
            moved > 10.0 * TOLERANCE,
            "{name} has moved by {moved:.1e} only"
        );
    }
}

/// Greedy, from a cache, the two prompts in one batch; recorded one by one.
#[test]
fn generation_continues_as_transformers_does() {
    let tokenizer = subject::tokenizer();
    for family in FAMILIES {
        let fixture = Fixture::load(family);
        let found = subject::greedy(
            &subject::base(&fixture),
            &tokenizer,
            &fixture.expected.prompts,
        );
        assert_eq!(found, fixture.expected.continuations, "{family}");
    }
}
