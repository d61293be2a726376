//! The libraries the program is made with. The list is generated (`make generated`), and a test
//! compares it with the lock files.

use crate::Studio;
use crate::api::{Licence, LicencesRequest, Session};
use crate::error::{Error, Result};

const LIST: &str = include_str!("../assets/licences.json");

/// Lists the libraries by name.
pub(crate) fn list(_: &Studio, _: LicencesRequest, _: &mut Session<'_>) -> Result<Vec<Licence>> {
    serde_json::from_str(LIST).map_err(|source| {
        Error::new(
            "licences-broken",
            format!("the list of licences cannot be read: {source}"),
        )
    })
}
