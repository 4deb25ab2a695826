//! The engines on the non-linear layer of shared inference: 82 ANDs per value for ReLU and truncation of three shares of 32 bits (half gates: 52,
//! two shares). One thread plays all parties in turn, so a figure is the sum of their work; transfers come from the ideal dealer, outside the
//! clock. Elements are ANDs.
//!
//! `cargo bench -p cloven-mpc --bench circuits`

use cloven_mpc::boolean::{Evaluation, Step};
use cloven_mpc::circuit::{Builder, Circuit, Goal, Party, Word};
use cloven_mpc::correlation::{CotReceiver, CotSender, Delta};
use cloven_mpc::garbling::{bmr, half_gates};
use cloven_mpc::{Batches, BitMatrix, MpcError, ideal};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use std::time::Duration;

fn layer(goal: Goal, parties: u8) -> Circuit {
    let mut builder = Builder::new(goal);
    let words: Vec<Word> = (0..parties).map(|party| builder.input(Party(party), 32)).collect();
    let sum = builder.sum(&words);
    let truncated = builder.truncate(&sum, 10);
    let relu = builder.relu(&truncated);
    builder.finish(&[relu])
}

fn two_parties(circuit: &Circuit, instances: usize, transfers: (CotSender, CotReceiver)) -> Result<(), MpcError> {
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let [mut garbling, mut evaluating] = [(); 2].map(|()| Batches::new(b"bench"));
    let inputs = BitMatrix::random(32, instances, rng);
    let (choosing, choices) = half_gates::Choosing::start(circuit, evaluating.next(instances)?, &inputs, transfers.1)?;
    let (mut garbler, labels) =
        half_gates::Garbler::start(circuit, garbling.next(instances)?, &inputs, transfers.0, &choices, rng)?;
    let mut evaluator = choosing.labels(&labels)?;
    loop {
        let tables = garbler.tables(1 << 17);
        if tables.is_empty() {
            break;
        }
        evaluator.consume(&tables)?;
    }
    garbler.finish()?.xor_assign(&evaluator.finish()?)
}

fn shared(circuit: &Circuit, inputs: &[BitMatrix], triples: Vec<cloven_mpc::boolean::Triples>) -> Result<(), MpcError> {
    let parties = inputs.len();
    let start = |(me, (inputs, triples))| Evaluation::start(circuit, (Party(me as u8), parties), inputs, triples);
    let mut steps = inputs
        .iter()
        .zip(triples)
        .enumerate()
        .map(start)
        .collect::<Result<Vec<_>, _>>()?;
    loop {
        let (mut openings, mut messages) = (Vec::new(), Vec::new());
        for step in steps {
            if let Step::Open(opening, message) = step {
                openings.push(opening);
                messages.push(message);
            }
        }
        if openings.is_empty() {
            return Ok(());
        }
        let others = |me: usize| {
            messages
                .iter()
                .enumerate()
                .filter(|(from, _)| *from != me)
                .map(|(_, bytes)| bytes)
                .collect::<Vec<_>>()
        };
        steps = openings
            .into_iter()
            .enumerate()
            .map(|(me, opening)| opening.receive(&others(me)))
            .collect::<Result<Vec<_>, _>>()?;
    }
}

struct Dealt {
    deltas: [Delta; 2],
    between: [Vec<(CotSender, CotReceiver)>; 2],
    senders: [CotSender; 2],
    receivers: Vec<CotReceiver>,
}

fn deal(circuit: &Circuit, instances: usize) -> Dealt {
    let rng = &mut ChaCha20Rng::seed_from_u64(2);
    let deltas = [(); 2].map(|()| Delta::random(rng));
    let count = instances * (32 + 2 * circuit.ands());
    let (sender_0, receiver_1) = ideal::correlated_transfers(&deltas[0], count, rng);
    let (sender_1, receiver_0) = ideal::correlated_transfers(&deltas[1], count, rng);
    let [(first, first_received), (second, second_received)] =
        [0, 1].map(|garbler: usize| ideal::correlated_transfers(&deltas[garbler], 32 * instances, rng));
    Dealt {
        deltas,
        between: [vec![(sender_0, receiver_0)], vec![(sender_1, receiver_1)]],
        senders: [first, second],
        receivers: vec![first_received, second_received],
    }
}

