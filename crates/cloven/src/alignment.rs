//! What a holder finds when it looks for the rows that all holders have, in numbers.

use std::collections::BTreeMap;

use cloven_data::ColumnCount;
use cloven_wire::Party;
use serde::{Deserialize, Serialize};

/// A holder's rows, from its table to the training: counts only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alignment {
    /// Rows of its table.
    pub rows: usize,
    /// Rows without an id (or without what they are divided by): left out.
    pub missing_ids: usize,
    /// Rows left out for a missing value, where the settings of the table say so (`on_missing = "drop-row"`).
    pub dropped_rows: usize,
    /// Rows whose id an earlier row has: left out.
    pub repeated_ids: usize,
    /// Ids that remain, each once; the other holders learn this number.
    pub distinct_ids: usize,
    /// Ids that all holders have.
    pub common_ids: usize,
    /// Of these rows, those for training,
    pub train_rows: usize,
    /// and those for testing: less than all where the job limits them.
    pub test_rows: usize,
    /// How many distinct ids the other holders have.
    pub others: BTreeMap<Party, usize>,
}

/// Values of a holder's training and test rows that did not enter the network as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdjustedValues {
    /// Missing ones.
    pub missing: usize,
    /// Categories that no training row has.
    pub unknown: usize,
    /// Numbers too far from the mean, which were moved to the limit.
    pub clipped: usize,
}

impl AdjustedValues {
    /// Of all columns together.
    pub fn of(columns: &[ColumnCount]) -> Self {
        let add = |sum: Self, column: &ColumnCount| Self {
            missing: sum.missing + column.missing,
            unknown: sum.unknown + column.unknown,
            clipped: sum.clipped + column.clipped,
        };
        columns.iter().fold(Self::default(), add)
    }
}
