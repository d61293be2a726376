//! Every variant this machine can run against sums in f64, over shapes, strides and elements.

#![expect(clippy::unwrap_used, reason = "a failed test should panic")]

use super::bf16::{Bf16Variant, THIN};
use super::element::Element;
use super::{Bf16, F16, Into, Matrix, Product, Values, Variant};
use crate::quantised::{Quantisation, QuantisedMatrix};
use ::gemm::Parallelism;
use proptest::prelude::*;

/// A matrix with a name for each way it can lie in memory.
#[derive(Debug, Clone)]
struct Stored {
    rows: usize,
    columns: usize,
    /// Numbers between the end of a row and the next.
    gap: usize,
    transposed: bool,
    kind: u8,
    f32: Vec<f32>,
    halves: Vec<u16>,
}

impl Stored {
    fn new(rows: usize, columns: usize, gap: usize, transposed: bool, kind: u8, seed: u32) -> Self {
        let (r, c) = if transposed {
            (columns, rows)
        } else {
            (rows, columns)
        };
        let mut state = seed | 1;
        let f32: Vec<f32> = (0..r * (c + gap))
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect();
        // Any pattern but infinity and NaN.
        let halves = f32
            .iter()
            .map(|x| match kind {
                1 => (x.to_bits() >> 16) as u16,
                _ => (x.to_bits() >> 13) as u16 & 0xbbff,
            })
            .collect();
        Self {
            rows,
            columns,
            gap,
            transposed,
            kind,
            f32,
            halves,
        }
    }

    fn with<T>(&self, work: impl FnOnce(Matrix<'_>) -> T) -> T {
        let bf16: Vec<Bf16> = self.halves.iter().map(|bits| Bf16(*bits)).collect();
        let f16: Vec<F16> = self.halves.iter().map(|bits| F16(*bits)).collect();
        let values = match self.kind {
            0 => Values::F32(&self.f32),
            1 => Values::Bf16(&bf16),
            _ => Values::F16(&f16),
        };
        if self.transposed {
            work(Matrix::of(values, self.columns, self.rows, self.rows + self.gap).t())
        } else {
            work(Matrix::of(
                values,
                self.rows,
                self.columns,
                self.columns + self.gap,
            ))
        }
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        let index = if self.transposed {
            column * (self.rows + self.gap) + row
        } else {
            row * (self.columns + self.gap) + column
        };
        f64::from(match self.kind {
            0 => self.f32[index],
            1 => Bf16(self.halves[index]).widen(),
            _ => F16(self.halves[index]).widen(),
        })
    }
}

/// Who multiplies, and whether it rounds first.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Any {
    F32(Variant),
    Bf16(Bf16Variant),
}

impl Any {
    fn available() -> impl Iterator<Item = Self> {
        let wide = Variant::available().map(Self::F32);
        wide.chain(Bf16Variant::available().map(Self::Bf16))
    }

    /// Whether the order of the sums is ours.
    fn is_own(self) -> bool {
        let reference = Variant::Reference;
        self != Self::F32(reference) && self != Self::Bf16(Bf16Variant::Rounded(reference))
    }

