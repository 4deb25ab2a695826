//! Boxes that only one server, or only the user, can open, on their way through the gateway: HPKE (RFC 9180; X25519, HKDF-SHA256, ChaCha20-Poly1305), base mode.
//!
//! A server's public key is signed with the key of its certificate, which the user pins. The user's key is made for one request and travels inside the boxes to the
//! servers, so that the gateway cannot exchange it.

use cloven_wire::{
    Party,
    tcp::{Identity, Roster},
};
use hpke::{
    Deserializable, Kem as _, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256, kem::X25519HkdfSha256,
    single_shot_open, single_shot_seal_with_rng,
};
use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::{ProtocolError, SignedKey};

type Kem = X25519HkdfSha256;

/// Bytes of a public key.
pub(super) const KEY: usize = 32;
/// What a box is longer than its content: the encapsulated key and the tag.
pub(super) const OVERHEAD: usize = KEY + 16;
/// What a server's key is signed for.
const PURPOSE: &str = "secure inference: sealed to a server";

/// The secret key of a server, or of a user for one request. Wiped on drop.
pub(super) struct BoxKey {
    secret: <Kem as hpke::Kem>::PrivateKey,
    public: [u8; KEY],
}

impl BoxKey {
    pub(super) fn generate(rng: &mut impl CryptoRng) -> Self {
        let (secret, public) = Kem::gen_keypair_with_rng(rng);
        Self {
            secret,
            public: public.to_bytes().into(),
        }
    }

    pub(super) fn public(&self) -> [u8; KEY] {
        self.public
    }

    /// The public key, signed.
    pub(super) fn signed(&self, job: [u8; 32], identity: &Identity) -> Result<SignedKey, ProtocolError> {
        SignedKey::sign(PURPOSE, job, identity, self.public)
    }

    /// The content of a box for this key about `context`; `None` when it is not one.
    pub(super) fn open(&self, context: &Context<'_>, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (key, content) = sealed.split_at_checked(KEY)?;
        let key = <Kem as hpke::Kem>::EncappedKey::from_bytes(key).ok()?;
        let info = context.bytes();
        let opened =
            single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(&OpModeR::Base, &self.secret, &key, &info, content, &[]);
        opened.ok().map(Zeroizing::new)
    }
}

/// What a box is about; it opens for the same only.
pub(super) struct Context<'a> {
    pub(super) job: [u8; 32],
    /// The server that opens or seals.
    pub(super) server: &'a Party,
    /// `input` or `output`.
    pub(super) what: &'static str,
}

impl Context<'_> {
    fn bytes(&self) -> Vec<u8> {
        let Self { job, server, what } = self;
        [
            b"cloven v1 secure inference ".as_slice(),
            what.as_bytes(),
            b"\0",
            job,
            server.as_str().as_bytes(),
        ]
        .concat()
    }
}

/// Seals `content` for the owner of `key`; `None` when that is no key.
pub(super) fn seal(key: &[u8; KEY], context: &Context<'_>, content: &[u8], rng: &mut impl CryptoRng) -> Option<Vec<u8>> {
    let key = <Kem as hpke::Kem>::PublicKey::from_bytes(key).ok()?;
    let sealed =
        single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, Kem>(&OpModeS::Base, &key, &context.bytes(), content, &[], rng);
    let (encapsulated, content) = sealed.ok()?;
    Some([encapsulated.to_bytes().as_slice(), &content].concat())
}

/// The key that `server` signed, as the roster pins it.
pub(super) fn key_of<'a>(signed: &'a SignedKey, server: &Party, job: [u8; 32], roster: &Roster) -> Option<&'a [u8; KEY]> {
    signed.is_of(server, PURPOSE, job, roster).then_some(&signed.key)
}
