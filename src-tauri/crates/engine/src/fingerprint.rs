//! A name for what decides the course of a run.

use std::hash::Hasher;

/// FNV-1a: the standard library's hasher may change between releases, a checkpoint outlives them.
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// As files hold it.
    pub(crate) fn name(&self) -> String {
        format!("{:016x}", self.0)
    }
}

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
