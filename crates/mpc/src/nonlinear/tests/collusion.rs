//! What all parties but one find out when they put together what they saw.
//!
//! The attack on two-role garbling: whoever has the garbler's pair of labels of a wire and the evaluator's active one knows the wire's value. It works on half
//! gates, where that is the whole of the coalition's task, and finds nothing among n - 1 of the n parties here.

use super::{super::garbled::record, simulation::*, *};
use crate::{
    Batches, BitMatrix,
    circuit::{Builder, Circuit, Gate, Operand, Party, Word},
    correlation::Delta,
    garbling::half_gates,
    ideal,
};
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// The value of every wire.
fn all_wires(circuit: &Circuit, inputs: &BitMatrix) -> BitMatrix {
    let mut wires = BitMatrix::zeros(circuit.wires(), inputs.columns());
    (0..inputs.rows()).for_each(|row| wires.row_mut(1 + row).copy_from_slice(inputs.row(row)));
    for (gate, out) in circuit.gates.iter().zip(circuit.first_gate()..) {
        let read = |operand: Operand, word: usize| wires.row(operand.wire)[word] ^ 0u64.wrapping_sub(operand.inverted.into());
        let value = |word| match *gate {
            Gate::Xor(left, right) => wires.row(left)[word] ^ wires.row(right)[word],
            Gate::And(left, right) => read(left, word) & read(right, word),
        };
        let values: Vec<u64> = (0..wires.stride()).map(value).collect();
        wires.row_mut(out).copy_from_slice(&values);
    }
    wires
}

/// The wires that a coalition without `honest` is not to know: the outputs of ANDs, and the honest party's inputs.
fn hidden(circuit: &Circuit, honest: Party) -> Vec<usize> {
    let ands = circuit.gates.iter().zip(circuit.first_gate()..);
    let ands = ands.filter(|(gate, _)| matches!(gate, Gate::And(..))).map(|(_, wire)| wire);
    circuit.wires_of(honest).chain(ands).collect()
}

/// The share of hidden wires on which a guess is right.
fn hits(circuit: &Circuit, honest: Party, truth: &BitMatrix, guess: impl Fn(usize, usize) -> bool) -> f64 {
    let wires = hidden(circuit, honest);
    let cells = wires
        .iter()
        .flat_map(|wire| (0..truth.columns()).map(move |column| (*wire, column)));
    let right = cells.filter(|(wire, column)| guess(*wire, *column) == truth.get(*wire, *column));
    right.count() as f64 / (wires.len() * truth.columns()) as f64
}

#[test]
fn labels_of_all_parties_but_one_do_not_tell_the_wires() {
    for parties in [3, 4] {
        let (layer, outputs) = (
            Layer::new(Operation::Relu, ring(32, 10), Engine::Garbled, parties).unwrap(),
            64,
        );
        let rng = &mut ChaCha20Rng::seed_from_u64(parties as u64);
        record::take();
        let (prepared, _) = with_preparers(parties, |preparers| prepare(preparers, &layer, outputs));
        let (words, masks) = inputs(&layer, outputs, rng);
        let prepared = prepared.into_iter().map(|prepared| vec![prepared]).collect();
        let (_, transcript) = online(&layer, prepared, &words, &masks);
        let views = record::take();
        assert_eq!((views.garblers.len(), views.evaluator.len()), (parties - 1, 1));
        let rows: Vec<BitMatrix> = (0..parties).map(|party| layer.rows(&words[party])).collect();
        let truth = all_wires(&layer.circuit, &BitMatrix::stack(&rows.iter().collect::<Vec<_>>()).unwrap());
        let cell = |wire: usize, column: usize| wire * outputs + column;
        let external = |garbler: usize, wire: usize, column: usize| {
            let (view, active) = (&views.garblers[garbler], views.evaluator[0][garbler][cell(wire, column)]);
            let zero = view.labels[cell(wire, column)];
            assert!(active == zero || active == zero ^ view.delta, "labels belong together");
            active != zero
        };
        // The evaluator with all garblers but one: what labels say, and what remains of it under all masks that they know.
        for honest in 0..parties - 1 {
            let other = usize::from(honest == 0);
            let by_labels = hits(&layer.circuit, Party(honest as u8), &truth, |wire, column| {
                external(other, wire, column)
            });
            let by_masks = hits(&layer.circuit, Party(honest as u8), &truth, |wire, column| {
                let known = views.garblers.iter().filter(|view| view.party != honest);
                known.fold(external(other, wire, column), |value, view| {
                    value ^ view.masks.get(wire, column)
                })
            });
            assert!(
                (by_labels - 0.5).abs() < 0.03 && (by_masks - 0.5).abs() < 0.03,
                "{by_labels} {by_masks}"
            );
        }
        // With the last one's masks it is everything: the guess is the right one, and lacks the honest party.
        let all = hits(&layer.circuit, Party(0), &truth, |wire, column| {
            let masks = views.garblers.iter();
            masks.fold(external(0, wire, column), |value, view| value ^ view.masks.get(wire, column))
        });
        assert_eq!(all, 1.0);
        // All garblers: of the evaluator's words they have what it told each of them, after the mark.
        for told in &transcript[0][parties - 1] {
            let told = BitMatrix::decode(32, outputs, &told[8..]).unwrap();
            let same = (0..32).flat_map(|row| (0..outputs).map(move |column| (row, column)));
            let same = same.filter(|(row, column)| told.get(*row, *column) == rows[parties - 1].get(*row, *column));
            let share = same.count() as f64 / (32 * outputs) as f64;
            assert!((share - 0.5).abs() < 0.05, "{share}");
        }
    }
}

