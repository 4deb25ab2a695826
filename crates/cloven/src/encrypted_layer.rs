//! What a training by `encrypted-model` leaves on disk: the server's layers as ciphertexts, and the client's key to them.
//!
//! The ciphertexts may be copied over any channel; the key never leaves the client. Whoever loses the key loses the layers.

use std::path::Path;

use cloven_protocols::encrypted_model::{Fingerprint, HeldLayers, LayerKey, ProductKey};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{Error, Job, files, job::Samples};

const MAGIC: &[u8; 16] = b"cloven layer v1\n";
const DIGEST: usize = 32;

/// Writes the server's layers: magic, job digest, key fingerprint, ciphertexts of one layer after the other, BLAKE3 of all that.
pub(crate) fn write(path: &Path, job: &Job, layers: &HeldLayers) -> Result<(), Error> {
    let mut bytes = [&MAGIC[..], &job.digest(), &layers.key.0, &layers.weights.concat()].concat();
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    files::write(path, &bytes, false)
}

/// Reads what [`write()`] wrote; it must be of this job.
pub(crate) fn read(path: &Path, job: &Job) -> Result<HeldLayers, Error> {
    let lens = job.held_lens()?;
    let held_len: usize = lens.iter().sum();
    let wrong = |problem: String| Error::configuration(path.display(), problem);
    let expected = MAGIC.len() + DIGEST + Fingerprint::LEN + held_len + DIGEST;
    let length = std::fs::metadata(path).map_err(Error::file(path))?.len();
    if length != expected as u64 {
        return Err(wrong(format!(
            "expected {expected} bytes of the encrypted layers of this job, got {length}"
        )));
    }
    let bytes = std::fs::read(path).map_err(Error::file(path))?;
    let damaged = || wrong("the file is damaged, or holds no encrypted layers".into());
    let (content, digest) = bytes.split_last_chunk::<DIGEST>().ok_or_else(damaged)?;
    if blake3::hash(content) != *digest {
        return Err(damaged());
    }
    let rest = content.strip_prefix(MAGIC).ok_or_else(damaged)?;
    let (of, rest) = rest.split_first_chunk::<DIGEST>().ok_or_else(damaged)?;
    let (key, weights) = rest.split_first_chunk().ok_or_else(damaged)?;
    if *of != job.digest() {
        return Err(Error::OtherJob {
            path: path.to_owned(),
            expected: job.digest_hex(),
            got: blake3::Hash::from_bytes(*of).to_hex().to_string(),
        });
    }
    let mut rest = weights;
    let split = lens.iter().map(|len| {
        let (layer, after) = rest.split_at_checked(*len)?;
        rest = after;
        Some(layer.to_vec())
    });
    Ok(HeldLayers {
        key: Fingerprint(*key),
        weights: split.collect::<Option<_>>().ok_or_else(damaged)?,
    })
}

/// What the client keeps: the secret that its key is derived from, and the factor of weight decay.
pub(crate) struct KeptKey {
    pub(crate) secret: Zeroizing<[u8; 32]>,
    pub(crate) factor: f64,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    job: String,
    fingerprint: String,
    /// As text: a number read back is the number written, bit for bit.
    factor: String,
    secret: String,
}

impl KeptKey {
    /// Writes it with mode 0600.
    pub(crate) fn write(&self, path: &Path, job: &Job) -> Result<(), Error> {
        let file = KeyFile {
            job: job.digest_hex(),
            fingerprint: self.fingerprint(job)?.to_string(),
            factor: self.factor.to_string(),
            secret: blake3::Hash::from_bytes(*self.secret).to_hex().to_string(),
        };
        let text = Zeroizing::new(serde_json::to_string_pretty(&file).expect("a key file has only string keys"));
        files::write(path, text.as_bytes(), true)
    }

    /// Reads what [`KeptKey::write`] wrote; it must be of this job.
    pub(crate) fn read(path: &Path, job: &Job) -> Result<Self, Error> {
        let wrong = |problem: &dyn std::fmt::Display| Error::configuration(path.display(), problem);
        let text = Zeroizing::new(files::read_text(path)?);
        let file: KeyFile = serde_json::from_str(&text).map_err(|e| wrong(&e))?;
        if file.job != job.digest_hex() {
            return Err(Error::OtherJob {
                path: path.to_owned(),
                expected: job.digest_hex(),
                got: file.job.escape_debug().to_string(),
            });
        }
        let secret =
            blake3::Hash::from_hex(file.secret.as_bytes()).map_err(|_| wrong(&"the secret is no 64 hexadecimal digits"))?;
        let factor = file.factor.parse().map_err(|_| wrong(&"the factor is no number"))?;
        let kept = Self {
            secret: Zeroizing::new(*secret.as_bytes()),
            factor,
        };
        match kept.fingerprint(job)?.to_string() == file.fingerprint && factor.is_normal() {
            true => Ok(kept),
            false => Err(wrong(&"the secret is not that of the fingerprint: the file is damaged")),
        }
    }

    /// The key, where samples are in the clear.
    pub(crate) fn key(&self, job: &Job) -> Result<LayerKey, Error> {
        Ok(LayerKey::new(job.layer_encryption()?, &self.secret))
    }

    fn fingerprint(&self, job: &Job) -> Result<Fingerprint, Error> {
        Ok(match job.samples() {
            Samples::Clear => self.key(job)?.fingerprint(),
            Samples::Encrypted => ProductKey::new(job.first_product()?, &self.secret).fingerprint(),
        })
    }
}

#[cfg(test)]
mod tests;
