//! For each shader, what it is run on.

mod activations;
mod adamw;
mod attention;
mod cross_entropy;
mod matmul_quantised;
mod rms_norm;
mod rope;

use crate::Suite;

/// Every shader; those that take longest to compile come first.
pub const SUITES: &[Suite] = &[
    Suite {
        files: &["attention.metal", "attention_backward.metal"],
        run: attention::run,
    },
    Suite {
        files: &["matmul_quantised.metal"],
        run: matmul_quantised::run,
    },
    Suite {
        files: &["activations.metal"],
        run: activations::run,
    },
    Suite {
        files: &["rms_norm.metal"],
        run: rms_norm::run,
    },
    Suite {
        files: &["rope.metal"],
        run: rope::run,
    },
    Suite {
        files: &["cross_entropy.metal"],
        run: cross_entropy::run,
    },
    Suite {
        files: &["adamw.metal"],
        run: adamw::run,
    },
];
