//! The tables that `cloven data inspect` prints.

use std::fmt;

use crate::inspect::{ArraySummary, FileSummary, Inspection};

const HEADINGS: [&str; 7] = ["name", "shape", "type", "min", "max", "mean", "missing"];
/// Longer names are cut.
const NAME_WIDTH: usize = 32;

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, file) in self.files.iter().enumerate() {
            let gap = if position == 0 { "" } else { "\n" };
            write!(f, "{gap}{file}")?;
        }
        if !self.skipped.is_empty() {
            let names: Vec<String> = self.skipped.iter().map(|path| path.display().to_string()).collect();
            writeln!(f, "\nnot read, no known format: {}", names.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for FileSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})", self.file.display(), self.format)?;
        if let Some(problem) = &self.problem {
            return writeln!(f, "  {problem}");
        }
        let rows: Vec<[String; 7]> = self.arrays.iter().map(cells).collect();
        let widths: [usize; 7] = std::array::from_fn(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([HEADINGS[column].len()]).max().unwrap_or(0)
        });
        write_row(f, &HEADINGS.map(String::from), &widths)?;
        for row in &rows {
            write_row(f, row, &widths)?;
        }
        self.arrays.iter().try_for_each(|array| write_notes(f, array))
    }
}

fn cells(array: &ArraySummary) -> [String; 7] {
    let number = |value: Option<f64>| value.map_or("-".into(), short);
    let shape: Vec<String> = array.shape.iter().map(u64::to_string).collect();
    let missing = if array.missing == 0 {
        "-".into()
    } else {
        array.missing.to_string()
    };
    let (min, max, mean) = (number(array.min), number(array.max), number(array.mean));
    [name(array), shape.join(" x "), array.dtype.clone(), min, max, mean, missing]
}

/// Text columns to the left, numbers to the right.
fn write_row(f: &mut fmt::Formatter<'_>, cells: &[String; 7], widths: &[usize; 7]) -> fmt::Result {
    let mut line = String::new();
    for (column, (cell, &width)) in cells.iter().zip(widths).enumerate() {
        line += &if column < 3 {
            format!("  {cell:<width$}")
        } else {
            format!("  {cell:>width$}")
        };
    }
    writeln!(f, "{}", line.trim_end())
}

fn write_notes(f: &mut fmt::Formatter<'_>, array: &ArraySummary) -> fmt::Result {
    if let Some(first) = array.first_missing {
        let what = if array.shape.len() == 1 && is_text_table(array) {
            "line"
        } else {
            "row"
        };
        writeln!(f, "  {}: {} missing, the first in {what} {first}", name(array), array.missing)?;
    }
    match &array.counts {
        // One value for all rows is in min and max already; values that never repeat are no classes.
        Some(counts) if counts.len() > 1 && counts.iter().any(|(_, count)| *count > 1) => {
            let counts: Vec<String> = counts.iter().map(|(value, count)| format!("{value} ({count})")).collect();
            writeln!(f, "  {}: {}", name(array), counts.join(", "))
        }
        _ => Ok(()),
    }
}

fn is_text_table(array: &ArraySummary) -> bool {
    matches!(array.dtype.as_str(), "integer" | "real" | "text" | "empty")
}

fn name(array: &ArraySummary) -> String {
    match array.name.as_str() {
        "" => "array".into(),
        name if name.chars().count() > NAME_WIDTH => name.chars().take(NAME_WIDTH - 1).chain(['~']).collect(),
        name => name.into(),
    }
}

/// Five significant digits, without an exponent where that is readable.
fn short(value: f64) -> String {
    let magnitude = value.abs();
    if value.fract() == 0.0 && magnitude < 1e12 {
        return format!("{value:.0}");
    }
    if !(1e-4..1e9).contains(&magnitude) {
        return format!("{value:.4e}");
    }
    let decimals = (4 - magnitude.log10().floor() as i32).clamp(1, 8) as usize;
    format!("{value:.decimals$}")
        .trim_end_matches('0')
        .trim_end_matches('.')
        .into()
}
