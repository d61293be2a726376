//! Aligned columns.

use std::fmt;

use unicode_width::UnicodeWidthStr;

/// Where a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

pub(crate) use Align::{Left, Right};

/// Rows under headings; a heading that is empty in every column is left out.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new<const COLUMNS: usize>(columns: [(&'static str, Align); COLUMNS]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn add<const COLUMNS: usize>(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells.to_vec());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const GAP: &str = "  ";
        let headings: Vec<String> = self
            .columns
            .iter()
            .map(|(heading, _)| (*heading).to_owned())
            .collect();
        let headed = headings.iter().any(|heading| !heading.is_empty());
        let lines: Vec<&Vec<String>> = headed
            .then_some(&headings)
            .into_iter()
            .chain(&self.rows)
            .collect();
        let width = |column: usize| {
            lines
                .iter()
                .map(|line| line[column].width())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        for line in lines {
            let mut text = String::new();
            for ((cell, width), (_, align)) in line.iter().zip(&widths).zip(&self.columns) {
                let space = " ".repeat(width - cell.width());
                text += &match align {
                    Left => format!("{cell}{space}{GAP}"),
                    Right => format!("{space}{cell}{GAP}"),
                };
            }
            writeln!(formatter, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

/// A table of two columns: what, and what it is.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    rows: Vec<(String, String)>,
}

impl Facts {
    /// Adds a line.
    pub(crate) fn add(&mut self, label: impl Into<String>, value: impl Into<String>) {
        self.rows.push((label.into(), value.into()));
    }

    /// Adds a line where there is something to say.
    pub(crate) fn add_some(&mut self, label: impl Into<String>, value: Option<String>) {
        if let Some(value) = value {
            self.add(label, value);
        }
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([("", Left), ("", Left)]);
        for (label, value) in &self.rows {
            table.add([label.clone(), value.clone()]);
        }
        table.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A letter of a CJK script is two columns wide; counting characters would push the rest aside.
    #[test]
    fn columns_align_by_what_is_seen() {
        let mut table = Table::new([("Name", Left), ("Rows", Right)]);
        table.add(["注文".to_owned(), "1".to_owned()]);
        table.add(["orders".to_owned(), "480".to_owned()]);
        assert_eq!(
            table.to_string(),
            "Name    Rows\n注文       1\norders   480\n"
        );
    }
}
