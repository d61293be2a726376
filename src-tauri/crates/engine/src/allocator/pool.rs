//! Large blocks over pages of the system's, and the free pieces between them.

use nix::libc;
use std::collections::BTreeMap;

/// What every length is a multiple of: itself a multiple of every page size in use.
pub(super) const UNIT: usize = if cfg!(all(target_arch = "aarch64", target_os = "linux")) {
    64 << 10
} else {
    16 << 10
};
/// Bytes kept free where nothing asked for more.
const SPARE: usize = 32 << 20;

/// A length in whole units.
pub(super) fn units(size: usize) -> usize {
    size.next_multiple_of(UNIT)
}

/// Blocks in use are known to their owners alone; the pool knows the free pieces.
pub(super) struct Pool {
    /// Lengths of free pieces by address. No two touch.
    free: BTreeMap<usize, usize>,
    /// Bytes in free pieces.
    kept: usize,
    /// Bytes in use.
    used: usize,
    /// The most that was in use at once since keeping began.
    most: usize,
    /// How many ask that freed blocks be kept.
    keepers: usize,
}

impl Pool {
    pub(super) const fn new() -> Self {
        Self {
            free: BTreeMap::new(),
            kept: 0,
            used: 0,
            most: 0,
            keepers: 0,
        }
    }

    /// Begins to keep as much as was ever in use at once, or ends it.
    pub(super) fn keep(&mut self, keep: bool) {
        if keep {
            self.keepers += 1;
        } else {
            self.keepers = self.keepers.saturating_sub(1);
        }
        if self.keepers == usize::from(keep) {
            self.most = self.used;
        }
        self.trim();
    }

    /// A block of at least `size` bytes, and whether it is fresh, which means zero. Null where the
    /// system has no memory.
    pub(super) fn take(&mut self, size: usize) -> (*mut u8, bool) {
        let length = units(size);
        // The smallest piece that holds it; of equals the lowest.
        let fitting = self.free.iter().filter(|(_, piece)| **piece >= length);
        let best = fitting.min_by_key(|(_, piece)| **piece);
        let best = best.map(|(at, piece)| (*at, *piece));
        self.used += length;
        self.most = self.most.max(self.used);
        if let Some((at, piece)) = best {
            self.free.remove(&at);
            if piece > length {
                self.free.insert(at + length, piece - length);
            }
            self.kept -= length;
            return (at as *mut u8, false);
        }
        self.trim();
        let block = map(length);
        if block.is_null() {
            self.used -= length;
        }
        (block, true)
    }

    /// # Safety
    /// `block` came from [`Pool::take`] of this pool with this `size`, and nobody uses it.
    pub(super) unsafe fn give_back(&mut self, block: *mut u8, size: usize) {
        let (mut at, mut length) = (block as usize, units(size));
        self.used -= length;
        self.kept += length;
        if let Some((before, piece)) = self.free.range(..at).next_back()
            && before + piece == at
        {
            (at, length) = (*before, piece + length);
        }
        if let Some(after) = self.free.remove(&(at + length)) {
            length += after;
        }
        self.free.insert(at, length);
        self.trim();
    }

    /// Unmaps free pieces, the smallest first, until what is left is within the bound: with what is
    /// in use no more than was in use at once, or a little where nobody asked for that.
    fn trim(&mut self) {
        let bound = if self.keepers > 0 {
            self.most - self.used
        } else {
            SPARE
        };
        while self.kept > bound {
            let Some((at, piece)) = self.free.iter().min_by_key(|(_, piece)| **piece) else {
                return;
            };
            let (at, piece) = (*at, *piece);
            let gone = piece.min(self.kept - bound);
            self.free.remove(&at);
            if gone < piece {
                self.free.insert(at, piece - gone);
            }
            self.kept -= gone;
            // SAFETY: the end of a free piece is mapped memory that nobody uses.
            unsafe { libc::munmap((at + piece - gone) as *mut libc::c_void, gone) };
        }
    }
}

