//! Ctrl-C and the request to terminate.

use tokio::signal::unix::{self, SignalKind};

use crate::failure::{Failure, Outcome, Signal};

/// The signals of this process, in the order they come.
#[derive(Debug)]
pub(crate) struct Interrupts {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl Interrupts {
    /// Listens from now on; without it, a signal would end the process where it stands.
    pub(crate) fn listen() -> Outcome<Self> {
        let listen = |kind| {
            unix::signal(kind).map_err(|error| {
                Failure::broken(&format!("the program cannot listen for signals: {error}"))
            })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// The next signal.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}
