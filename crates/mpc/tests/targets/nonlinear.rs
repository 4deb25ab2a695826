//! Non-linear layers of three parties. A message goes into one party at one round; what comes of it is thrown away.

use super::{Form, Target, session};
use cloven_mpc::MpcError;
use cloven_mpc::circuit::{Goal, Party};
use cloven_mpc::nonlinear::{Engine, Exchange, Layer, Next, Online, Operation, Prepared, Preparer, Resume, Ring, Setup};
use std::sync::Mutex;

/// Outputs: rows of two bytes with five bits of padding.
const OUTPUTS: usize = 11;
const PARTIES: usize = 3;
const MARK: usize = 8;

/// Which message: to `party` from its peer at `place`, in a round of a phase.
#[derive(Clone, Copy)]
struct Slot {
    engine: Engine,
    online: bool,
    round: usize,
    party: usize,
    place: usize,
}

/// Parties that were set up. Their transfers may not fit each other any more, which no decoder can see.
static READY: Mutex<Vec<Vec<Preparer>>> = Mutex::new(Vec::new());

/// The parties that wait, and what each sends to each peer.
type Round<S> = (Vec<Exchange<S>>, Vec<Vec<Vec<u8>>>);

/// Every party's message to each peer, and the party that waits for them, after some rounds.
fn after<S: Resume>(mut steps: Vec<Next<S>>, rounds: usize) -> Result<Round<S>, MpcError> {
    for round in 0.. {
        let (mut waiting, mut sent) = (Vec::new(), Vec::new());
        for step in steps {
            if let Next::Exchange(mut exchange) = step {
                sent.push(exchange.outgoing());
                waiting.push(exchange);
            }
        }
        if round == rounds {
            return Ok((waiting, sent));
        }
        steps = Vec::new();
        for (party, exchange) in waiting.into_iter().enumerate() {
            steps.push(exchange.receive(&delivered(&sent, party))?);
        }
    }
    unreachable!("the loop ends");
}

fn delivered(sent: &[Vec<Vec<u8>>], to: usize) -> Vec<Vec<u8>> {
    let from = (0..sent.len()).filter(|from| *from != to);
    from.map(|from| sent[from][if to < from { to } else { to - 1 }].clone())
        .collect()
}

/// Puts what `change` makes of an honest message in its place; gives the honest one.
fn put<S: Resume>(steps: Vec<Next<S>>, slot: Slot, change: impl Fn(&[u8]) -> Vec<u8>) -> Result<Vec<u8>, MpcError> {
    let (mut waiting, sent) = after(steps, slot.round)?;
    let mut messages = delivered(&sent, slot.party);
    let changed = change(&messages[slot.place]);
    let honest = std::mem::replace(&mut messages[slot.place], changed);
    waiting.swap_remove(slot.party).receive(&messages)?;
    Ok(honest)
}

fn layer(engine: Engine) -> Result<Layer, MpcError> {
    let ring = Ring { bits: 24, truncation: 4 };
    Layer::new(Operation::Relu, ring, engine, PARTIES)
}

fn finish<S: Resume>(steps: Vec<Next<S>>) -> Result<Vec<S::Output>, MpcError> {
    let mut steps = steps;
    loop {
        let (mut waiting, mut sent, mut done) = (Vec::new(), Vec::new(), Vec::new());
        for step in steps {
            match step {
                Next::Exchange(mut exchange) => {
                    sent.push(exchange.outgoing());
                    waiting.push(exchange);
                }
                Next::Done(output) => done.push(output),
            }
        }
        if waiting.is_empty() {
            return Ok(done);
        }
        steps = Vec::new();
        for (party, exchange) in waiting.into_iter().enumerate() {
            steps.push(exchange.receive(&delivered(&sent, party))?);
        }
    }
}

fn setups() -> Result<Vec<Next<Setup>>, MpcError> {
    let start = |party: u8| Setup::start(&session(party), (Party(party), PARTIES));
    (0..PARTIES as u8).map(start).collect()
}

/// As [`put`], in a chunk and a run of their own.
fn attempt(slot: Slot, change: impl Fn(&[u8]) -> Vec<u8>) -> Result<Vec<u8>, MpcError> {
    let kept = READY.lock().unwrap().pop();
    let mut ready = match kept {
        Some(ready) => ready,
        None => finish(setups()?)?,
    };
    let layer = layer(slot.engine)?;
    let steps = ready.iter_mut().map(|preparer| preparer.prepare(&layer, OUTPUTS));
    let steps: Vec<_> = steps.collect::<Result<_, _>>()?;
    let result = match slot.online {
        false => put(steps, slot, change),
        true => {
            let prepared = finish(steps)?.into_iter().enumerate();
            let start = |(party, prepared): (usize, Prepared)| {
                Online::start(&layer, Party(party as u8), vec![prepared], &[5; OUTPUTS], &[6; OUTPUTS])
            };
            put(prepared.map(start).collect::<Result<_, _>>()?, slot, change)
        }
    };
    READY.lock().unwrap().push(ready);
    result
}

