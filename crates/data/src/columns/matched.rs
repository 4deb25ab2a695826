//! The feature columns of training in another file: by name where both have names, by position otherwise.

use std::path::Path;

use super::{Heading, Selection, available, find_column};
use crate::error::DataError;
use crate::source::Column;

/// The numbers of the `count` feature columns, in the order of the features.
pub(super) fn features(
    file: &Path,
    heading: Heading,
    selection: Selection,
    expected: Option<&[String]>,
    count: usize,
) -> Result<Vec<usize>, DataError> {
    let aside = Aside::of(heading, selection);
    match (expected, heading.names, selection.include) {
        (Some(expected), Some(names), include) => by_name(file, heading, expected, names, &aside, include.is_some()),
        (_, _, Some(include)) => by_include(file, heading, include, count),
        _ => by_position(file, heading.width, count, &aside),
    }
}

/// Columns of the training file that are no features, as far as another file can have them.
struct Aside {
    /// Those that the options name, where the file has the name.
    named: Vec<usize>,
    /// Those that the options number: whether the file has them is not certain.
    numbered: Vec<usize>,
}

impl Aside {
    fn of(heading: Heading, selection: Selection) -> Self {
        let columns = || selection.target.into_iter().chain(selection.drop);
        let is_named = |name: &String| columns().any(|column| matches!(column, Column::Name(other) if other == name));
        let names = heading.names.into_iter().flatten().enumerate();
        Aside {
            named: names.filter(|(_, name)| is_named(name)).map(|(number, _)| number).collect(),
            numbered: columns()
                .filter_map(|column| match column {
                    Column::Number(number) => Some(*number),
                    Column::Name(_) => None,
                })
                .collect(),
        }
    }

    fn holds(&self, column: usize) -> bool {
        self.named.contains(&column) || self.numbered.contains(&column)
    }
}

/// With `others`, the file may have columns that are neither feature nor aside.
fn by_name(
    file: &Path,
    heading: Heading,
    expected: &[String],
    names: &[String],
    aside: &Aside,
    others: bool,
) -> Result<Vec<usize>, DataError> {
    // First as the training file has it, in which several features may have one name.
    let rest: Vec<usize> = (0..names.len()).filter(|&column| !aside.holds(column)).collect();
    if rest.iter().map(|&column| &names[column]).eq(expected) {
        return Ok(rest);
    }
    let mut features = Vec::with_capacity(expected.len());
    for name in expected {
        let mut matching = (0..names.len()).filter(|&column| names[column] == *name);
        features.push(matching.next().ok_or_else(|| DataError::MissingColumn {
            file: file.into(),
            column: name.clone(),
            available: available(heading),
        })?);
        match matching.count() {
            0 => {}
            more => {
                return Err(DataError::AmbiguousFeature {
                    file: file.into(),
                    column: name.clone(),
                    times: more + 1,
                });
            }
        }
    }
    match rest.iter().find(|column| !features.contains(column)) {
        Some(&column) if !others => Err(DataError::ExtraColumn {
            file: file.into(),
            column: names[column].clone(),
        }),
        _ => Ok(features),
    }
}

/// The included columns, or all of a table that has as many as features are expected.
fn by_include(file: &Path, heading: Heading, include: &[Column], count: usize) -> Result<Vec<usize>, DataError> {
    if heading.width == count {
        return Ok((0..count).collect());
    }
    let found = include.iter().map(|column| find_column(file, heading, column));
    let found = found.collect::<Result<Vec<usize>, _>>()?;
    match found.len() == count {
        true => Ok(found),
        false => Err(DataError::FeatureCount {
            file: file.into(),
            expected: count,
            actual: found.len(),
        }),
    }
}

fn by_position(file: &Path, width: usize, count: usize, aside: &Aside) -> Result<Vec<usize>, DataError> {
    let without_names: Vec<usize> = (0..width).filter(|column| !aside.named.contains(column)).collect();
    if without_names.len() == count {
        return Ok(without_names);
    }
    let rest: Vec<usize> = (0..width).filter(|&column| !aside.holds(column)).collect();
    match rest.len() == count {
        true => Ok(rest),
        false => Err(DataError::FeatureCount {
            file: file.into(),
            expected: count,
            actual: rest.len(),
        }),
    }
}
