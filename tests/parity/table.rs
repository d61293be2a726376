//! The parity table.

use std::fmt::Write as _;

/// Differences by family (row) and by what was compared (column).
#[derive(Default)]
pub struct Table {
    columns: Vec<&'static str>,
    rows: Vec<(String, Vec<(&'static str, f64)>)>,
}

impl Table {
    /// Starts the row of a family.
    pub fn row(&mut self, family: &str) {
        self.rows.push((family.to_owned(), Vec::new()));
    }

    /// Adds a difference to the newest row.
    pub fn add(&mut self, column: &'static str, difference: f64) {
        if !self.columns.contains(&column) {
            self.columns.push(column);
        }
        if let Some((_, cells)) = self.rows.last_mut() {
            cells.push((column, difference));
        }
    }

    /// Every cell above `tolerance`.
    pub fn beyond(&self, tolerance: f64) -> Vec<String> {
        let cells = self
            .rows
            .iter()
            .flat_map(|(family, cells)| cells.iter().map(move |cell| (family, cell)));
        cells
            .filter(|(_, (_, difference))| difference.is_nan() || *difference > tolerance)
            .map(|(family, (column, difference))| format!("{family}: {column} {difference:.1e}"))
            .collect()
    }

    /// As Markdown; a dash where nothing was recorded.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "| | {} |\n|---|{}\n",
            self.columns.join(" | "),
            "---|".repeat(self.columns.len())
        );
        for (family, cells) in &self.rows {
            let cell = |column: &&str| {
                let found = cells.iter().find(|(name, _)| name == column);
                found.map_or_else(
                    || "–".to_owned(),
                    |(_, difference)| format!("{difference:.1e}"),
                )
            };
            let row: Vec<String> = self.columns.iter().map(cell).collect();
            let _ = writeln!(text, "| {family} | {} |", row.join(" | "));
        }
        text
    }
}
