//! How much work a device is given at once. macOS ends a command buffer that keeps the GPU from
//! drawing the screen for long ("Impacting Interactivity"), so large products are cut by rows, what
//! was given is waited for before more than a limit has gathered, and a step that was ended all the
//! same is done again, in smaller pieces.

use crate::device::Place;
use candle_core::{DType, Device, Error, Result, Tensor};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the work given to a Mac's GPU at once may take, where nobody chose.
pub const LONGEST_DISPATCH: Duration = Duration::from_millis(50);
/// Multiply-adds until the speed of a device was measured: what the slowest M1 does in 50 ms, when
/// its products reach half a TFLOP/s.
const UNMEASURED: u64 = 12_500_000_000;
/// No measurement leads below this: waiting would then take longer than the work.
const LEAST: u64 = 100_000_000;

/// What one device was given.
#[derive(Debug, Clone, Copy)]
struct Account {
    /// Most multiply-adds at once.
    limit: u64,
    /// Those not waited for yet.
    open: u64,
    /// How often it was waited for.
    waits: u64,
    /// Multiply-adds per second as measured, and the time that `limit` was last set for.
    measured: Option<(f64, Duration)>,
}

static ACCOUNTS: LazyLock<Mutex<HashMap<Place, Account>>> = LazyLock::new(Mutex::default);

fn with_account<T>(place: Place, work: impl FnOnce(&mut Account) -> T) -> T {
    let mut accounts = ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    work(accounts.entry(place).or_insert_with(|| Account {
        limit: default_limit(place),
        open: 0,
        waits: 0,
        measured: None,
    }))
}

/// Only a Mac draws its screen with the GPU that computes, and ends what takes too long.
fn default_limit(place: Place) -> u64 {
    match place {
        Place::Real(candle_core::DeviceLocation::Metal { .. }) => UNMEASURED,
        _ => u64::MAX,
    }
}

/// Most multiply-adds that `device` is given before they are waited for; `u64::MAX` for any number,
/// which is what every device but a Mac's GPU begins with.
pub fn dispatch_limit(device: &Device) -> u64 {
    with_account(Place::of(device), |account| account.limit)
}

/// Sets what [`dispatch_limit`] returns, for the whole program.
pub fn set_dispatch_limit(device: &Device, multiply_adds: u64) {
    with_account(Place::of(device), |account| {
        account.limit = multiply_adds.max(1);
    });
}

/// Halves the limit, after work was ended by the system.
pub fn lower_dispatch_limit(device: &Device) {
    with_account(Place::of(device), |account| {
        account.limit = (account.limit.min(2 * UNMEASURED) / 2).max(LEAST);
    });
}

/// Sets the limit to what `device` does in `longest`, usually [`LONGEST_DISPATCH`], and returns it.
/// The first time it is measured how fast the device multiplies, which takes some tens of
/// milliseconds. A limit that was lowered since it was set for the same time stays so.
pub fn calibrate_dispatch(device: &Device, longest: Duration) -> Result<u64> {
    let place = Place::of(device);
    let rate = match with_account(place, |account| account.measured) {
        Some((_, before)) if before == longest => return Ok(dispatch_limit(device)),
        Some((rate, _)) => rate,
        None => measure(device)?,
    };
    let limit = ((rate * longest.as_secs_f64()) as u64).max(LEAST);
    with_account(place, |account| {
        account.measured = Some((rate, longest));
        account.limit = limit;
    });
    Ok(limit)
}

/// Multiply-adds per second in products of `device`.
fn measure(device: &Device) -> Result<f64> {
    const SIZE: usize = 1024;
    let one = Tensor::ones((SIZE, SIZE), DType::F32, device)?;
    let timed = |times: usize| -> Result<Duration> {
        device.synchronize()?;
        let start = Instant::now();
        for _ in 0..times {
            one.matmul(&one)?;
        }
        device.synchronize()?;
        Ok(start.elapsed())
    };
    // The first product also compiles and allocates.
    timed(1)?;
    let best = (0..3).map(|_| timed(4)).collect::<Result<Vec<_>>>()?;
    let best = best.into_iter().min().unwrap_or_default();
    Ok((4 * SIZE * SIZE * SIZE) as f64 / best.as_secs_f64().max(1e-9))
}

/// Cuts `rows`, each of `work` multiply-adds, into even ranges within the limit of `device`, borders
/// at multiples of `tile`. A tile is never cut, so one that is too large stands alone.
pub(crate) fn pieces(
    device: &Device,
    rows: usize,
    work: usize,
    tile: usize,
) -> impl Iterator<Item = Range<usize>> + use<> {
    let most = rows_within(device, work);
    let tiles = rows.div_ceil(tile);
    let count = tiles.div_ceil((most / tile).max(1)).max(1);
    let size = tiles.div_ceil(count).max(1) * tile;
    (0..rows)
        .step_by(size)
        .map(move |start| start..rows.min(start + size))
}

/// How many rows of `work` multiply-adds each are within the limit of `device`; one at least.
pub(crate) fn rows_within(device: &Device, work: usize) -> usize {
    let fitting = dispatch_limit(device) / (work as u64).max(1);
    usize::try_from(fitting).unwrap_or(usize::MAX).max(1)
}

/// To be called before `multiply_adds` are given to `device`: waits for what it was given before, if
/// more than the limit would gather. An error of the earlier work shows here.
pub(crate) fn account(device: &Device, multiply_adds: usize) -> Result<()> {
    let wait = with_account(Place::of(device), |account| {
        let work = multiply_adds as u64;
        let full = account.open > 0 && account.open.saturating_add(work) > account.limit;
        account.open = if full {
            work
        } else {
            account.open.saturating_add(work)
        };
        account.waits += u64::from(full);
        full
    });
    if wait { device.synchronize() } else { Ok(()) }
}

