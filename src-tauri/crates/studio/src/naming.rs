//! Ids a person can read and type, and finding what they meant.

use crate::error::{Error, Result};
use crate::nearest::nearest;

/// Longest id made from a name.
const LONGEST: usize = 40;

/// `Orders (May).csv` → `orders-may-csv`: ASCII letters, digits and single dashes, so that an id is
/// a safe file name everywhere.
pub(crate) fn slug(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(LONGEST);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        "unnamed".to_owned()
    } else {
        slug.to_owned()
    }
}

/// `slug`, or `slug-2`, `slug-3`… if it is taken.
pub(crate) fn unique(slug: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(slug) {
        return slug.to_owned();
    }
    let mut number = 2_u64;
    loop {
        let candidate = format!("{slug}-{number}");
        if !taken(&candidate) {
            return candidate;
        }
        number += 1;
    }
}

/// Something a person refers to.
pub(crate) trait Named {
    /// Its unique id.
    fn id(&self) -> &str;
    /// The name its owner gave it; several may share one.
    fn name(&self) -> &str;
}

/// The one item of `items` that `reference` means: its id, its name, or an unambiguous beginning of
/// either. `kind` is the word for the refusal: `dataset`.
pub(crate) fn resolve<T: Named>(kind: &str, reference: &str, items: Vec<T>) -> Result<T> {
    let matchers: [fn(&T, &str) -> bool; 4] = [
        |item, reference| item.id() == reference,
        |item, reference| item.name() == reference,
        |item, reference| item.id().starts_with(reference) || item.name().starts_with(reference),
        |item, reference| {
            item.name()
                .to_lowercase()
                .starts_with(&reference.to_lowercase())
        },
    ];
    if reference.is_empty() {
        return Err(
            Error::new(&format!("{kind}-missing"), format!("no {kind} is named"))
                .with_remedy(known(kind, &items)),
        );
    }
    for matches in matchers {
        let mut found = items
            .iter()
            .enumerate()
            .filter(|(_, item)| matches(item, reference))
            .map(|(index, _)| index);
        let Some(first) = found.next() else { continue };
        let others: Vec<usize> = found.collect();
        if others.is_empty() {
            let mut items = items;
            return Ok(items.swap_remove(first));
        }
        let meant: Vec<&str> = std::iter::once(first)
            .chain(others)
            .map(|index| items[index].id())
            .collect();
        return Err(Error::new(
            &format!("{kind}-ambiguous"),
            format!(
                "`{reference}` could mean {} {kind}s: {}",
                meant.len(),
                shown(&meant)
            ),
        )
        .with_remedy("Give the whole id."));
    }
    let meant = nearest(
        reference,
        items.iter().flat_map(|item| [item.id(), item.name()]),
    );
    let remedy = meant.map_or_else(
        || known(kind, &items),
        |meant| format!("Did you mean `{meant}`?"),
    );
    Err(Error::new(
        &format!("{kind}-not-found"),
        format!("there is no {kind} `{reference}`"),
    )
    .with_remedy(remedy))
}

fn known<T: Named>(kind: &str, items: &[T]) -> String {
    let ids: Vec<&str> = items.iter().map(Named::id).collect();
    if ids.is_empty() {
        format!("There are no {kind}s yet.")
    } else {
        format!("There are: {}.", shown(&ids))
    }
}

/// The first few, and how many more.
fn shown(ids: &[&str]) -> String {
    const MOST: usize = 8;
    let listed = ids
        .iter()
        .take(MOST)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    if ids.len() > MOST {
        format!("{listed} and {} more", ids.len() - MOST)
    } else {
        listed
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Item(&'static str, &'static str);

    impl Named for Item {
        fn id(&self) -> &str {
            self.0
        }
        fn name(&self) -> &str {
            self.1
        }
    }

    fn items() -> Vec<Item> {
        vec![
            Item("orders", "Orders"),
            Item("orders-2", "Orders"),
            Item("poems", "Short poems"),
        ]
    }

    #[test]
    fn a_name_becomes_a_safe_id() {
        assert_eq!(slug("Orders (May).csv"), "orders-may-csv");
        assert_eq!(slug("../../etc/passwd"), "etc-passwd");
        assert_eq!(slug("注文"), "unnamed");
        assert_eq!(slug(&"x".repeat(99)).len(), LONGEST);
    }

    #[test]
    fn a_taken_id_is_numbered() {
        assert_eq!(unique("a", |id| ["a", "a-2"].contains(&id)), "a-3");
    }

    #[test]
    fn id_name_and_beginning_find_it() {
        assert_eq!(resolve("dataset", "orders", items()).unwrap().0, "orders");
        assert_eq!(
            resolve("dataset", "Short poems", items()).unwrap().0,
            "poems"
        );
        assert_eq!(resolve("dataset", "po", items()).unwrap().0, "poems");
        assert_eq!(resolve("dataset", "short", items()).unwrap().0, "poems");
        assert_eq!(
            resolve("dataset", "orders-", items()).unwrap().0,
            "orders-2"
        );
    }

    #[test]
    fn doubt_lists_the_candidates() {
        let error = resolve("dataset", "Orders", items()).unwrap_err();
        assert_eq!(error.code, "dataset-ambiguous");
        assert!(error.message.contains("orders, orders-2"), "{error}");
        assert_eq!(
            resolve("dataset", "ord", items()).unwrap_err().code,
            "dataset-ambiguous"
        );
    }

    #[test]
    fn absence_lists_what_there_is() {
        let error = resolve("dataset", "tickets", items()).unwrap_err();
        assert_eq!(error.code, "dataset-not-found");
        assert!(error.remedy.unwrap().contains("poems"));
        assert!(
            resolve("dataset", "peoms", items())
                .unwrap_err()
                .remedy
                .unwrap()
                .contains("`poems`")
        );
        assert!(
            resolve("dataset", "x", Vec::<Item>::new())
                .unwrap_err()
                .remedy
                .unwrap()
                .contains("no datasets yet")
        );
    }
}
