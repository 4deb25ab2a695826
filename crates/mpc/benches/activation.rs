//! ReLU on additive shares of 8,192 values, two holders, revealed to a server: preparation (triples from transfers, the set-up left out), the exchanges, and
//! the garbled engine beside them. One thread plays all parties in turn, so a figure is the sum of their work. Elements are values; the bytes are in the name.
//!
//! `cargo bench -p cloven-mpc --bench activation`

use cloven_mpc::activation::{Relu, Step};
use cloven_mpc::boolean::{Messages, TransferSetup, Transfers, Triples};
use cloven_mpc::circuit::{Goal, Party};
use cloven_mpc::transfer::Width;
use cloven_mpc::{BitMatrix, MpcError, PartySecret, Session, ideal};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use std::time::Duration;

const VALUES: usize = 8192;

type Pair<T> = [T; 2];

fn transfers(width: Width) -> Result<Pair<Transfers>, MpcError> {
    let start = |party: u8| {
        let session = Session::new(&PartySecret::new([party; 32]), b"bench");
        TransferSetup::start(&session, (Party(party), 2), width)
    };
    let ((one, to_two), (two, to_one)) = (start(0)?, start(1)?);
    let ((one, to_two), (two, to_one)) = (one.points(&to_one)?, two.points(&to_two)?);
    let ((one, to_two), (two, to_one)) = (one.sums(&to_one)?, two.sums(&to_two)?);
    Ok([one.finish(&to_one)?, two.finish(&to_two)?])
}

/// Triples of all chunks by party, and the bytes of all messages.
fn prepare(relu: &Relu, [one, two]: &mut Pair<Transfers>) -> Result<(Pair<Vec<Triples>>, usize), MpcError> {
    let (mut triples, mut bytes) = ([Vec::new(), Vec::new()], 0);
    let mut count = |messages: [&Messages; 2]| bytes += messages.into_iter().flatten().map(Vec::len).sum::<usize>();
    for values in relu.chunks(VALUES)? {
        let ands = relu.circuit().ands();
        let ((first, to_two), (second, to_one)) = (one.begin(ands, values)?, two.begin(ands, values)?);
        count([&to_one, &to_two]);
        let ((first, to_two), (second, to_one)) = (one.choose(first, &to_one)?, two.choose(second, &to_two)?);
        count([&to_one, &to_two]);
        let ((first, to_two), (second, to_one)) = (first.mask(&to_one)?, second.mask(&to_two)?);
        count([&to_one, &to_two]);
        triples[0].push(first.finish(&to_one)?);
        triples[1].push(second.finish(&to_two)?);
    }
    Ok((triples, bytes))
}

/// The server's values, and the bytes of all messages.
fn exchange(relu: &Relu, shares: &Pair<Vec<u64>>, [one, two]: Pair<Vec<Triples>>) -> Result<(Vec<u64>, usize), MpcError> {
    let mut steps = (relu.start(Party(0), &shares[0], one)?, relu.start(Party(1), &shares[1], two)?);
    let mut bytes = 0;
    loop {
        steps = match steps {
            (Step::Exchange(one, to_two), Step::Exchange(two, to_one)) => {
                bytes += to_one.len() + to_two.len();
                (one.step(&[to_one])?, two.step(&[to_two])?)
            }
            (Step::Reveal(one), Step::Reveal(two)) => {
                return Ok((relu.reveal(VALUES, &[&one, &two])?, bytes + one.len() + two.len()));
            }
            _ => {
                return Err(MpcError::Turn {
                    expected: "the same round at both parties",
                });
            }
        };
    }
}

/// The bytes of all messages.
fn garbled(relu: &Relu, shares: &Pair<Vec<u64>>, [zero, one]: &mut Pair<Transfers>) -> Result<usize, MpcError> {
    let (mut evaluating, message) = relu.evaluate(one, &shares[1])?;
    let mut garbling = relu.garble(zero, &shares[0], &message)?;
    let mut bytes = message.len();
    while let Some(piece) = garbling.next_piece()? {
        bytes += piece.len();
        evaluating.accept(&piece)?;
    }
    let messages = [garbling.finish()?, evaluating.finish()?];
    relu.reveal(VALUES, &messages)?;
    Ok(bytes + messages.concat().len())
}

fn engines(c: &mut Criterion) {
    let rng = &mut ChaCha20Rng::seed_from_u64(2);
    let shares = [(); 2].map(|()| BitMatrix::random(64, VALUES, rng).to_values());
    let mut group = c.benchmark_group("relu");
    group
        .throughput(Throughput::Elements(VALUES as u64))
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(3));
    for goal in [Goal::FewAnds, Goal::LowDepth] {
        let relu = Relu::new(2, goal).expect("two parties");
        let name = format!("{} ANDs, {} rounds", relu.circuit().ands(), relu.rounds());
        for width in [4, 8] {
            let mut transfers = transfers(Width::new(width).expect("a width")).expect("honest parties");
            let (triples, bytes) = prepare(&relu, &mut transfers).expect("honest parties");
            group.bench_function(
                format!("{name}, preparation at width {width}, {} B a value", bytes / VALUES),
                |b| b.iter(|| prepare(&relu, &mut transfers).expect("honest parties")),
            );
            let (revealed, bytes) = exchange(&relu, &shares, triples).expect("honest parties");
            assert_eq!(revealed, ideal::relu(&shares));
            if width == 8 {
                let mut deal = || prepare(&relu, &mut transfers).expect("honest parties").0;
                group.bench_function(format!("{name}, exchanges, {} B a value", bytes / VALUES), |b| {
                    b.iter_batched(
                        &mut deal,
                        |triples| exchange(&relu, &shares, triples).expect("honest parties"),
                        BatchSize::LargeInput,
                    )
                });
            }
        }
    }
    let relu = Relu::new(2, Goal::FewAnds).expect("two parties");
    let mut transfers = transfers(Width::new(4).expect("a width")).expect("honest parties");
    let bytes = garbled(&relu, &shares, &mut transfers).expect("honest parties");
    group.bench_function(
        format!("garbled, transfers at width 4 and all, {} B a value", bytes / VALUES),
        |b| b.iter(|| garbled(&relu, &shares, &mut transfers).expect("honest parties")),
    );
    group.finish();
}

criterion_group!(benches, engines);
criterion_main!(benches);
