//! Shaders made wrong on purpose: each must be found, by a sanitizer, by the runtime or by the
//! comparison with the CPU.

use crate::buffer::Stored;
use crate::cases::SUITES;
use crate::{Outcome, in_parallel, shim};
use std::fmt::Write as _;
use std::io::Write as _;

/// A change of one place of a source.
struct Mutation {
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

const fn mutation(file: &'static str, from: &'static str, to: &'static str) -> Mutation {
    Mutation { file, from, to }
}

const MUTATIONS: &[Mutation] = &[
    // One column too many, in the last thread's last step.
    mutation(
        "rms_norm.metal",
        "i < width; i += threads) {\n        y[",
        "i <= width; i += threads) {\n        y[",
    ),
    mutation(
        "rms_norm.metal",
        "scale * scale * scale * dot",
        "scale * scale * dot",
    ),
    mutation(
        "rms_norm.metal",
        "(part + 1) * ROWS_OF_PART",
        "part * ROWS_OF_PART + 63",
    ),
    mutation(
        "rms_norm.metal",
        "part < options.parts",
        "part + 1 < options.parts",
    ),
    // A thread reads what others have yet to write.
    mutation(
        "rms_norm.metal",
        "    threadgroup_barrier(mem_flags::mem_threadgroup);\n    float sum",
        "    float sum",
    ),
    // The next sum is written before this one is read.
    mutation(
        "rms_norm.metal",
        "    threadgroup_barrier(mem_flags::mem_threadgroup);\n    return sum",
        "    return sum",
    ),
    // Not every thread comes to the barrier.
    mutation(
        "rms_norm.metal",
        "    dot = group_sum(dot, shared",
        "    if (thread_number + 1 < threads) dot = group_sum(dot, shared",
    ),
    mutation(
        "rope.metal",
        "second * cosine + first",
        "second * cosine - first",
    ),
    mutation("rope.metal", "i >= pairs", "i > pairs"),
    mutation(
        "activations.metal",
        "if (number >= range.count) {\n        return;\n    }\n    uint i = range.first + number;\n    y[i] = T(Activation::at(float(gate",
        "if (number > range.count) {\n        return;\n    }\n    uint i = range.first + number;\n    y[i] = T(Activation::at(float(gate",
    ),
    mutation(
        "activations.metal",
        "value * (1.0f - sigmoid)",
        "value * sigmoid",
    ),
    mutation(
        "activations.metal",
        "1.0f + 3.0f * CUBE",
        "1.0f + 2.0f * CUBE",
    ),
    mutation(
        "activations.metal",
        "cumulative + x * density",
        "cumulative - x * density",
    ),
    mutation(
        "cross_entropy.metal",
        "if (i == target)",
        "if (i == target + 1)",
    ),
    mutation(
        "cross_entropy.metal",
        "sum = sum * exp(largest - next) + ",
        "sum = sum + ",
    ),
    mutation(
        "cross_entropy.metal",
        "scores[targets[row]]",
        "scores[targets[row] + 1]",
    ),
    mutation(
        "cross_entropy.metal",
        "shared[simdgroups + simdgroup]",
        "shared[simdgroups + simdgroup + 1]",
    ),
    mutation(
        "adamw.metal",
        "number >= options.count",
        "number > options.count",
    ),
    mutation("adamw.metal", "options.rest2 * g * g", "options.rest2 * g"),
    mutation(
        "matmul_quantised.metal",
        "row + r < end_row && depth + d < width",
        "row + r <= end_row && depth + d < width",
    ),
    mutation(
        "matmul_quantised.metal",
        "column + i < weight.inner",
        "column + i <= weight.inner",
    ),
    mutation("matmul_quantised.metal", "at % 2 == 0", "at % 2 == 1"),
    mutation("matmul_quantised.metal", "block / 256", "block / 128"),
    mutation("matmul_quantised.metal", "code < 128", "code <= 128 + 60"),
    mutation(
        "matmul_quantised.metal",
        "uint(steps[part - 4])",
        "uint(steps[part - 3])",
    ),
    mutation(
        "matmul_quantised.metal",
        "r < end_row && c < width",
        "r < end_row && c <= width",
    ),
    mutation(
        "attention.metal",
        "at < sees[i].y;\n                scores",
        "at <= sees[i].y;\n                scores",
    ),
    mutation(
        "attention.metal",
        "row + r < end_row && from + d < head_dim",
        "row + r <= end_row && from + d < head_dim",
    ),
    mutation(
        "attention.metal",
        "result[i * (D / 8) + j] *= rescale",
        "result[i * (D / 8) + j] *= 1.0f",
    ),
    mutation("attention.metal", "largest[i] + log(sum[i])", "largest[i]"),
    // Probabilities are written while others still read queries.
    mutation(
        "attention.metal",
        "        // Every thread has read the tile of queries: their probabilities take its place.\n        threadgroup_barrier(mem_flags::mem_threadgroup);",
        "",
    ),
    mutation(
        "attention_backward.metal",
        "i < options.head_dim; i += LANES",
        "i + 1 < options.head_dim; i += LANES",
    ),
    mutation(
        "attention_backward.metal",
        "visible[2 * row + 1] : 0;\n        log_sum",
        "visible[2 * row + 1] - 1 : 0;\n        log_sum",
    ),
    mutation(
        "attention_backward.metal",
        "p * (dp - delta) * softcap_slope(score, options.softcap)",
        "p * (dp - delta)",
    ),
    mutation(
        "attention_backward.metal",
        "row < visible[2 * at + 1]",
        "row <= visible[2 * at + 1]",
    ),
    mutation(
        "attention_backward.metal",
        "member < heads_of_group",
        "member + 1 < heads_of_group",
    ),
    mutation(
        "attention_backward.metal",
        "            // Every thread has read the tiles of keys and values: the products' gradients and the\n            // probabilities take their place.\n            threadgroup_barrier(mem_flags::mem_threadgroup);",
        "",
    ),
];

/// How a mutation was found.
fn found(mutation: &Mutation) -> Outcome<&'static str> {
    let suite = SUITES
        .iter()
        .find(|suite| suite.files.contains(&mutation.file));
    let suite = suite.ok_or("there is no such file")?;
    let source = shim::library(suite.files)?;
    if source.matches(mutation.from).count() != 1 {
        return Err(format!("`{}` is not there once", mutation.from).into());
    }
    let wrong = source.replace(mutation.from, mutation.to);
    // One type and narrow heads are enough, and compile sooner.
    let wrong: String = wrong
        .lines()
        .filter(|line| !line.trim_start().starts_with("INSTANTIATE") || !is_spared(line))
        .map(|line| format!("{line}\n"))
        .collect();
    let Err(error) = suite.run(&wrong, &[Stored::F32]) else {
        return Err("it passed".into());
    };
    let error = error.to_string();
    let signs = [
        ("AddressSanitizer", "address sanitizer"),
        ("runtime error", "undefined behaviour"),
        ("diverged", "divergence"),
        ("another order", "order of threads"),
        ("from the CPU", "comparison"),
    ];
    let sign = signs.into_iter().find(|(sign, _)| error.contains(sign));
    Ok(sign.ok_or(error)?.1)
}

