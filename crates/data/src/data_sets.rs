//! Choosing among the named arrays of one file (HDF5, npz).

use std::path::Path;

use crate::error::DataError;

/// The part of a source that one file serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Train,
    Test,
}

/// How one of a file's arrays is found.
pub(crate) struct Wanted<'a> {
    /// The name that must be there, when given.
    pub(crate) named: Option<&'a String>,
    /// Names that are taken when they are there, the first first.
    pub(crate) preferred: [Option<&'a String>; 2],
    /// Otherwise the only name that starts with this.
    pub(crate) prefix: char,
    /// The option that would settle it, for errors.
    pub(crate) option: &'static str,
}

/// The name of the wanted array among `names`.
pub(crate) fn choose(file: &Path, names: &[String], wanted: &Wanted) -> Result<String, DataError> {
    let available = match names {
        [] => "none".to_string(),
        names => names.join(", "),
    };
    if let Some(name) = wanted.named {
        return present(names, name).ok_or_else(|| DataError::UnknownDataSet {
            file: file.into(),
            name: name.clone(),
            available,
        });
    }
    if let Some(name) = wanted.preferred.iter().flatten().find_map(|name| present(names, name)) {
        return Ok(name);
    }
    let starts = |path: &&String| {
        let last = path.rsplit('/').next();
        last.is_some_and(|name| name.to_lowercase().starts_with(wanted.prefix))
    };
    let matching: Vec<&String> = names.iter().filter(starts).collect();
    match matching.as_slice() {
        [only] => Ok((*only).clone()),
        _ => Err(DataError::AmbiguousDataSet {
            file: file.into(),
            prefix: wanted.prefix,
            found: matching.len(),
            option: wanted.option,
            available,
        }),
    }
}

/// The name as the file spells it.
fn present(names: &[String], name: &str) -> Option<String> {
    let plain = name.trim_start_matches('/');
    names.iter().find(|other| *other == plain).cloned()
}