/// Fresh pages at a multiple of [`UNIT`]; null where there are none.
fn map(length: usize) -> *mut u8 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: new memory, at an address that the system chooses.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), length + UNIT, access, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return std::ptr::null_mut();
    }
    let start = start as usize;
    let block = start.next_multiple_of(UNIT);
    for (from, to) in [(start, block), (block + length, start + length + UNIT)] {
        if from < to {
            // SAFETY: the ends of what was just mapped, outside the block.
            unsafe { libc::munmap(from as *mut libc::c_void, to - from) };
        }
    }
    block as *mut u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Blocks of any size in any order keep what was written to them, and the pool never holds
    /// more than was in use at once.
    #[test]
    fn blocks_do_not_overlap_and_no_more_is_kept_than_was_used() {
        let mut pool = Pool::new();
        pool.keep(true);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut blocks: Vec<(*mut u8, usize, u8)> = Vec::new();
        let mut most = 0;
        for round in 0..4000_u32 {
            if blocks.len() < 40 && rng.random_bool(0.52) {
                let size = rng.random_range(1..40) * 30_000;
                let (block, fresh) = pool.take(size);
                assert!(!block.is_null() && (block as usize).is_multiple_of(UNIT));
                // SAFETY: the block has this many bytes.
                let bytes = unsafe { std::slice::from_raw_parts_mut(block, size) };
                assert!(!fresh || bytes.iter().all(|byte| *byte == 0));
                bytes.fill(round as u8);
                blocks.push((block, size, round as u8));
            } else if !blocks.is_empty() {
                let (block, size, mark) = blocks.swap_remove(rng.random_range(0..blocks.len()));
                // SAFETY: as above, and it is given back once.
                unsafe {
                    let bytes = std::slice::from_raw_parts(block, size);
                    assert!(bytes.iter().all(|byte| *byte == mark));
                    pool.give_back(block, size);
                }
            }
            let used: usize = blocks.iter().map(|(_, size, _)| units(*size)).sum();
            most = most.max(used);
            assert_eq!((pool.used, pool.most), (used, most));
            assert!(pool.used + pool.kept <= most);
            assert_eq!(pool.kept, pool.free.values().sum::<usize>());
            let mut end = 0;
            for (at, length) in &pool.free {
                assert!(*at > end, "pieces that touch are one");
                end = at + length;
            }
        }
        for (block, size, _) in blocks.drain(..) {
            // SAFETY: given back once.
            unsafe { pool.give_back(block, size) };
        }
        assert_eq!(pool.kept, most);
        pool.keep(false);
        assert!(pool.kept <= SPARE);
    }

    /// What was freed serves the next of its size without the system.
    #[test]
    fn a_step_like_the_one_before_takes_nothing_fresh() {
        let mut pool = Pool::new();
        pool.keep(true);
        for step in 0..3 {
            let sizes = [5_000_000, 300_000, 2_000_000, 5_000_000, 700_000];
            let blocks = sizes.map(|size| (pool.take(size), size));
            assert!(blocks.iter().all(|((_, fresh), _)| *fresh == (step == 0)));
            for ((block, _), size) in blocks {
                // SAFETY: given back once.
                unsafe { pool.give_back(block, size) };
            }
        }
        pool.keep(false);
    }

    /// Two runs may overlap; only the last to end goes back to giving memory away.
    #[test]
    fn freed_blocks_are_kept_while_any_run_lasts() {
        let mut pool = Pool::new();
        let large = 3 * SPARE;
        let used_and_freed = |pool: &mut Pool| {
            let block = pool.take(large).0;
            // SAFETY: given back once.
            unsafe { pool.give_back(block, large) };
            pool.kept
        };
        assert_eq!(used_and_freed(&mut pool), SPARE);
        pool.keep(true);
        pool.keep(true);
        pool.keep(false);
        assert_eq!(used_and_freed(&mut pool), large);
        pool.keep(false);
        assert_eq!(pool.kept, SPARE);
    }
}
