//! Messages of n-of-n threshold encryption.

use cloven_lattice::{
    LatticeError, PublicKey, SecretKey,
    collective::{Collective, CollectiveSettings, CommonReference, EncryptedLayer, PartySecret, SecretLinear},
    linear::LinearShape,
};

use super::{Piece, Target, key, residues, response, secret};

const DEGREE: usize = 8192;
/// Three coefficients: their bits do not fill bytes.
const WANTED: [usize; 3] = [5, 0, 8191];

/// Two parties and their keys.
struct Parties {
    collective: Collective,
    secrets: [PartySecret; 2],
    reference: CommonReference,
    public: PublicKey,
    linear: SecretLinear,
}

impl Parties {
    fn new() -> Self {
        let shape = LinearShape::Dense { inputs: 30, outputs: 5 };
        let collective = Collective::new(CollectiveSettings::new(2, 32), &[shape]).unwrap();
        let secrets = [1, 2].map(|seed| PartySecret::new(&collective, &[seed; 32]));
        let reference = CommonReference::new([3; 32]);
        let shares = secrets
            .each_ref()
            .map(|s| collective.public_key_share(s, &reference, b"k").unwrap());
        Self {
            public: collective.public_key(&reference, b"k", &shares).unwrap(),
            linear: collective.linear(shape).unwrap(),
            collective,
            secrets,
            reference,
        }
    }
}

/// Fractions of `bits` bits, in as few parts as have at most 57 each, the wider ones last.
fn fractions(count: usize, bits: u32) -> Vec<Piece> {
    let parts = bits.div_ceil(57);
    (0..parts).map(|part| response(count, (bits + part) / parts)).collect()
}

pub fn targets() -> Vec<Target> {
    let mut targets = keys_and_encryptions();
    targets.extend(decryptions());
    targets.extend(switching());
    targets.extend(layers());
    targets
}

fn keys_and_encryptions() -> Vec<Target> {
    let parties = Parties::new();
    let whole = residues(parties.collective.parameters(), 0);
    let (collective, reference) = (parties.collective, parties.reference);
    let of_key = collective.public_key_share(&parties.secrets[0], &reference, b"k").unwrap();
    let message = collective.encryption_share(&[7; 9], &parties.secrets[1], &reference, b"m", 0);
    let (of_message, other) = (message.unwrap(), of_key.clone());
    let (second, string) = (collective.clone(), reference.clone());
    vec![
        Target {
            name: "Collective::public_key",
            valid: of_key,
            pieces: whole.clone(),
            decode: Box::new(move |bytes| collective.public_key(&reference, b"k", &[bytes, &other]).map(|_| ())),
        },
        Target {
            name: "Collective::encryption",
            valid: of_message.clone(),
            pieces: whole,
            decode: Box::new(move |bytes| second.encryption(&string, b"m", 0, &[&of_message, bytes]).map(|_| ())),
        },
    ]
}

/// A compressed encryption, as it came and as it is sent on.
fn compressed(parties: &Parties) -> (Vec<u8>, Vec<u8>) {
    let (collective, reference) = (&parties.collective, &parties.reference);
    let shares = parties
        .secrets
        .each_ref()
        .map(|s| collective.encryption_share(&[7; DEGREE], s, reference, b"m", 0).unwrap());
    let ciphertext = collective.encryption(reference, b"m", 0, &shares).unwrap();
    let bytes = collective.compress(ciphertext, &WANTED).unwrap();
    let whole = bytes[..collective.whole_len()].to_vec();
    (bytes, whole)
}

fn decryptions() -> Vec<Target> {
    let parties = Parties::new();
    let (bytes, whole) = compressed(&parties);
    let collective = parties.collective;
    let ciphertext = collective.read_compressed(&bytes, WANTED.len()).unwrap();
    let [first, second] = parties.secrets;
    let opened = collective.decryption_share(&whole, &WANTED, &first, b"o").unwrap();
    let answer = collective.to_shares(&whole, &WANTED, &first, b"s").unwrap().message;
    let wholes = fractions(DEGREE, collective.whole_bits());
    let wanted = fractions(WANTED.len(), collective.wanted_bits());
    let [a, b, c, d, e] = [(); 5].map(|()| collective.clone());
    let (of_answer, other) = (ciphertext.clone(), opened.clone());
    let [secret, another] = [1, 1].map(|seed| PartySecret::new(&collective, &[seed; 32]));
    vec![
        Target {
            name: "Collective::read_compressed",
            valid: bytes,
            pieces: [wholes.clone(), wanted.clone()].concat(),
            decode: Box::new(move |bytes| a.read_compressed(bytes, WANTED.len()).map(|_| ())),
        },
        Target {
            name: "Collective::decryption_share",
            valid: whole.clone(),
            pieces: wholes.clone(),
            decode: Box::new(move |bytes| b.decryption_share(bytes, &WANTED, &secret, b"o").map(|_| ())),
        },
        Target {
            name: "Collective::decrypt",
            valid: opened,
            pieces: wanted.clone(),
            decode: Box::new(move |bytes| c.decrypt(&ciphertext, &[&other, bytes]).map(|_| ())),
        },
        Target {
            name: "Collective::to_shares",
            valid: whole,
            pieces: wholes,
            decode: Box::new(move |bytes| d.to_shares(bytes, &WANTED, &another, b"s").map(|_| ())),
        },
        Target {
            name: "Collective::last_share",
            valid: answer,
            pieces: wanted,
            decode: Box::new(move |bytes| e.last_share(&of_answer, &WANTED, &second, &[bytes]).map(|_| ())),
        },
    ]
}

