//! The compositions on the CPU, and kernels that are wrong on purpose.

use super::*;
use crate::device::{Gate, OwnKernels, Pretence};
use crate::set_dispatch_limit;
use candle_core::Error;
use std::collections::BTreeSet;

fn worst(checks: &[KernelCheck]) -> String {
    let bad = checks.iter().filter(|check| !check.agrees);
    bad.map(|check| format!("{check:?}\n")).collect()
}

/// What a GPU without a kernel of ours computes is what the CPU computes, for every operation.
#[test]
fn every_composition_agrees_with_the_cpu() -> Result<()> {
    let checks = Pretence::new(None).run(|| self_check(&Device::Cpu))?;
    assert_eq!(checks.len(), cases::ALL.len());
    assert!(
        checks.iter().all(|check| check.agrees),
        "{}",
        worst(&checks)
    );
    assert!(
        checks
            .iter()
            .all(|check| check.computed_by == ComputedBy::Composition)
    );
    Ok(())
}

/// Where bf16 is stored as f16, and mixed precision rounds nothing.
#[test]
fn every_composition_agrees_without_bf16() -> Result<()> {
    let checks = crate::without_bf16(|| self_check(&Device::Cpu))?;
    assert_eq!(checks.len(), cases::ALL.len());
    assert!(
        checks.iter().all(|check| check.agrees),
        "{}",
        worst(&checks)
    );
    Ok(())
}

/// However small the pieces are that a device is given.
#[test]
fn every_composition_agrees_in_small_pieces() -> Result<()> {
    let checks = Pretence::new(None).run(|| {
        set_dispatch_limit(&Device::Cpu, 100_000);
        self_check(&Device::Cpu)
    })?;
    assert!(
        checks.iter().all(|check| check.agrees),
        "{}",
        worst(&checks)
    );
    Ok(())
}

#[test]
fn the_cpu_is_the_reference() -> Result<()> {
    assert!(self_check(&Device::Cpu)?.is_empty());
    Ok(())
}

/// A public operation without a case would run on a GPU unchecked.
#[test]
fn every_public_operation_has_a_case() {
    let library = include_str!("../lib.rs");
    let exported = library.split("pub use ").skip(1).flat_map(|line| {
        let names = line.split(';').next().unwrap_or_default();
        let names = names.split("::").last().unwrap_or_default();
        names.split(|sign: char| !(sign.is_alphanumeric() || sign == '_'))
    });
    let functions: BTreeSet<&str> = exported
        .filter(|name| name.starts_with(|first: char| first.is_ascii_lowercase()))
        .collect();
    // Those that compute nothing on a device.
    let about = [
        "by_compositions",
        "calibrate_dispatch",
        "dispatch_limit",
        "has_bf16",
        "lower_dispatch_limit",
        "self_check",
        "set_dispatch_limit",
        "stored_type",
        "was_interrupted",
        "without_bf16",
    ];
    assert!(functions.len() > 35, "{functions:?}");
    for function in functions {
        let known = about.contains(&function);
        assert!(
            known || cases::ALL.iter().any(|case| case.operation == function),
            "{function} has no case"
        );
    }
}

/// One kernel that is right, one that is wrong, one that fails, one that returns nonsense.
struct Mixed;

impl OwnKernels for Mixed {
    fn rms_norm(
        &self,
        x: &Tensor,
        weight: &Tensor,
        offset: f32,
        epsilon: f64,
    ) -> Result<Option<Tensor>> {
        // Off by a thousandth.
        let y = crate::rms_norm::composed(x, weight, offset, epsilon)?;
        Ok(Some((y * 1.001)?))
    }

    fn gate(&self, gate: &Tensor, up: &Tensor, kind: Gate) -> Result<Option<Tensor>> {
        Ok(match kind {
            Gate::Silu => Some((gate.silu()? * up)?),
            Gate::Gelu(_) => None,
        })
    }

    fn adamw(&self, _: &Tensor, _: &Tensor, _: &Tensor, _: &crate::AdamW) -> Result<Option<()>> {
        Err(Error::Msg("no such function in the library".to_owned()))
    }

    fn gelu(&self, x: &Tensor, _: crate::Gelu) -> Result<Option<Tensor>> {
        Ok(Some((x.zeros_like()? / 0.0)?))
    }
}

#[test]
fn a_wrong_kernel_is_switched_off_and_the_composition_takes_its_place() -> Result<()> {
    let device = Pretence::new(Some(&Mixed));
    device.run(|| {
        let x = Tensor::new(&[[3.0_f32, 4.0], [1.0, -1.0]], &Device::Cpu)?;
        let weight = Tensor::new(&[1.0_f32, 1.0], &Device::Cpu)?;
        let right = crate::rms_norm::composed(&x, &weight, 0.0, 1e-6)?.to_vec2::<f32>()?;
        let ours = || crate::rms_norm(&x, &weight, 0.0, 1e-6)?.to_vec2::<f32>();
        assert_ne!(ours()?, right);

        let checks = self_check(&Device::Cpu)?;
        let of = |operation: &str| checks.iter().find(|check| check.operation == operation);
        let reason = |operation: &str| of(operation).and_then(|check| check.switched_off.clone());
        assert!(
            checks.iter().all(|check| check.agrees),
            "{}",
            worst(&checks)
        );
        assert!(reason("rms_norm").is_some_and(|words| words.contains("apart from the CPU's")));
        assert!(reason("adamw").is_some_and(|words| words.contains("no such function")));
        assert!(reason("gelu").is_some_and(|words| words.contains("NaN")));
        let by = |operation: &str| of(operation).map(|check| check.computed_by);
        assert_eq!(by("swiglu"), Some(ComputedBy::OwnKernel));
        // It declines.
        assert_eq!(by("geglu"), Some(ComputedBy::Composition));
        assert_eq!(reason("geglu"), None);
        assert_eq!(by("rms_norm"), Some(ComputedBy::Composition));
        assert_eq!(ours()?, right);

        // Another check finds it off.
        let again = self_check(&Device::Cpu)?;
        let again = again.iter().find(|check| check.operation == "rms_norm");
        assert!(again.is_some_and(|check| check.switched_off.is_some() && check.agrees));
        Ok::<_, Error>(())
    })?;
    // Another device is not concerned.
    Pretence::new(Some(&Mixed)).run(|| {
        let x = Tensor::new(&[[3.0_f32, 4.0]], &Device::Cpu)?;
        let weight = Tensor::new(&[1.0_f32, 1.0], &Device::Cpu)?;
        let right = crate::rms_norm::composed(&x, &weight, 0.0, 1e-6)?.to_vec2::<f32>()?;
        assert_ne!(
            crate::rms_norm(&x, &weight, 0.0, 1e-6)?.to_vec2::<f32>()?,
            right
        );
        Ok(())
    })
}
