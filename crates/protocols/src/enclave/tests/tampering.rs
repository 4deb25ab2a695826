//! Every kind of message, tampered with on its way, is refused by its receiver with an error that says who, when, what; a worker's costs that worker only.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use cloven_wire::{Header, Message};

use super::*;
use crate::testing::{
    Frame, Tampered, all_ones, assert_says_it_all, header, tampered_counts, tampered_header, tampered_tensor, with,
};

/// Sees every message, and changes one.
#[derive(Clone, Default)]
pub(super) struct Tap(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    /// What passed, and between whom: a customer or worker, and whether to it.
    passed: Vec<(Way, Frame)>,
    /// The first message of this kind on this way, and the so manieth way to change it.
    target: Option<(Way, u8, usize)>,
}

type Way = (String, bool);

impl Tap {
    fn on(target: Option<(Way, u8, usize)>) -> Self {
        Self(Rc::new(RefCell::new(State {
            target,
            ..State::default()
        })))
    }

    /// Between a customer or worker and the enclave.
    pub(super) async fn relay(&self, outer: String, to_outer: memory::MemoryChannel, to_enclave: memory::MemoryChannel) {
        loop {
            tokio::select! {
                biased;
                frame = to_outer.receive_raw() => match frame {
                    Some(frame) => to_enclave.send_raw(self.pass((outer.clone(), false), frame)),
                    None => return,
                },
                frame = to_enclave.receive_raw() => match frame {
                    Some(frame) => to_outer.send_raw(self.pass((outer.clone(), true), frame)),
                    None => return,
                },
            }
        }
    }

    fn pass(&self, way: Way, frame: Frame) -> Frame {
        let mut state = self.0.borrow_mut();
        let mut passed = frame.clone();
        if let Some((on, kind, number)) = state.target.clone()
            && on == way
            && header(&frame).kind == kind
        {
            state.target = None;
            passed = state.tampered(&way, &frame).swap_remove(number).1;
        }
        state.passed.push((way, frame));
        passed
    }
}

impl State {
    /// A message changed in every way that fits it.
    fn tampered(&self, way: &Way, frame: &[u8]) -> Vec<Tampered> {
        let last = frame.len() - 1;
        let flipped = |at: usize| with(frame, at, &[frame[at] ^ 1]);
        let own = match header(frame).kind {
            Samples::KIND | Targets::KIND | Outputs::KIND => tampered_tensor(frame),
            BatchLoss::KIND => vec![("not a number", with(frame, Header::LEN, &f64::NAN.to_le_bytes()))],
            TrainedNetwork::KIND => vec![
                all_ones(frame),
                ("another length", with(frame, Header::LEN, &[frame[Header::LEN] ^ 1])),
            ],
            EnclaveEvidence::KIND => vec![all_ones(frame), ("another measurement", flipped(measured(frame)))],
            crate::Start::KIND | crate::Begin::KIND => tampered_counts(frame),
            // In the middle of the first job are values of X, at the end of an answer is the exponent of a number, or a word.
            WorkerJob::KIND => [tampered_counts(frame), vec![("another number", flipped(frame.len() / 2))]].concat(),
            WorkerAnswer::KIND => [tampered_counts(frame), vec![("another number", flipped(last))]].concat(),
            crate::Settled::KIND | crate::AllSettled::KIND => vec![all_ones(frame)],
            // Any bytes are a nonce or a key.
            _ => Vec::new(),
        };
        let mut others = Vec::new();
        let reflected = self
            .passed
            .iter()
            .rev()
            .find(|((outer, to), _)| *outer == way.0 && *to != way.1);
        others.extend(reflected.map(|(_, frame)| ("the receiver's own", frame.clone())));
        let earlier = self.passed.iter().rev().find(|(on, _)| on == way);
        others.extend(earlier.map(|(_, frame)| ("the one before", frame.clone())));
        [tampered_header(frame), own, others].concat()
    }
}

