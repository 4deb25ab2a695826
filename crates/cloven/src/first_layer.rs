//! What a training by `vertical` leaves at a holder: its shares of the first layer, of no use without those of all other holders.

use std::path::Path;

use zeroize::Zeroizing;

use crate::{Error, Job, files};

const MAGIC: &[u8; 16] = b"cloven shares 1\n";

/// Writes a holder's shares with mode 0600: magic, job digest, shares, BLAKE3 of all that.
pub(crate) fn write(path: &Path, job: &Job, shares: &[u8]) -> Result<(), Error> {
    let mut bytes = [&MAGIC[..], &job.digest(), shares].concat();
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    files::write(path, &bytes, true)
}

/// Reads what [`write`] wrote; it must be of this job.
pub(crate) fn read(path: &Path, job: &Job) -> Result<Zeroizing<Vec<u8>>, Error> {
    const DIGEST: usize = 32;
    let damaged = || Error::configuration(path.display(), "the file is damaged");
    let terms = job.vertical_terms()?;
    // A word for each weight and bias of all holders.
    let most = MAGIC.len() + 2 * DIGEST + 8 * (terms.features() + 1) * terms.width;
    if std::fs::metadata(path).map_err(Error::file(path))?.len() > most as u64 {
        return Err(damaged());
    }
    let bytes = Zeroizing::new(std::fs::read(path).map_err(Error::file(path))?);
    let (content, digest) = bytes.split_last_chunk::<DIGEST>().ok_or_else(damaged)?;
    if blake3::hash(content) != *digest {
        return Err(damaged());
    }
    let rest = content.strip_prefix(MAGIC).ok_or_else(damaged)?;
    let (of, shares) = rest.split_first_chunk::<DIGEST>().ok_or_else(damaged)?;
    match *of == job.digest() {
        true => Ok(Zeroizing::new(shares.to_vec())),
        false => Err(Error::OtherJob {
            path: path.to_owned(),
            expected: job.digest_hex(),
            got: blake3::Hash::from_bytes(*of).to_hex().to_string(),
        }),
    }
}
