//! What a training by `vertical` leaves at a holder: its shares of the first layer, of no use without those of all other holders.

use std::path::Path;

use crate::{Error, Job, files};

const MAGIC: &[u8; 16] = b"cloven shares 1\n";

/// Writes a holder's shares with mode 0600: magic, job digest, shares, BLAKE3 of all that.
pub(crate) fn write(path: &Path, job: &Job, shares: &[u8]) -> Result<(), Error> {
    let mut bytes = [&MAGIC[..], &job.digest(), shares].concat();
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    files::write(path, &bytes, true)
}