    fn sum(
        self,
        destination: &mut [f32],
        stride: usize,
        mode: Into,
        products: &[Product<'_>],
        parallelism: Parallelism,
    ) {
        match self {
            Self::F32(variant) => variant.sum(destination, stride, mode, products, parallelism),
            Self::Bf16(variant) => variant.sum(destination, stride, mode, products, parallelism),
        }
    }
}

struct Case {
    products: Vec<(f32, Stored, Stored)>,
    stride: usize,
    mode: Into,
}

/// Opens the operands of all products at once.
fn gather<'a>(
    rest: &'a [(f32, Stored, Stored)],
    done: &mut Vec<Product<'a>>,
    finish: &mut dyn FnMut(&[Product<'_>]),
) {
    match rest {
        [] => finish(done),
        [(alpha, a, b), rest @ ..] => a.with(|a| {
            b.with(|b| {
                let mut products: Vec<Product<'_>> = done.clone();
                products.push(Product {
                    alpha: *alpha,
                    a,
                    b,
                });
                gather(rest, &mut products, finish);
            });
        }),
    }
}

impl Case {
    fn run(&self, variant: Any, parallelism: Parallelism) -> Vec<f32> {
        let (rows, columns) = (self.products[0].1.rows, self.products[0].2.columns);
        // A wrong read shows as NaN where values are replaced; a wrong write, between the rows.
        let mut c = vec![f32::NAN; rows * self.stride];
        if self.mode == Into::Add {
            for row in c.chunks_mut(self.stride) {
                row[..columns].fill(0.5);
            }
        }
        gather(&self.products, &mut Vec::new(), &mut |products| {
            variant.sum(&mut c, self.stride, self.mode, products, parallelism);
        });
        c
    }

    fn check(&self) {
        let (rows, columns) = (self.products[0].1.rows, self.products[0].2.columns);
        let start = if self.mode == Into::Add { 0.5 } else { 0.0 };
        for variant in Any::available() {
            let rounds = matches!(variant, Any::Bf16(_)) && rows.min(columns) > THIN;
            let round = |value: f64| {
                if rounds {
                    f64::from(Bf16::nearest(value as f32).widen())
                } else {
                    value
                }
            };
            let alone = self.run(variant, Parallelism::None);
            for row in 0..rows {
                for column in 0..self.stride {
                    let actual = alone[row * self.stride + column];
                    if column >= columns {
                        assert!(actual.is_nan(), "{variant:?} wrote between the rows");
                        continue;
                    }
                    let (mut expected, mut size) = (start, start);
                    for (alpha, a, b) in &self.products {
                        for p in 0..a.columns {
                            let scaled = f64::from(*alpha) * a.at(row, p);
                            let term = round(scaled) * round(b.at(p, column));
                            expected += term;
                            size += term.abs();
                        }
                    }
                    let error = (f64::from(actual) - expected).abs();
                    // A unit that multiplies pairs rounds its sum at each: the tests' stand-in for
                    // the matrix unit came to 2.1e-6.
                    let most = if rounds { 4e-6 } else { 2e-6 };
                    assert!(
                        error <= most * size + 1e-12,
                        "{variant:?} at {row}, {column}: {actual}, not {expected}"
                    );
                }
            }
            let bits = |c: &[f32]| c.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let shared = pool
                    .unwrap()
                    .install(|| self.run(variant, Parallelism::Rayon(threads)));
                if variant.is_own() {
                    assert_eq!(
                        bits(&shared),
                        bits(&alone),
                        "{variant:?}, {threads} threads"
                    );
                }
            }
        }
    }
}

fn stored(rows: usize, columns: usize) -> impl Strategy<Value = Stored> {
    (0..3_usize, any::<bool>(), 0..3_u8, any::<u32>()).prop_map(
        move |(gap, transposed, kind, seed)| {
            Stored::new(rows, columns, gap, transposed, kind, seed)
        },
    )
}

/// Sizes around the borders of tiles, vectors and thin products, and some large ones.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![1..40_usize, Just(64), 100..140_usize]
}

fn case() -> impl Strategy<Value = Case> {
    (size(), size(), 1..3_usize).prop_flat_map(|(rows, columns, count)| {
        let product = (prop_oneof![1..40_usize, 250..900_usize], -2.0..2.0_f32).prop_flat_map(
            move |(depth, alpha)| (Just(alpha), stored(rows, depth), stored(depth, columns)),
        );
        let products = proptest::collection::vec(product, count);
        (products, 0..3_usize, any::<bool>()).prop_map(move |(products, gap, adds)| Case {
            products,
            stride: columns + gap,
            mode: if adds { Into::Add } else { Into::Replace },
        })
    })
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "stride {} {:?}", self.stride, self.mode)?;
        for (alpha, a, b) in &self.products {
            for x in [a, b] {
                let Stored {
                    rows,
                    columns,
                    gap,
                    transposed,
                    kind,
                    ..
                } = x;
                write!(f, " ({rows} × {columns} gap {gap} {transposed} {kind})")?;
            }
            write!(f, " {alpha}")?;
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_variant_multiplies_any_shape(case in case()) {
        case.check();
    }
}

