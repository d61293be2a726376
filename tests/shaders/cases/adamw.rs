use crate::Outcome;
use crate::bench::{Bench, cuts, tensor};
use crate::buffer::{f32s, u32s};
use attune_kernels::{AdamW, adamw};

const BOUND: f64 = 1e-6;

pub fn run(bench: &mut Bench) -> Outcome<()> {
    for (count, step, weight_decay) in [(1, 1, 0.0), (257, 3, 0.1), (1000, 1000, 0.01)] {
        let name = "adamw_f32";
        let (parameter, gradient) = (bench.random(count, 1.0), bench.random(count, 0.1));
        let mut moments = bench.random(2 * count, 0.01);
        // The second moment is a mean of squares.
        moments[count..].iter_mut().for_each(|v| *v = v.abs());
        let options = AdamW {
            learning_rate: 1e-2,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay,
            step,
            gradient_scale: 0.5,
        };
        let mut buffers = [f32s(&parameter), f32s(&moments), f32s(&gradient), vec![]];
        for (first, part) in cuts(count, 1) {
            let rate = options.learning_rate / (1.0 - options.beta1.powi(step as i32));
            let root = (1.0 - options.beta2.powi(step as i32)).sqrt();
            let decay = 1.0 - options.learning_rate * weight_decay;
            let (rest1, rest2) = (1.0 - options.beta1, 1.0 - options.beta2);
            let (beta1, beta2) = (options.beta1, options.beta2);
            let scale = options.gradient_scale;
            let numbers = [
                beta1,
                rest1,
                beta2,
                rest2,
                scale,
                rate,
                root,
                options.epsilon,
                decay,
            ];
            buffers[3] = u32s(&[first, part, count as u32]);
            buffers[3].extend(f32s(&numbers.map(|x| x as f32)));
            bench.dispatch(name, [part.div_ceil(256), 1, 1], 256, &[], &mut buffers)?;
        }
        let mut expected = tensor(&parameter, (1, count))?;
        let mut expected_moments = tensor(&moments, (2, count))?;
        let gradient = tensor(&gradient, (1, count))?;
        adamw(&mut expected, &mut expected_moments, &gradient, &options)?;
        bench.compare_f32(name, &buffers[0], &expected, BOUND)?;
        bench.compare_f32(name, &buffers[1], &expected_moments, BOUND)?;
    }
    Ok(())
}
