//! Columns of text that fit the terminal: the last column is cut, never wrapped.

use super::{cut, terminal::columns, width};

/// A cell before the last may be this wide; where there is more room, a third of it.
const CELL: usize = 28;
/// The last cell is not cut below this.
const LAST: usize = 8;
/// Nor any other one below this.
const NARROWEST: usize = 4;
/// What stands between two cells.
const GAP: usize = 2;

/// A table without a frame.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<(String, anstyle::Style)>>,
}

impl Table {
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
        self.fitted(indent, columns())
    }

    fn fitted(&self, indent: &str, columns: usize) -> String {
        let widths = self.widths(columns.saturating_sub(width(indent)));
        let mut text = String::new();
        for row in &self.rows {
            let mut used = width(indent);
            text.push_str(indent);
            for (column, (cell, style)) in row.iter().enumerate() {
                let last = column + 1 == row.len();
                let shown = if last {
                    cut(cell, columns.saturating_sub(used).max(LAST))
                } else {
                    cut(cell, widths[column])
                };
                let pad = if last {
                    0
                } else {
                    widths[column].saturating_sub(width(&shown)) + GAP
                };
                if !shown.is_empty() {
                    text.push_str(&format!("{}{shown}{}", style.render(), style.render_reset()));
                }
                text.push_str(&" ".repeat(pad));
                used += widths[column] + GAP;
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        text
    }

    /// How wide each column before the last is: the widest give way until the last has some room.
    fn widths(&self, columns: usize) -> Vec<usize> {
        let most = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |column: usize| {
            self.rows
                .iter()
                .filter(|row| column + 1 < row.len())
                .map(|row| width(&row[column].0).min(CELL.max(columns / 3)))
                .max()
                .unwrap_or(0)
        };
        let mut widths: Vec<_> = (0..most).map(widest).collect();
        while widths.iter().map(|width| width + GAP).sum::<usize>() + LAST > columns {
            let Some(widest) = widths.iter_mut().max().filter(|width| **width > NARROWEST) else {
                break;
            };
            *widest -= 1;
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_room_that_there_is() {
        let mut table = Table::default();
        let (branch, title) = ("feature/".to_owned() + &"b".repeat(40), "修".repeat(60));
        table.row([
            "t-abc".to_owned(),
            "foreman.1".to_owned(),
            branch.clone(),
            title.clone(),
        ]);
        table.row([
            "t-abd".to_owned(),
            "foreman.2".to_owned(),
            "main".to_owned(),
            "short".to_owned(),
        ]);
        for columns in [30, 40, 80, 200, 400] {
            let text = table.fitted("  ", columns);
            for line in text.lines() {
                assert!(width(line) <= columns, "{columns}: {line}");
            }
            assert_eq!(text.contains(&title), columns >= 200, "{text}");
            assert_eq!(text.contains(&branch), columns >= 200, "{text}");
        }
        assert!(
            table
                .fitted("", usize::MAX)
                .contains(&format!("{branch}  {title}\n"))
        );
    }
}
