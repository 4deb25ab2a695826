//! Which columns of a holder's file are read, and as what.

use std::path::Path;

use super::VerticalOptions;
use crate::columns::{Heading, Selection, find_column};
use crate::error::DataError;
use crate::ids;
use crate::source::Column;

/// The columns of a file, by number.
pub(crate) struct Chosen {
    pub(crate) ids: Vec<usize>,
    /// What rows are split by; empty where that is the id.
    pub(crate) groups: Vec<usize>,
    pub(crate) features: Vec<Feature>,
    pub(crate) target: Option<usize>,
    /// What errors call the target.
    pub(crate) target_name: String,
    pub(crate) fold_case: bool,
}

pub(crate) struct Feature {
    pub(crate) column: usize,
    pub(crate) name: String,
    pub(crate) categorical: bool,
}

impl Chosen {
    pub(crate) fn find(
        file: &Path,
        heading: Heading,
        selection: Selection,
        options: &VerticalOptions,
    ) -> Result<Self, DataError> {
        let find = |column: &Column| find_column(file, heading, column);
        let find_all = |columns: &[Column]| columns.iter().map(find).collect::<Result<Vec<usize>, _>>();
        ids::at_least_one(&options.ids.columns)?;
        let ids = find_all(&options.ids.columns)?;
        ids::all_different(&ids)?;
        let groups = find_all(&options.split_by)?;
        let target = selection.target.map(find).transpose()?;
        let aside = [&ids[..], &groups].concat();
        if let Some(target) = target.filter(|target| aside.contains(target)) {
            return Err(DataError::Option {
                option: "target",
                expected: "another column than those of the id and of split_by",
                actual: format!("column {target}"),
            });
        }
        let features = selection.features(file, heading, target, &aside)?;
        let categorical = find_all(&options.categorical)?;
        if let Some(column) = categorical.iter().find(|column| !features.contains(column)) {
            return Err(DataError::Option {
                option: "categorical",
                expected: "a list of feature columns",
                actual: format!("a list with {}", name(heading, *column)),
            });
        }
        let features = features.iter().map(|&column| Feature {
            column,
            name: name(heading, column),
            categorical: categorical.contains(&column),
        });
        let features: Vec<Feature> = features.collect();
        all_named_differently(file, &features)?;
        if features.is_empty() && target.is_none() && selection.include.is_none() {
            return Err(DataError::OptionMissing {
                file: file.into(),
                option: "target",
                hint: "no column is left for a feature, and a holder has features or labels".into(),
            });
        }
        Ok(Chosen {
            ids,
            groups,
            features,
            target,
            target_name: target.map(|column| name(heading, column)).unwrap_or_default(),
            fold_case: options.ids.fold_case,
        })
    }
}

/// Refuses names that a prediction could not tell apart.
fn all_named_differently(file: &Path, features: &[Feature]) -> Result<(), DataError> {
    let mut names: Vec<&str> = features.iter().map(|feature| feature.name.as_str()).collect();
    names.sort_unstable();
    match names.chunk_by(|left, right| left == right).find(|same| same.len() > 1) {
        None => Ok(()),
        Some(same) => Err(DataError::AmbiguousFeature {
            file: file.into(),
            column: same[0].into(),
            times: same.len(),
        }),
    }
}

fn name(heading: Heading, column: usize) -> String {
    let names = heading.names.and_then(|names| names.get(column));
    names.cloned().unwrap_or_else(|| column.to_string())
}
