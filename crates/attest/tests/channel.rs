//! Both sides over TLS connections, and a party in between that relays a genuine enclave's quote.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{io::Cursor, sync::Arc, time::SystemTime};

use cloven_attest::{
    AttestError, Attester, Digest, EXPORTER_LABEL, Evidence, Exporter, KeyHash, Nonce, Policy, ReportData, Simulated, verify,
};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// The key of a party, with the certificate that customers pin.
struct Identity {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Identity {
    fn generate() -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["enclave".to_owned()]).unwrap();
        Self {
            certificate: params.self_signed(&key).unwrap().der().clone(),
            key: key.serialize_der(),
        }
    }

    fn key_hash(&self) -> KeyHash {
        KeyHash::of_certificate(&self.certificate).unwrap()
    }
}

/// A connection between a customer and whoever has this key.
struct Connection {
    client: ClientConnection,
    server: ServerConnection,
}

impl Connection {
    fn to(identity: &Identity) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(identity.certificate.clone()).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key.clone()));
        let server = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![identity.certificate.clone()], key)
            .unwrap();
        let mut connection = Self {
            client: ClientConnection::new(Arc::new(client), "enclave".try_into().unwrap()).unwrap(),
            server: ServerConnection::new(Arc::new(server)).unwrap(),
        };
        connection.shake_hands();
        connection
    }

    fn shake_hands(&mut self) {
        while self.client.is_handshaking()
            || self.server.is_handshaking()
            || self.client.wants_write()
            || self.server.wants_write()
        {
            let mut sent = Vec::new();
            self.client.write_tls(&mut sent).unwrap();
            self.server.read_tls(&mut Cursor::new(sent)).unwrap();
            self.server.process_new_packets().unwrap();
            let mut sent = Vec::new();
            self.server.write_tls(&mut sent).unwrap();
            self.client.read_tls(&mut Cursor::new(sent)).unwrap();
            self.client.process_new_packets().unwrap();
        }
    }

    fn customers(&self, nonce: &Nonce) -> Exporter {
        let exported = self
            .client
            .export_keying_material([0; 32], EXPORTER_LABEL, Some(nonce.as_bytes()));
        Exporter::from_bytes(exported.unwrap())
    }

    fn enclaves(&self, nonce: &Nonce) -> Exporter {
        let exported = self
            .server
            .export_keying_material([0; 32], EXPORTER_LABEL, Some(nonce.as_bytes()));
        Exporter::from_bytes(exported.unwrap())
    }
}

fn enclave() -> Attester {
    Attester::Simulated(Simulated {
        measurement: Digest([0xab; 48]),
        debug: false,
    })
}

fn decide(answer: &[u8], expected: &ReportData) -> Result<(), AttestError> {
    let policy = format!("kind = \"simulated\"\n[simulated]\nmeasurement = \"{}\"", "ab".repeat(48));
    let policy = Policy::from_toml(&policy)?;
    verify(&policy, &Evidence::decode(answer)?, expected, SystemTime::now()).map(drop)
}

#[test]
fn both_ends_of_a_connection_agree() {
    let identity = Identity::generate();
    let connection = Connection::to(&identity);
    let nonce = Nonce::fresh().unwrap();
    let own = ReportData::bind(&identity.key_hash(), &nonce, &connection.enclaves(&nonce));
    let answer = enclave().attest(&own).unwrap().encode();
    let expected = ReportData::bind(&identity.key_hash(), &nonce, &connection.customers(&nonce));
    decide(&answer, &expected).unwrap();
}

#[test]
fn a_quote_for_another_nonce_is_refused() {
    let identity = Identity::generate();
    let connection = Connection::to(&identity);
    let [old, new] = [Nonce::fresh().unwrap(), Nonce::fresh().unwrap()];
    let recorded = ReportData::bind(&identity.key_hash(), &old, &connection.enclaves(&old));
    let answer = enclave().attest(&recorded).unwrap().encode();
    let expected = ReportData::bind(&identity.key_hash(), &new, &connection.customers(&new));
    let error = decide(&answer, &expected).unwrap_err();
    assert!(matches!(error, AttestError::ReportData { .. }), "{error}");
}

/// Whoever is in between has the enclave's TLS key, so that the customer's pin fits, and asks the genuine enclave with the customer's nonce.
#[test]
fn a_relayed_quote_is_refused_even_with_the_enclaves_own_key() {
    let stolen = Identity::generate();
    let [customer_to_relay, relay_to_enclave] = [Connection::to(&stolen), Connection::to(&stolen)];
    let nonce = Nonce::fresh().unwrap();
    let genuine = ReportData::bind(&stolen.key_hash(), &nonce, &relay_to_enclave.enclaves(&nonce));
    let relayed = enclave().attest(&genuine).unwrap().encode();
    let expected = ReportData::bind(&stolen.key_hash(), &nonce, &customer_to_relay.customers(&nonce));
    let error = decide(&relayed, &expected).unwrap_err();
    assert!(matches!(error, AttestError::ReportData { .. }), "{error}");
}

#[test]
fn a_quote_for_another_key_is_refused() {
    let [own, others] = [Identity::generate(), Identity::generate()];
    let connection = Connection::to(&own);
    let nonce = Nonce::fresh().unwrap();
    let foreign = ReportData::bind(&others.key_hash(), &nonce, &connection.enclaves(&nonce));
    let answer = enclave().attest(&foreign).unwrap().encode();
    let expected = ReportData::bind(&own.key_hash(), &nonce, &connection.customers(&nonce));
    assert!(matches!(decide(&answer, &expected), Err(AttestError::ReportData { .. })));
}
