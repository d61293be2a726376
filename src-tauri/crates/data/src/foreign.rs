//! Libraries at work on files from elsewhere: where one of them panics, that is an error like any
//! other of the file.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does `work`; a panic in it becomes its message. What `work` has changed is not to be used then.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        format!(
            "it breaks its reader: {}",
            text.unwrap_or("no reason given")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::caught;

    #[test]
    fn a_panic_is_an_error_with_its_words() {
        let empty: [u8; 0] = [];
        let at = empty.len();
        assert_eq!(caught(|| 3), Ok(3));
        let found = caught(|| empty[at]);
        assert!(found.is_err_and(|reason| reason.contains("index out of bounds")));
    }
}
