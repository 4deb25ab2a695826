//! `--set key=value`: changes of a job on the command line.

use crate::Error;

/// A dotted key, such as `training.epochs`, and its new value.
pub type Setting = (String, toml::Value);

/// Parses `--set key=value`: the value is TOML, or else text.
pub fn parse_settings(settings: &[String]) -> Result<Vec<Setting>, Error> {
    settings
        .iter()
        .map(|setting| {
            let (key, value) = setting.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
                Error::configuration(format!("--set {setting}"), "expected key=value, such as training.epochs=3")
            })?;
            let parsed = toml::from_str::<toml::Table>(&format!("v = {value}"))
                .ok()
                .and_then(|mut t| t.remove("v"));
            Ok((
                key.trim().to_owned(),
                parsed.unwrap_or_else(|| toml::Value::String(value.to_owned())),
            ))
        })
        .collect()
}

/// Puts a value into a table; on the way to a dotted key tables are made.
pub(crate) fn set(table: &mut toml::Table, key: &str, value: toml::Value) -> Result<(), Error> {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
            Ok(())
        }
        Some((head, rest)) => {
            let inner = table.entry(head).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            let inner = inner
                .as_table_mut()
                .ok_or_else(|| Error::configuration("--set", format!("{head} is not a table")))?;
            set(inner, rest, value)
        }
    }
}
