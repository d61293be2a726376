//! The allocator of the programs: mimalloc, and for large blocks a pool that never holds more than
//! was in use at once.
//!
//! A training step frees all its activations and the next wants them again. Given back to the
//! system in between, the pages cost up to a third of a step to clear. Kept by a general allocator,
//! they cost memory: what is free lies in pieces that the next size does not fit, so new pages are
//! touched beside them, half of the activations again and more. The pool keeps pieces of any
//! length, joins neighbours, and where none fits gives as many of them back as it takes anew.

mod pool;

use pool::Pool;
use std::alloc::{GlobalAlloc, Layout};
use std::sync::{Mutex, PoisonError};

/// Bytes from which a block is large.
const LARGE: usize = 64 << 10;

/// Serves a program: `#[global_allocator] static ALLOCATOR: Allocator = Allocator;`
#[derive(Debug, Clone, Copy)]
pub struct Allocator;

static SMALL: mimalloc::MiMalloc = mimalloc::MiMalloc;
static POOL: Mutex<Pool> = Mutex::new(Pool::new());

/// Runs `work` on the pool. What is allocated in there is small, so that nobody waits for himself.
fn with_pool<T>(work: impl FnOnce(&mut Pool) -> T) -> T {
    work(&mut POOL.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Whether freed blocks are kept for the next allocation.
pub(crate) fn keep_freed(keep: bool) {
    with_pool(|pool| pool.keep(keep));
}

fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE && layout.align() <= pool::UNIT
}

// SAFETY: a block comes from mimalloc or from the pool, by its layout alone, and goes back to where
// it came from; both keep the promises of an allocator.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(layout) {
            with_pool(|pool| pool.take(layout.size())).0
        } else {
            // SAFETY: the caller's.
            unsafe { SMALL.alloc(layout) }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !is_large(layout) {
            // SAFETY: the caller's.
            return unsafe { SMALL.alloc_zeroed(layout) };
        }
        let (block, fresh) = with_pool(|pool| pool.take(layout.size()));
        if !fresh && !block.is_null() {
            // SAFETY: the block has this many bytes, and nobody else knows it.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_large(layout) {
            // SAFETY: the block came from `take` with this size, and the caller is done with it.
            with_pool(|pool| unsafe { pool.give_back(block, layout.size()) });
        } else {
            // SAFETY: the caller's.
            unsafe { SMALL.dealloc(block, layout) }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises a size that a layout can have.
        let grown = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if !is_large(layout) && !is_large(grown) {
            // SAFETY: the caller's.
            return unsafe { SMALL.realloc(block, layout, size) };
        }
        if is_large(layout) && is_large(grown) && pool::units(layout.size()) == pool::units(size) {
            return block;
        }
        // SAFETY: both blocks have the bytes that are copied; the old one is done with after it.
        unsafe {
            let new = self.alloc(grown);
            if !new.is_null() {
                new.copy_from_nonoverlapping(block, size.min(layout.size()));
                self.dealloc(block, layout);
            }
            new
        }
    }
}
