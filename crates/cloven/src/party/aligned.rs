//! The order of a holder's rows that all holders agreed on, as a file beside its checkpoints.
//!
//! Magic, BLAKE3 of the ids in the order of the table, the place of each common row (8 bytes, little-endian), BLAKE3 of all that. It tells nothing that
//! the holder's table and the other holders' do not.

use std::path::Path;

use cloven_protocols::vertical::Id;

use crate::{Error, files};

const MAGIC: &[u8; 16] = b"cloven rows v1\n\n";
const DIGEST: usize = 32;

/// Keeps the order. Checkpoints are of the order that they began with: another one is an error unless there is no checkpoint (`fresh`).
pub(super) fn write_places(path: &Path, ids: &[Id], places: &[usize], fresh: bool) -> Result<(), Error> {
    if !fresh && path.exists() {
        return match read_places(path, ids)? == places {
            true => Ok(()),
            false => Err(changed(path)),
        };
    }
    let mut bytes = [&MAGIC[..], blake3::hash(ids.as_flattened()).as_bytes()].concat();
    places
        .iter()
        .for_each(|place| bytes.extend_from_slice(&(*place as u64).to_le_bytes()));
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    files::write(path, &bytes, true)
}

/// The order that was kept; it must be of these ids.
pub(crate) fn read_places(path: &Path, ids: &[Id]) -> Result<Vec<usize>, Error> {
    let damaged = || Error::configuration(path.display(), "the file is damaged");
    let most = MAGIC.len() + 2 * DIGEST + 8 * ids.len();
    let length = std::fs::metadata(path).map_err(Error::file(path))?.len();
    if length > most as u64 {
        return Err(changed(path));
    }
    let bytes = std::fs::read(path).map_err(Error::file(path))?;
    let (content, digest) = bytes.split_last_chunk::<DIGEST>().ok_or_else(damaged)?;
    if blake3::hash(content) != *digest {
        return Err(damaged());
    }
    let rest = content.strip_prefix(MAGIC).ok_or_else(damaged)?;
    let (of, places) = rest.split_first_chunk::<DIGEST>().ok_or_else(damaged)?;
    if blake3::hash(ids.as_flattened()) != *of {
        return Err(changed(path));
    }
    let (places, []) = places.as_chunks() else {
        return Err(damaged());
    };
    let place = |bytes: &[u8; 8]| {
        usize::try_from(u64::from_le_bytes(*bytes))
            .ok()
            .filter(|place| *place < ids.len())
    };
    places.iter().map(place).collect::<Option<_>>().ok_or_else(damaged)
}

fn changed(path: &Path) -> Error {
    let problem = "the rows of some holder are no longer those that this run began with: restore its table, or begin a new run";
    Error::configuration(path.display(), problem)
}

#[cfg(test)]
mod tests;