/// Where the evidence says what is measured.
fn measured(frame: &[u8]) -> usize {
    frame
        .windows(MEASUREMENT.len())
        .position(|bytes| bytes == MEASUREMENT)
        .unwrap()
}

/// A run with one message changed, if any.
async fn run(blinding: Blinding, target: Option<(Way, u8, usize)>) -> (Outcome, Tap) {
    let tap = Tap::on(target);
    let setting = Setting {
        tap: Some(tap.clone()),
        ..Setting::new(blinding, 4)
    };
    let work = async |_, link: &mut MemoryLink| worker(Worker::new(Limits::default()), link, &mut ignore()).await;
    (setting.outcome(|_| true, work).await, tap)
}

#[tokio::test]
async fn every_tampered_message_is_refused() {
    let mut covered = BTreeSet::new();
    for blinding in [Blinding::Masked, Blinding::Permute { rekey_every: 2 }] {
        let (honest, tap) = run(blinding, None).await;
        let honest = honest.customer.unwrap();
        let passed = tap.0.take().passed;
        let ways: BTreeSet<(Way, u8)> = passed.iter().map(|(way, frame)| (way.clone(), header(frame).kind)).collect();
        for (way, kind) in ways.into_iter().filter(|((outer, _), _)| outer == "clinic" || outer == "w1") {
            let first = passed
                .iter()
                .position(|(on, frame)| *on == way && header(frame).kind == kind)
                .unwrap();
            let frame = &passed[first].1;
            let before = State {
                passed: passed[..first].to_vec(),
                target: None,
            };
            for (number, (how, _)) in before.tampered(&way, frame).into_iter().enumerate() {
                // A number that is not masked may change by less than a check sees.
                if blinding != Blinding::Masked && kind == WorkerJob::KIND && how == "another number" {
                    continue;
                }
                let (outcome, _) = run(blinding, Some((way.clone(), kind, number))).await;
                let case = format!("{blinding:?}: kind {kind} of {}, {how}", way.0);
                match &way.0[..] {
                    "clinic" => refused_by_either(&case, how, way.1, outcome, frame),
                    _ => costs_a_worker(&case, how, way.1, outcome, frame, &honest),
                }
            }
            covered.insert(kind);
        }
    }
    let all: BTreeSet<u8> = MESSAGES.iter().map(|(_, kind)| *kind).collect();
    assert_eq!(covered, all);
}

/// Of a message between customer and enclave: the error of the one that received it.
fn refused_by_either(case: &str, how: &str, to_customer: bool, outcome: Outcome, honest: &[u8]) {
    let (sender, error) = match to_customer {
        true => ("vault", outcome.customer.err()),
        false => ("clinic", outcome.enclave.err()),
    };
    let error = error.unwrap_or_else(|| panic!("{case}: accepted"));
    match how {
        // It is well formed: what it says is refused.
        "another measurement" => assert!(matches!(error, ProtocolError::Attestation(_)), "{case}: {error}"),
        _ => assert_says_it_all(case, &error, sender, honest, &MESSAGES),
    }
}

/// Of a message between the enclave and a worker: that worker is dropped, and the result is what it would have been.
fn costs_a_worker(case: &str, how: &str, to_worker: bool, outcome: Outcome, honest: &[u8], trained: &Network) {
    let of_worker = outcome.workers.into_iter().next().unwrap().1;
    let number = header(honest).round;
    match &outcome.dropped[..] {
        [(party, why)] => {
            assert_eq!(party, "w1", "{case}");
            if to_worker && how != "another number" {
                assert_says_it_all(case, &of_worker.err().unwrap(), "vault", honest, &MESSAGES);
            } else {
                for part in ["w1", &format!("round {number}:"), WorkerAnswer::NAME, "expected", "got"] {
                    assert!(why.contains(part), "{case}: {part:?} is not in: {why}");
                }
            }
        }
        dropped => panic!("{case}: {dropped:?}"),
    }
    outcome.enclave.unwrap();
    let difference = difference(&outcome.customer.unwrap(), trained);
    assert!(difference < 1e-5, "{case}: {difference}");
}
