//! X25519 public keys that pass through another party, each signed with the key of its owner's certificate, which those who use it pin: so that whoever passes
//! them on cannot put its own in between.

use cloven_wire::{
    DecodeError, Party, Reader,
    tcp::{Identity, Roster},
};

use crate::ProtocolError;

/// Length of a key.
pub(crate) const KEY: usize = 32;
/// A signature is at most this long.
const MAX_SIGNATURE: usize = 128;

/// A public key with its owner's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedKey {
    /// X25519.
    pub key: [u8; KEY],
    /// Its owner's, with the key of the certificate that the others pin; over the key's purpose, the job's digest, the key and the owner's name.
    pub signature: Vec<u8>,
}

impl SignedKey {
    /// The longest encoding.
    pub(crate) const MAX_LEN: usize = KEY + 1 + MAX_SIGNATURE;

    /// This party's `key`, for `purpose` only.
    ///
    /// # Errors
    /// [`ProtocolError::Identity`] when the party's own key does not sign.
    pub(crate) fn sign(purpose: &str, job: [u8; 32], identity: &Identity, key: [u8; KEY]) -> Result<Self, ProtocolError> {
        let signature = identity.sign(&statement(purpose, job, &identity.party, &key));
        Ok(Self {
            key,
            signature: signature.map_err(|e| ProtocolError::Identity(e.to_string()))?,
        })
    }

    /// Whether `owner`, as pinned, signed it for `purpose`.
    pub(crate) fn is_of(&self, owner: &Party, purpose: &str, job: [u8; 32], roster: &Roster) -> bool {
        let statement = statement(purpose, job, owner, &self.key);
        roster
            .get(owner)
            .is_some_and(|pinned| pinned.verifies(&statement, &self.signature))
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key);
        out.push(self.signature.len() as u8);
        out.extend_from_slice(&self.signature);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let key = reader.array()?;
        let len = reader.u8()? as usize;
        if len > MAX_SIGNATURE {
            return Err(DecodeError::Field {
                field: "length of a signature",
                expected: format!("at most {MAX_SIGNATURE}"),
                got: len.to_string(),
            });
        }
        let signature = reader.bytes(len)?.to_vec();
        Ok(Self { key, signature })
    }
}

fn statement(purpose: &str, job: [u8; 32], owner: &Party, key: &[u8; KEY]) -> Vec<u8> {
    [purpose.as_bytes(), b"\0", &job, key, owner.as_str().as_bytes()].concat()
}
