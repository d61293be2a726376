//! Mixed precision: what it loses beside f32, and beside what PEFT loses under bf16 autocast.
//!
//! `autocast.py` has recorded PEFT's losses of precision; how to record anew: the head of
//! that file.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use attune_data::Batch;
use attune_engine::{ComputeType, TrainOptions};
use serde::Deserialize;

use crate::difference;
use crate::fixture::{FAMILIES, Fixture};
use crate::subject::{self, Adapter};
use crate::table::Table;

/// Differences from f32, as `difference` measures them.
#[derive(Deserialize)]
struct Recorded {
    logits: f64,
    loss: f64,
    gradients: f64,
    /// The losses of twenty steps.
    steps: f64,
}

/// The loss is a mean, in which the roundings of its tokens cancel.
const LOSS: f64 = 2e-3;

/// The loss lies within what bf16 allows, the losses of twenty steps nearer to f32's than PEFT's
/// under autocast, and so do logits and gradients of the median family. Single families may lie
/// further: where a checkpoint's scores are large and nearly tied, as Granite's here, rounding decides
/// what attention looks at, and which way is chance.
#[test]
fn mixed_precision_loses_no_more_than_autocast() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("parity/fixtures/autocast.json");
    let recorded: BTreeMap<String, Recorded> =
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut table = Table::default();
    let mut wrong = Vec::new();
    // Ours and theirs, of logits and of gradients.
    let mut columns: [[Vec<f64>; 2]; 2] = Default::default();
    for family in FAMILIES {
        let fixture = Fixture::load(family);
        let peft = &recorded[family];
        table.row(family);
        let mut decoder = subject::adapted(&fixture, Adapter::Recorded);
        decoder.set_compute_type(ComputeType::Bf16);
        let batch = Batch::from_samples(&fixture.samples());
        let logits = decoder.logits(&batch).unwrap();
        let (loss, gradients) = subject::loss_and_gradients(&mut decoder, &[batch], false);
        let expected = &fixture.expected;
        let training = &expected.training["lora"];
        let options = TrainOptions {
            mixed_precision: true,
            ..subject::options(
                &expected.options,
                fixture.data().len(),
                training.learning_rate,
            )
        };
        let found = subject::run(&mut decoder, &fixture.data(), &options);
        let exact: Vec<f64> = training.steps.iter().map(|step| step.loss).collect();
        let rows = [
            (
                ["logits", "logits, autocast"],
                difference::of_tensors(&logits, &fixture.logits("lora.logits")),
                peft.logits,
            ),
            (
                ["loss", "loss, autocast"],
                difference::of_values(&[loss], &[expected.lora_loss]),
                peft.loss,
            ),
            (
                ["gradients", "gradients, autocast"],
                difference::of_named(&gradients, &fixture.tensors("lora.gradient")),
                peft.gradients,
            ),
            (
                ["20 steps", "20 steps, autocast"],
                difference::of_values(&found.losses, &exact),
                peft.steps,
            ),
        ];
        for ([name, name_of_theirs], ours, theirs) in rows {
            table.add(name, ours);
            table.add(name_of_theirs, theirs);
            let most = match name {
                "loss" => LOSS,
                "20 steps" => theirs,
                _ => f64::INFINITY,
            };
            if ours > most || ours == 0.0 {
                wrong.push(format!("{family}, {name}: {ours:.1e}"));
            }
        }
        for (column, (_, ours, theirs)) in columns.iter_mut().zip([rows[0], rows[2]]) {
            column[0].push(ours);
            column[1].push(theirs);
        }
    }
    let text = format!(
        "\nLargest |a − b| / max|b| from f32, LoRA in mixed precision beside PEFT's autocast:\n\n{}\n",
        table.markdown()
    );
    std::io::stdout().write_all(text.as_bytes()).unwrap();
    assert_eq!(wrong, Vec::<String>::new());
    for [ours, theirs] in columns {
        assert!(median(ours) < median(theirs));
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