/// A target whose first `mark` bytes tell the chunk: a changed bit there is one of this attempt's chunk too.
fn target(name: &'static str, slot: Slot, form: impl Fn(usize) -> Form) -> Target {
    let valid = attempt(slot, <[u8]>::to_vec).unwrap();
    let form = form(valid.len());
    let mark = if matches!(form, Form::Marked { .. }) { MARK } else { 0 };
    let first = valid.clone();
    Target::new(name, &valid, form, move |bytes| {
        let change = |honest: &[u8]| {
            let mut bytes = bytes.to_vec();
            let chunk = first.iter().zip(honest).take(mark);
            bytes
                .iter_mut()
                .zip(chunk)
                .for_each(|(byte, (first, honest))| *byte ^= first ^ honest);
            bytes
        };
        attempt(slot, change).map(|_| ())
    })
}

pub fn all() -> Vec<Target> {
    let slot = |engine, online, round, [party, place]: [usize; 2]| Slot {
        engine,
        online,
        round,
        party,
        place,
    };
    let boolean = |online, round, to| slot(Engine::Boolean(Goal::LowDepth), online, round, to);
    let garbled = |online, round, to| slot(Engine::Garbled, online, round, to);
    let (low, bmr) = (
        layer(Engine::Boolean(Goal::LowDepth)).unwrap(),
        layer(Engine::Garbled).unwrap(),
    );
    let rows = |_| Form::Rows(OUTPUTS);
    let marked = |free| move |_| Form::Marked { free, columns: OUTPUTS };
    // Besides the rows: what extends transfers, tables, and labels.
    let width = Layer::width().unwrap();
    let triples = width.message_bytes(low.circuit().transfers(Party(2), Party(0)) * OUTPUTS);
    let masks = width.message_bytes((24 + 2 * bmr.circuit().ands()) * OUTPUTS);
    let tables = 96 * bmr.circuit().ands() * OUTPUTS;
    let labels = 16 * 3 * 24 * OUTPUTS;
    let announcement = Setup::start(&session(1), (Party(1), PARTIES));
    let announcement = match announcement.unwrap() {
        Next::Exchange(mut exchange) => exchange.outgoing().swap_remove(0),
        Next::Done(_) => unreachable!("a set-up takes rounds"),
    };
    let last = low.online_rounds() - 1;
    vec![
        Target::new("nonlinear::Setup", &announcement, Form::Points, move |bytes| {
            let slot = slot(Engine::Garbled, false, 0, [0, 0]);
            put(setups()?, slot, |_| bytes.to_vec()).map(|_| ())
        }),
        target("Preparation, boolean, choices", boolean(false, 0, [2, 0]), marked(triples)),
        target("Preparation, boolean, masks", boolean(false, 1, [1, 0]), rows),
        target("Preparation, boolean, corrections", boolean(false, 2, [2, 1]), rows),
        target("Online, boolean, first ANDs", boolean(true, 0, [0, 1]), marked(0)),
        target("Online, boolean, ANDs", boolean(true, 1, [1, 0]), rows),
        target("Online, boolean, bits", boolean(true, last - 1, [1, 0]), rows),
        target("Online, boolean, words", boolean(true, last, [2, 0]), rows),
        target("Preparation, garbler, choices", garbled(false, 0, [0, 0]), marked(masks)),
        target(
            "Preparation, garbler, evaluator's transfers",
            garbled(false, 0, [0, 1]),
            |bytes| Form::Marked {
                free: bytes - MARK,
                columns: OUTPUTS,
            },
        ),
        target("Preparation, garbler, products", garbled(false, 1, [1, 0]), rows),
        target("Preparation, garbler, terms", garbled(false, 2, [0, 0]), rows),
        target("Preparation, evaluator, tables", garbled(false, 3, [2, 1]), |_| {
            Form::RowsAfter(tables, OUTPUTS)
        }),
        target("Online, garbler, words", garbled(true, 0, [1, 0]), marked(0)),
        target("Online, garbler, evaluator's choices", garbled(true, 0, [1, 1]), marked(0)),
        target("Online, evaluator, labels", garbled(true, 1, [2, 0]), |_| {
            Form::RowsAfter(labels, OUTPUTS)
        }),
        target("Online, garbler, outputs", garbled(true, 2, [0, 1]), rows),
    ]
}
