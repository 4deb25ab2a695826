//! ReLU on additive shares of 8,192 values, two holders, revealed to a server: preparation (triples from transfers, the set-up left out), the exchanges, and
//! the garbled engine beside them. One thread plays all parties in turn, so a figure is the sum of their work. Elements are values; the bytes are in the name.
//!
//! `cargo bench -p cloven-mpc --bench activation`

use cloven_mpc::activation::{Relu, Step};
use cloven_mpc::boolean::{Messages, TransferSetup, Transfers, Triples};
use cloven_mpc::circuit::{Goal, Party};
use cloven_mpc::correlation::{CotReceiver, CotSender, Delta};
use cloven_mpc::garbling::half_gates;
use cloven_mpc::transfer::Width;
use cloven_mpc::{Batches, BitMatrix, MpcError, PartySecret, Session, ideal};
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

/// In pieces of 256 values, which keep the labels in the cache.
fn garbled(relu: &Relu, shares: &Pair<Vec<u64>>, transfers: Vec<(CotSender, CotReceiver)>) -> Result<usize, MpcError> {
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let [mut garbling, mut evaluating] = [(); 2].map(|()| Batches::new(b"bench"));
    let mut bytes = 0;
    for (at, (sender, receiver)) in transfers.into_iter().enumerate() {
        let inputs = [0, 1].map(|party: usize| BitMatrix::from_values(64, &shares[party][at * 256..][..256]));
        let (choosing, choices) = half_gates::Choosing::start(relu.circuit(), evaluating.next(256)?, &inputs[1], receiver)?;
        let (mut garbler, labels) =
            half_gates::Garbler::start(relu.circuit(), garbling.next(256)?, &inputs[0], sender, &choices, rng)?;
        let mut evaluator = choosing.labels(&labels)?;
        bytes += choices.len() + labels.len();
        loop {
            let tables = garbler.tables(1 << 17);
            if tables.is_empty() {
                break;
            }
            bytes += tables.len();
            evaluator.consume(&tables)?;
        }
        bytes += garbler.finish()?.encode().len() + evaluator.finish()?.encode().len();
    }
    Ok(bytes)
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
    let deal = || {
        let rng = &mut ChaCha20Rng::seed_from_u64(3);
        let delta = Delta::random(rng);
        (0..VALUES / 256)
            .map(|_| ideal::correlated_transfers(&delta, 64 * 256, rng))
            .collect::<Vec<_>>()
    };
    let bytes = garbled(&relu, &shares, deal()).expect("honest parties");
    group.bench_function(format!("garbled, besides transfers, {} B a value", bytes / VALUES), |b| {
        b.iter_batched(
            deal,
            |transfers| garbled(&relu, &shares, transfers).expect("honest parties"),
            BatchSize::LargeInput,
        )
    });
    group.finish();
}

criterion_group!(benches, engines);
criterion_main!(benches);
