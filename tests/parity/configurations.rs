//! Settings that nobody chose together: drawn from a fixed seed, trained, killed, taken up again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use attune_engine::{
    Control, DType, Decoder, Device, LoraConfig, LoraInit, OptimizerKind, Outcome, Schedule,
    TrainEvent, TrainOptions, WeightType, last_checkpoint, train,
};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::fixture::{FAMILIES, Fixture};

const COUNT: usize = 24;
const STEPS: u64 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Lora,
    RsLora,
    Dora,
    Pissa,
    WholeEmbedding,
    Full,
}

const KINDS: [Kind; 6] = [
    Kind::Lora,
    Kind::RsLora,
    Kind::Dora,
    Kind::Pissa,
    Kind::WholeEmbedding,
    Kind::Full,
];

const WEIGHTS: [(&str, WeightType); 5] = [
    ("float32", WeightType::Float(DType::F32)),
    ("bfloat16", WeightType::Float(DType::BF16)),
    ("float16", WeightType::Float(DType::F16)),
    ("int8", WeightType::Int8),
    ("nf4", WeightType::Nf4),
];

const OPTIMIZERS: [OptimizerKind; 5] = [
    OptimizerKind::AdamW,
    OptimizerKind::AdamW8bit,
    OptimizerKind::Adafactor,
    OptimizerKind::Lion,
    OptimizerKind::Sgd,
];

/// One drawn configuration.
#[derive(Debug)]
struct Drawn {
    family: &'static str,
    kind: Kind,
    weights: (&'static str, WeightType),
    rank: usize,
    dropout: f64,
    options: TrainOptions,
    /// The step after which the process dies.
    killed: u64,
}

impl Drawn {
    fn lora(&self) -> LoraConfig {
        let embedding = if self.family.starts_with("gpt-neox") {
            "embed_in"
        } else {
            "embed_tokens"
        };
        LoraConfig {
            r: self.rank,
            lora_alpha: 2.0 * self.rank as f64,
            use_rslora: self.kind == Kind::RsLora,
            use_dora: self.kind == Kind::Dora,
            lora_dropout: self.dropout,
            modules_to_save: if self.kind == Kind::WholeEmbedding {
                vec![embedding.to_owned()]
            } else {
                Vec::new()
            },
            init_lora_weights: if self.kind == Kind::Pissa {
                LoraInit::Pissa
            } else {
                LoraInit::Default
            },
            ..LoraConfig::default()
        }
    }

    /// What a process begins with.
    fn decoder(&self, fixture: &Fixture) -> Decoder {
        let (model, weights) = (fixture.model(), self.weights.1);
        let mut decoder = Decoder::load(&model, weights, &Device::Cpu, &mut |_| ()).unwrap();
        match self.kind {
            Kind::Full => decoder.make_trainable().unwrap(),
            _ => decoder.attach_lora(&self.lora(), 3).unwrap(),
        }
        decoder
    }

