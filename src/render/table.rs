//! Columns of text that fit 80 characters: the last column is cut, never wrapped.

use super::{cut, width};

/// A cell before the last is no wider.
const CELL: usize = 28;

/// A table without a frame.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<(String, anstyle::Style)>>,
}

impl Table {
    /// What fits everywhere.
    pub const WIDTH: usize = 80;

    /// Adds a row of plain cells.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.styled(cells.map(|cell| (cell, anstyle::Style::new())));
    }

    /// Adds a row of styled cells.
    pub fn styled<const N: usize>(&mut self, cells: [(String, anstyle::Style); N]) {
        self.rows.push(cells.into());
    }

    /// The table as text, each line ended.
    pub fn render(&self) -> String {
        self.render_below("")
    }

    /// The table with `indent` before each line.
    pub fn render_below(&self, indent: &str) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|(cell, _)| width(cell).min(CELL))
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(widest).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut used = width(indent);
            text.push_str(indent);
            for (column, (cell, style)) in row.iter().enumerate() {
                let last = column + 1 == row.len();
                let shown = if last {
                    cut(cell, Self::WIDTH.saturating_sub(used).max(8))
                } else {
                    cut(cell, CELL)
                };
                let pad = if last {
                    0
                } else {
                    widths[column].saturating_sub(width(&shown)) + 2
                };
                text.push_str(&format!(
                    "{}{shown}{}{:pad$}",
                    style.render(),
                    style.render_reset(),
                    ""
                ));
                used += widths[column] + 2;
            }
            text.push('\n');
        }
        text
    }
}
