//! How far two results lie apart.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};

/// Largest difference of two tensors, relative to the largest value expected: `max|a − b| / max|b|`.
///
/// A relative difference per element would judge the elements that rounding alone has brought near zero.
pub fn of_tensors(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.dims(), expected.dims());
    of_values(&values(found), &values(expected))
}

/// The largest [`of_tensors`] over tensors of the same names; a missing or surplus name fails.
pub fn of_named(found: &BTreeMap<String, Tensor>, expected: &BTreeMap<String, Tensor>) -> f64 {
    let names = |tensors: &BTreeMap<String, Tensor>| tensors.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected));
    assert!(!expected.is_empty());
    expected
        .iter()
        .map(|(name, tensor)| of_tensors(&found[name], tensor))
        .fold(0.0, f64::max)
}

/// Largest difference of two lists, relative to the largest value expected.
pub fn of_values(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    assert!(
        found.iter().all(|value| value.is_finite()),
        "a value that is not a number"
    );
    let largest =
        |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, |a: f64, b| a.max(b.abs()));
    let apart = largest(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    apart / largest(&mut expected.iter().copied())
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor
        .flatten_all()
        .unwrap()
        .to_dtype(DType::F64)
        .unwrap()
        .to_vec1()
        .unwrap()
}
