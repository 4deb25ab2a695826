use super::*;
use crate::{
    Batches, BitMatrix,
    circuit::{Builder, Goal, Party, Word},
    correlation::{CotReceiver, CotSender, Delta},
    ideal,
};
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// ReLU of a sum, argmax, complements and a constant; `owners` parties give a word each.
fn circuit(owners: usize) -> Circuit {
    let mut builder = Builder::new(Goal::FewAnds);
    let words: Vec<Word> = (0..owners).map(|party| builder.input(Party(party as u8), 8)).collect();
    let sum = builder.sum(&words);
    let relu = builder.relu(&sum);
    let (_, place) = builder.argmax(&words);
    let outputs = [relu, place, builder.not_word(&words[0]), builder.constant(6, 3)];
    builder.finish(&outputs)
}

fn pairs(circuit: &Circuit, deltas: &[Delta], instances: usize, rng: &mut ChaCha20Rng) -> Vec<Vec<(CotSender, CotReceiver)>> {
    let count = |to: usize| instances * (circuit.input_bits_of(Party(to as u8)) + 2 * circuit.ands());
    let mut sent: Vec<Vec<CotSender>> = deltas.iter().map(|_| Vec::new()).collect();
    let mut received: Vec<Vec<CotReceiver>> = deltas.iter().map(|_| Vec::new()).collect();
    for (from, delta) in deltas.iter().enumerate() {
        for to in (0..deltas.len()).filter(|to| *to != from) {
            let (sender, receiver) = ideal::correlated_transfers(delta, count(to), rng);
            sent[from].push(sender);
            received[to].push(receiver);
        }
    }
    sent.into_iter()
        .zip(received)
        .map(|(sent, received)| sent.into_iter().zip(received).collect())
        .collect()
}

fn deliver(sent: &[Vec<Vec<u8>>]) -> Vec<Vec<Vec<u8>>> {
    let slot = |from: usize, to: usize| if to < from { to } else { to - 1 };
    let to = |to: usize| {
        (0..sent.len())
            .filter(|from| *from != to)
            .map(|from| sent[from][slot(from, to)].clone())
            .collect()
    };
    (0..sent.len()).map(to).collect()
}

fn batch(instances: usize) -> Batch {
    Batches::new(b"test").next(instances).unwrap()
}

use crate::Batch;

/// All garblers up to their tables; the bytes between them.
fn prepare<'c>(
    circuit: &'c Circuit,
    deltas: &[Delta],
    instances: usize,
    rng: &mut ChaCha20Rng,
) -> (Vec<(Garbler<'c>, InputKeys<'c>)>, usize) {
    let m = deltas.len();
    let transfers = pairs(circuit, deltas, instances, rng);
    let start = |(me, transfers): (usize, Vec<_>)| {
        Masks::start(
            circuit,
            (Party(me as u8), m),
            batch(instances),
            deltas[me].clone(),
            transfers,
            rng,
        )
        .unwrap()
    };
    let (masks, first): (Vec<_>, Vec<_>) = transfers.into_iter().enumerate().map(start).unzip();
    let (products, second): (Vec<_>, Vec<_>) = masks
        .into_iter()
        .zip(deliver(&first))
        .map(|(s, m)| s.products(&m).unwrap())
        .unzip();
    let (shares, third): (Vec<_>, Vec<_>) = products
        .into_iter()
        .zip(deliver(&second))
        .map(|(s, m)| s.shares(&m).unwrap())
        .unzip();
    let bytes = [first, second].iter().chain([&third]).flatten().flatten().map(Vec::len).sum();
    (
        shares
            .into_iter()
            .zip(deliver(&third))
            .map(|(s, m)| s.finish(&m).unwrap())
            .collect(),
        bytes,
    )
}

