//! Where randomness comes from: a pseudorandom function of a party's secret and a session's context.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use zeroize::Zeroizing;

const CONTEXT: &str = "cloven mpc 2026 session context";
const SEED: &str = "cloven mpc 2026 session seed";
const STREAM: &str = "cloven mpc 2026 session stream";
const PUBLIC: &str = "cloven mpc 2026 session public key";

/// A party's long-lived secret: 32 uniform bytes that nobody else has. Wiped on drop.
pub struct PartySecret(Zeroizing<[u8; 32]>);

impl PartySecret {
    /// Wraps 32 secret uniform bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

/// One run of one protocol between a fixed set of parties: public values that all of them derive alike from the session's context, and
/// secret streams that only this party has.
///
/// **A context is used for one run.** All randomness is a function of (secret, context, purpose): the same steps on the same data give the same
/// bytes, so a step may be retried, but a second run on *other* data under the same context would reuse masks. Put a number of the run into
/// the context that never comes again, and use [`Session::child`] for each sub-protocol and each direction of it.
pub struct Session {
    context: [u8; 32],
    seed: Zeroizing<[u8; 32]>,
}

impl Session {
    /// The session that `context` names, a byte string that all parties of the run have in common.
    pub fn new(secret: &PartySecret, context: &[u8]) -> Self {
        let context = blake3::derive_key(CONTEXT, context);
        Self::derive(&secret.0, context)
    }

    /// An independent session for a part of this one. Parties that give the same labels have the same context.
    pub fn child(&self, label: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&self.context).update(label);
        Self::derive(&self.seed, *hasher.finalize().as_bytes())
    }

    fn derive(secret: &[u8; 32], context: [u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(SEED);
        hasher.update(secret).update(&context);
        Self {
            context,
            seed: Zeroizing::new(*hasher.finalize().as_bytes()),
        }
    }

    /// The secret stream for one purpose. Every purpose is asked for once in a session.
    pub(crate) fn stream(&self, purpose: &str) -> ChaCha20Rng {
        let mut hasher = blake3::Hasher::new_derive_key(STREAM);
        hasher.update(&*self.seed).update(purpose.as_bytes());
        let seed = Zeroizing::new(*hasher.finalize().as_bytes());
        ChaCha20Rng::from_seed(*seed)
    }

    /// A public key for one purpose: the same at all parties of the session.
    pub(crate) fn public_key(&self, purpose: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(PUBLIC);
        hasher.update(&self.context).update(purpose.as_bytes());
        *hasher.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn sessions_differ_by_secret_context_and_child_and_streams_by_purpose() {
        let [one, two] = [1, 2].map(|byte| PartySecret::new([byte; 32]));
        let sessions = [
            Session::new(&one, b"run 1"),
            Session::new(&two, b"run 1"),
            Session::new(&one, b"run 2"),
            Session::new(&one, b"run 1").child(b""),
            Session::new(&one, b"run 1").child(b"a"),
            Session::new(&one, b"run 1").child(b"a").child(b"a"),
        ];
        let mut seen = std::collections::HashSet::new();
        for session in &sessions {
            for purpose in ["a", "b"] {
                assert!(seen.insert(session.stream(purpose).next_u64()));
            }
        }
        let first = Session::new(&one, b"run 1");
        assert_eq!(first.stream("a").next_u64(), sessions[0].stream("a").next_u64());
        // What is public depends on the context alone.
        assert_eq!(sessions[0].public_key("a"), sessions[1].public_key("a"));
        assert_eq!(
            sessions[4].public_key("a"),
            Session::new(&two, b"run 1").child(b"a").public_key("a")
        );
        assert_ne!(sessions[0].public_key("a"), sessions[0].public_key("b"));
        assert_ne!(sessions[0].public_key("a"), sessions[2].public_key("a"));
    }
}
