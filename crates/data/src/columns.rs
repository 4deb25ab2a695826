//! Which columns of a table are features, which is the target.

use std::path::Path;

use crate::error::DataError;
use crate::source::{Column, CsvOptions, Format, ParquetOptions};

mod matched;

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
        Ok(Columns {
            features: matched::features(file, heading, selection, expected, count)?,
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
