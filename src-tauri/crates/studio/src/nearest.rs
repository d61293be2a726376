//! "Did you mean": the known word closest to a mistyped one.

/// The candidate with the fewest edits from `word`, if the edits are few enough to be a slip.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (edits(&word, &candidate.to_lowercase()), candidate))
        .filter(|(edits, _)| *edits <= limit)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            table[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swap = if swapped {
                    table[i - 2][j - 2] + 1
                } else {
                    usize::MAX
                };
                replaced
                    .min(table[i - 1][j] + 1)
                    .min(table[i][j - 1] + 1)
                    .min(swap)
            };
        }
    }
    table[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 4] = ["learning_rate", "lora_r", "epochs", "batch_size"];

    #[test]
    fn a_slip_finds_its_word() {
        assert_eq!(nearest("learnign_rate", KEYS), Some("learning_rate"));
        assert_eq!(nearest("Batch-size", KEYS), Some("batch_size"));
        assert_eq!(nearest("epoch", KEYS), Some("epochs"));
    }

    #[test]
    fn another_word_finds_none() {
        assert_eq!(nearest("optimizer", KEYS), None);
    }
}
