//! TLS configurations whose only trust anchor is the roster.

use std::sync::{Arc, Mutex};

use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::TLS13,
};

use super::identity::{Certificate, Identity, fingerprint};
use crate::WireError;

/// Accepts exactly the allowed certificates and remembers the fingerprint of one that it turned away.
#[derive(Debug)]
pub(super) struct PinVerifier {
    allowed: Vec<Certificate>,
    provider: Arc<CryptoProvider>,
    refused: Mutex<Option<String>>,
}

impl PinVerifier {
    fn new(allowed: Vec<Certificate>) -> Arc<Self> {
        Arc::new(Self {
            allowed,
            provider: Arc::new(ring::default_provider()),
            refused: Mutex::new(None),
        })
    }

    /// The fingerprint of the last certificate turned away, once.
    pub(super) fn refused(&self) -> Option<String> {
        self.refused.lock().ok()?.take()
    }

    fn check(&self, der: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        if self.allowed.iter().any(|c| c.der() == der) {
            return Ok(());
        }
        if let Ok(mut refused) = self.refused.lock() {
            *refused = Some(fingerprint(der));
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn tls12_is_off() -> rustls::Error {
    rustls::Error::General("TLS 1.2 is not offered".into())
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(tls12_is_off())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for PinVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(tls12_is_off())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

fn local(cause: rustls::Error) -> WireError {
    WireError::Local {
        what: "cannot use this party's key and certificate".into(),
        cause: cause.to_string(),
    }
}

/// For dialling the one party whose certificate is `pinned`.
pub(super) fn client_config(identity: &Identity, pinned: &Certificate) -> Result<(ClientConfig, Arc<PinVerifier>), WireError> {
    let verifier = PinVerifier::new(vec![pinned.clone()]);
    let mut config = ClientConfig::builder_with_provider(verifier.provider.clone())
        .with_protocol_versions(&[&TLS13])
        .map_err(local)?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_client_auth_cert(vec![identity.certificate.der().clone()], identity.key())
        .map_err(local)?;
    // Every session proves both keys anew; the server's name is not sent in the clear.
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok((config, verifier))
}

/// For accepting any of the parties whose certificates are `pinned`.
pub(super) fn server_config(
    identity: &Identity,
    pinned: Vec<Certificate>,
) -> Result<(ServerConfig, Arc<PinVerifier>), WireError> {
    let verifier = PinVerifier::new(pinned);
    let mut config = ServerConfig::builder_with_provider(verifier.provider.clone())
        .with_protocol_versions(&[&TLS13])
        .map_err(local)?
        .with_client_cert_verifier(verifier.clone())
        .with_single_cert(vec![identity.certificate.der().clone()], identity.key())
        .map_err(local)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok((config, verifier))
}
