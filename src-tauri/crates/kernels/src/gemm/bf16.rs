//! Products of operands rounded to bf16, summed in f32.
//!
//! A matrix unit (AMX) multiplies pairs of bf16 several times faster than a vector unit multiplies
//! f32. Where there is none the operands are rounded all the same, so that a run computes with the
//! same numbers on every machine; the order of the sums, and with it their last bits, is each
//! unit's own, as in f32.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
#[cfg(all(target_arch = "x86_64", target_os = "linux", test))]
mod avx512bf16;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod blocked;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod pack;

use super::element::{Bf16, Element, Values};
use super::{Into, Matrix, Product, Variant, check_destination};
use ::gemm::Parallelism;
use rayon::prelude::*;

/// Most rows or columns of a product that stays in f32: its arithmetic hides behind the reading of
/// its large side.
pub(super) const THIN: usize = 16;

/// Who multiplies operands rounded to bf16.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bf16Variant {
    /// The matrix unit.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx,
    /// Vectors of pairs: half as fast as f32 on the Intel processors it was measured on, so that only
    /// tests name it, to read the matrix unit's panels where there is no such unit.
    #[cfg(all(target_arch = "x86_64", target_os = "linux", test))]
    Avx512Bf16,
    /// Operands rounded beforehand, and multiplied as f32.
    Rounded(Variant),
}

impl Bf16Variant {
    /// What this machine can run, the fastest first.
    pub(super) fn available() -> impl Iterator<Item = Self> {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        let own = amx::detected().then_some(Self::Amx);
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        let own: Option<Self> = None;
        let rounded = own
            .into_iter()
            .chain(Variant::available().map(Self::Rounded));
        #[cfg(all(target_arch = "x86_64", target_os = "linux", test))]
        let rounded = rounded.chain(avx512bf16::detected().then_some(Self::Avx512Bf16));
        rounded
    }

    pub(super) fn fastest() -> Self {
        Self::available()
            .next()
            .unwrap_or(Self::Rounded(Variant::Reference))
    }

    pub(super) fn sum(
        self,
        destination: &mut [f32],
        stride: usize,
        mode: Into,
        products: &[Product<'_>],
        parallelism: Parallelism,
    ) {
        check_destination(destination, stride, products);
        let to = destination.as_mut_ptr();
        // SAFETY: the destination holds the product, and is borrowed mutably, so that it overlaps
        // no operand.
        unsafe { self.sum_at(to, stride, mode, products, parallelism) };
    }

    /// # Safety
    /// That of [`Variant::sum_at`].
    pub(super) unsafe fn sum_at(
        self,
        destination: *mut f32,
        stride: usize,
        mode: Into,
        products: &[Product<'_>],
        parallelism: Parallelism,
    ) {
        let (rows, columns) = products
            .first()
            .map_or((0, 0), |first| (first.a.rows, first.b.columns));
        let empty = products.iter().all(|product| product.a.columns == 0);
        if rows.min(columns) <= THIN || empty {
            let variant = match self {
                Self::Rounded(variant) => variant,
                #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
                _ => Variant::fastest(),
            };
            // SAFETY: the caller's.
            return unsafe { variant.sum_at(destination, stride, mode, products, parallelism) };
        }
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        let (to, parallel) = (
            super::vector::Destination::new(destination, stride),
            !matches!(parallelism, Parallelism::None),
        );
        match self {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Amx => blocked::sum::<amx::Amx>(to, mode, products, parallel),
            #[cfg(all(target_arch = "x86_64", target_os = "linux", test))]
            Self::Avx512Bf16 => {
                blocked::sum::<avx512bf16::Avx512Bf16>(to, mode, products, parallel);
            }
            Self::Rounded(variant) => {
                let operands: Vec<_> = products
                    .iter()
                    .map(|product| (round(&product.a, product.alpha), round(&product.b, 1.0)))
                    .collect();
                let rounded: Vec<_> = products
                    .iter()
                    .zip(&operands)
                    .map(|(product, (a, b))| Product {
                        alpha: 1.0,
                        a: Matrix {
                            values: Values::Bf16(a),
                            ..product.a
                        },
                        b: Matrix {
                            values: Values::Bf16(b),
                            ..product.b
                        },
                    })
                    .collect();
                // SAFETY: the caller's; the rounded products are of the same sizes.
                unsafe { variant.sum_at(destination, stride, mode, &rounded, parallelism) };
            }
        }
    }
}

/// `scale · matrix` in bf16, lying as the matrix does.
fn round(matrix: &Matrix<'_>, scale: f32) -> Vec<Bf16> {
    fn each<E: Element>(values: &[E], scale: f32) -> Vec<Bf16> {
        values
            .par_iter()
            .with_min_len(64 * 1024)
            .map(|value| Bf16::nearest(scale * value.widen()))
            .collect()
    }
    match matrix.values {
        Values::F32(values) => each(values, scale),
        Values::Bf16(values) => each(values, scale),
        Values::F16(values) => each(values, scale),
        Values::Quantised(matrix) => each(&matrix.widened(), scale),
    }
}
