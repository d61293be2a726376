//! AMX: eight tiles of 16 rows of 64 bytes. `tdpbf16ps` adds the product of 16 × 32 by 32 × 16 in bf16
//! to 16 × 16 in f32.

use super::blocked::Unit;
use super::pack;
use crate::gemm::element::Bf16;
use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use std::sync::OnceLock;

pub(super) struct Amx;

/// Whether this processor has the matrix unit, and the system lets this process use it.
pub(super) fn detected() -> bool {
    static DETECTED: OnceLock<bool> = OnceLock::new();
    *DETECTED.get_or_init(|| pack::detected() && has_tiles() && permitted())
}

/// What the processor says, and whether the system keeps the tiles between threads.
fn has_tiles() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    const AMX_BF16_AND_TILE: u32 = 1 << 22 | 1 << 24;
    const TILE_CONFIG_AND_DATA: u64 = 1 << 17 | 1 << 18;
    if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE == 0 {
        return false;
    }
    if __cpuid_count(7, 0).edx & AMX_BF16_AND_TILE != AMX_BF16_AND_TILE {
        return false;
    }
    // SAFETY: the system has enabled the instruction.
    let enabled = unsafe { enabled_state() };
    enabled & TILE_CONFIG_AND_DATA == TILE_CONFIG_AND_DATA
}

#[target_feature(enable = "xsave")]
fn enabled_state() -> u64 {
    // SAFETY: the caller has seen that the system enabled it.
    unsafe { _xgetbv(0) }
}

/// Asks Linux, once for all threads, for the tiles: their 8 KiB are in no thread's saved state
/// unless its process wants them.
fn permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XTILEDATA: u64 = 18;
    let result: i64;
    // SAFETY: a system call that takes two numbers and touches no memory of ours.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_of_row: [u16; 16],
    rows: [u8; 16],
}

/// Every tile whole.
static WHOLE: Configuration = Configuration {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    bytes_of_row: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// The tiles are empty again, which the system need not save when it changes threads.
struct Release;

impl Drop for Release {
    fn drop(&mut self) {
        // SAFETY: the tiles are this thread's, and nothing reads them any more.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

impl Unit for Amx {
    fn scope<T>(work: impl FnOnce() -> T) -> T {
        // SAFETY: the unit was detected; the compiler uses no tile of its own.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const WHOLE, options(nostack, readonly)) };
        let _release = Release;
        work()
    }

    unsafe fn tile(
        steps: usize,
        a: *const Bf16,
        b: *const Bf16,
        to: *mut f32,
        stride: usize,
        adds: bool,
    ) {
        // Tiles 0 to 3 are the sums, 4 and 5 of the left operand, 6 and 7 of the right one, whose
        // rows are 64 bytes apart.
        // SAFETY: the caller promises `steps` steps of both panels, and the rows of the sums.
        unsafe {
            asm!(
                "test {adds:e}, {adds:e}",
                "jz 2f",
                "tileloadd tmm0, [{to} + {stride}]",
                "tileloadd tmm1, [{to} + {stride} + 64]",
                "tileloadd tmm2, [{lower} + {stride}]",
                "tileloadd tmm3, [{lower} + {stride} + 64]",
                "jmp 3f",
                "2:",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "3:",
                "tileloadd tmm6, [{b} + {row}]",
                "tileloadd tmm4, [{a} + {row}]",
                "tileloadd tmm7, [{b} + {row} + 1024]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{a} + {row} + 1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a}, 2048",
                "add {b}, 2048",
                "dec {steps}",
                "jnz 3b",
                "tilestored [{to} + {stride}], tmm0",
                "tilestored [{to} + {stride} + 64], tmm1",
                "tilestored [{lower} + {stride}], tmm2",
                "tilestored [{lower} + {stride} + 64], tmm3",
                a = inout(reg) a => _,
                b = inout(reg) b => _,
                steps = inout(reg) steps => _,
                to = in(reg) to,
                lower = in(reg) to.wrapping_add(16 * stride),
                stride = in(reg) 4 * stride,
                row = in(reg) 64_usize,
                adds = in(reg) u32::from(adds),
                options(nostack),
            );
        }
    }
}