/// More rows than are packed at once, and a thin product large enough to be divided.
#[test]
fn large_products_are_cut_without_a_trace() {
    for (rows, depth, columns) in [(2_100, 40, 33), (9, 3_000, 5), (5, 300, 900), (900, 300, 5)] {
        for transposed in [false, true] {
            let products = vec![(
                1.0,
                Stored::new(rows, depth, 0, transposed, 0, 1),
                Stored::new(depth, columns, 0, transposed, 0, 2),
            )];
            Case {
                products,
                stride: columns,
                mode: Into::Replace,
            }
            .check();
        }
    }
}

/// A token's row must not depend on what else is in its batch.
#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "its kernels are for x86-64")]
fn x86_64_a_row_does_not_depend_on_the_rows_beside_it() {
    let (a, b) = (
        Stored::new(70, 500, 0, false, 0, 3),
        Stored::new(500, 60, 0, true, 0, 4),
    );
    for variant in Any::available().filter(|variant| variant.is_own()) {
        let multiply = |rows: usize| {
            let mut c = vec![0.0; rows * 60];
            a.with(|a| {
                b.with(|b| {
                    let a = Matrix { rows, ..a };
                    let product = Product { alpha: 1.0, a, b };
                    variant.sum(&mut c, 60, Into::Replace, &[product], Parallelism::None);
                });
            });
            c
        };
        assert_eq!(multiply(70)[..20 * 60], multiply(20), "{variant:?}");
        assert_eq!(multiply(16)[..60], multiply(1), "{variant:?}");
    }
}

/// What docs/performance.md says ran, and what did not: an AMX product is tested where it can be.
#[test]
#[expect(clippy::print_stderr, reason = "its output is its purpose")]
fn says_which_units_were_tested() {
    let available: Vec<_> = Any::available().collect();
    eprintln!("tested here: {available:?}");
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if !available.contains(&Any::Bf16(Bf16Variant::Amx)) {
        eprintln!("left out: AMX, which this processor or system does not have");
    }
}

/// To nearest, ties to even, as the vector units round.
#[test]
fn numbers_are_rounded_to_the_nearest_bf16() {
    let mut state = 1_u32;
    for _ in 0..100_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let value = f32::from_bits(state);
        let actual = Bf16::nearest(value);
        if value.is_nan() {
            assert!(actual.widen().is_nan());
            continue;
        }
        let below = Bf16((state >> 16) as u16);
        let above = Bf16(below.0.wrapping_add(1));
        let apart = |other: Bf16| (f64::from(other.widen()) - f64::from(value)).abs();
        if above.widen().is_finite() && below.widen().is_finite() {
            let expected = match apart(below).total_cmp(&apart(above)) {
                std::cmp::Ordering::Less => below,
                std::cmp::Ordering::Greater => above,
                std::cmp::Ordering::Equal => Bf16(below.0 + (below.0 & 1)),
            };
            assert_eq!(actual.0, expected.0, "{value}");
        }
    }
}

#[test]
fn halves_are_widened_exactly() {
    for bits in 0..=u16::MAX {
        let expected = {
            let (sign, exponent) = (bits >> 15, i32::from(bits >> 10 & 31));
            let fraction = f32::from(bits & 1023) / 1024.0;
            let magnitude = match exponent {
                31 if fraction > 0.0 => f32::NAN,
                31 => f32::INFINITY,
                0 => fraction * 2.0_f32.powi(-14),
                _ => (1.0 + fraction) * 2.0_f32.powi(exponent - 15),
            };
            if sign == 1 { -magnitude } else { magnitude }
        };
        let actual = F16(bits).widen();
        assert!(
            actual == expected || actual.is_nan() && expected.is_nan(),
            "{bits:#x}"
        );
        assert_eq!(Bf16(bits).widen().to_bits(), u32::from(bits) << 16);
    }
}

