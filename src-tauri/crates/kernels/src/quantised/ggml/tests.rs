use super::blocks::{self, Block, PART};
use super::{Ggml, GgmlType};
use crate::{Quantisation, QuantisedMatrix};
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::borrow::Cow;

/// Random bytes whose f16 are finite, so that every code and step comes up.
pub(crate) fn random_blocks(rng: &mut ChaCha8Rng, ty: GgmlType, count: usize) -> Vec<u8> {
    let size = ty.block_bytes();
    let mut bytes: Vec<u8> = (0..count * size).map(|_| rng.random()).collect();
    let halves: &[usize] = match ty {
        GgmlType::Q4_0 | GgmlType::Q5_0 | GgmlType::Q8_0 => &[0],
        GgmlType::Q4_1 | GgmlType::Q5_1 | GgmlType::Q4K | GgmlType::Q5K => &[0, 2],
        GgmlType::Q2K => &[80, 82],
        GgmlType::Q3K => &[108],
        GgmlType::Q6K => &[208],
    };
    for block in bytes.chunks_exact_mut(size) {
        for at in halves {
            // Exponents from 2⁻¹⁵, subnormal, to about one.
            block[at + 1] = block[at + 1] & 0x80 | rng.random_range(0..0x3c);
        }
    }
    bytes
}

fn candles(ty: GgmlType) -> GgmlDType {
    match ty {
        GgmlType::Q4_0 => GgmlDType::Q4_0,
        GgmlType::Q4_1 => GgmlDType::Q4_1,
        GgmlType::Q5_0 => GgmlDType::Q5_0,
        GgmlType::Q5_1 => GgmlDType::Q5_1,
        GgmlType::Q8_0 => GgmlDType::Q8_0,
        GgmlType::Q2K => GgmlDType::Q2K,
        GgmlType::Q3K => GgmlDType::Q3K,
        GgmlType::Q4K => GgmlDType::Q4K,
        GgmlType::Q5K => GgmlDType::Q5K,
        GgmlType::Q6K => GgmlDType::Q6K,
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().copied().map(f32::to_bits).collect()
}

#[test]
fn sizes_are_those_of_ggml() {
    for ty in GgmlType::ALL {
        assert_eq!(GgmlType::from_code(ty.code()), Some(ty));
        assert_eq!(ty.block_len(), candles(ty).block_size(), "{ty:?}");
        assert_eq!(ty.block_bytes(), candles(ty).type_size(), "{ty:?}");
        let columns = 2 * ty.block_len();
        assert_eq!(ty.bytes(3, columns), Some(6 * ty.block_bytes()));
        assert_eq!(ty.bytes(3, columns + 1), None);
        assert_eq!(ty.bytes(usize::MAX / 2, columns), None);
    }
    assert_eq!(GgmlType::from_code(0), None);
}

/// Every element has the bits that candle's rendering of ggml gives it, whole or in part, whatever
/// the vector unit.
#[test]
fn elements_are_those_of_candle() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(3);
    for ty in GgmlType::ALL {
        let (rows, columns) = (3, 2 * ty.block_len());
        let bytes = random_blocks(rng, ty, 2 * rows);
        let storage = QStorage::from_data(Cow::Borrowed(&bytes), &Device::Cpu, candles(ty))?;
        let expected = QTensor::new(storage, (rows, columns))?.dequantize(&Device::Cpu)?;
        let expected = expected.to_vec2::<f32>()?;
        let matrix = QuantisedMatrix::from_ggml(ty, rows, columns, bytes.clone())?;
        assert_eq!(matrix.quantisation(), Quantisation::Ggml(ty));
        assert_eq!(matrix.bytes(), bytes.len());
        let found = matrix.dequantise()?.to_vec2::<f32>()?;
        for (row, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(bits(found), bits(expected), "{ty:?}");
            let start = rng.random_range(0..columns);
            let part = start..rng.random_range(start..columns) + 1;
            let mut values = vec![0.0; part.len()];
            matrix.widen_row(row, part.clone(), &mut values);
            assert_eq!(bits(&values), bits(&expected[part]), "{ty:?}");
            with_block!(ty, B => plain::<B>(&bytes, row, &mut values, columns));
            assert_eq!(bits(&values), bits(expected), "{ty:?} without vector units");
        }
        let some = matrix.select_rows(&[2, 0, 2])?.to_vec2::<f32>()?;
        assert_eq!(some, [2, 0, 2].map(|row: usize| expected[row].clone()));
        assert!(matrix.select_rows(&[3]).is_err());
    }
    Ok(())
}

fn plain<B: Block>(bytes: &[u8], row: usize, to: &mut Vec<f32>, columns: usize) {
    let count = columns / (B::PARTS * PART);
    let row = &blocks::of::<B>(bytes)[row * count..][..count];
    to.resize(columns, 0.0);
    blocks::widen(row, 0..columns, to);
}

#[test]
fn blocks_that_are_no_matrix_are_refused() {
    let refused = |ty, rows, columns, bytes: Vec<u8>| {
        QuantisedMatrix::from_ggml(ty, rows, columns, bytes)
            .map_or_else(|error| error.to_string(), |_| String::new())
    };
    let words = refused(GgmlType::Q4K, 2, 128, vec![0; 144]);
    assert!(words.contains("rows are blocks of 256"), "{words}");
    let words = refused(GgmlType::Q8_0, 2, 64, vec![0; 135]);
    assert!(words.contains("takes 136 bytes, not 135"), "{words}");
    let mut bytes = vec![0; 136];
    bytes[103] = 0x7e;
    let words = refused(GgmlType::Q8_0, 2, 64, bytes);
    assert!(words.contains("row 1, columns from 32 on"), "{words}");
    let values = vec![0.0; 300];
    let words = Ggml::quantise(GgmlType::Q6K, &values, 300).err();
    assert!(words.is_some_and(|words| words.to_string().contains("blocks are 256 long")));
}

/// The processor's own conversion brings every f16 to the f32 that plain code makes of it.
#[cfg(target_arch = "aarch64")]
#[test]
fn halves_are_read_as_plain_code_reads_them() {
    use crate::gemm::{Element, F16};
    for bits in 0..=u16::MAX {
        let (found, expected) = (blocks::half(bits.to_le_bytes()), F16(bits).widen());
        assert!(
            found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(),
            "{bits:#06x}: {found}, not {expected}"
        );
    }
}
