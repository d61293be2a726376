//! The tensors of a file: types, shapes, places.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use super::cursor::Cursor;
use crate::Result;

/// How a tensor's elements are stored, by ggml's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "ggml's names")]
pub enum TensorType {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
    /// A type that is not read, by its number in the format.
    Other(u32),
}

/// Number, name, elements of a block and its bytes.
const TYPES: [(u32, TensorType, &str, usize, usize); 13] = [
    (0, TensorType::F32, "F32", 1, 4),
    (1, TensorType::F16, "F16", 1, 2),
    (30, TensorType::Bf16, "BF16", 1, 2),
    (2, TensorType::Q4_0, "Q4_0", 32, 18),
    (3, TensorType::Q4_1, "Q4_1", 32, 20),
    (6, TensorType::Q5_0, "Q5_0", 32, 22),
    (7, TensorType::Q5_1, "Q5_1", 32, 24),
    (8, TensorType::Q8_0, "Q8_0", 32, 34),
    (10, TensorType::Q2K, "Q2_K", 256, 84),
    (11, TensorType::Q3K, "Q3_K", 256, 110),
    (12, TensorType::Q4K, "Q4_K", 256, 144),
    (13, TensorType::Q5K, "Q5_K", 256, 176),
    (14, TensorType::Q6K, "Q6_K", 256, 210),
];

/// Types that exist and are not read, with the nearest that is.
const OTHERS: [(u32, &str, &str); 22] = [
    (9, "Q8_1", "Q8_0"),
    (15, "Q8_K", "Q8_0"),
    (16, "IQ2_XXS", "Q2_K"),
    (17, "IQ2_XS", "Q2_K"),
    (18, "IQ3_XXS", "Q3_K"),
    (19, "IQ1_S", "Q2_K"),
    (20, "IQ4_NL", "Q4_0"),
    (21, "IQ3_S", "Q3_K"),
    (22, "IQ2_S", "Q2_K"),
    (23, "IQ4_XS", "Q4_K"),
    (24, "I8", "Q8_0"),
    (25, "I16", "F16"),
    (26, "I32", "F32"),
    (27, "I64", "F32"),
    (28, "F64", "F32"),
    (29, "IQ1_M", "Q2_K"),
    (34, "TQ1_0", "Q2_K"),
    (35, "TQ2_0", "Q2_K"),
    (39, "MXFP4", "Q4_K"),
    (40, "NVFP4", "Q4_K"),
    (4, "Q4_2", "Q4_0"),
    (5, "Q4_3", "Q4_1"),
];

impl TensorType {
    fn from_number(number: u32) -> Self {
        let found = TYPES.iter().find(|entry| entry.0 == number);
        found.map_or(Self::Other(number), |entry| entry.1)
    }

    /// Elements of a block and its bytes; none for [`Self::Other`].
    pub fn block(self) -> Option<(usize, usize)> {
        let found = TYPES.iter().find(|entry| entry.1 == self);
        found.map(|entry| (entry.3, entry.4))
    }

    /// Whether elements share scales.
    pub fn is_quantised(self) -> bool {
        self.block().is_some_and(|(elements, _)| elements > 1)
    }

    /// The type that is read and stands nearest to one that is not.
    pub fn nearest(self) -> &'static str {
        let Self::Other(number) = self else {
            return "it is";
        };
        let found = OTHERS.iter().find(|entry| entry.0 == number);
        found.map_or("Q8_0", |entry| entry.2)
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Other(number) = self else {
            let found = TYPES.iter().find(|entry| entry.1 == *self);
            return formatter.write_str(found.map_or("", |entry| entry.2));
        };
        match OTHERS.iter().find(|entry| entry.0 == *number) {
            Some((_, name, _)) => formatter.write_str(name),
            None => write!(formatter, "type {number}"),
        }
    }
}