/// Whether a line instantiates a narrow type, or attention for wide heads.
fn is_spared(line: &str) -> bool {
    ["half", "bfloat", "_128\"", "_256\""]
        .iter()
        .any(|word| line.contains(word))
}

/// One line for the table.
fn shown(mutation: &Mutation) -> String {
    let last = |text: &str| {
        text.trim()
            .lines()
            .next_back()
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    match mutation.to.trim() {
        // A barrier taken away.
        "" | "float sum" | "return sum" => format!(
            "without {}",
            last(mutation.from.trim_end_matches(mutation.to))
        ),
        to => last(to),
    }
}

#[test]
fn a_wrong_shader_is_found() {
    let results = in_parallel(MUTATIONS, |mutation| {
        found(mutation).map_err(|error| error.to_string())
    });
    let mut text = String::from("\na shader made wrong is found by\n");
    let mut missed = String::new();
    for (mutation, result) in MUTATIONS.iter().zip(results) {
        let (file, to) = (mutation.file, shown(mutation));
        match result {
            Ok(by) => writeln!(text, "{file:<24} {by:<20} {to}"),
            Err(error) => writeln!(missed, "{file}: {to}: {error}"),
        }
        .unwrap();
    }
    std::io::stdout().write_all(text.as_bytes()).unwrap();
    assert!(missed.is_empty(), "{missed}");
}
