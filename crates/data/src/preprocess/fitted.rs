//! What was learnt of each column, as it is kept beside a trained model.

use serde::{Deserialize, Serialize};

use super::{Clip, UnknownCategory};
use crate::error::DataError;
use crate::labels::MAX_CLASSES;

/// The most columns, before and after categories are spread out.
const MAX_COLUMNS: usize = 100_000;
/// The longest name or category, in bytes.
const MAX_TEXT: usize = 1 << 16;

/// What was learnt from the training rows, in the order of the columns: [`fit`](Self::fit) makes it, [`apply`](Self::apply) uses it.
///
/// It is written and read with serde; whoever keeps it in a file adds a version and says how large the file may be. What is read is checked:
/// numbers of columns and categories, lengths of texts, order of categories, finite numbers. It holds names and categories of the owner's
/// columns, and statistics of them: it is never sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Preprocessor {
    pub(super) columns: Vec<Fitted>,
    pub(super) unknown_category: UnknownCategory,
    pub(super) clip: Clip,
}

/// What was learnt of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Fitted {
    Number {
        name: String,
        /// What takes the place of a missing value, where one may be missing.
        fill: Option<f32>,
        indicator: bool,
        /// 0 and 1 where numbers stay as they are.
        mean: f32,
        std: f32,
        /// Whether mean and deviation are those of the column.
        #[serde(default)]
        standardised: bool,
    },
    Category {
        name: String,
        /// Sorted, each once.
        categories: Vec<String>,
        indicator: bool,
        takes_missing: bool,
    },
}

impl Preprocessor {
    /// The columns that the fit saw, in order, by their names in the file.
    pub fn inputs(&self) -> Vec<&str> {
        self.columns.iter().map(Fitted::name).collect()
    }

    /// Names of the features that [`apply`](Self::apply) gives: a number's own, `column=category`, and `column is missing`.
    pub fn names(&self) -> Vec<String> {
        self.columns.iter().flat_map(Fitted::names).collect()
    }

    /// How many features [`apply`](Self::apply) gives for each row.
    pub fn width(&self) -> usize {
        self.columns.iter().map(Fitted::width).sum()
    }
}

impl Fitted {
    pub(super) fn name(&self) -> &str {
        match self {
            Fitted::Number { name, .. } | Fitted::Category { name, .. } => name,
        }
    }

    /// The known categories; none of a number.
    pub(super) fn categories(&self) -> &[String] {
        match self {
            Fitted::Number { .. } => &[],
            Fitted::Category { categories, .. } => categories,
        }
    }

    pub(super) fn is_categorical(&self) -> bool {
        matches!(self, Fitted::Category { .. })
    }

    pub(super) fn has_indicator(&self) -> bool {
        match self {
            Fitted::Number { indicator, .. } | Fitted::Category { indicator, .. } => *indicator,
        }
    }

    /// Whether a value may be missing.
    pub(super) fn takes_missing(&self) -> bool {
        match self {
            Fitted::Number { fill, .. } => fill.is_some(),
            Fitted::Category { takes_missing, .. } => *takes_missing,
        }
    }

    pub(super) fn width(&self) -> usize {
        let values = match self {
            Fitted::Number { .. } => 1,
            Fitted::Category { categories, .. } => categories.len(),
        };
        values + usize::from(self.has_indicator())
    }

    fn names(&self) -> Vec<String> {
        let name = self.name();
        let mut names: Vec<String> = match self {
            Fitted::Number { .. } => vec![name.into()],
            Fitted::Category { categories, .. } => categories.iter().map(|text| format!("{name}={text}")).collect(),
        };
        if self.has_indicator() {
            names.push(format!("{name} is missing"));
        }
        names
    }

    fn check(&self) -> Result<(), String> {
        let name = self.name();
        let texts = || std::iter::once(name).chain(self.categories().iter().map(String::as_str));
        if texts().any(|text| text.len() > MAX_TEXT) {
            return Err(format!("a name or category of more than {MAX_TEXT} bytes"));
        }
        match self {
            Fitted::Number { fill, mean, std, .. } => {
                let finite = fill.unwrap_or_default().is_finite() && mean.is_finite() && std.is_finite();
                match finite && *std > 0.0 {
                    true => Ok(()),
                    false => Err(format!(
                        "column {name:?} has a statistic that is not finite, or no positive deviation"
                    )),
                }
            }
            Fitted::Category { categories, .. } if categories.len() > MAX_CLASSES => Err(format!(
                "column {name:?} has {} categories, more than the limit of {MAX_CLASSES}",
                categories.len()
            )),
            Fitted::Category { categories, .. } => match categories.is_sorted_by(|a, b| a < b) {
                true => Ok(()),
                false => Err(format!(
                    "the categories of column {name:?} are not sorted, or one is there twice"
                )),
            },
        }
    }
}

/// A [`Preprocessor`] as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    columns: Vec<Fitted>,
    unknown_category: UnknownCategory,
    /// Absent in what was kept before there was a limit.
    #[serde(default = "no_limit")]
    clip: Clip,
}

fn no_limit() -> Clip {
    Clip::Off
}

impl TryFrom<Unchecked> for Preprocessor {
    type Error = DataError;

    fn try_from(read: Unchecked) -> Result<Self, DataError> {
        Self::checked(read.columns, read.unknown_category, read.clip)
    }
}

impl Preprocessor {
    pub(super) fn checked(columns: Vec<Fitted>, unknown_category: UnknownCategory, clip: Clip) -> Result<Self, DataError> {
        let preprocessor = Preprocessor {
            columns,
            unknown_category,
            clip,
        };
        let check = || {
            let count = preprocessor.columns.len().max(preprocessor.width());
            if count > MAX_COLUMNS {
                return Err(format!("it has {count} columns, more than the limit of {MAX_COLUMNS}"));
            }
            let mut names = preprocessor.inputs();
            names.sort_unstable();
            if !names.is_sorted_by(|a, b| a < b) {
                return Err("two columns have one name".into());
            }
            preprocessor.columns.iter().try_for_each(Fitted::check)
        };
        match check() {
            Ok(()) => Ok(preprocessor),
            Err(reason) => Err(DataError::Preprocessor { reason }),
        }
    }
}
