//! Splits by a column of a table beside the data: folds that were published with it, or patients of whom each is in one part only.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::Axis;

use crate::csv::group_names;
use crate::error::DataError;
use crate::labels::{Labels, Table};
use crate::source::{Group, Groups};
use crate::split::Split;

/// Cuts `table` into the train and the test part that `groups` says. Both keep the file's order.
pub(crate) fn split(table: Table, groups: &Groups, base: &Path, split: &Split) -> Result<(Table, Table), DataError> {
    let file = base.join(&groups.file);
    let names = group_names(&file, &groups.column)?;
    if table.dropped > 0 {
        let reason = format!(
            "{} rows of the data are dropped, so that the lines of this file no longer belong to the rows",
            table.dropped
        );
        return Err(DataError::Groups { file, reason });
    }
    let rows = table.labels.rows();
    if names.len() != rows {
        let reason = format!(
            "{} lines, expected one for each of the {rows} rows of {}",
            names.len(),
            table.file.display()
        );
        return Err(DataError::Groups { file, reason });
    }
    let for_testing = match &groups.test {
        Some(wanted) => named(&file, &names, wanted)?,
        None => drawn(&file, &names, split)?,
    };
    let (test, train): (Vec<usize>, Vec<usize>) = (0..rows).partition(|&row| for_testing[names[row].as_str()]);
    if train.is_empty() {
        let reason = "every row is in a test group, expected some to train on".into();
        return Err(DataError::Groups { file, reason });
    }
    Ok((select(&table, &train)?, select(&table, &test)?))
}

/// Whether each group is for testing, by its name.
type ForTesting<'a> = BTreeMap<&'a str, bool>;

fn named<'a>(file: &Path, names: &'a [String], wanted: &[Group]) -> Result<ForTesting<'a>, DataError> {
    let mut groups: ForTesting = names.iter().map(|name| (name.as_str(), false)).collect();
    for group in wanted {
        let mut met = false;
        for (name, test) in &mut groups {
            if group.is(name) {
                (met, *test) = (true, true);
            }
        }
        if !met {
            let reason = format!("no row is in the test group {group}");
            return Err(DataError::Groups {
                file: file.into(),
                reason,
            });
        }
    }
    if wanted.is_empty() {
        let reason = "no test group is named, expected at least one (or no list: groups are then drawn)".into();
        return Err(DataError::Groups {
            file: file.into(),
            reason,
        });
    }
    Ok(groups)
}

/// A share of the groups, drawn with the job's seed.
fn drawn<'a>(file: &Path, names: &'a [String], split: &Split) -> Result<ForTesting<'a>, DataError> {
    let mut groups: ForTesting = names.iter().map(|name| (name.as_str(), false)).collect();
    let (_, test) = split.groups(file, groups.len())?;
    let chosen: Vec<&str> = groups
        .keys()
        .enumerate()
        .filter(|(n, _)| test.binary_search(n).is_ok())
        .map(|(_, name)| *name)
        .collect();
    for name in chosen {
        groups.insert(name, true);
    }
    Ok(groups)
}

fn select(table: &Table, rows: &[usize]) -> Result<Table, DataError> {
    let labels = match &table.labels {
        Labels::Text(text) => Labels::Text(text.select(&table.file, rows)?),
        Labels::Integers(numbers) => Labels::Integers(rows.iter().map(|&row| numbers[row]).collect()),
        Labels::Values(values) => Labels::Values(values.select(Axis(0), rows)),
    };
    Ok(Table {
        file: table.file.clone(),
        x: table.x.select(Axis(0), rows),
        labels,
        feature_names: table.feature_names.clone(),
        dropped: 0,
    })
}
