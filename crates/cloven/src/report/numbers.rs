//! Numbers as people read them.

/// A whole number with its thousands apart: `13,245`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in decimal units, three or four digits: `225.8 MB`.
pub fn bytes(number: u64) -> String {
    let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    match units.iter().find(|(size, _)| number as f64 >= *size) {
        Some((size, unit)) => format!("{} {unit}", digits(number as f64 / size)),
        None => format!("{number} B"),
    }
}

/// A duration: `568 ms`, `1.64 s`, `12 min 05 s`, `3 h 07 min`.
pub fn seconds(number: f64) -> String {
    let whole = number.round() as u64;
    match number {
        n if n < 1e-3 => format!("{} µs", digits(n * 1e6)),
        n if n < 1.0 => format!("{} ms", digits(n * 1e3)),
        n if n < 120.0 => format!("{} s", digits(n)),
        _ if whole < 7200 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A fraction in percent with two decimals.
pub fn percent(fraction: f64) -> String {
    format!("{:.2} %", fraction * 100.0)
}

/// A difference of two fractions in percentage points, with its sign.
pub fn points(difference: f64) -> String {
    let rounded = (difference * 1e4).round() / 100.0;
    match rounded {
        n if n > 0.0 => format!("+{n:.2} points"),
        n if n < 0.0 => format!("\u{2212}{:.2} points", -n),
        _ => "±0.00 points".to_owned(),
    }
}

/// Three significant digits or all before the point.
pub fn digits(number: f64) -> String {
    match number.abs() {
        n if n < 10.0 => format!("{number:.2}"),
        n if n < 100.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(
            [0, 999, 1000, 13_245, 1_234_567].map(count),
            ["0", "999", "1,000", "13,245", "1,234,567"]
        );
        assert_eq!([0, 999, 1558, 225_791_811].map(bytes), ["0 B", "999 B", "1.56 kB", "226 MB"]);
        let texts = [2e-5, 0.568, 1.635, 725.0, 11_235.0].map(seconds);
        assert_eq!(texts, ["20.0 µs", "568 ms", "1.64 s", "12 min 05 s", "3 h 07 min"]);
        assert_eq!(
            [0.007, -0.0063, 1e-9].map(points),
            ["+0.70 points", "−0.63 points", "±0.00 points"]
        );
        assert_eq!(percent(0.926_085), "92.61 %");
    }
}