/// Two garblers and an evaluator; the bytes of all messages.
fn three_parties(circuit: &Circuit, instances: usize, dealt: Dealt) -> Result<usize, MpcError> {
    let rng = &mut ChaCha20Rng::seed_from_u64(3);
    let batch = || Batches::new(b"bench").next(instances);
    let inputs = BitMatrix::random(32, instances, rng);
    let [delta_0, delta_1] = dealt.deltas;
    let [transfers_0, transfers_1] = dealt.between;
    let (first, to_1) = bmr::Masks::start(circuit, (Party(0), 2), batch()?, delta_0, transfers_0, rng)?;
    let (second, to_0) = bmr::Masks::start(circuit, (Party(1), 2), batch()?, delta_1, transfers_1, rng)?;
    let mut bytes = to_0[0].len() + to_1[0].len();
    let ((first, to_1), (second, to_0)) = (first.products(&to_0)?, second.products(&to_1)?);
    bytes += to_0[0].len() + to_1[0].len();
    let ((first, to_1), (second, to_0)) = (first.shares(&to_0)?, second.shares(&to_1)?);
    bytes += to_0[0].len() + to_1[0].len();
    let ((mut first, first_keys), (mut second, second_keys)) = (first.finish(&to_0)?, second.finish(&to_1)?);
    let (choosing, choices) = bmr::Choosing::start(circuit, batch()?, &inputs, dealt.receivers)?;
    let ((first_keys, to_1), (second_keys, to_0)) = (first_keys.open(&inputs)?, second_keys.open(&inputs)?);
    let [sender_0, sender_1] = dealt.senders;
    let labels = [
        first_keys.labels(&[to_0], &choices[0], sender_0)?,
        second_keys.labels(&[to_1], &choices[1], sender_1)?,
    ];
    let mut evaluator = choosing.labels(&labels)?;
    loop {
        let tables = [first.tables(1 << 17), second.tables(1 << 17)];
        if tables[0].is_empty() {
            break;
        }
        bytes += tables.iter().map(Vec::len).sum::<usize>();
        evaluator.consume(&tables)?;
    }
    evaluator.finish()?;
    Ok(bytes)
}

fn engines(c: &mut Criterion) {
    let mut group = c.benchmark_group("ANDs");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    for instances in [64, 256, 1024] {
        let circuit = layer(Goal::FewAnds, 2);
        let rng = &mut ChaCha20Rng::seed_from_u64(4);
        let delta = Delta::random(rng);
        group.throughput(Throughput::Elements((circuit.ands() * instances) as u64));
        group.bench_function(format!("half gates, both parties, {instances} values"), |b| {
            let deal = || ideal::correlated_transfers(&delta, 32 * instances, &mut ChaCha20Rng::seed_from_u64(5));
            b.iter_batched(
                deal,
                |transfers| two_parties(&circuit, instances, transfers).expect("the steps fit"),
                BatchSize::SmallInput,
            );
        });
    }
    for instances in [64, 1220] {
        let circuit = layer(Goal::FewAnds, 3);
        group.throughput(Throughput::Elements((circuit.ands() * instances) as u64));
        let bytes = three_parties(&circuit, instances, deal(&circuit, instances)).expect("the steps fit");
        println!(
            "bmr: {:.2} bytes per AND besides transfers",
            bytes as f64 / (circuit.ands() * instances) as f64
        );
        group.bench_function(format!("bmr, two garblers and evaluator, {instances} values"), |b| {
            let deal = || deal(&circuit, instances);
            b.iter_batched(
                deal,
                |dealt| three_parties(&circuit, instances, dealt).expect("the steps fit"),
                BatchSize::LargeInput,
            );
        });
    }
    let circuit = layer(Goal::LowDepth, 3);
    let instances = 4096;
    let rng = &mut ChaCha20Rng::seed_from_u64(6);
    let inputs: Vec<BitMatrix> = (0..3).map(|_| BitMatrix::random(96, instances, rng)).collect();
    group.throughput(Throughput::Elements((circuit.ands() * instances) as u64));
    group.bench_function("gmw online, three parties, 4096 values", |b| {
        let deal = || ideal::triples(3, circuit.ands(), instances, &mut ChaCha20Rng::seed_from_u64(7));
        b.iter_batched(
            deal,
            |triples| shared(&circuit, &inputs, triples).expect("the steps fit"),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, engines);
criterion_main!(benches);