/// Whether an error says that the system ended the GPU's work to keep the screen alive, or because
/// of another's error. The work can be done again; [`lower_dispatch_limit`] first.
pub fn was_interrupted(error: &Error) -> bool {
    /// Parts of what macOS calls the errors of a command buffer.
    const WORDS: [&str; 5] = [
        "CallbackErrorImpactingInteractivity",
        "CallbackErrorTimeout",
        "CallbackErrorHang",
        "CallbackErrorInnocentVictim",
        "CallbackErrorSubmissionsIgnored",
    ];
    let words = error.to_string();
    WORDS.iter().any(|word| words.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Pretence;
    use crate::{Transpose, matmul, matmul_add};

    #[test]
    fn pieces_are_even_within_the_limit_and_cover_every_row_once() {
        Pretence::new(None).run(|| {
            for (rows, work, tile, limit) in [
                (1000, 10, 1, 2500),
                (1000, 10, 64, 2500),
                (7, 1000, 1, 10),
                (100, 3, 32, 1000),
                (0, 5, 1, 10),
            ] {
                set_dispatch_limit(&Device::Cpu, limit);
                let pieces: Vec<_> = pieces(&Device::Cpu, rows, work, tile).collect();
                let mut next = 0;
                for piece in &pieces {
                    assert_eq!(piece.start, next);
                    assert!(piece.start.is_multiple_of(tile) && !piece.is_empty());
                    let single = piece.len() <= tile;
                    assert!(single || (piece.len() * work) as u64 <= limit, "{piece:?}");
                    next = piece.end;
                }
                assert_eq!(next, rows);
            }
        });
    }

    /// The result is the same however it is cut, and the device is waited for as often as the work
    /// is over the limit.
    #[test]
    fn a_large_product_is_cut_and_waited_for() -> Result<()> {
        let values = |count: usize| {
            (0..count)
                .map(|at| (at % 17) as f32 - 8.0)
                .collect::<Vec<_>>()
        };
        let a = Tensor::from_vec(values(90 * 40), (90, 40), &Device::Cpu)?;
        let b = Tensor::from_vec(values(50 * 40), (50, 40), &Device::Cpu)?;
        let expected = a.matmul(&b.t()?)?.to_vec2::<f32>()?;
        Pretence::new(None).run(|| {
            // Ten rows at once.
            set_dispatch_limit(&Device::Cpu, 10 * 40 * 50);
            let product = matmul(&a, &b, Transpose::Right)?;
            assert_eq!(product.to_vec2::<f32>()?, expected);
            let waits = || with_account(Place::of(&Device::Cpu), |account| account.waits);
            assert_eq!(waits(), 8);
            let mut sum = product;
            matmul_add(&mut sum, 1.0, &a, &b, Transpose::Right)?;
            assert_eq!(sum.to_vec2::<f32>()?[89][49], 2.0 * expected[89][49]);
            assert_eq!(waits(), 17);
            // Left: the rows of the result are the columns of `a`.
            let left = matmul(&a, &a, Transpose::Left)?.to_vec2::<f32>()?;
            assert_eq!(left, a.t()?.matmul(&a)?.to_vec2::<f32>()?);
            Ok(())
        })
    }

    #[test]
    fn a_limit_is_measured_and_lowered() -> Result<()> {
        Pretence::new(None).run(|| {
            let device = &Device::Cpu;
            assert_eq!(dispatch_limit(device), u64::MAX);
            let measured = calibrate_dispatch(device, Duration::from_millis(50))?;
            // Somewhere between a toy and a rack.
            assert!((LEAST..u64::MAX / 1000).contains(&measured), "{measured}");
            set_dispatch_limit(device, 1_000_000_000);
            lower_dispatch_limit(device);
            assert_eq!(dispatch_limit(device), 500_000_000);
            for _ in 0..9 {
                lower_dispatch_limit(device);
            }
            assert_eq!(dispatch_limit(device), LEAST);
            Ok(())
        })
    }

    #[test]
    fn another_time_changes_the_limit_and_the_same_keeps_a_lowered_one() -> Result<()> {
        Pretence::new(None).run(|| {
            let device = &Device::Cpu;
            // So long that the slowest machine's limit is above the least.
            let chosen = calibrate_dispatch(device, Duration::from_secs(40))?;
            lower_dispatch_limit(device);
            let lowered = dispatch_limit(device);
            assert!(lowered < chosen);
            // As a second run does, with what the first has learnt.
            assert_eq!(
                calibrate_dispatch(device, Duration::from_secs(40))?,
                lowered
            );
            // Nothing is measured anew: four times the work in four times the time.
            let short = calibrate_dispatch(device, Duration::from_secs(20))?;
            let long = calibrate_dispatch(device, Duration::from_secs(80))?;
            assert!(long.abs_diff(4 * short) <= 4, "{short}, {long}");
            Ok(())
        })
    }

    #[test]
    fn errors_of_the_watchdog_are_told_from_others() {
        let ended = "Command buffer had following error: Impacting Interactivity \
                     (0000000e:kIOGPUCommandBufferCallbackErrorImpactingInteractivity)";
        assert!(was_interrupted(&Error::Msg(ended.to_owned())));
        let memory = "Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)";
        assert!(!was_interrupted(&Error::Msg(memory.to_owned())));
    }
}
