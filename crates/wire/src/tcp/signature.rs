//! Statements of one party that another party passes on: signed with the key of the party's certificate.

use tokio_rustls::rustls::{
    SignatureScheme,
    crypto::ring::{default_provider, sign::any_supported_type},
};

use super::identity::{Certificate, Identity, IdentityError};

/// The scheme of the keys that [`Identity::generate`] makes.
const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
/// Stands before every message: no signature made in a TLS handshake can be taken for one of these, nor the other way round.
const DOMAIN: &[u8] = b"cloven v1 signed statement\0";

impl Identity {
    /// Signs `message`, whose first bytes must say what kind of statement it is.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, IdentityError> {
        let failed = |e: &dyn std::fmt::Display| IdentityError::Key(e.to_string());
        let key = any_supported_type(&self.key()).map_err(|e| failed(&e))?;
        let signer = key
            .choose_scheme(&[SCHEME])
            .ok_or_else(|| failed(&"expected an ECDSA key on P-256"))?;
        signer.sign(&[DOMAIN, message].concat()).map_err(|e| failed(&e))
    }
}

impl Certificate {
    /// Whether `signature` is the certificate's owner's, of `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(certificate) = webpki::EndEntityCert::try_from(self.der()) else {
            return false;
        };
        let algorithms = default_provider().signature_verification_algorithms.mapping;
        let of_scheme = algorithms
            .iter()
            .filter(|(scheme, _)| *scheme == SCHEME)
            .flat_map(|(_, all)| *all);
        let message = [DOMAIN, message].concat();
        of_scheme
            .into_iter()
            .any(|algorithm| certificate.verify_signature(*algorithm, &message, signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_message_and_one_key() {
        let [(a, _), (b, _)] = ["hospital", "cloud"].map(|name| Identity::generate(name.parse().unwrap()).unwrap());
        let signature = a.sign(b"mask key 1").unwrap();
        assert!(a.certificate.verifies(b"mask key 1", &signature));
        assert!(!a.certificate.verifies(b"mask key 2", &signature));
        assert!(!b.certificate.verifies(b"mask key 1", &signature));
        assert!(!a.certificate.verifies(b"mask key 1", &signature[1..]));
        assert!(!a.certificate.verifies(b"mask key 1", &[]));
    }
}