fn switching() -> Vec<Target> {
    let parties = Parties::new();
    let (bytes, whole) = compressed(&parties);
    let collective = parties.collective;
    let ciphertext = collective.read_compressed(&bytes, WANTED.len()).unwrap();
    let receiver: SecretKey = secret(collective.parameters());
    let public = PublicKey::generate(&receiver, &key(), b"u").unwrap();
    let share = collective
        .switching_share(&whole, &WANTED, &parties.secrets[0], &public, b"u")
        .unwrap();
    let switched = collective.switched(&ciphertext, &[&share, &share]).unwrap();
    let rest = collective.switched_len(WANTED.len()) - collective.wanted_len(WANTED.len());
    let bits = (rest * 8 / DEGREE) as u32;
    let pieces = [fractions(DEGREE, bits), fractions(WANTED.len(), collective.wanted_bits())].concat();
    let (reader, other) = (collective.clone(), share.clone());
    vec![
        Target {
            name: "Collective::switched",
            valid: share,
            pieces: pieces.clone(),
            decode: Box::new(move |bytes| collective.switched(&ciphertext, &[bytes, &other]).map(|_| ())),
        },
        Target {
            name: "Collective::decrypt_switched",
            valid: switched,
            pieces,
            decode: Box::new(move |bytes| reader.decrypt_switched(bytes, &WANTED, &receiver).map(|_| ())),
        },
    ]
}

fn layers() -> Vec<Target> {
    let parties = Parties::new();
    let Parties {
        collective,
        secrets,
        reference,
        public,
        linear,
    } = parties;
    assert_eq!((linear.ciphertexts(), linear.responses()), (1, 1));
    let [first, second] = secrets;
    let share = linear.share(0, &[5; 150], &first, &reference, b"l").unwrap();
    let sum = linear.aggregate(&[&share, &share]).unwrap();
    let load = move |linear: &SecretLinear, bytes: &[u8]| -> Result<EncryptedLayer, LatticeError> {
        let mut loader = linear.loader(&reference, b"l");
        loader.push(bytes)?;
        loader.finish()
    };
    let layer = load(&linear, &sum).unwrap();
    let one = linear.respond(&layer, &[6; 30], &public, &first, b"r").unwrap();
    let sums = linear.sum(&[&one, &one]).unwrap();
    let query = linear.query(&sums).unwrap();
    let answer = linear.to_shares(&query, &first, b"r").unwrap().message;
    let wholes = fractions(DEGREE, collective.whole_bits());
    let wanted = fractions(5, collective.wanted_bits());
    let [a, b, c, d, e] = [(); 5].map(|()| linear.clone());
    let (other, again) = (share.clone(), one.clone());
    let whole = residues(collective.parameters(), 0);
    vec![
        Target {
            name: "SecretLinear::aggregate",
            valid: share,
            pieces: whole.clone(),
            decode: Box::new(move |bytes| a.aggregate(&[&other, bytes]).map(|_| ())),
        },
        Target {
            name: "LayerLoader::push",
            valid: sum,
            pieces: whole,
            decode: Box::new(move |bytes| load(&b, bytes).map(|_| ())),
        },
        Target {
            name: "SecretLinear::sum",
            valid: one,
            pieces: [wholes.clone(), wanted.clone()].concat(),
            decode: Box::new(move |bytes| c.sum(&[bytes, &again]).map(|_| ())),
        },
        Target {
            name: "SecretLinear::to_shares",
            valid: query,
            pieces: wholes,
            decode: Box::new(move |bytes| d.to_shares(bytes, &first, b"r").map(|_| ())),
        },
        Target {
            name: "SecretLinear::last_share",
            valid: answer,
            pieces: wanted,
            decode: Box::new(move |bytes| e.last_share(&sums, &second, &[bytes]).map(|_| ())),
        },
    ]
}
