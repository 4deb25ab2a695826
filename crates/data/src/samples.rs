use ndarray::{Array2, ArrayD, Axis};

/// Rows of features with their targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// The features, of shape `[rows, sample shape...]`; every value is finite.
    pub x: ArrayD<f32>,
    /// One target per row.
    pub targets: Targets,
    /// Names of the features in order, where the file has any (a CSV header).
    pub feature_names: Option<Vec<String>>,
}

/// What is to be predicted.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// One class per row.
    Classes {
        /// The class number of each row, always below `names.len()`.
        index: Vec<u32>,
        /// The name of each class number.
        names: Vec<String>,
    },
    /// Several labels per row, none to all of which apply.
    Labels {
        /// 1 where a label applies, else 0, of shape `[rows, labels]`.
        values: Array2<f32>,
        /// The name of each label.
        names: Vec<String>,
    },
    /// Real values, of shape `[rows, outputs]`, for regression.
    Values(Array2<f32>),
}

impl Samples {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.x.shape().first().copied().unwrap_or(0)
    }

    /// Shape of one sample: `[30]` for a table of 30 features, `[1, 128]` for one-channel signals of 128 points.
    pub fn sample_shape(&self) -> &[usize] {
        self.x.shape().get(1..).unwrap_or(&[])
    }

    /// The given rows, in the given order.
    ///
    /// # Panics
    ///
    /// When a row number is not below [`rows`](Self::rows), as slice indexing does.
    pub fn select(&self, rows: &[usize]) -> Samples {
        Samples {
            x: self.x.select(Axis(0), rows),
            targets: self.targets.select(rows),
            feature_names: self.feature_names.clone(),
        }
    }

    /// How many rows each class or label has, by its number; empty for regression targets.
    pub fn class_counts(&self) -> Vec<usize> {
        match &self.targets {
            Targets::Values(_) => Vec::new(),
            Targets::Labels { values, .. } => {
                let ones = |column: ndarray::ArrayView1<f32>| column.iter().filter(|value| **value == 1.0).count();
                values.columns().into_iter().map(ones).collect()
            }
            Targets::Classes { index, names } => {
                let mut counts = vec![0; names.len()];
                for &class in index {
                    counts[class as usize] += 1;
                }
                counts
            }
        }
    }
}

impl Targets {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Targets::Classes { index, .. } => index.len(),
            Targets::Labels { values, .. } | Targets::Values(values) => values.nrows(),
        }
    }

    pub(crate) fn select(&self, rows: &[usize]) -> Targets {
        match self {
            Targets::Classes { index, names } => Targets::Classes {
                index: rows.iter().map(|&row| index[row]).collect(),
                names: names.clone(),
            },
            Targets::Labels { values, names } => Targets::Labels {
                values: values.select(Axis(0), rows),
                names: names.clone(),
            },
            Targets::Values(values) => Targets::Values(values.select(Axis(0), rows)),
        }
    }
}
