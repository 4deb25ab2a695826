//! Which columns of a table are features, which is the target.

use std::path::Path;

use crate::error::DataError;
use crate::source::{Column, CsvOptions, Format, ParquetOptions};

/// At most so many names are listed in an error.
const NAMES_SHOWN: usize = 32;

/// What a table says of its columns.
#[derive(Clone, Copy)]
pub(crate) struct Heading<'a> {
    /// Their names, where it has any.
    pub(crate) names: Option<&'a [String]>,
    pub(crate) width: usize,
}

/// What the options say of the columns.
#[derive(Clone, Copy)]
pub(crate) struct Selection<'a> {
    format: Format,
    pub(crate) target: Option<&'a Column>,
    pub(crate) include: Option<&'a [Column]>,
    drop: &'a [Column],
}

impl<'a> From<&'a CsvOptions> for Selection<'a> {
    fn from(options: &'a CsvOptions) -> Self {
        Selection {
            format: Format::Csv,
            target: options.target.as_ref(),
            include: options.include.as_deref(),
            drop: &options.drop,
        }
    }
}

impl<'a> From<&'a ParquetOptions> for Selection<'a> {
    fn from(options: &'a ParquetOptions) -> Self {
        Selection {
            format: Format::Parquet,
            target: options.target.as_ref(),
            include: options.include.as_deref(),
            drop: &options.drop,
        }
    }
}

/// What errors call the options of a format.
struct OptionNames {
    target: &'static str,
    include: &'static str,
    drop: &'static str,
}

impl Selection<'_> {
    /// The numbers of the feature columns, in the order of the features: those included, or all but the target, the dropped ones and
    /// `aside`, which have a use of their own.
    pub(crate) fn features(
        &self,
        file: &Path,
        heading: Heading,
        target: Option<usize>,
        aside: &[usize],
    ) -> Result<Vec<usize>, DataError> {
        let available = available(heading);
        let find_all = |columns: &[Column]| -> Result<Vec<usize>, DataError> {
            columns.iter().map(|column| find(file, heading, column, &available)).collect()
        };
        let OptionNames { include, drop, .. } = self.options();
        let dropped = find_all(self.drop)?;
        if let Some(target) = target.filter(|target| dropped.contains(target)) {
            return Err(listed(drop, "a list of columns other than the target", target));
        }
        let Some(included) = self.include else {
            let aside = |column| target == Some(column) || aside.contains(&column) || dropped.contains(&column);
            let is_feature = |column: &usize| !aside(*column);
            return Ok((0..heading.width).filter(is_feature).collect());
        };
        let included = find_all(included)?;
        for (position, &column) in included.iter().enumerate() {
            if included[..position].contains(&column) {
                return Err(DataError::Option {
                    option: include,
                    expected: "columns that differ",
                    actual: format!("column {column} twice"),
                });
            }
            if Some(column) == target || dropped.contains(&column) {
                return Err(listed(
                    include,
                    "a list of columns other than the target and dropped ones",
                    column,
                ));
            }
        }
        Ok(included)
    }

    fn options(&self) -> OptionNames {
        match self.format {
            Format::Parquet => OptionNames {
                target: "parquet.target",
                include: "parquet.include",
                drop: "parquet.drop",
            },
            _ => OptionNames {
                target: "csv.target",
                include: "csv.include",
                drop: "csv.drop",
            },
        }
    }
}

fn listed(option: &'static str, expected: &'static str, column: usize) -> DataError {
    DataError::Option {
        option,
        expected,
        actual: format!("a list with column {column}"),
    }
}

/// The columns that are read.
pub(crate) struct Columns {
    /// Numbers of the feature columns, in the order of the features.
    pub(crate) features: Vec<usize>,
    /// Nothing where only features are read.
    pub(crate) target: Option<usize>,
    names: Option<Vec<String>>,
}

impl Columns {
    pub(crate) fn choose(file: &Path, heading: Heading, selection: Selection) -> Result<Self, DataError> {
        let available = available(heading);
        let Some(target) = selection.target else {
            let hint = format!("name the column to predict; the file has {available}");
            return Err(DataError::OptionMissing {
                file: file.into(),
                option: selection.options().target,
                hint,
            });
        };
        let target = find(file, heading, target, &available)?;
        let features = selection.features(file, heading, Some(target), &[])?;
        if features.is_empty() {
            let reason = "no feature column is left beside the target".into();
            return Err(DataError::Malformed {
                file: file.into(),
                format: selection.format,
                reason,
            });
        }
        Ok(Columns {
            features,
            target: Some(target),
            names: heading.names.map(<[String]>::to_vec),
        })
    }

    /// The `count` columns of features alone, found by the names that they had in training, where these are known and the table
    /// has names.
    pub(crate) fn choose_features(
        file: &Path,
        heading: Heading,
        selection: Selection,
        expected: Option<&[String]>,
        count: usize,
    ) -> Result<Self, DataError> {
        let aside = Aside::of(heading, selection);
        let features = match (expected, heading.names, selection.include) {
            (Some(expected), Some(names), include) => by_name(file, heading, expected, names, &aside, include.is_some())?,
            (_, _, Some(include)) => by_include(file, heading, include, count)?,
            _ => by_position(file, heading.width, count, &aside)?,
        };
        Ok(Columns {
            features,
            target: None,
            names: heading.names.map(<[String]>::to_vec),
        })
    }

    /// How errors call a column: by its name or, without a header, by its number.
    pub(crate) fn label(&self, column: usize) -> String {
        match self.names.as_ref().and_then(|names| names.get(column)) {
            Some(name) => name.clone(),
            None => column.to_string(),
        }
    }

    pub(crate) fn feature_names(&self) -> Option<Vec<String>> {
        let names = self.names.as_ref()?;
        Some(self.features.iter().map(|&column| names[column].clone()).collect())
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

/// The number of the one column that is called so.
pub(crate) fn find_column(file: &Path, heading: Heading, column: &Column) -> Result<usize, DataError> {
    find(file, heading, column, &available(heading))
}

fn find(file: &Path, heading: Heading, column: &Column, available: &str) -> Result<usize, DataError> {
    let unknown = || DataError::UnknownColumn {
        file: file.into(),
        column: column.to_string(),
        available: available.to_string(),
    };
    match column {
        Column::Number(number) if *number < heading.width => Ok(*number),
        Column::Number(_) => Err(unknown()),
        Column::Name(name) => {
            let names = heading.names.into_iter().flatten().enumerate();
            let matching: Vec<usize> = names.filter(|(_, other)| *other == name).map(|(number, _)| number).collect();
            match matching.as_slice() {
                [] => Err(unknown()),
                [only] => Ok(*only),
                more => Err(DataError::AmbiguousColumn {
                    file: file.into(),
                    column: column.to_string(),
                    times: more.len(),
                }),
            }
        }
    }
}

fn available(heading: Heading) -> String {
    match heading.names {
        None => format!("no header and the columns 0 to {}", heading.width.saturating_sub(1)),
        Some(names) if names.len() <= NAMES_SHOWN => names.join(", "),
        Some(names) => format!("{} and {} more", names[..NAMES_SHOWN].join(", "), names.len() - NAMES_SHOWN),
    }
}
