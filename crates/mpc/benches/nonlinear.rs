//! A non-linear layer of shared inference with three parties: 5,000 ReLUs of 32 bits with truncation by 10. Each party's work is measured by itself, on one
//! thread, without the network, in processor time where Linux tells it; the largest of the three counts. ANDs are those of the circuit.
//!
//! `cargo bench -p cloven-mpc --bench nonlinear`
#![allow(clippy::expect_used)]

use cloven_mpc::circuit::{Goal, Party};
use cloven_mpc::nonlinear::{Engine, Exchange, Layer, Next, Online, Operation, Outcome, Prepared, Preparer, Resume, Ring, Setup};
use cloven_mpc::{BitMatrix, MpcError, PartySecret, Session, ideal};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

const OUTPUTS: usize = 5000;
const PARTIES: usize = 3;

/// Time at each party, bytes of all messages, and rounds.
#[derive(Default)]
struct Cost {
    times: Vec<Duration>,
    bytes: usize,
    rounds: usize,
}

/// Processor time of this thread; time since the first call where that is not known.
fn now() -> Duration {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    let file = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = file.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanoseconds.map_or_else(|| FIRST.elapsed(), Duration::from_nanos)
}

impl Cost {
    fn add(&mut self, party: usize, begun: Duration) {
        self.times.resize(PARTIES, Duration::ZERO);
        self.times[party] += now().saturating_sub(begun);
    }

    fn print(&self, what: &str, layer: &Layer) {
        let ands = (OUTPUTS * layer.circuit().ands()) as f64;
        let seconds: Vec<String> = self.times.iter().map(|time| format!("{:.3}", time.as_secs_f64())).collect();
        let slowest = self.times.iter().max().expect("three parties").as_secs_f64();
        println!(
            "{what}: {} s by party, {:.2} million ANDs/s, {:.1} bytes an AND, {} a value, {} rounds",
            seconds.join(" / "),
            ands / slowest / 1e6,
            self.bytes as f64 / ands,
            self.bytes / OUTPUTS,
            self.rounds
        );
    }
}

fn deliver(sent: &[Vec<Vec<u8>>], to: usize) -> Vec<&Vec<u8>> {
    let from = (0..sent.len()).filter(|from| *from != to);
    from.map(|from| &sent[from][if to < from { to } else { to - 1 }]).collect()
}

fn drive<S: Resume>(mut steps: Vec<Next<S>>, cost: &mut Cost) -> Result<Vec<S::Output>, MpcError> {
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
            return Ok(done);
        }
        cost.rounds += 1;
        cost.bytes += sent.iter().flatten().map(Vec::len).sum::<usize>();
        steps = Vec::new();
        for (party, exchange) in waiting.into_iter().enumerate() {
            let messages = deliver(&sent, party);
            let begun = now();
            steps.push(exchange.receive(&messages)?);
            cost.add(party, begun);
        }
    }
}

fn preparers() -> Result<Vec<Preparer>, MpcError> {
    let start = |party: u8| {
        let session = Session::new(&PartySecret::new([party; 32]), b"bench");
        Setup::start(&session, (Party(party), PARTIES))
    };
    let begun = (0..PARTIES as u8).map(start).collect::<Result<_, _>>()?;
    drive(begun, &mut Cost::default())
}

fn prepare(preparers: &mut [Preparer], layer: &Layer) -> Result<(Vec<Vec<Prepared>>, Cost), MpcError> {
    let mut all: Vec<Vec<Prepared>> = preparers.iter().map(|_| Vec::new()).collect();
    let mut cost = Cost::default();
    for outputs in layer.chunks(OUTPUTS)? {
        let mut steps = Vec::new();
        for (party, preparer) in preparers.iter_mut().enumerate() {
            let begun = now();
            steps.push(preparer.prepare(layer, outputs)?);
            cost.add(party, begun);
        }
        let prepared = drive(steps, &mut cost)?;
        all.iter_mut().zip(prepared).for_each(|(all, prepared)| all.push(prepared));
    }
    Ok((all, cost))
}

fn online(layer: &Layer, prepared: Vec<Vec<Prepared>>) -> Result<Cost, MpcError> {
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let [words, masks] = [(); 2].map(|()| {
        let words = || BitMatrix::random(layer.ring().bits, OUTPUTS, rng).to_values();
        std::iter::repeat_with(words).take(PARTIES).collect::<Vec<_>>()
    });
    let (mut cost, mut steps) = (Cost::default(), Vec::new());
    for (party, prepared) in prepared.into_iter().enumerate() {
        let begun = now();
        steps.push(Online::start(
            layer,
            Party(party as u8),
            prepared,
            &words[party],
            &masks[party],
        )?);
        cost.add(party, begun);
    }
    let expected = ideal::nonlinear(layer, &words, &masks);
    for outcome in drive(steps, &mut cost)? {
        assert!(matches!(outcome, Outcome::Opened(opened) if opened == expected), "the clear");
    }
    Ok(cost)
}

fn main() -> Result<(), MpcError> {
    let ring = Ring {
        bits: 32,
        truncation: 10,
    };
    let engines = [
        ("boolean, few ANDs", Engine::Boolean(Goal::FewAnds)),
        ("boolean, low depth", Engine::Boolean(Goal::LowDepth)),
        ("garbled", Engine::Garbled),
    ];
    let mut preparers = preparers()?;
    for (name, engine) in engines {
        let layer = Layer::new(Operation::Relu, ring, engine, PARTIES)?;
        // The second time counts: the first pays for pages.
        prepare(&mut preparers, &layer)?;
        let (prepared, preparation) = prepare(&mut preparers, &layer)?;
        preparation.print(&format!("{name} ({} ANDs), preparation", layer.circuit().ands()), &layer);
        online(&layer, prepared)?.print(&format!("{name}, online"), &layer);
    }
    Ok(())
}
