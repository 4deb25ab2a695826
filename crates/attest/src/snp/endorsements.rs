//! Where the VCEK stands in the endorsements: alone, as DER or PEM, or in the table that the kernel passes on from the host.

use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::KIND;
use crate::{AttestError, error::short};

/// 63da758d-e664-4564-adc5-f4b93be8accd, the VCEK's entry (GHCB specification, 56421).
const VCEK: [u8; 16] = *b"\x63\xda\x75\x8d\xe6\x64\x45\x64\xad\xc5\xf4\xb9\x3b\xe8\xac\xcd";

/// Bytes of an entry: GUID, offset, length.
const ENTRY: usize = 24;

pub(super) fn vcek(bytes: &[u8]) -> Result<Vec<u8>, AttestError> {
    match bytes {
        [] => Err(unusable(
            "there are none: neither did the host pass on the processor's certificate (VCEK) nor does the policy name a file of it",
        )),
        // A sequence longer than 255 bytes.
        [0x30, 0x82, ..] => Ok(bytes.to_vec()),
        [b'-', ..] => CertificateDer::from_pem_slice(bytes)
            .map(|certificate| certificate.to_vec())
            .map_err(|error| unusable(format!("no certificate in PEM: {error}"))),
        table => from_table(table).map(<[u8]>::to_vec),
    }
}

fn from_table(table: &[u8]) -> Result<&[u8], AttestError> {
    let mut entries = table.chunks_exact(ENTRY).take_while(|entry| entry[..16] != [0; 16]);
    let entry = entries
        .find(|entry| entry[..16] == VCEK)
        .ok_or_else(|| unusable("neither DER nor PEM nor a table of certificates with a VCEK"))?;
    let number = |at: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&entry[at..at + 4]);
        u32::from_le_bytes(bytes) as usize
    };
    let (from, len) = (number(16), number(20));
    from.checked_add(len).and_then(|to| table.get(from..to)).ok_or_else(|| {
        unusable(format!(
            "the table's VCEK is said to be {len} bytes at {from}, of {}",
            table.len()
        ))
    })
}

fn unusable(cause: impl Into<String>) -> AttestError {
    AttestError::Endorsements {
        kind: KIND,
        cause: short(cause.into()),
    }
}
