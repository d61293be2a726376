//! Rows of what was sent over the network.

use super::Store;
use crate::api::OutboundRequest;
use crate::error::Result;

impl Store {
    /// Every outbound request, newest first.
    pub(crate) fn requests(&self) -> Result<Vec<OutboundRequest>> {
        let connection = self.connection();
        let mut query = connection.prepare_cached("SELECT * FROM requests ORDER BY time DESC")?;
        let rows = query.query_map([], |row| {
            Ok(OutboundRequest {
                time: row.get("time")?,
                url: row.get("url")?,
                reason: row.get("reason")?,
                bytes: row.get::<_, i64>("bytes")? as u64,
                outcome: row.get("outcome")?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
