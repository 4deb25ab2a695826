//! The enclave's state outside the enclave: sealed under a key that the customer gave it.
//!
//! XChaCha20-Poly1305 under a key derived from the customer's for this job, with the name of the part as associated data. The nonce of 24 bytes is a keyed hash of the content: one
//! that comes again is that of the same content, and nothing has to be remembered. Whoever keeps the files can bring back an older state of the same training; the customer sees by the position that both agree on where training goes on.

use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use zeroize::Zeroizing;

use crate::{CheckpointError, ProtocolError};

const NONCE: usize = 24;

/// Seals and opens.
pub(super) struct Seal {
    cipher: XChaCha20Poly1305,
    nonces: Zeroizing<[u8; 32]>,
}

impl Seal {
    pub(super) fn new(customers: &[u8; 32], job: &[u8; 32]) -> Self {
        let material = Zeroizing::new([&customers[..], job].concat());
        let derive = |purpose| Zeroizing::new(blake3::derive_key(purpose, &material));
        let key = derive("cloven v1 enclave: sealed state");
        Self {
            cipher: XChaCha20Poly1305::new(&Key::from(*key)),
            nonces: derive("cloven v1 enclave: nonces of sealed state"),
        }
    }

    /// `plain`, which is called `name`.
    ///
    /// # Errors
    /// [`ProtocolError::Checkpoint`] where it is too long.
    pub(super) fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, ProtocolError> {
        let mut hasher = blake3::Hasher::new_keyed(&self.nonces);
        hasher
            .update(&(name.len() as u64).to_le_bytes())
            .update(name.as_bytes())
            .update(plain);
        let mut nonce = [0; NONCE];
        hasher.finalize_xof().fill(&mut nonce);
        let payload = Payload {
            msg: plain,
            aad: name.as_bytes(),
        };
        let content = self.cipher.encrypt(&XNonce::from(nonce), payload);
        let content = content.map_err(|_| refused(name, "is too long to be sealed"))?;
        Ok([&nonce[..], &content].concat())
    }

    /// What [`Seal::seal`] sealed under this name.
    ///
    /// # Errors
    /// [`ProtocolError::Checkpoint`] for anything else.
    pub(super) fn open(&self, name: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, ProtocolError> {
        let (nonce, content) = sealed
            .split_first_chunk::<NONCE>()
            .ok_or_else(|| refused(name, "is too short"))?;
        let payload = Payload {
            msg: content,
            aad: name.as_bytes(),
        };
        let plain = self.cipher.decrypt(&XNonce::from(*nonce), payload);
        plain
            .map(Zeroizing::new)
            .map_err(|_| refused(name, "was not sealed under this customer's key for this job"))
    }
}

fn refused(name: &str, why: &str) -> ProtocolError {
    CheckpointError {
        why: format!("the sealed {name} {why}"),
    }
    .into()
}
