//! Reading and writing files whole.

use std::{fs, io::Write, path::Path};

use serde::de::DeserializeOwned;

use crate::Error;

/// No configuration file is larger than this.
const MAX_TEXT: u64 = 4 << 20;

/// Reads a text file of bounded size.
pub(crate) fn read_text(path: &Path) -> Result<String, Error> {
    read_bounded(path, MAX_TEXT)
}

/// Reads a text file of at most `limit` bytes.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<String, Error> {
    let length = fs::metadata(path).map_err(Error::file(path))?.len();
    if length > limit {
        return Err(Error::configuration(
            path.display(),
            format!("{length} bytes are more than such a file ever has ({limit})"),
        ));
    }
    fs::read_to_string(path).map_err(Error::file(path))
}

/// Reads a TOML file; the error names the file and the line.
pub(crate) fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    toml::from_str(&read_text(path)?).map_err(|e| Error::configuration(path.display(), e))
}

/// Writes a file atomically: a reader sees the old content or the new, never a part, also after a loss of power.
pub(crate) fn write(path: &Path, content: &[u8], secret: bool) -> Result<(), Error> {
    let folder = folder_of(path);
    fs::create_dir_all(folder).map_err(Error::file(folder))?;
    let file = prepare(path, content, secret)?;
    file.as_file().sync_all().map_err(Error::file(path))?;
    put(file, path)
}

/// As [`write`] with `secret`, into a folder that exists; a loss of power may leave a part of the file: whoever reads it must be able to tell.
pub(crate) fn write_for_now(path: &Path, content: &[u8]) -> Result<(), Error> {
    put(prepare(path, content, true)?, path)
}

fn prepare(path: &Path, content: &[u8], secret: bool) -> Result<tempfile::NamedTempFile, Error> {
    // A temporary file is born with mode 0600; what is not secret is opened up before it gets its name.
    let mut file = tempfile::NamedTempFile::new_in(folder_of(path)).map_err(Error::file(path))?;
    file.write_all(content).map_err(Error::file(path))?;
    if !secret {
        make_public(&file).map_err(Error::file(path))?;
    }
    Ok(file)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn put(file: tempfile::NamedTempFile, path: &Path) -> Result<(), Error> {
    file.persist(path).map_err(|e| Error::File {
        path: path.to_owned(),
        cause: e.error,
    })?;
    Ok(())
}

#[cfg(unix)]
fn make_public(file: &tempfile::NamedTempFile) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_public(_: &tempfile::NamedTempFile) -> std::io::Result<()> {
    Ok(())
}
