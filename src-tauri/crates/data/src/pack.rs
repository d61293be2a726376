//! Short samples share a row, so that few positions of a batch are empty.

/// Rows that may still grow. More find better fits and keep less of the order.
const OPEN_ROWS: usize = 32;

/// Rows of sample indices, none longer than `capacity` tokens.
///
/// Samples are taken in `order`; each goes to the first open row that has room. Only the newest
/// rows stay open, so samples that are close in `order` stay close in the result. Rows stand in
/// the order of their first sample. The result depends on the arguments alone.
///
/// A sample longer than `capacity` gets a row of its own; cut samples before packing them.
pub fn pack(lengths: &[usize], order: &[usize], capacity: usize) -> Vec<Vec<usize>> {
    let mut rows: Vec<Vec<usize>> = Vec::new();
    let mut room: Vec<usize> = Vec::new();
    for &sample in order {
        let oldest = rows.len().saturating_sub(OPEN_ROWS);
        let fit = (oldest..rows.len()).find(|&row| room[row] >= lengths[sample]);
        if let Some(row) = fit {
            rows[row].push(sample);
            room[row] -= lengths[sample];
        } else {
            rows.push(vec![sample]);
            room.push(capacity.saturating_sub(lengths[sample]));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::pack;
    use proptest::prelude::*;

    #[test]
    fn a_short_sample_fills_the_hole_of_an_earlier_row() {
        assert_eq!(
            pack(&[6, 7, 4, 3], &[0, 1, 2, 3], 10),
            vec![vec![0, 2], vec![1, 3]]
        );
    }

    #[test]
    fn rows_close_after_a_while_so_that_order_is_kept_nearby() {
        let mut lengths = vec![9; 40];
        lengths.push(1);
        let order: Vec<usize> = (0..lengths.len()).collect();
        let rows = pack(&lengths, &order, 10);
        assert_eq!(rows[8], vec![8, 40], "row 0 to 7 are closed by then");
    }

    proptest! {
        #[test]
        fn every_sample_once_never_over_capacity_in_order(
            lengths in prop::collection::vec(0usize..60, 0..300),
            reversed in any::<bool>(),
        ) {
            let mut order: Vec<usize> = (0..lengths.len()).collect();
            if reversed { order.reverse(); }
            let rank = |sample: usize| order.iter().position(|&other| other == sample);
            let rows = pack(&lengths, &order, 60);
            prop_assert_eq!(&rows, &pack(&lengths, &order, 60));
            let mut seen: Vec<usize> = rows.iter().flatten().copied().collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            for row in &rows {
                prop_assert!(row.iter().map(|&sample| lengths[sample]).sum::<usize>() <= 60);
                prop_assert!(row.iter().map(|&sample| rank(sample)).is_sorted());
            }
            prop_assert!(rows.iter().map(|row| rank(row[0])).is_sorted());
        }
    }
}
