//! The Metal shaders, run thread by thread on the CPU and compared with the CPU kernels.
//!
//! A shader is compiled as C++ with `shim/metal_stdlib` in place of Apple's header and linked with
//! `shim/runtime.cpp`, which runs its threads as fibers under the address sanitizer. This proves
//! what a shader computes, not that Apple's compiler takes it.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failed test should panic")]

mod bench;
mod buffer;
mod cases;
mod mutations;
mod shim;

use bench::Bench;
use buffer::Stored;
use cases::SUITES;
use shim::Program;
use std::fmt::Write as _;
use std::io::Write as _;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Files of shaders and their cases.
struct Suite {
    files: &'static [&'static str],
    run: fn(&mut Bench) -> Outcome<()>,
}

impl Suite {
    /// Builds `source` and runs the cases.
    fn run(&self, source: &str, stored: &[Stored]) -> Outcome<Bench> {
        let stem = self.files[0].trim_end_matches(".metal");
        let program = Program::start(&shim::build(stem, source)?)?;
        let mut bench = Bench::new(program, stored);
        (self.run)(&mut bench)?;
        Ok(bench)
    }
}

/// Calls `work` on each of `items`, on as many threads as there are processors.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let results = std::sync::Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(item) = items.get(at) else { break };
                    let result = work(item);
                    results.lock().unwrap().push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// What a C++ compiler of one address space does not see, and Metal's does.
#[test]
fn address_spaces_fit() {
    // All of them as one library, which is how a host compiles them: no name stands twice.
    let files: Vec<&str> = SUITES
        .iter()
        .flat_map(|suite| suite.files)
        .copied()
        .collect();
    let checked = shim::check_address_spaces(&shim::library(&files).unwrap());
    assert!(checked.is_ok(), "{}", checked.unwrap_err());
    let wrong = shim::library(&["rms_norm.metal"]).unwrap();
    let wrong = wrong.replace(
        "METAL_FUNC float inverse_rms(\n    device",
        "METAL_FUNC float inverse_rms(\n    threadgroup",
    );
    assert!(shim::check_address_spaces(&wrong).is_err());
}

/// What every function computes, over odd sizes, in every type, in two orders of its threads.
#[test]
fn shaders_agree_with_the_cpu() {
    let results = in_parallel(SUITES, |suite| {
        let bench = shim::library(suite.files)
            .and_then(|source| suite.run(&source, &Stored::ALL))
            .map_err(|error| error.to_string())?;
        let mut text = String::new();
        for (function, line) in &bench.lines {
            writeln!(
                text,
                "{function:<44} {:>5}  {:>8.1e}  {:>8.1e}",
                line.cases, line.largest, line.bound
            )
            .unwrap();
        }
        Ok(text)
    });
    let mut text = format!(
        "\n{:<44} {:>5}  {:>8}  {:>8}\n",
        "shader", "cases", "largest", "allowed"
    );
    let mut failed: Vec<String> = Vec::new();
    for result in results {
        match result {
            Ok(lines) => text += &lines,
            Err(error) => failed.push(error),
        }
    }
    std::io::stdout().write_all(text.as_bytes()).unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
