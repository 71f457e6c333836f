//! Tables of figures on a terminal.

use comfy_table::{CellAlignment, Table, TableComponent, presets};

/// A table without lines between its rows. The first `left` columns begin at the left, those after them,
/// which hold figures, end at the right.
pub fn table(header: &[&str], left: usize) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header(header);
    table.remove_style(TableComponent::HorizontalLines);
    table.remove_style(TableComponent::MiddleIntersections);
    for column in table.column_iter_mut().skip(left) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
