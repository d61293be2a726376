//! Blocks taken apart, for devices that have no kernel for them.

use super::blocks::{self, Block};
use super::{GgmlType, with_block};

/// A code for each element, and for each half of a part what it is multiplied by and what is taken
/// off then.
pub(in crate::quantised) struct Spread {
    pub(in crate::quantised) codes: Vec<u8>,
    pub(in crate::quantised) scales: Vec<f32>,
    pub(in crate::quantised) minimums: Vec<f32>,
    /// What codes are counted from.
    pub(in crate::quantised) offset: u8,
}

/// Takes all blocks of a matrix apart.
pub(in crate::quantised) fn spread(ty: GgmlType, bytes: &[u8]) -> Spread {
    with_block!(ty, B => of_blocks(blocks::of::<B>(bytes)))
}

fn of_blocks<B: Block>(blocks: &[B]) -> Spread {
    let mut spread = Spread {
        codes: Vec::new(),
        scales: Vec::new(),
        minimums: Vec::new(),
        offset: B::OFFSET,
    };
    for block in blocks {
        let factors = block.factors();
        for part in 0..B::PARTS {
            let [scales, minimums] = block.steps(part);
            spread.codes.extend(block.codes(part));
            let product = |factor: f32| move |step: i8| factor * f32::from(step);
            spread.scales.extend(scales.map(product(factors[0])));
            spread.minimums.extend(minimums.map(product(factors[1])));
        }
    }
    spread
}