    fn row(&self, number: usize, losses: &[u64]) -> String {
        let options = &self.options;
        let yes = |yes: bool| if yes { "yes" } else { "no" };
        let loss = |bits: u64| format!("{:.3}", f64::from_bits(bits));
        [
            number.to_string(),
            self.family.to_owned(),
            self.weights.0.to_owned(),
            match self.kind {
                Kind::Full => "full".to_owned(),
                kind => format!("{kind:?} {}", self.rank),
            },
            format!("{:?}", options.optimizer),
            yes(options.gradient_checkpointing).to_owned(),
            format!("{} × {}", options.batch_size, options.grad_accumulation),
            yes(options.packing).to_owned(),
            self.dropout.to_string(),
            options.neftune_noise_alpha.to_string(),
            format!(
                "{} of {}",
                self.killed,
                self.killed.saturating_sub(1) / options.checkpoint_steps * options.checkpoint_steps
            ),
            format!("{} → {}", loss(losses[0]), loss(losses[losses.len() - 1])),
        ]
        .join(" | ")
    }
}

/// `count` of `items`, each before any comes again.
fn deck<T: Copy>(items: &[T], count: usize, rng: &mut ChaCha8Rng) -> Vec<T> {
    let mut deck = Vec::new();
    while deck.len() < count {
        let mut more = items.to_vec();
        more.shuffle(rng);
        deck.extend(more);
    }
    deck.truncate(count);
    deck
}

fn draw() -> Vec<Drawn> {
    let rng = &mut ChaCha8Rng::seed_from_u64(2026);
    let mut families = deck(&FAMILIES, COUNT, rng).into_iter();
    let mut weights = deck(&WEIGHTS, COUNT, rng).into_iter();
    let mut optimizers = deck(&OPTIMIZERS, COUNT, rng).into_iter();
    let kinds = deck(&KINDS, COUNT, rng).into_iter();
    let one = |kind| {
        let full = kind == Kind::Full;
        // These change the weights themselves.
        let weights = if full || kind == Kind::Pissa {
            WEIGHTS[0]
        } else {
            weights.next().unwrap()
        };
        let checkpoint_steps = rng.random_range(1..=4);
        Drawn {
            family: families.next().unwrap(),
            kind,
            weights,
            rank: rng.random_range(1..=4),
            dropout: if full {
                0.0
            } else {
                *[0.0, 0.1].choose(rng).unwrap()
            },
            options: TrainOptions {
                max_steps: Some(STEPS),
                batch_size: rng.random_range(1..=3),
                grad_accumulation: rng.random_range(1..=3),
                max_length: 48,
                packing: rng.random(),
                learning_rate: 1e-3,
                schedule: Schedule::Cosine,
                warmup_epochs: 0.2,
                optimizer: optimizers.next().unwrap(),
                weight_decay: *[0.0, 0.01].choose(rng).unwrap(),
                loraplus_lr_ratio: *[1.0, 4.0].choose(rng).unwrap(),
                neftune_noise_alpha: *[0.0, 5.0].choose(rng).unwrap(),
                gradient_clip: *[0.0, 1.0].choose(rng).unwrap(),
                seed: rng.random_range(0..1000),
                gradient_checkpointing: rng.random(),
                evaluation_epochs: 0.0,
                checkpoint_steps,
                ..TrainOptions::default()
            },
            killed: rng.random_range(2..=9),
        }
    };
    kinds.map(one).collect()
}

/// What the process dies of.
struct Killed;

/// Trains to the end or to the step that kills; the bits of each step's loss, and the step it went
/// on from.
fn run(
    drawn: &Drawn,
    fixture: &Fixture,
    folder: &Path,
    killed: Option<u64>,
) -> (BTreeMap<u64, u64>, Option<u64>) {
    let mut decoder = drawn.decoder(fixture);
    let (mut losses, mut from) = (BTreeMap::new(), None);
    let control = Control::default();
    let data = fixture.data();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        train(
            &mut decoder,
            &data,
            &[],
            &drawn.options,
            folder,
            &control,
            &mut |event, _| match event {
                TrainEvent::Started { resumed_from, .. } => from = resumed_from,
                TrainEvent::Step { step, loss, .. } => {
                    assert!(loss.is_finite());
                    losses.insert(step, loss.to_bits());
                    if killed == Some(step) {
                        // No hook, no message: the process would say nothing either.
                        resume_unwind(Box::new(Killed));
                    }
                }
                _ => (),
            },
        )
    }));
    match outcome {
        Ok(outcome) => assert_eq!(outcome.unwrap(), Outcome::Finished),
        Err(panic) if panic.is::<Killed>() => assert!(killed.is_some()),
        Err(panic) => resume_unwind(panic),
    }
    (losses, from)
}

/// The files of the newest checkpoint: weights, the optimiser's state and the place in the data.
fn checkpoint(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let last = last_checkpoint(folder).unwrap().unwrap();
    assert_eq!(last.step, STEPS);
    let files = std::fs::read_dir(last.folder).unwrap().map(|file| {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read(path).unwrap())
    });
    files.collect()
}

/// Whatever stands together: no failure, and a run that was killed and taken up again ends with
/// the bits of one that was not.
#[test]
fn any_settings_train_and_resume_bit_for_bit() {
    let drawn = draw();
    let seen = |of: &dyn Fn(&Drawn) -> String| drawn.iter().map(of).collect::<BTreeSet<_>>().len();
    assert_eq!(seen(&|one| one.family.to_owned()), FAMILIES.len());
    assert_eq!(seen(&|one| one.weights.0.to_owned()), WEIGHTS.len());
    assert_eq!(seen(&|one| format!("{:?}", one.kind)), KINDS.len());
    assert_eq!(
        seen(&|one| format!("{:?}", one.options.optimizer)),
        OPTIMIZERS.len()
    );
    let mut rows = Vec::new();
    for (number, one) in (1..).zip(&drawn) {
        let fixture = Fixture::load(one.family);
        let [whole, parted] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let (losses, _) = run(one, &fixture, whole.path(), None);
        assert_eq!(losses.len() as u64, STEPS, "{one:?}");

        let (before, _) = run(one, &fixture, parted.path(), Some(one.killed));
        let (after, from) = run(one, &fixture, parted.path(), None);
        let every = one.options.checkpoint_steps;
        let saved = (one.killed - 1) / every * every;
        assert_eq!(from, (saved > 0).then_some(saved), "{one:?}");
        assert_eq!(after.keys().next(), Some(&(saved + 1)), "{one:?}");
        for (step, loss) in before.iter().chain(&after) {
            assert_eq!(losses[step], *loss, "step {step} of {one:?}");
        }
        let (a, b) = (checkpoint(whole.path()), checkpoint(parted.path()));
        assert!(a.keys().eq(b.keys()), "{one:?}");
        for (name, bytes) in &a {
            assert!(b[name] == *bytes, "{name} of {one:?}");
        }
        let losses: Vec<u64> = losses.into_values().collect();
        rows.push(format!("| {} |", one.row(number, &losses)));
    }
    let text = format!(
        "\n{STEPS} steps each, killed, taken up from the checkpoint before and equal in every bit to \
         a run that was not:\n\n| | family | weights | adapter | optimiser | recompute | batch × \
         accumulation | packing | dropout | NEFTune | killed at, resumed from | loss |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n{}\n",
        rows.join("\n")
    );
    // Not println: the table is a result, to be seen without --nocapture.
    std::io::stdout().write_all(text.as_bytes()).unwrap();
}
