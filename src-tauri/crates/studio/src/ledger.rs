//! What was sent over the network: every request a person started, kept in the library.

use crate::Studio;
use crate::api::{OutboundRequest, RequestsListRequest, Session};
use crate::error::Result;

/// Lists what was sent, newest first. Nothing in this version sends anything.
pub(crate) fn list(
    studio: &Studio,
    _: RequestsListRequest,
    _: &mut Session<'_>,
) -> Result<Vec<OutboundRequest>> {
    studio.store()?.requests()
}
