//! Which samples each optimiser step sees: a pure function of the settings, so that the position
//! in the data is the number of the step and nothing else.

use crate::TrainOptions;
use attune_data::pack;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Indices of the samples of one micro-batch.
pub(crate) type MicroBatch = Vec<usize>;

/// The order of a run.
pub(crate) struct Plan<'a> {
    lengths: Vec<usize>,
    options: &'a TrainOptions,
    /// Steps of the first epoch.
    pub(crate) steps_per_epoch: u64,
    /// Steps of the whole run.
    pub(crate) total_steps: u64,
    epoch: u64,
    /// The steps of `epoch`, and the number of the first of them, counted from 1.
    steps: Vec<Vec<MicroBatch>>,
    first_step: u64,
}

impl<'a> Plan<'a> {
    /// Plans a run over samples of these lengths in tokens.
    pub(crate) fn new(lengths: Vec<usize>, options: &'a TrainOptions) -> Self {
        let steps = steps_of_epoch(&lengths, options, 0);
        let steps_per_epoch = steps.len() as u64;
        let mut plan = Self {
            lengths,
            options,
            steps_per_epoch,
            total_steps: 0,
            epoch: 0,
            steps,
            first_step: 1,
        };
        plan.total_steps = options
            .max_steps
            .unwrap_or_else(|| plan.steps_in(options.epochs));
        plan
    }

    /// Steps of `epochs` epochs. Packing may give each epoch another number of rows.
    fn steps_in(&self, epochs: f64) -> u64 {
        if !self.options.packing {
            return (epochs * self.steps_per_epoch as f64).ceil() as u64;
        }
        let whole: u64 = (0..epochs.floor() as u64)
            .map(|epoch| steps_of_epoch(&self.lengths, self.options, epoch).len() as u64)
            .sum();
        whole + (epochs.fract() * self.steps_per_epoch as f64).ceil() as u64
    }

    /// The micro-batches of a step, counted from 1. Steps are asked for in rising order.
    pub(crate) fn step(&mut self, step: u64) -> &[MicroBatch] {
        while step >= self.first_step + self.steps.len() as u64 {
            self.first_step += self.steps.len() as u64;
            self.epoch += 1;
            self.steps = steps_of_epoch(&self.lengths, self.options, self.epoch);
        }
        &self.steps[(step - self.first_step) as usize]
    }

    /// Epochs done once `step` is; `step` is the last one asked for.
    pub(crate) fn epoch_after(&self, step: u64) -> f64 {
        self.epoch as f64 + (step + 1 - self.first_step) as f64 / self.steps.len() as f64
    }
}

/// The micro-batches of a run's first step, over samples of these lengths in tokens.
pub fn first_step(lengths: &[usize], options: &TrainOptions) -> Vec<Vec<usize>> {
    Plan::new(lengths.to_vec(), options).step(1).to_vec()
}

fn steps_of_epoch(lengths: &[usize], options: &TrainOptions, epoch: u64) -> Vec<Vec<MicroBatch>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    if options.shuffle {
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        // One stream per epoch: no epoch's order depends on having drawn those before.
        rng.set_stream(epoch);
        order.shuffle(&mut rng);
    }
    let rows = if options.packing {
        pack(lengths, &order, options.max_length)
    } else {
        order.into_iter().map(|sample| vec![sample]).collect()
    };
    let micro_batches: Vec<MicroBatch> = rows
        .chunks(options.batch_size.max(1))
        .map(<[_]>::concat)
        .collect();
    micro_batches
        .chunks(options.grad_accumulation.max(1))
        .map(<[_]>::to_vec)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> TrainOptions {
        TrainOptions {
            epochs: 3.0,
            batch_size: 3,
            grad_accumulation: 2,
            seed: 7,
            ..TrainOptions::default()
        }
    }

    #[test]
    fn every_sample_once_per_epoch_in_an_order_of_its_own() {
        let options = options();
        let mut plan = Plan::new(vec![5; 20], &options);
        assert_eq!((plan.steps_per_epoch, plan.total_steps), (4, 12));
        let mut epochs = Vec::new();
        for epoch in 0..3 {
            let order: Vec<usize> = (1..=4)
                .flat_map(|step| plan.step(epoch * 4 + step).concat())
                .collect();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..20).collect::<Vec<_>>());
            epochs.push(order);
        }
        assert_ne!(epochs[0], epochs[1]);
        assert_ne!(epochs[1], epochs[2]);
        assert!((plan.epoch_after(12) - 3.0).abs() < 1e-12);
    }

    /// A resumed run asks for step 7 first and must get what an uninterrupted one got.
    #[test]
    fn a_step_does_not_depend_on_those_before() {
        let options = TrainOptions {
            packing: true,
            max_length: 12,
            ..options()
        };
        let lengths: Vec<usize> = (0..40).map(|index| 1 + index % 9).collect();
        let mut whole = Plan::new(lengths.clone(), &options);
        let steps: Vec<_> = (1..=whole.total_steps)
            .map(|step| whole.step(step).to_vec())
            .collect();
        for step in 1..=whole.total_steps {
            assert_eq!(
                Plan::new(lengths.clone(), &options).step(step),
                steps[step as usize - 1]
            );
        }
    }

    #[test]
    fn unshuffled_rows_keep_their_order() {
        let options = TrainOptions {
            shuffle: false,
            epochs: 0.5,
            ..options()
        };
        let mut plan = Plan::new(vec![1; 9], &options);
        assert_eq!(plan.total_steps, 1);
        assert_eq!(plan.step(1), [vec![0, 1, 2], vec![3, 4, 5]]);
    }
}
