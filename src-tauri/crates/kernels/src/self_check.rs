//! Every operation of this crate compared with the CPU's on a device: on small random input, where
//! the device's own kernels compute what they have one for. A kernel that disagrees is switched off.

mod cases;

use crate::device::{self, Place};
use candle_core::{DType, Device, DeviceLocation, Result, Tensor};
use cases::Case;

/// What computes an operation on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComputedBy {
    /// A kernel of ours for that device.
    OwnKernel,
    /// A composition of candle's operations.
    Composition,
}

/// What was found of one operation.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelCheck {
    /// The function of this crate.
    pub operation: &'static str,
    /// What computes it from now on.
    pub computed_by: ComputedBy,
    /// Largest difference from the CPU's result, relative to its largest element; `None` where the
    /// operation failed.
    pub difference: Option<f32>,
    /// The difference up to which both agree.
    pub tolerance: f32,
    /// Whether they do. Where not even the composition does, the device cannot be trusted.
    pub agrees: bool,
    /// Why a kernel of ours was switched off, if one was, now or before.
    pub switched_off: Option<String>,
}

/// Compares every operation on `device` with the CPU. A kernel of ours that differs by more than
/// rounding, or fails, is switched off for that device, in the whole program and for as long as it
/// runs, and the composition that takes its place is compared instead. Nothing is to be compared on
/// the CPU itself, the reference. Takes about a second.
pub fn self_check(device: &Device) -> Result<Vec<KernelCheck>> {
    if Place::of(device) == Place::Real(DeviceLocation::Cpu) {
        return Ok(Vec::new());
    }
    cases::ALL.iter().map(|case| check(case, device)).collect()
}

fn check(case: &Case, device: &Device) -> Result<KernelCheck> {
    let expected = device::with_pretence(None, || (case.run)(&Device::Cpu))?;
    let place = Place::of(device);
    let has_own = device::kernels_of(device).is_some();
    let was_off = |operation| device::is_switched_off(place, operation);
    let mut switched_off = (has_own && case.own.iter().any(|operation| was_off(*operation)))
        .then(|| "it was switched off before".to_owned());
    let mut found = Found::of(case, device, &expected);
    if has_own && !found.agrees(case) && !case.own.is_empty() {
        switched_off = Some(found.reason(case));
        for operation in case.own {
            device::switch_off(place, *operation);
        }
        found = Found::of(case, device, &expected);
    }
    Ok(KernelCheck {
        operation: case.operation,
        computed_by: found.computed_by,
        difference: found.difference.as_ref().ok().copied(),
        tolerance: case.tolerance,
        agrees: found.agrees(case),
        switched_off,
    })
}

/// One run of a case on the device.
struct Found {
    computed_by: ComputedBy,
    /// Relative to the largest element expected.
    difference: Result<f32>,
}

impl Found {
    fn of(case: &Case, device: &Device, expected: &[Tensor]) -> Self {
        let before = device::answers();
        let difference = (case.run)(device).and_then(|actual| difference(&actual, expected));
        let computed_by = if device::answers() > before {
            ComputedBy::OwnKernel
        } else {
            ComputedBy::Composition
        };
        Self {
            computed_by,
            difference,
        }
    }

    fn agrees(&self, case: &Case) -> bool {
        // A NaN does not.
        matches!(&self.difference, Ok(difference) if *difference <= case.tolerance)
    }

    fn reason(&self, case: &Case) -> String {
        match &self.difference {
            Ok(difference) => format!(
                "its result is {difference:.1e} of the largest element apart from the CPU's; {:.0e} is allowed",
                case.tolerance
            ),
            Err(error) => format!("it failed: {error}"),
        }
    }
}

/// Largest difference, relative to the largest element expected; NaN if there is one.
fn difference(actual: &[Tensor], expected: &[Tensor]) -> Result<f32> {
    let values = |x: &Tensor| -> Result<Vec<f32>> {
        let x = x.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        x.flatten_all()?.to_vec1()
    };
    let mut worst = 0.0_f32;
    for (actual, expected) in actual.iter().zip(expected) {
        if actual.dims() != expected.dims() {
            return Ok(f32::INFINITY);
        }
        let (actual, expected) = (values(actual)?, values(expected)?);
        let largest = expected.iter().fold(1e-6_f32, |max, x| max.max(x.abs()));
        for (actual, expected) in actual.iter().zip(&expected) {
            let apart = (actual - expected).abs() / largest;
            if apart.is_nan() || apart > worst {
                worst = apart;
            }
            if worst.is_nan() {
                return Ok(worst);
            }
        }
    }
    Ok(worst)
}

#[cfg(test)]
mod tests;
