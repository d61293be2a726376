//! Steps that the system ended: macOS takes the GPU from a program that keeps it from drawing the
//! screen. What was computed of the step is forgotten, and it is done again in smaller pieces.

use crate::{Decoder, Error, Result};
use attune_kernels::{lower_dispatch_limit, was_interrupted};

/// How often one step is begun anew.
const ATTEMPTS: u32 = 5;

/// Runs `step`, which adds gradients to none, and waits for the device, so that an error of its work
/// shows here. Where the system ended the work the gradients are cleared and `step` runs again.
/// Weights and what the optimiser remembers are not touched by it.
pub(crate) fn with_attempts<T>(
    decoder: &mut Decoder,
    step: &mut dyn FnMut(&mut Decoder) -> Result<T>,
) -> Result<T> {
    let mut attempt = 1;
    loop {
        let done = step(decoder).and_then(|done| {
            decoder.device().synchronize()?;
            Ok(done)
        });
        match done {
            Err(Error::Tensor(error)) if attempt < ATTEMPTS && was_interrupted(&error) => {
                lower_dispatch_limit(decoder.device());
                decoder.clear_gradients()?;
                attempt += 1;
            }
            done => return done,
        }
    }
}
