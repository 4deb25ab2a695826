//! A table whose rows have ids.

use std::path::PathBuf;

use cloven_data::{
    Column, CsvOptions, Format, ParquetOptions, Preprocessing, Source, VerticalOptions, VerticalTable, read_vertical,
};

use crate::{Error, Local};

/// The `[data]` table with `ids`: a holder's file, how it is read, and what is done to its columns.
///
/// ```toml
/// [data]
/// train = "patients.csv.gz"
/// ids = ["hospital", "patient"]       # or { columns = [...], fold_case = true }
/// categorical = ["ward"]
/// preprocess = { missing = "mean", clip = 32 }
/// [data.csv]
/// target = "outcome"                  # at the label holder
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TableSource {
    /// Where it is.
    pub file: PathBuf,
    /// How it is read.
    pub options: VerticalOptions,
    /// What is done to the columns; whether numbers are standardised says the job.
    pub preprocess: Preprocessing,
}

impl TableSource {
    /// Reads the rows; labels are read where the party is to have them.
    pub(crate) fn read(&self, labelled: bool) -> Result<VerticalTable, Error> {
        let mut options = self.options.clone();
        if labelled && self.target().is_none() {
            let problem =
                "the label holder has the labels: say which column, target = \"NAME\" under [data.csv] or [data.parquet]";
            return Err(Error::configuration(format!("{}: data", Local::FILE), problem));
        }
        if !labelled {
            // A column that is no feature.
            if let Some(CsvOptions { target, drop, .. }) = &mut options.csv {
                drop.extend(target.take());
            }
            if let Some(ParquetOptions { target, drop, .. }) = &mut options.parquet {
                drop.extend(target.take());
            }
        }
        Ok(read_vertical(&self.file, &options)?)
    }

    fn target(&self) -> Option<&Column> {
        let csv = self.options.csv.as_ref().and_then(|csv| csv.target.as_ref());
        csv.or_else(|| self.options.parquet.as_ref().and_then(|parquet| parquet.target.as_ref()))
    }

    /// For protocols in which one party has all columns: the ids are none of them.
    pub(crate) fn without_ids(&self) -> Source {
        let VerticalOptions {
            ids,
            format,
            csv,
            parquet,
            ..
        } = &self.options;
        let mut source = Source {
            train: self.file.clone(),
            format: *format,
            csv: csv.clone(),
            parquet: parquet.clone(),
            ..Source::default()
        };
        let drop = match format.or_else(|| Format::of(&self.file)) {
            Some(Format::Parquet) => &mut source.parquet.get_or_insert_default().drop,
            _ => &mut source.csv.get_or_insert_default().drop,
        };
        drop.extend(ids.columns.iter().cloned());
        source
    }
}

impl TryFrom<toml::Table> for TableSource {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let file = match table.remove("train") {
            Some(toml::Value::String(file)) => file.into(),
            _ => return Err("expected train = \"FILE\"".into()),
        };
        for key in ["test", "groups"] {
            if table.contains_key(key) {
                return Err(format!(
                    "rows with ids are divided into training and test rows by these: leave `{key}` out"
                ));
            }
        }
        let preprocess = table.remove("preprocess").map(toml::Value::try_into).transpose();
        let preprocess: Preprocessing = preprocess.map_err(|e| format!("preprocess: {e}"))?.unwrap_or_default();
        if preprocess.standardise {
            return Err("preprocess: the job says whether columns are standardised".into());
        }
        // `ids = [...]` is short for `ids = { columns = [...] }`.
        if let Some(columns @ toml::Value::Array(_)) = table.get("ids").cloned() {
            let ids = toml::Table::from_iter([("columns".to_owned(), columns)]);
            table.insert("ids".to_owned(), ids.into());
        }
        Ok(Self {
            file,
            options: table.try_into().map_err(|e: toml::de::Error| e.to_string())?,
            preprocess,
        })
    }
}

impl From<TableSource> for toml::Table {
    fn from(source: TableSource) -> Self {
        let mut table = Self::try_from(source.options).expect("options have only string keys");
        table.insert("train".to_owned(), source.file.display().to_string().into());
        if source.preprocess != Preprocessing::default() {
            let preprocess = toml::Value::try_from(source.preprocess).expect("options have only string keys");
            table.insert("preprocess".to_owned(), preprocess);
        }
        table
    }
}

#[cfg(test)]
mod tests;
