//! Transfers, the oblivious function and intersections.

use super::{Form, Target, session};
use cloven_mpc::ids::Id;
use cloven_mpc::intersection::{ecdh, multiparty, oprf as by_oprf};
use cloven_mpc::transfer::{Delta, ReceiverSetup, Sender, SenderSetup, Width};
use cloven_mpc::{Bits, MpcError, oprf};

fn ids(numbers: std::ops::Range<u32>) -> Vec<Id> {
    numbers.map(|i| *blake3::hash(&i.to_le_bytes()).as_bytes()).collect()
}

fn receiver() -> (ReceiverSetup, Vec<u8>) {
    ReceiverSetup::new(&session(2), Width::new(4).unwrap())
}

fn sender(announcement: &[u8]) -> Result<(SenderSetup, Vec<u8>), MpcError> {
    SenderSetup::new(&session(1), Width::new(4).unwrap(), Delta::new(77), announcement)
}

pub fn transfers() -> Vec<Target> {
    let announcement = receiver().1;
    let points = sender(&announcement).unwrap().1;
    let (mut ready, sums) = receiver().0.finish(&points).unwrap();
    let (_, corrections) = ready.random(&Bits::from_bools(&[true; 130])).unwrap();
    let finished = move |sums: &[u8]| -> Result<Sender, MpcError> { sender(&receiver().1)?.0.finish(sums) };
    let encrypted = finished(&sums).unwrap().encrypt(&[[1, 2]; 130], &corrections).unwrap();
    let (honest, answered) = (sums.clone(), points.clone());
    vec![
        Target::new("SenderSetup::new", &announcement, Form::Points, |bytes| {
            sender(bytes).map(|_| ())
        }),
        Target::new("ReceiverSetup::finish", &points, Form::Points, |bytes| {
            receiver().0.finish(bytes).map(|_| ())
        }),
        Target::new("SenderSetup::finish", &sums, Form::Free, move |bytes| {
            finished(bytes).map(|_| ())
        }),
        Target::new("Sender::extend", &corrections, Form::Free, move |bytes| {
            finished(&honest)?.extend(130, bytes).map(|_| ())
        }),
        Target::new("ReceiverPads::decrypt", &encrypted, Form::Free, move |bytes| {
            let (mut again, _) = receiver().0.finish(&answered)?;
            let choices = Bits::from_bools(&[true; 130]);
            again.random(&choices)?.0.decrypt(bytes).map(|_| ())
        }),
    ]
}

fn setup() -> (oprf::ReceiverSetup, Vec<u8>) {
    oprf::ReceiverSetup::new(&session(2), ids(0..40)).unwrap()
}

/// The receiver when its only chunk has gone, and the sender that has it.
fn evaluated() -> (oprf::Receiver, oprf::Sender, Vec<u8>) {
    let (receiver, announcement) = setup();
    let (mut sender, points) = oprf::Sender::new(&session(1), 40, &announcement).unwrap();
    let mut receiver = receiver.finish(&points).unwrap();
    let chunk = receiver.next_chunk().unwrap();
    assert!(receiver.next_chunk().is_none());
    sender.accept(&chunk).unwrap();
    (receiver, sender, chunk)
}

pub fn functions() -> Vec<Target> {
    let announcement = setup().1;
    let points = oprf::Sender::new(&session(1), 40, &announcement).unwrap().1;
    let (_, _, chunk) = evaluated();
    let sender = |bytes: &[u8]| oprf::Sender::new(&session(1), 40, bytes);
    vec![
        Target::new("oprf::Sender::new", &announcement, Form::Points, move |bytes| {
            sender(bytes).map(|_| ())
        }),
        Target::new("oprf::ReceiverSetup::finish", &points, Form::Points, |bytes| {
            setup().0.finish(bytes).map(|_| ())
        }),
        Target::new("oprf::Sender::accept", &chunk, Form::Free, move |bytes| {
            let mut sender = sender(&announcement)?.0;
            sender.accept(bytes)?;
            sender.outputs(&ids(0..30)).map(|_| ())
        }),
    ]
}

pub fn intersections() -> Vec<Target> {
    let (receiver, sender, _) = evaluated();
    let tagging = move || by_oprf::Sender::new(&sender, &ids(20..50), 40).unwrap();
    let tags = tagging().next_tags().unwrap();
    let compare = move |bytes: &[u8]| {
        let mut comparing = by_oprf::Receiver::new(&receiver, 30)?;
        comparing.accept(bytes)?;
        comparing.finish()
    };
    let marks = compare(&tags).unwrap().1;

    let outputs = |count| vec![[3, 4]; count];
    let party = |index: u8, ids| multiparty::Party::new(&session(index + 1), index.into(), &[30, 40, 30], ids).unwrap();
    let table = party(0, ids(20..50)).share(1, &outputs(30)).unwrap();
    let ecdh = |party: u8, ids, peers| ecdh::Party::new(&session(party), ids, peers).unwrap();
    let batch = ecdh(2, ids(0..10), 20).next_batch().unwrap();
    let answer = ecdh(1, ids(0..20), 10).answer(&batch).unwrap();
    vec![
        Target::new(
            "intersection::oprf::Receiver::accept",
            &tags,
            Form::Increasing(tags.len() / 30),
            move |bytes| compare(bytes).map(|_| ()),
        ),
        Target::new("intersection::oprf::Sender::finish", &marks, Form::Rows(30), move |bytes| {
            tagging().finish(bytes).map(|_| ())
        }),
        Target::new("multiparty::Party::accept_share", &table, Form::Free, move |bytes| {
            party(1, ids(0..40)).accept_share(0, &outputs(40), bytes)
        }),
        Target::new("multiparty::Party::learn", &common(), Form::Keyed, move |bytes| {
            party(1, ids(0..40)).learn(bytes).map(|_| ())
        }),
        Target::new("ecdh::Party::answer", &batch, Form::Points, move |bytes| {
            ecdh(1, ids(0..20), 10).answer(bytes).map(|_| ())
        }),
        Target::new("ecdh::Party::accept", &answer, Form::Free, move |bytes| {
            let mut party = ecdh(2, ids(0..10), 20);
            party.next_batch();
            party.accept(bytes)
        }),
    ]
}

/// What the first party tells the others of an intersection with ids 20 to 30.
fn common() -> Vec<u8> {
    let key = [7; 32];
    let digest = |id: &Id| u128::from_le_bytes(blake3::keyed_hash(&key, id).as_bytes()[..16].try_into().unwrap());
    let mut digests: Vec<u128> = ids(20..30).iter().map(digest).collect();
    digests.sort_unstable();
    let mut message = key.to_vec();
    message.extend(digests.iter().flat_map(|digest| digest.to_le_bytes()));
    message
}
