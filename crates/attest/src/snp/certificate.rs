//! The certificate of a processor and its versions (VCEK), and AMD's chain above it.

use std::time::Duration;

use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use rustls_pki_types::{AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, UnixTime, alg_id};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring::RSA_PSS_2048_8192_SHA384_LEGACY_KEY};
use x509_cert::{
    Certificate,
    certificate::TbsCertificate,
    der::{Decode, asn1::Ia5String},
};

use super::KIND;
use crate::{AttestError, SnpTcb, error::short};

/// Of each product line, AMD's root and the intermediate that signs VCEKs.
const AMD: [(&[u8], &[u8]); 3] = [
    (include_bytes!("amd/milan-ark.der"), include_bytes!("amd/milan-ask.der")),
    (include_bytes!("amd/genoa-ark.der"), include_bytes!("amd/genoa-ask.der")),
    (include_bytes!("amd/turin-ark.der"), include_bytes!("amd/turin-ask.der")),
];

/// AMD's extensions are below this.
const AMD_EXTENSIONS: &str = "1.3.6.1.4.1.3704.1.";

/// A VCEK. Only after [`verify_chain`](Self::verify_chain) what it says is AMD's.
pub(super) struct Vcek {
    pub(super) der: CertificateDer<'static>,
    pub(super) not_after: u64,
    pub(super) key: Vec<u8>,
    pub(super) product: String,
    pub(super) chip: Vec<u8>,
    pub(super) tcb: SnpTcb,
}

impl Vcek {
    pub(super) fn parse(der: &[u8]) -> Result<Self, AttestError> {
        let certificate = Certificate::from_der(der).map_err(|error| unusable(format!("no certificate: {error}")))?;
        let certificate = certificate.tbs_certificate();
        let product = der_value::<Ia5String>(extension(certificate, "2")?)?.to_string();
        let turin = is_turin(&product);
        let version = |oid| -> Result<u8, AttestError> { der_value(extension(certificate, oid)?) };
        Ok(Self {
            der: CertificateDer::from(der.to_vec()),
            not_after: certificate.validity().not_after.to_unix_duration().as_secs(),
            key: certificate.subject_public_key_info().subject_public_key.raw_bytes().to_vec(),
            chip: extension(certificate, "4")?.to_vec(),
            tcb: SnpTcb {
                fmc: if turin { version("3.9")? } else { 0 },
                bootloader: version("3.1")?,
                tee: version("3.2")?,
                snp: version("3.3")?,
                microcode: version("3.8")?,
            },
            product,
        })
    }

    /// Up to one of AMD's roots, at this time; returns until when the certificate is valid.
    pub(super) fn verify_chain(&self, now: u64) -> Result<u64, AttestError> {
        let [roots, intermediates] =
            [AMD.map(|(ark, _)| ark), AMD.map(|(_, ask)| ask)].map(|chain| chain.map(CertificateDer::from));
        let mut anchors = Vec::new();
        for root in &roots {
            anchors.push(anchor_from_trusted_cert(root).map_err(|error| unauthentic(error.to_string()))?);
        }
        let end = EndEntityCert::try_from(&self.der).map_err(|error| unusable(error.to_string()))?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        // Certificates of Milan and Genoa, and some of Turin, name the algorithm in AMD's own form, others in the usual one.
        let algorithms: [&dyn SignatureVerificationAlgorithm; 2] = [&AmdSignature, RSA_PSS_2048_8192_SHA384_LEGACY_KEY];
        // No certificate of AMD says what its key is for; webpki accepts that.
        end.verify_for_usage(
            &algorithms,
            &anchors,
            &intermediates,
            now,
            KeyUsage::client_auth(),
            None,
            None,
        )
        .map(|_| self.not_after)
        .map_err(refused)
    }

    pub(super) fn verify_signature(&self, message: &[u8], signature: &[u8; 96]) -> Result<(), AttestError> {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &self.key)
            .verify(message, signature)
            .map_err(|_| unauthentic("its signature does not fit the key of the VCEK".to_owned()))
    }

    pub(super) fn is_turin(&self) -> bool {
        is_turin(&self.product)
    }

    pub(super) fn tcb(&self) -> SnpTcb {
        self.tcb
    }

    /// Processors from Turin on have 8 bytes of 64, the others zero.
    pub(super) fn is_of_chip(&self, id: [u8; 64]) -> bool {
        let expected = if self.is_turin() { 8 } else { 64 };
        let (chip, rest) = id.split_at(expected);
        self.chip == chip && rest.iter().all(|byte| *byte == 0)
    }
}

/// RSA-PSS as AMD's certificates name it: with the default of one field written out, which is not the usual form.
#[derive(Debug)]
struct AmdSignature;

impl SignatureVerificationAlgorithm for AmdSignature {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        RSA_PSS_2048_8192_SHA384_LEGACY_KEY.verify_signature(key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        // id-RSASSA-PSS; [0] SHA-384; [1] MGF1 with SHA-384; [2] salt of 48 bytes; [3] trailer 1.
        AlgorithmIdentifier::from_slice(
            b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x39\xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
              \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
              \xa2\x03\x02\x01\x30\xa3\x03\x02\x01\x01",
        )
    }
}

fn is_turin(product: &str) -> bool {
    product.starts_with("Turin")
}

fn extension<'a>(certificate: &'a TbsCertificate, oid: &str) -> Result<&'a [u8], AttestError> {
    let wanted = format!("{AMD_EXTENSIONS}{oid}");
    let mut extensions = certificate.extensions().into_iter().flatten();
    extensions
        .find(|extension| extension.extn_id.to_string() == wanted)
        .map(|extension| extension.extn_value.as_bytes())
        .ok_or_else(|| unusable(format!("the certificate has no extension {wanted}, so it is no VCEK")))
}

fn der_value<'a, T: Decode<'a, Error = x509_cert::der::Error>>(der: &'a [u8]) -> Result<T, AttestError> {
    T::from_der(der).map_err(|error| unusable(format!("an extension of the VCEK: {error}")))
}

fn refused(error: webpki::Error) -> AttestError {
    let what = "the processor's certificate (VCEK) or one above it";
    match error {
        webpki::Error::CertExpired { time, not_after } => AttestError::Expired {
            what,
            from: 0,
            until: not_after.as_secs(),
            now: time.as_secs(),
        },
        webpki::Error::CertNotValidYet { time, not_before } => AttestError::Expired {
            what,
            from: not_before.as_secs(),
            until: u64::MAX,
            now: time.as_secs(),
        },
        error => unauthentic(format!("the VCEK is not signed by AMD: {error}")),
    }
}

fn unauthentic(cause: String) -> AttestError {
    AttestError::Signature {
        kind: KIND,
        cause: short(cause),
    }
}

fn unusable(cause: String) -> AttestError {
    AttestError::Endorsements {
        kind: KIND,
        cause: short(cause),
    }
}