/// Half gates for three parties: 0 garbles, 1 evaluates, and the third's word comes in by transfers too. Gives what garbler and evaluator know
/// together of every wire, and the truth.
fn two_roles(bits: usize, words: [&[u64]; 3], seed: u64) -> (Circuit, BitMatrix, BitMatrix) {
    let mut builder = Builder::new(Goal::FewAnds);
    let shares: Vec<Word> = [0, 1, 1].map(|owner| builder.input(Party(owner), bits)).to_vec();
    let sum = builder.sum(&shares);
    let relu = builder.relu(&sum);
    let circuit = builder.finish(&[relu]);
    let rng = &mut ChaCha20Rng::seed_from_u64(seed);
    let rows = words.map(|words| BitMatrix::from_values(bits, words));
    let instances = rows[0].columns();
    let delta = Delta::random(rng);
    let (sender, receiver) = ideal::correlated_transfers(&delta, 2 * bits * instances, rng);
    let batch = || Batches::new(b"two roles").next(instances).unwrap();
    let chosen = BitMatrix::stack(&[&rows[1], &rows[2]]).unwrap();
    let (choosing, choices) = half_gates::Choosing::start(&circuit, batch(), &chosen, receiver).unwrap();
    let (mut garbler, labels) = half_gates::Garbler::start(&circuit, batch(), &rows[0], sender, &choices, rng).unwrap();
    let mut evaluator = choosing.labels(&labels).unwrap();
    evaluator.consume(&garbler.tables(usize::MAX)).unwrap();
    let mut known = BitMatrix::zeros(circuit.wires(), instances);
    for wire in 1..circuit.wires() {
        for column in 0..instances {
            let (active, zero) = (
                evaluator.labels[wire * instances + column],
                garbler.labels[wire * instances + column],
            );
            assert!(active == zero || active == zero ^ delta.value(), "labels belong together");
            known.row_mut(wire)[column / 64] |= u64::from(active != zero) << (column % 64);
        }
    }
    let truth = all_wires(&circuit, &BitMatrix::stack(&[&rows[0], &rows[1], &rows[2]]).unwrap());
    drop((garbler, evaluator));
    (circuit, known, truth)
}

#[test]
fn labels_of_garbler_and_evaluator_tell_every_wire_of_half_gates() {
    let words = [1u64, 2, 3].map(|seed| {
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        (0..64).map(|_| rng.next_u64() & 0xffff_ffff).collect::<Vec<_>>()
    });
    let (circuit, known, truth) = two_roles(32, [&words[0], &words[1], &words[2]], 4);
    assert_eq!(hits(&circuit, Party(1), &truth, |wire, column| known.get(wire, column)), 1.0);
    assert!(known.slice(65, 32).to_values() == words[2], "the third party's word itself");
}

/// Two samples' chi-square over bytes; 255 degrees of freedom, mean 255 and deviation 23 if they come from one distribution.
pub fn chi_square(samples: [&[u8]; 2]) -> f64 {
    let counts = samples.map(|sample| {
        let mut counts = [0f64; 256];
        sample.iter().for_each(|byte| counts[usize::from(*byte)] += 1.0);
        counts
    });
    let [first, second] = samples.map(|sample| (sample.len() as f64).sqrt());
    let terms = counts[0].iter().zip(counts[1]).filter(|(left, right)| *left + right > 0.0);
    terms
        .map(|(left, right)| (left * second / first - right * first / second).powi(2) / (left + right))
        .sum()
}

