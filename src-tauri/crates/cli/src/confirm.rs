//! Asking before something is destroyed.

use std::io::{BufRead, IsTerminal, Write};

use attune_studio::Error;

use crate::failure::{Failure, Outcome};
use crate::request::Removal;

/// Whether the person agrees. Nobody can be asked where there is no terminal.
pub(crate) fn confirm(removal: &Removal) -> Outcome<bool> {
    if removal.agreed {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        let error = Error::new(
            "not-confirmed",
            format!("this would delete {}", removal.what),
        )
        .with_remedy("Add `--yes` if that is meant.");
        return Err(Failure::Usage(Box::new(error)));
    }
    let _ = write!(std::io::stderr(), "Delete {}? [y/N] ", removal.what);
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    Ok(read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