/// Nanoseconds of processor time of this thread, as Linux counts them; it does not see neighbours.
fn processor_time() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// What docs/performance.md quotes: `cargo test --workspace --lib speed_of -- --ignored
/// --nocapture`. One thread, processor time, the best of some interleaved tries, over the products
/// of the step that `make bench` measures.
#[test]
#[ignore = "measures"]
#[expect(clippy::print_stdout, reason = "its output is its purpose")]
fn speed_of_every_variant() {
    for (m, k, n) in [
        (1024, 1024, 1024),
        (1024, 1024, 2816),
        (1024, 2816, 1024),
        (1024, 1024, 256),
        (342, 1024, 32_000),
        (342, 32_000, 1024),
        (1024, 1024, 8),
        (1024, 8, 1024),
        (8, 1024, 1024),
        (1, 1024, 2816),
    ] {
        let a = Stored::new(m, k, 0, false, 0, 1);
        for transposed in [true, false] {
            let b = Stored::new(k, n, 0, transposed, 0, 2);
            let variants: Vec<Any> = Any::available().collect();
            let mut best = vec![f64::MAX; variants.len()];
            let mut c = vec![0.0; m * n];
            a.with(|a| {
                b.with(|b| {
                    let product = [Product { alpha: 1.0, a, b }];
                    for _ in 0..3 {
                        for (best, variant) in best.iter_mut().zip(&variants) {
                            // The clock has steps of milliseconds.
                            let (started, mut count) = (processor_time(), 0.0);
                            let spent = loop {
                                variant.sum(&mut c, n, Into::Replace, &product, Parallelism::None);
                                count += 1.0;
                                let spent = processor_time() - started;
                                if spent > 1e8 {
                                    break spent;
                                }
                            };
                            *best = best.min(spent / count);
                        }
                    }
                });
            });
            let layout = if transposed { "x·Wᵀ" } else { "dy·W" };
            let speeds: Vec<String> = variants
                .iter()
                .zip(&best)
                .map(|(variant, best)| {
                    format!("{variant:?} {:.0}", 2.0 * (m * k * n) as f64 / best)
                })
                .collect();
            println!("{m} × {k} × {n}, {layout}: {} GFLOP/s", speeds.join(", "));
        }
    }
}

/// A quantised matrix multiplies as what it stands for, from either side of its rows.
#[test]
fn quantised_matrices_multiply_as_what_they_stand_for() -> candle_core::Result<()> {
    for (rows, out, input) in [(40, 70, 300), (3, 50, 90), (50, 90, 3)] {
        let weight = Stored::new(out, input, 0, false, 0, 7);
        let tensor =
            candle_core::Tensor::from_slice(&weight.f32, (out, input), &candle_core::Device::Cpu)?;
        let x = Stored::new(rows, out.max(input), 0, false, 0, 9);
        for kind in [Quantisation::Nf4, Quantisation::Int8] {
            let quantised = QuantisedMatrix::quantise(&tensor, kind)?;
            let wide = quantised.widened();
            let of = |values| Matrix::of(values, out, input, input);
            let (small, large) = (of(Values::Quantised(&quantised)), of(Values::F32(&wide)));
            for variant in Any::available() {
                for transposed in [false, true] {
                    let product = |b: Matrix<'_>| {
                        let b = if transposed { b.t() } else { b };
                        let a = Matrix::new(&x.f32, rows, b.rows, x.columns);
                        let mut c = vec![f32::NAN; rows * b.columns];
                        let product = Product { alpha: 0.5, a, b };
                        let threads = Parallelism::Rayon(2);
                        variant.sum(&mut c, b.columns, Into::Replace, &[product], threads);
                        c
                    };
                    for (a, b) in product(small).iter().zip(product(large)) {
                        assert!((a - b).abs() < 1e-4, "{variant:?} {kind:?}: {a} is not {b}");
                    }
                }
            }
        }
    }
    Ok(())
}