pub const UNUSUAL: f64 = 255.0 + 5.0 * 22.6;

/// What the coalition has when the honest party's word is `word` in every output: opened words, the honest party's messages of either phase, and (garbled,
/// and the honest party a garbler) what labels say of its words.
fn view(engine: Engine, honest: usize, word: u64) -> Vec<Vec<u8>> {
    let (outputs, parties) = (2048, 3);
    let layer = Layer::with_any_bits(Operation::Relu, ring(8, 2), engine, parties).unwrap();
    let rng = &mut ChaCha20Rng::seed_from_u64(word);
    let mut words = vec![vec![11; outputs], vec![250; outputs], vec![3; outputs]];
    words[honest] = vec![word; outputs];
    // The coalition's masks are what it likes, the honest party's uniform.
    let mut masks = vec![vec![7; outputs]; parties];
    masks[honest] = (0..outputs).map(|_| rng.next_u64() & 255).collect();
    let (mut all, mut prepared_bytes): (Vec<Vec<Prepared>>, Vec<u8>) = ((0..parties).map(|_| Vec::new()).collect(), Vec::new());
    record::take();
    for outputs in layer.chunks(outputs).unwrap() {
        let (prepared, transcript) = with_preparers(parties, |preparers| prepare(preparers, &layer, outputs));
        prepared_bytes.extend(sent_by(honest, &transcript));
        all.iter_mut().zip(prepared).for_each(|(all, prepared)| all.push(prepared));
    }
    let (opened, transcript) = online(&layer, all, &words, &masks);
    assert_eq!(opened, ideal::nonlinear(&layer, &words, &masks));
    let opened = opened.iter().map(|word| *word as u8).collect();
    let mut parts = vec![opened, prepared_bytes, sent_by(honest, &transcript)];
    if engine == Engine::Garbled && honest < 2 {
        parts.push(by_labels(honest));
    }
    parts
}

/// All bytes but the marks before the first messages, which are public. What goes to all peers counts once.
fn sent_by(honest: usize, transcript: &Transcript) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (round, sent) in transcript.iter().enumerate() {
        let mark = if round == 0 { 8 } else { 0 };
        let [first, second] = [0, 1].map(|peer| &sent[honest][peer][mark..]);
        bytes.extend_from_slice(first);
        if first != second {
            bytes.extend_from_slice(second);
        }
    }
    bytes
}

/// The words of a garbler by the other one's pairs of labels and the evaluator's active ones.
fn by_labels(honest: usize) -> Vec<u8> {
    let (views, other) = (record::take(), 1 - honest);
    let mut words = Vec::new();
    for (view, active) in views.garblers.iter().filter(|view| view.party == other).zip(&views.evaluator) {
        let instances = view.masks.columns();
        for instance in 0..instances {
            let bit = |bit: usize| (1 + 8 * honest + bit) * instances + instance;
            words.push((0..8).fold(0, |word, at| {
                word | u8::from(active[other][bit(at)] != view.labels[bit(at)]) << at
            }));
        }
    }
    words
}

#[test]
fn two_inputs_of_the_honest_party_look_alike() {
    for (engine, honest) in [
        (FEW, 0),
        (LOW, 1),
        (FEW, 2),
        (Engine::Garbled, 0),
        (Engine::Garbled, 1),
        (Engine::Garbled, 2),
    ] {
        let views = [100, 30].map(|word| view(engine, honest, word));
        for (at, (left, right)) in views[0].iter().zip(&views[1]).enumerate() {
            assert!(left.len() >= 2048 && left.len() == right.len());
            let statistic = chi_square([left, right]);
            assert!(statistic < UNUSUAL, "{engine:?}, party {honest}, part {at}: {statistic}");
        }
    }
}

/// The same words as labels tell them in two roles.
#[test]
fn two_inputs_of_the_third_party_do_not_look_alike_to_two_roles() {
    let known = |word: u64| {
        let words = [vec![11; 2048], vec![250; 2048], vec![word; 2048]];
        let (_, known, _) = two_roles(8, [&words[0], &words[1], &words[2]], word);
        let words = known.slice(17, 8).to_values();
        words.iter().map(|word| *word as u8).collect::<Vec<u8>>()
    };
    let statistic = chi_square([&known(100), &known(30)]);
    assert!(statistic > 10.0 * UNUSUAL, "{statistic}");
}
