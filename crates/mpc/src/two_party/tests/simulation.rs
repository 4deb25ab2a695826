//! Both parties in one place, in lockstep.

use crate::{
    MpcError, PartySecret, Session, nonlinear,
    nonlinear::{Exchange, Next, Outcome, Resume},
    two_party::{Layer, gateway, user},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use std::sync::Mutex;
use zeroize::Zeroizing;

/// For each round what the gateway and what the user sent.
pub type Transcript = Vec<[Vec<u8>; 2]>;

/// Both parties to their ends, `tamper` changing what is sent in a round.
pub fn drive_with<G: Resume, U: Resume>(
    (mut gateway, mut user): (Next<G>, Next<U>),
    mut tamper: impl FnMut(usize, &mut [Vec<u8>; 2]),
) -> Result<(G::Output, U::Output, Transcript), MpcError> {
    let mut transcript = Transcript::new();
    loop {
        match (gateway, user) {
            (Next::Exchange(mut ours), Next::Exchange(mut theirs)) => {
                let mut sent = [outgoing(&mut ours), outgoing(&mut theirs)];
                tamper(transcript.len(), &mut sent);
                gateway = ours.receive(&[&sent[1]])?;
                user = theirs.receive(&[&sent[0]])?;
                transcript.push(sent);
            }
            (Next::Done(gateway), Next::Done(user)) => return Ok((gateway, user, transcript)),
            _ => panic!("both parties take as many rounds"),
        }
    }
}

fn outgoing<S>(exchange: &mut Exchange<S>) -> Vec<u8> {
    assert_eq!(exchange.expected().len(), 1);
    let mut messages = exchange.outgoing();
    assert_eq!(messages.len(), 1);
    messages.swap_remove(0)
}

/// Bytes that the gateway and the user sent.
pub fn bytes(transcript: &Transcript) -> [usize; 2] {
    [0, 1].map(|party| transcript.iter().map(|sent| sent[party].len()).sum())
}

/// A session's preparers.
pub struct Pair {
    pub gateway: gateway::Preparer,
    pub user: user::Preparer,
}

pub fn setup(context: &[u8]) -> (Pair, Transcript) {
    let session = |secret| Session::new(&PartySecret::new([secret; 32]), context);
    let setups = (
        gateway::Setup::start(&session(0)).unwrap(),
        user::Setup::start(&session(1)).unwrap(),
    );
    let (gateway, user, transcript) = drive_with(setups, |_, _| ()).unwrap();
    (Pair { gateway, user }, transcript)
}

static READY: Mutex<Vec<Pair>> = Mutex::new(Vec::new());

/// A pair that earlier tests may have used: its set-up takes longer than most tests. It is kept if nothing went wrong.
pub fn with_pair<T>(task: impl FnOnce(&mut Pair) -> T) -> T {
    let kept = READY.lock().unwrap().pop();
    let mut pair = kept.unwrap_or_else(|| setup(b"kept").0);
    let result = task(&mut pair);
    READY.lock().unwrap().push(pair);
    result
}

/// The words of both, the gateway's first, and the user's masks.
pub struct Inputs {
    pub words: Vec<Vec<u64>>,
    pub masks: Vec<u64>,
}

impl Inputs {
    /// Shares of words, among them those at the edges, and masks.
    pub fn random(layer: &Layer, outputs: usize, seed: u64) -> Self {
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        let (words, mut masks) = nonlinear::tests::simulation::inputs(layer.as_shared(), outputs, rng);
        Self {
            words,
            masks: masks.swap_remove(1),
        }
    }

    /// What the trusted party gives.
    pub fn ideal(&self, layer: &Layer) -> Vec<u64> {
        let masks = [vec![0; self.masks.len()], self.masks.clone()];
        crate::ideal::nonlinear(layer.as_shared(), &self.words, &masks)
    }
}

/// Chunks at both parties.
pub type Prepared = (Vec<gateway::Prepared>, Vec<user::Prepared>);

/// Chunks of these sizes, and the transcripts of their preparations.
pub fn prepare(pair: &mut Pair, layer: &Layer, chunks: &[usize], inputs: &Inputs) -> (Prepared, Vec<Transcript>) {
    let (mut all, mut transcripts, mut at) = (Prepared::default(), Vec::new(), 0);
    for outputs in chunks {
        let (first, window) = (at * layer.operation().window(), layer.operation().window());
        let masks = if layer.operation().opens() {
            &inputs.masks[at..at + outputs]
        } else {
            &[]
        };
        let words = &inputs.words[1][first..first + outputs * window];
        let steps = (
            pair.gateway.prepare(layer, *outputs).unwrap(),
            pair.user.prepare(layer, words, masks).unwrap(),
        );
        let (gateway, user, transcript) = drive_with(steps, |_, _| ()).unwrap();
        all.0.push(gateway);
        all.1.push(user);
        transcripts.push(transcript);
        at += outputs;
    }
    (all, transcripts)
}

pub type Started<'l> = (Next<gateway::Online<'l>>, Next<user::Online<'l>>);

pub fn start<'l>(layer: &'l Layer, (gateway, user): Prepared, words: &[u64]) -> Started<'l> {
    (
        gateway::Online::start(layer, gateway, words).unwrap(),
        user::Online::start(layer, user).unwrap(),
    )
}

/// The words that the gateway has, or the sum of both parties' shares.
pub fn revealed(gateway: Outcome, user: Option<Zeroizing<Vec<u64>>>) -> Vec<u64> {
    match (gateway, user) {
        (Outcome::Opened(words), None) => words,
        (Outcome::Shares(ours), Some(theirs)) => ours.iter().zip(&*theirs).map(|(ours, theirs)| ours ^ theirs).collect(),
        _ => panic!("the gateway has the words, or both have shares"),
    }
}

pub fn online(layer: &Layer, prepared: Prepared, words: &[u64]) -> (Vec<u64>, Transcript) {
    let (gateway, user, transcript) = drive_with(start(layer, prepared, words), |_, _| ()).unwrap();
    (revealed(gateway, user), transcript)
}
