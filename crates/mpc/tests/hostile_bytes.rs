//! Mutated bytes into every decoder: a wrong length is an error, flipped bits give an error or a value, and nothing panics.
#![allow(clippy::unwrap_used, clippy::panic)]

use cloven_mpc::ids::Id;
use cloven_mpc::intersection::{ecdh, multiparty, oprf as by_oprf};
use cloven_mpc::transfer::{Delta, ReceiverSetup, SenderSetup, Width};
use cloven_mpc::{Bits, MpcError, PartySecret, Session, oprf};
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

const ROUNDS: usize = 9;

fn session(party: u8) -> Session {
    Session::new(&PartySecret::new([party; 32]), b"hostile bytes")
}

fn ids(count: u32) -> Vec<Id> {
    (0..count).map(|i| *blake3::hash(&i.to_le_bytes()).as_bytes()).collect()
}

/// Flips, cuts and lengthens `valid`; `decode` gets each mutant in a fresh state.
fn attack(name: &str, valid: &[u8], decode: impl Fn(&[u8]) -> Result<(), MpcError>) {
    decode(valid).unwrap_or_else(|error| panic!("{name}: the valid message is refused: {error}"));
    let mut rng = ChaCha20Rng::seed_from_u64(valid.len() as u64);
    for round in 0..ROUNDS {
        let mut mutant = valid.to_vec();
        for _ in 0..=rng.next_u64() % 4 {
            let at = rng.next_u64() as usize % mutant.len();
            mutant[at] ^= 1 << (rng.next_u64() % 8);
        }
        if let Err(error) = decode(&mutant) {
            assert!(error.to_string().len() < 200);
        }
        match round % 3 {
            0 => mutant.truncate(rng.next_u64() as usize % valid.len()),
            1 => mutant.push(0),
            _ => mutant.extend_from_slice(valid),
        }
        assert!(
            decode(&mutant).is_err(),
            "{name}: {} bytes instead of {} are accepted",
            mutant.len(),
            valid.len()
        );
    }
}

#[test]
fn transfers() {
    let width = Width::new(4).unwrap();
    let receiver = || ReceiverSetup::new(&session(2), width);
    let announcement = receiver().1;
    let sender = |bytes: &[u8]| SenderSetup::new(&session(1), width, Delta::new(77), bytes);
    attack("announcement", &announcement, |bytes| sender(bytes).map(|_| ()));
    let points = sender(&announcement).unwrap().1;
    attack("points", &points, |bytes| receiver().0.finish(bytes).map(|_| ()));
    let (mut ready, sums) = receiver().0.finish(&points).unwrap();
    let finished = |bytes: &[u8]| sender(&announcement).unwrap().0.finish(bytes);
    attack("sums", &sums, |bytes| finished(bytes).map(|_| ()));
    let choices = Bits::from_bools(&[true; 130]);
    let (pads, corrections) = ready.random(&choices).unwrap();
    drop(pads);
    attack("corrections", &corrections, |bytes| {
        finished(&sums)?.extend(130, bytes).map(|_| ())
    });
    let encrypted = finished(&sums).unwrap().encrypt(&[[1, 2]; 130], &corrections).unwrap();
    attack("messages", &encrypted, |bytes| {
        let (mut again, _) = receiver().0.finish(&points)?;
        again.random(&choices)?.0.decrypt(bytes).map(|_| ())
    });
}

#[test]
fn functions_and_intersections() {
    let (own, peers) = (ids(40), ids(30));
    let setup = || oprf::ReceiverSetup::new(&session(2), own.clone()).unwrap();
    let announcement = setup().1;
    let sender = |bytes: &[u8]| oprf::Sender::new(&session(1), own.len(), bytes);
    attack("announcement", &announcement, |bytes| sender(bytes).map(|_| ()));
    let points = sender(&announcement).unwrap().1;
    attack("points", &points, |bytes| setup().0.finish(bytes).map(|_| ()));
    let mut receiver = setup().0.finish(&points).unwrap();
    let chunk = receiver.next_chunk().unwrap();
    assert!(receiver.next_chunk().is_none());
    attack("table", &chunk, |bytes| {
        let mut sender = sender(&announcement)?.0;
        sender.accept(bytes)?;
        sender.outputs(&peers).map(|_| ())
    });

    let mut key = sender(&announcement).unwrap().0;
    key.accept(&chunk).unwrap();
    let tagging = || by_oprf::Sender::new(&key, &peers, own.len()).unwrap();
    let tags = tagging().next_tags().unwrap();
    let compare = |bytes: &[u8]| {
        let mut comparing = by_oprf::Receiver::new(&receiver, peers.len())?;
        comparing.accept(bytes)?;
        comparing.finish()
    };
    attack("tags", &tags, |bytes| compare(bytes).map(|_| ()));
    let marks = compare(&tags).unwrap().1;
    attack("marks", &marks, |bytes| tagging().finish(bytes).map(|_| ()));

    let party = || multiparty::Party::new(&session(1), 0, &[30, 40, 30], peers.clone()).unwrap();
    let other = || multiparty::Party::new(&session(2), 1, &[30, 40, 30], own.clone()).unwrap();
    let outputs = |count| vec![[3, 4]; count];
    let table = party().share(1, &outputs(30)).unwrap();
    attack("share", &table, |bytes| other().accept_share(0, &outputs(40), bytes));
}

#[test]
fn points_of_ids_and_announced_ids() {
    let party = || ecdh::Party::new(&session(1), ids(20), 10).unwrap();
    let mut peer = ecdh::Party::new(&session(2), ids(10), 20).unwrap();
    let batch = peer.next_batch().unwrap();
    attack("points", &batch, |bytes| party().answer(bytes).map(|_| ()));
    let answer = party().answer(&batch).unwrap();
    attack("answer", &answer, |bytes| {
        let mut peer = ecdh::Party::new(&session(2), ids(10), 20)?;
        peer.next_batch();
        peer.accept(bytes)
    });
    // Keys and digests that fit no id: an error and not an intersection.
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    for length in 0..200 {
        let mut bytes = vec![0; length];
        rng.fill_bytes(&mut bytes);
        let party = multiparty::Party::new(&session(1), 1, &[30, 40, 30], ids(40)).unwrap();
        assert_eq!(party.learn(&bytes).is_ok(), length == 32, "{length}");
    }
}
