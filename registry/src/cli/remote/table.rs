//! How things are shown to people: aligned columns, with nothing in them that a terminal would obey.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A thing that a table has a line for. Each view of the API that is listed is one.
pub(super) trait Row: Serialize + DeserializeOwned {
    /// The heads of the columns.
    const HEAD: &'static [&'static str];

    /// The cells of the line, one for each column.
    fn cells(&self) -> Vec<String>;
}

/// A table that is written page by page: a column never becomes narrower.
#[derive(Debug, Default)]
pub(super) struct Table {
    widths: Vec<usize>,
}

impl Table {
    /// The lines of a page, the head before the first.
    pub(super) fn page<T: Row>(&mut self, rows: &[T]) -> String {
        let mut lines = Vec::with_capacity(rows.len() + 1);
        if self.widths.is_empty() {
            self.widths = vec![0; T::HEAD.len()];
            lines.push(T::HEAD.iter().map(|head| (*head).to_owned()).collect());
        }
        lines.extend(rows.iter().map(|row| row.cells().iter().map(|cell| harmless(cell)).collect::<Vec<_>>()));
        for line in &lines {
            for (width, cell) in self.widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        lines.iter().map(|line| self.line(line)).collect()
    }

    fn line(&self, cells: &[String]) -> String {
        let padded: Vec<_> = cells.iter().zip(&self.widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    }
}

/// The text on one line, without what moves a terminal's cursor or hides the end of a line.
pub(super) fn harmless(text: &str) -> String {
    let acts =
        |letter: char| letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|letter| if acts(letter) { '\u{fffd}' } else { letter }).collect()
}

/// Of a value that may be missing.
pub(super) fn or_dash(value: Option<&String>) -> String {
    value.cloned().unwrap_or_else(|| "-".to_owned())
}

/// Of a switch.
pub(super) fn yes(value: bool) -> String {
    if value { "yes".to_owned() } else { "no".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, serde::Deserialize)]
    struct Pair(String, String);

    impl Row for Pair {
        const HEAD: &'static [&'static str] = &["NAME", "WHAT"];

        fn cells(&self) -> Vec<String> {
            vec![self.0.clone(), self.1.clone()]
        }
    }

    fn pair(one: &str, other: &str) -> Pair {
        Pair(one.to_owned(), other.to_owned())
    }

    #[test]
    fn columns_are_aligned_over_pages() {
        let mut table = Table::default();
        assert_eq!(table.page(&[pair("ann", "x"), pair("bernard", "")]), "NAME     WHAT\nann      x\nbernard\n");
        assert_eq!(table.page(&[pair("bo", "y")]), "bo       y\n");
    }

    #[test]
    fn a_description_does_not_command_the_terminal() {
        let page = Table::default().page(&[pair("a\u{1b}[2J", "b\nc\u{202e}")]);
        assert_eq!(page, "NAME   WHAT\na\u{fffd}[2J  b\u{fffd}c\u{fffd}\n");
    }
}
