//! All parties in one place, in lockstep.

use crate::{
    MpcError, PartySecret, Session,
    circuit::Party,
    nonlinear::{Exchange, Layer, Next, Online, Outcome, Prepared, Preparer, Resume, Setup},
};
use rand::Rng;
use rand_chacha::ChaCha20Rng;
use std::sync::Mutex;

/// What was sent: for each round, from each party, to each of its peers in order.
pub type Transcript = Vec<Vec<Vec<Vec<u8>>>>;

/// What each party is sent, given what each sends to its peers in order.
pub fn deliver(sent: &[Vec<Vec<u8>>]) -> Vec<Vec<Vec<u8>>> {
    let slot = |from: usize, to: usize| if to < from { to } else { to - 1 };
    let to = |to: usize| {
        let from = (0..sent.len()).filter(|from| *from != to);
        from.map(|from| sent[from][slot(from, to)].clone()).collect()
    };
    (0..sent.len()).map(to).collect()
}

/// Runs all parties to their ends, `tamper` changing what is sent.
pub fn drive_with<S: Resume>(
    mut steps: Vec<Next<S>>,
    mut tamper: impl FnMut(usize, &mut Vec<Vec<Vec<u8>>>),
) -> Result<(Vec<S::Output>, Transcript), MpcError> {
    let mut transcript = Transcript::new();
    loop {
        let (mut waiting, mut done, mut sent): (Vec<Exchange<S>>, Vec<_>, Vec<_>) = Default::default();
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
            return Ok((done, transcript));
        }
        assert!(done.is_empty(), "all parties take as many rounds");
        tamper(transcript.len(), &mut sent);
        let received = deliver(&sent);
        transcript.push(sent);
        steps = Vec::new();
        for (exchange, messages) in waiting.into_iter().zip(&received) {
            steps.push(exchange.receive(messages)?);
        }
    }
}

pub fn drive<S: Resume>(steps: Vec<Next<S>>) -> (Vec<S::Output>, Transcript) {
    drive_with(steps, |_, _| ()).unwrap()
}

pub fn bytes(transcript: &Transcript) -> usize {
    transcript.iter().flatten().flatten().map(Vec::len).sum()
}

pub fn preparers(parties: usize, context: &[u8]) -> Vec<Preparer> {
    let start = |party: usize| {
        let session = Session::new(&PartySecret::new([party as u8; 32]), context);
        Setup::start(&session, (Party(party as u8), parties)).unwrap()
    };
    drive((0..parties).map(start).collect()).0
}

static READY: Mutex<Vec<Vec<Preparer>>> = Mutex::new(Vec::new());

/// Preparers that earlier tests may have used: their set-up takes longer than most tests. They are kept if nothing went wrong.
pub fn with_preparers<T>(parties: usize, task: impl FnOnce(&mut [Preparer]) -> T) -> T {
    let kept = {
        let mut ready = READY.lock().unwrap();
        let place = ready.iter().position(|preparers| preparers.len() == parties);
        place.map(|place| ready.swap_remove(place))
    };
    let mut ready = kept.unwrap_or_else(|| preparers(parties, b"kept"));
    let result = task(&mut ready);
    READY.lock().unwrap().push(ready);
    result
}

/// A chunk at every party.
pub fn prepare(preparers: &mut [Preparer], layer: &Layer, outputs: usize) -> (Vec<Prepared>, Transcript) {
    drive(
        preparers
            .iter_mut()
            .map(|preparer| preparer.prepare(layer, outputs).unwrap())
            .collect(),
    )
}

/// All chunks at every party, and the bytes sent.
pub fn prepare_all(preparers: &mut [Preparer], layer: &Layer, chunks: &[usize]) -> (Vec<Vec<Prepared>>, usize) {
    let mut all: Vec<Vec<Prepared>> = preparers.iter().map(|_| Vec::new()).collect();
    let mut sent = 0;
    for outputs in chunks {
        let (prepared, transcript) = prepare(preparers, layer, *outputs);
        sent += bytes(&transcript);
        all.iter_mut().zip(prepared).for_each(|(all, prepared)| all.push(prepared));
    }
    (all, sent)
}

pub fn start<'l>(
    layer: &'l Layer,
    prepared: Vec<Vec<Prepared>>,
    words: &[Vec<u64>],
    masks: &[Vec<u64>],
) -> Vec<Next<Online<'l>>> {
    let own = words.iter().zip(masks).zip(prepared).enumerate();
    own.map(|(party, ((words, masks), prepared))| Online::start(layer, Party(party as u8), prepared, words, masks).unwrap())
        .collect()
}

pub fn online(layer: &Layer, prepared: Vec<Vec<Prepared>>, words: &[Vec<u64>], masks: &[Vec<u64>]) -> (Vec<u64>, Transcript) {
    let (outcomes, transcript) = drive(start(layer, prepared, words, masks));
    (agreed(&outcomes), transcript)
}

/// The words that all parties opened, or the sum of their shares.
pub fn agreed(outcomes: &[Outcome]) -> Vec<u64> {
    let mut shares: Vec<u64> = Vec::new();
    let mut opened: Vec<&Vec<u64>> = Vec::new();
    for outcome in outcomes {
        match outcome {
            Outcome::Opened(words) => opened.push(words),
            Outcome::Shares(words) => {
                shares.resize(words.len(), 0);
                shares.iter_mut().zip(&**words).for_each(|(sum, word)| *sum ^= word);
            }
        }
    }
    match opened.first() {
        None => shares,
        Some(words) => {
            assert!(
                shares.is_empty() && opened.iter().all(|other| other == words),
                "all open the same"
            );
            words.to_vec()
        }
    }
}

/// Shares of words, among them those at the edges, and masks.
pub fn inputs(layer: &Layer, outputs: usize, rng: &mut ChaCha20Rng) -> (Vec<Vec<u64>>, Vec<Vec<u64>>) {
    let (bits, count) = (layer.ring().bits, outputs * layer.operation().window());
    let mask = u64::MAX >> (64 - bits);
    let mut uniform = |count: usize| -> Vec<u64> { (0..count).map(|_| rng.next_u64() & mask).collect() };
    let mut words: Vec<Vec<u64>> = (0..layer.parties()).map(|_| uniform(count)).collect();
    let masks = (0..layer.parties())
        .map(|_| uniform(if layer.operation().opens() { outputs } else { 0 }))
        .collect();
    let (top, half) = (1u64 << (bits - 1), 1u64 << layer.ring().truncation >> 1);
    let edges = [
        0,
        1,
        mask,
        top,
        top - 1,
        top + 1,
        half,
        half.wrapping_sub(1),
        top - half,
        top.wrapping_sub(half + 1),
    ];
    for (at, edge) in edges.into_iter().cycle().enumerate().take(count.min(40)) {
        let others = words[1..].iter().fold(0u64, |sum, words| sum.wrapping_add(words[at]));
        words[0][at] = edge.wrapping_sub(others) & mask;
    }
    (words, masks)
}