fn run(circuit: &Circuit, m: usize, inputs: &[BitMatrix], chunk: usize, rng: &mut ChaCha20Rng) -> (BitMatrix, usize) {
    let instances = inputs[0].columns();
    let deltas: Vec<Delta> = (0..m).map(|_| Delta::random(rng)).collect();
    let (prepared, _) = prepare(circuit, &deltas, instances, rng);
    let (mut garblers, keys): (Vec<_>, Vec<_>) = prepared.into_iter().unzip();
    let none = BitMatrix::zeros(0, instances);
    let theirs = inputs.get(m).unwrap_or(&none);
    let to_evaluator = |delta: &Delta| ideal::correlated_transfers(delta, theirs.rows() * instances, rng);
    let (senders, receivers): (Vec<_>, Vec<_>) = deltas.iter().map(to_evaluator).unzip();
    let (choosing, choices) = Choosing::start(circuit, batch(instances), theirs, receivers).unwrap();
    let (opened, external): (Vec<_>, Vec<_>) = keys
        .into_iter()
        .zip(inputs)
        .map(|(keys, inputs)| keys.open(inputs).unwrap())
        .unzip();
    let external: Vec<Vec<Vec<u8>>> = external.into_iter().map(|bytes| vec![bytes; m - 1]).collect();
    let all = opened.into_iter().zip(deliver(&external)).zip(choices).zip(senders);
    let labels: Vec<_> = all
        .map(|(((opened, external), choices), sender)| opened.labels(&external, &choices, sender).unwrap())
        .collect();
    let mut evaluator = choosing.labels(&labels).unwrap();
    let mut bytes = 0;
    loop {
        let tables: Vec<Vec<u8>> = garblers.iter_mut().map(|garbler| garbler.tables(chunk)).collect();
        if tables[0].is_empty() {
            break;
        }
        bytes += tables.iter().map(Vec::len).sum::<usize>();
        evaluator.consume(&tables).unwrap();
    }
    let mut shares: Vec<BitMatrix> = garblers.into_iter().map(|garbler| garbler.finish().unwrap()).collect();
    shares.push(evaluator.finish().unwrap());
    (ideal::reveal(&shares).unwrap(), bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn garbled_is_clear(m in 2usize..5, outside in any::<bool>(), instances in 1usize..70, chunk in 1usize..20_000, seed in any::<u64>()) {
        let owners = m + usize::from(outside);
        let circuit = circuit(owners);
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        let inputs: Vec<BitMatrix> = (0..owners).map(|_| BitMatrix::random(8, instances, rng)).collect();
        let clear = circuit.evaluate(&BitMatrix::stack(&inputs.iter().collect::<Vec<_>>()).unwrap()).unwrap();
        let (outputs, bytes) = run(&circuit, m, &inputs, chunk, rng);
        prop_assert!(outputs == clear);
        prop_assert_eq!(bytes, m * and_bytes(m) * circuit.ands() * instances);
    }
}

#[test]
fn preparation_costs_what_the_table_says() {
    let circuit = circuit(3);
    let rng = &mut ChaCha20Rng::seed_from_u64(2);
    let deltas = [(); 2].map(|()| Delta::random(rng));
    let (_, bytes) = prepare(&circuit, &deltas, 64, rng);
    // Three bits per AND and direction, and one per input bit of a garbler.
    assert_eq!(bytes, 2 * (3 * circuit.ands() + 8) * 8);
}

#[test]
fn wrong_messages_are_refused() {
    let circuit = circuit(3);
    let rng = &mut ChaCha20Rng::seed_from_u64(3);
    let deltas = [(); 2].map(|()| Delta::random(rng));
    let ands = circuit.ands();
    let length = |expected, actual| Some(MpcError::Length { expected, actual });
    let of_message = |cause: Option<MpcError>| cause.map(MpcError::of(0));
    let masks = |rng: &mut ChaCha20Rng| {
        let transfers = pairs(&circuit, &deltas, 5, rng).swap_remove(0);
        Masks::start(&circuit, (Party(0), 2), batch(5), deltas[0].clone(), transfers, rng)
            .unwrap()
            .0
    };
    assert_eq!(masks(rng).products(&[vec![0; 8]]).err(), of_message(length(ands + 8, 8)));
    assert_eq!(
        masks(rng).products(&[vec![0x20; ands + 8]]).err(),
        of_message(Some(MpcError::Padding { row: 0 }))
    );
    assert!(masks(rng).products::<Vec<u8>>(&[]).is_err());
    let products = |rng: &mut ChaCha20Rng| masks(rng).products(&[vec![0; ands + 8]]).unwrap().0;
    assert_eq!(
        products(rng).shares(&[vec![0; ands - 1]]).err(),
        of_message(length(ands, ands - 1))
    );
    let shares = |rng: &mut ChaCha20Rng| products(rng).shares(&[vec![0; ands]]).unwrap().0;
    assert_eq!(
        shares(rng).finish(&[vec![0; ands + 1]]).err(),
        of_message(length(ands, ands + 1))
    );
    let (garbler, keys) = shares(rng).finish(&[vec![0; ands]]).unwrap();
    assert!(matches!(garbler.finish().err(), Some(MpcError::Mismatch { .. })));
    let (opened, _) = keys.open(&BitMatrix::zeros(8, 5)).unwrap();
    let (sender, receiver) = ideal::correlated_transfers(&deltas[0], 40, rng);
    let (_, other) = ideal::correlated_transfers(&deltas[1], 40, rng);
    assert_eq!(opened.labels(&[vec![0; 8]], &[0; 7], sender).err(), length(8, 7));
    let (choosing, _) = Choosing::start(&circuit, batch(5), &BitMatrix::zeros(8, 5), vec![receiver, other]).unwrap();
    let mut evaluator = choosing.labels(&[vec![0; 24 * 5 * 16], vec![0; 24 * 5 * 16]]).unwrap();
    let one = and_bytes(2) * 5;
    assert_eq!(
        evaluator.consume(&[vec![0; one], vec![0; one + 1]]).err(),
        length(one, one + 1)
    );
    assert_eq!(
        evaluator.consume(&[vec![0; one - 1], vec![0; one]]).err(),
        length(one, one - 1)
    );
    let (much, all) = (one * (ands + 1), one * ands);
    assert_eq!(evaluator.consume(&[vec![0; much], vec![0; much]]).err(), length(all, much));
}
