//! Tables of plain text: names to the left, numbers to the right, two blanks between columns.

/// A fraction as percent with one decimal.
#[must_use]
pub fn percent(fraction: f64) -> String {
    format!("{:.1}", fraction * 100.0)
}

/// Aligns the rows under the header, with a line under it. The first column is on the left, all others on the right;
/// each column is as wide as its widest cell, in characters. Cells that a row lacks are empty.
#[must_use]
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let header: Vec<String> = header.iter().map(|&cell| cell.to_owned()).collect();
    let all = || [&header].into_iter().chain(rows);
    let columns = all().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = all().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let rule = widths.iter().map(|&width| "-".repeat(width)).collect();
    let mut text = String::new();
    for row in [&header, &rule].into_iter().chain(rows) {
        let cell = |(column, &width): (usize, &usize)| {
            let cell = row.get(column).map_or("", String::as_str);
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        };
        let cells: Vec<_> = widths.iter().enumerate().map(cell).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_on_the_left_and_numbers_on_the_right() {
        let rows = [vec!["zoë".to_owned(), "5.0".to_owned()], vec!["x".to_owned(), percent(1.0)]];
        assert_eq!(
            table(&["label", "F1"], &rows),
            "label     F1\n-----  -----\nzoë      5.0\nx      100.0\n"
        );
    }

    #[test]
    fn a_short_row_ends_early() {
        assert_eq!(table(&["a", "b"], &[vec!["x".to_owned()]]), "a  b\n-  -\nx\n");
    }
}
