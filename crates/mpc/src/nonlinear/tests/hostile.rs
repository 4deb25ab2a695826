//! Messages that no honest party sends: an error or a wrong value, at all parties, and nothing worse.

use super::{simulation::*, *};
use crate::{MessageFault, MpcError, ideal};
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// What is done to one message.
#[derive(Clone, Copy, Debug)]
enum Change {
    Shorter,
    Longer,
    Empty,
    Bits,
}

/// Changes the message of one round from one party to one of its peers. Nothing if there is none.
fn change(message: &mut Vec<u8>, change: Change, rng: &mut ChaCha20Rng) {
    match change {
        Change::Shorter => drop(message.pop()),
        Change::Longer => message.push(0),
        Change::Empty => message.clear(),
        Change::Bits => {
            for _ in 0..message.len().min(2) {
                let at = rng.next_u64() as usize % message.len();
                message[at] ^= 1 << (rng.next_u64() % 8);
            }
        }
    }
}

const OUTPUTS: usize = 20;

/// A run with one message changed. Says whether the words are right.
fn run(layer: &Layer, round: usize, [from, to]: [usize; 2], what: Change) -> Result<bool, MpcError> {
    let rng = &mut ChaCha20Rng::seed_from_u64(round as u64);
    let (words, masks) = inputs(layer, OUTPUTS, rng);
    let (prepared, _) = with_preparers(layer.parties(), |preparers| prepare(preparers, layer, OUTPUTS));
    let steps = start(
        layer,
        prepared.into_iter().map(|prepared| vec![prepared]).collect(),
        &words,
        &masks,
    );
    let (outcomes, _) = drive_with(steps, |at, sent| {
        if at == round {
            change(&mut sent[from][to], what, rng);
        }
    })?;
    let expected = ideal::nonlinear(layer, &words, &masks);
    Ok(outcomes
        .iter()
        .all(|outcome| matches!(outcome, Outcome::Opened(opened) if *opened == expected)))
}

/// A preparation with one message changed, in a session of its own: what others have extended by then is lost.
fn prepared(layer: &Layer, round: usize, [from, to]: [usize; 2], what: Change) -> Result<bool, MpcError> {
    let rng = &mut ChaCha20Rng::seed_from_u64(round as u64);
    let mut preparers = preparers(layer.parties(), b"hostile");
    let begun = preparers.iter_mut().map(|preparer| preparer.prepare(layer, OUTPUTS).unwrap());
    let (prepared, _) = drive_with(begun.collect(), |at, sent| {
        if at == round {
            change(&mut sent[from][to], what, rng);
        }
    })?;
    let (words, masks) = inputs(layer, OUTPUTS, rng);
    let prepared = prepared.into_iter().map(|prepared| vec![prepared]).collect();
    let (outcomes, _) = drive_with(start(layer, prepared, &words, &masks), |_, _| ())?;
    let expected = ideal::nonlinear(layer, &words, &masks);
    Ok(outcomes
        .iter()
        .all(|outcome| matches!(outcome, Outcome::Opened(opened) if *opened == expected)))
}

/// How often changed bits were noticed, and how often they spoilt the words.
#[derive(Default)]
struct Counts {
    noticed: usize,
    spoilt: usize,
}

impl Counts {
    /// Errors are of the message that was changed.
    fn check(&mut self, round: usize, [from, to]: [usize; 2], mut attempt: impl FnMut(Change) -> Result<bool, MpcError>) {
        let receiver = to + usize::from(to >= from);
        let place = from - usize::from(from > receiver);
        let cause = |error: MpcError| match error {
            MpcError::Message { index, cause } if index == place => cause,
            other => panic!("round {round}, {from} to {receiver}: {other:?}"),
        };
        let what = [Change::Shorter, Change::Longer, Change::Empty][round % 3];
        let result = attempt(what).map_err(cause);
        assert!(
            matches!(result, Err(MessageFault::Length { .. })),
            "round {round}, {what:?}: {result:?}"
        );
        match attempt(Change::Bits) {
            Ok(right) => self.spoilt += usize::from(!right),
            Err(error) => {
                let error = cause(error);
                assert!(
                    matches!(error, MessageFault::Padding { .. } | MessageFault::OutOfStep),
                    "{error:?}"
                );
                self.noticed += 1;
            }
        }
    }
}

#[test]
fn changed_messages_are_errors_or_wrong_values() {
    let mut counts = Counts::default();
    for engine in [LOW, Engine::Garbled] {
        let layer = Layer::new(Operation::Relu, ring(24, 4), engine, 3).unwrap();
        for round in 0..layer.online_rounds() {
            for link in [[0, 0], [0, 1], [2, 0]]
                .into_iter()
                .filter(|link| !silent(engine, 4 + round, *link))
            {
                counts.check(round, link, |what| run(&layer, round, link, what));
            }
        }
        for round in 0..layer.preparation_rounds() {
            let links = [[0, 0], [0, 1]].into_iter().filter(|link| !silent(engine, round, *link));
            links
                .take(1)
                .for_each(|link| counts.check(round, link, |what| prepared(&layer, round, link, what)));
        }
    }
    assert!(
        counts.noticed > 5 && counts.spoilt > 5,
        "{} {}",
        counts.noticed,
        counts.spoilt
    );
}

/// Whether a party of three sends nothing to its peer at place `to`; rounds of preparation, or four and more for those online.
fn silent(engine: Engine, round: usize, [from, to]: [usize; 2]) -> bool {
    let to_last = from < 2 && to == 1;
    match (engine, round) {
        // The bits of party 2 are converted.
        (Engine::Boolean(_), 2) => !to_last,
        (Engine::Boolean(_), _) => false,
        // The marks, besides what follows.
        (_, 0 | 4) => false,
        // Between garblers.
        (_, 1 | 2) => from == 2 || to_last,
        // Tables and labels.
        (_, 3 | 5) => !to_last,
        // Words.
        _ => from != 2,
    }
}
