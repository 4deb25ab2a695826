//! Counting up one column or array.

use std::collections::BTreeMap;

use crate::inspect::ArraySummary;
use crate::numbers::{Elements, Numbers};

/// The most different values that are counted one by one.
const MAX_COUNTED: usize = 32;

/// Running figures of one column or array.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    finite: u64,
    sum: f64,
    min: f64,
    max: f64,
    missing: u64,
    first_missing: Option<u64>,
    texts: u64,
    fractions: u64,
    /// How often each value occurs; nothing once there are too many.
    counts: Option<BTreeMap<Value, u64>>,
}

/// Integers sort by value and before texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Integer(i64),
    Text(String),
}

/// Describes an array; where it may hold labels (one or two dimensions), its values are counted.
pub(super) fn of_numbers(numbers: &Numbers) -> ArraySummary {
    let mut tally = if numbers.shape.len() <= 2 {
        Tally::counting()
    } else {
        Tally::default()
    };
    let per_row = (numbers.elements.len() / numbers.rows().max(1)).max(1);
    let mut add = |index: usize, value: f64| tally.number(value, (index / per_row) as u64);
    match &numbers.elements {
        Elements::U8(v) => v.iter().enumerate().for_each(|(i, &e)| add(i, e.into())),
        Elements::I16(v) => v.iter().enumerate().for_each(|(i, &e)| add(i, e.into())),
        Elements::I32(v) => v.iter().enumerate().for_each(|(i, &e)| add(i, e.into())),
        Elements::I64(v) => v.iter().enumerate().for_each(|(i, &e)| add(i, e as f64)),
        Elements::F32(v) => v.iter().enumerate().for_each(|(i, &e)| add(i, e.into())),
        Elements::F64(v) => v.iter().enumerate().for_each(|(i, &e)| add(i, e)),
    }
    let shape = numbers.shape.iter().map(|&size| size as u64).collect();
    tally.summary(numbers.name.clone(), shape, numbers.elements.type_name().into())
}

impl Tally {
    /// A tally that also counts each value.
    pub(super) fn counting() -> Self {
        Tally {
            counts: Some(BTreeMap::new()),
            ..Tally::default()
        }
    }

    pub(super) fn missing(&mut self, place: u64) {
        self.missing += 1;
        self.first_missing.get_or_insert(place);
    }

    /// Adds a field of a text table.
    pub(super) fn text(&mut self, text: &str, line: u64) {
        match text.parse() {
            Ok(value) => self.number(value, line),
            Err(_) => {
                self.texts += 1;
                self.count(|| Value::Text(text.into()));
            }
        }
    }

    pub(super) fn number(&mut self, value: f64, place: u64) {
        if !value.is_finite() {
            return self.missing(place);
        }
        (self.min, self.max) = match self.finite {
            0 => (value, value),
            _ => (self.min.min(value), self.max.max(value)),
        };
        self.finite += 1;
        self.sum += value;
        if value.fract() == 0.0 {
            self.count(|| Value::Integer(value as i64));
        } else {
            self.fractions += 1;
            self.counts = None;
        }
    }

    /// The summary of a column of a text table.
    pub(super) fn column(self, name: String, rows: u64) -> ArraySummary {
        let dtype = match (self.texts, self.fractions, self.finite) {
            (0, 0, 0) => "empty",
            (0, 0, _) => "integer",
            (0, _, _) => "real",
            _ => "text",
        };
        self.summary(name, vec![rows], dtype.into())
    }

    pub(super) fn summary(self, name: String, shape: Vec<u64>, dtype: String) -> ArraySummary {
        let some = |value: f64| (self.finite > 0).then_some(value);
        let label = |value: Value| match value {
            Value::Integer(number) => number.to_string(),
            Value::Text(text) => text,
        };
        let counts = self.counts.filter(|counts| !counts.is_empty());
        ArraySummary {
            name,
            shape,
            dtype,
            min: some(self.min),
            max: some(self.max),
            mean: some(self.sum / self.finite.max(1) as f64),
            missing: self.missing,
            first_missing: self.first_missing,
            counts: counts.map(|counts| counts.into_iter().map(|(value, count)| (label(value), count)).collect()),
        }
    }

    fn count(&mut self, value: impl FnOnce() -> Value) {
        let Some(counts) = &mut self.counts else { return };
        *counts.entry(value()).or_insert(0) += 1;
        if counts.len() > MAX_COUNTED {
            self.counts = None;
        }
    }
}
