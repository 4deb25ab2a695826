//! Messages that no honest party sends: an error or a wrong value, at either party, and nothing worse.

use super::{simulation::*, *};
use crate::{MessageFault, MpcError};
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// What is done to one message.
#[derive(Clone, Copy, Debug)]
enum Change {
    Shorter,
    Longer,
    Empty,
    /// A bit of the mark.
    Mark,
    /// A bit after the mark.
    Bit,
    /// A bit beyond the last of the last row.
    Padding,
}

/// What is wrong with the other party's message.
fn fault<T>(result: &Result<T, MpcError>) -> Option<MessageFault> {
    match MpcError::of(0)(result.as_ref().err()?.clone()) {
        MpcError::Message { index: 0, cause } => Some(cause),
        _ => None,
    }
}

/// Changes a message that is not empty.
fn change(message: &mut Vec<u8>, change: Change, seed: u64) {
    let flip = |bytes: &mut [u8]| {
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        bytes[rng.next_u64() as usize % bytes.len()] ^= 1 << (rng.next_u64() % 8);
    };
    match change {
        Change::Shorter => drop(message.pop()),
        Change::Longer => message.push(0),
        Change::Empty => message.clear(),
        Change::Mark => flip(&mut message[..8]),
        Change::Bit => flip(&mut message[8..]),
        Change::Padding => *message.last_mut().unwrap() |= 0x80,
    }
}

/// Rows with five bits of padding.
const OUTPUTS: usize = 11;

/// The four messages of a chunk, in order, and who sends them: 0 is the gateway.
const MESSAGES: [(bool, usize, usize); 4] = [(false, 0, 1), (false, 1, 0), (true, 0, 0), (true, 1, 1)];

/// A chunk and its run with one message changed; a session of its own if that is a message of the preparation. Says whether the words are right.
fn run(layer: &Layer, (online, round, from): (bool, usize, usize), what: Change, seed: u64) -> Result<bool, MpcError> {
    let inputs = Inputs::random(layer, OUTPUTS, seed);
    let tamper = |at: usize, sent: &mut [Vec<u8>; 2]| {
        if at == round {
            change(&mut sent[from], what, seed);
        }
    };
    let (gateway, user) = match online {
        true => with_pair(|pair| prepare(pair, layer, &[OUTPUTS], &inputs)).0,
        false => {
            let mut pair = setup(b"hostile").0;
            let steps = (
                pair.gateway.prepare(layer, OUTPUTS)?,
                pair.user.prepare(layer, &inputs.words[1], &inputs.masks)?,
            );
            let (gateway, user, _) = drive_with(steps, tamper)?;
            (vec![gateway], vec![user])
        }
    };
    let steps = start(layer, (gateway, user), &inputs.words[0]);
    let (gateway, user, _) = match online {
        true => drive_with(steps, tamper)?,
        false => drive_with(steps, |_, _| ())?,
    };
    Ok(revealed(gateway, user) == inputs.ideal(layer))
}

#[test]
fn changed_messages_are_errors_or_wrong_values() {
    let layer = layer(Operation::Relu, 24, 4);
    let mut spoilt = 0;
    for (at, message) in MESSAGES.into_iter().enumerate() {
        let length = [Change::Shorter, Change::Longer, Change::Empty][at % 3];
        for what in [length, Change::Shorter] {
            let result = run(&layer, message, what, 1);
            assert!(
                matches!(fault(&result), Some(MessageFault::Length { .. })),
                "{message:?}, {what:?}: {result:?}"
            );
        }
        let result = run(&layer, message, Change::Mark, 2);
        assert_eq!(fault(&result), Some(MessageFault::OutOfStep), "{message:?}");
        for seed in 3..6 {
            match run(&layer, message, Change::Bit, seed) {
                Ok(right) => spoilt += usize::from(!right),
                result => assert!(
                    matches!(fault(&result), Some(MessageFault::Padding { .. })),
                    "{message:?}: {result:?}"
                ),
            }
        }
    }
    assert!(spoilt > 5, "{spoilt}");
    // Rows of bits end the tables and the answer.
    for message in [MESSAGES[1], MESSAGES[3]] {
        let result = run(&layer, message, Change::Padding, 6);
        assert!(
            matches!(fault(&result), Some(MessageFault::Padding { .. })),
            "{message:?}: {result:?}"
        );
    }
}

#[test]
fn hostile_set_ups_are_errors() {
    let run = |round: usize, from: usize, tamper: &dyn Fn(&mut Vec<u8>)| {
        let session = |secret| crate::Session::new(&crate::PartySecret::new([secret; 32]), b"hostile set-up");
        let steps = (
            gateway::Setup::start(&session(0)).unwrap(),
            user::Setup::start(&session(1)).unwrap(),
        );
        let result = drive_with(steps, |at, sent| {
            if at == round {
                tamper(&mut sent[from]);
            }
        });
        result.map(|_| ())
    };
    // The announcement, the gateway's points, the sums.
    for (round, from) in [(0, 1), (1, 0), (2, 1)] {
        let shorter = run(round, from, &|message| message.truncate(31));
        assert!(matches!(fault(&shorter), Some(MessageFault::Length { .. })), "{shorter:?}");
    }
    for (round, from) in [(0, 1), (1, 0)] {
        let neutral = run(round, from, &|message| message[..32].fill(0));
        assert_eq!(fault(&neutral), Some(MessageFault::Point { index: 0 }));
    }
    // Any sums are sums; what comes of them fits nobody.
    assert_eq!(run(2, 1, &|message| message[7] ^= 1), Ok(()));
}