/// What llama.cpp calls a mixture of types, by its number in `general.file_type`.
pub(super) fn mixture(number: u64) -> Option<&'static str> {
    const NAMES: [(u64, &str); 34] = [
        (0, "F32"),
        (1, "F16"),
        (2, "Q4_0"),
        (3, "Q4_1"),
        (7, "Q8_0"),
        (8, "Q5_0"),
        (9, "Q5_1"),
        (10, "Q2_K"),
        (11, "Q3_K_S"),
        (12, "Q3_K_M"),
        (13, "Q3_K_L"),
        (14, "Q4_K_S"),
        (15, "Q4_K_M"),
        (16, "Q5_K_S"),
        (17, "Q5_K_M"),
        (18, "Q6_K"),
        (19, "IQ2_XXS"),
        (20, "IQ2_XS"),
        (21, "Q2_K_S"),
        (22, "IQ3_XS"),
        (23, "IQ3_XXS"),
        (24, "IQ1_S"),
        (25, "IQ4_NL"),
        (26, "IQ3_S"),
        (27, "IQ3_M"),
        (28, "IQ2_S"),
        (29, "IQ2_M"),
        (30, "IQ4_XS"),
        (31, "IQ1_M"),
        (32, "BF16"),
        (36, "TQ1_0"),
        (37, "TQ2_0"),
        (38, "MXFP4"),
        (39, "NVFP4"),
    ];
    let found = NAMES.iter().find(|entry| entry.0 == number);
    found.map(|entry| entry.1)
}

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// How its elements are stored.
    pub kind: TensorType,
    /// Rows first, as PyTorch counts; the file names columns first.
    pub shape: Vec<usize>,
    pub(super) range: Range<usize>,
}

/// Reads `count` entries, and checks that their bytes lie in the file.
pub(super) fn read(
    cursor: &mut Cursor<'_>,
    count: u64,
    alignment: u64,
) -> Result<BTreeMap<String, TensorInfo>> {
    let mut found = Vec::new();
    for _ in 0..count {
        let at = cursor.place();
        let name = cursor.name("a tensor's name")?.to_owned();
        let dimensions = cursor.u32("a number of dimensions")?;
        if !(1..=4).contains(&dimensions) {
            let reason = format!("the tensor `{name}` has {dimensions} dimensions");
            return Err(cursor.broken(at, &reason));
        }
        let mut shape = Vec::with_capacity(4);
        for _ in 0..dimensions {
            shape.push(cursor.u64("a dimension")?);
        }
        let kind = TensorType::from_number(cursor.u32("a tensor's type")?);
        let offset = cursor.u64("a tensor's offset")?;
        found.push((at, name, shape, kind, offset));
    }
    let start = (cursor.place() as u64).next_multiple_of(alignment);
    let mut tensors = BTreeMap::new();
    for (at, name, shape, kind, offset) in found {
        let fault = |reason: &str| cursor.broken(at, &format!("the tensor `{name}` {reason}"));
        let elements = shape.iter().try_fold(1_u64, |elements, dimension| {
            elements.checked_mul(*dimension).filter(|all| *all > 0)
        });
        let elements = elements.ok_or_else(|| fault(&format!("has the shape {shape:?}")))?;
        let (block, width) = kind.block().unwrap_or((1, 0));
        if !shape[0].is_multiple_of(block as u64) {
            let reason = format!(
                "has {} columns, no multiple of the {block} of a {kind} block",
                shape[0]
            );
            return Err(fault(&reason));
        }
        if !offset.is_multiple_of(alignment) {
            let reason = format!("lies at {offset}, no multiple of {alignment}");
            return Err(fault(&reason));
        }
        let bytes = (elements / block as u64).checked_mul(width as u64);
        let from = start.checked_add(offset);
        let end = from
            .zip(bytes)
            .and_then(|(from, bytes)| from.checked_add(bytes));
        let range = match (from, end) {
            (Some(from), Some(end)) if end <= cursor.length() as u64 => from as usize..end as usize,
            // Its bytes are never read.
            (Some(_), _) if width == 0 => 0..0,
            _ => {
                let reason = format!("reaches past the file's end of {} bytes", cursor.length());
                return Err(fault(&reason));
            }
        };
        let info = TensorInfo {
            kind,
            shape: shape.iter().rev().map(|size| *size as usize).collect(),
            range,
        };
        let twice = fault("stands twice");
        if tensors.insert(name, info).is_some() {
            return Err(twice);
        }
    }
    Ok(tensors)
}
