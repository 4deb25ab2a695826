use super::*;
use crate::BitMatrix;
use proptest::prelude::*;

/// A one-instance-per-value run of a block over input words of one width.
fn run(goal: Goal, width: usize, inputs: &[Vec<u64>], block: impl Fn(&mut Builder, &[Word]) -> Vec<Word>) -> Vec<Vec<u64>> {
    let circuit = build(goal, width, inputs.len(), block);
    let rows: Vec<BitMatrix> = inputs.iter().map(|values| BitMatrix::from_values(width, values)).collect();
    let stacked = BitMatrix::stack(&rows.iter().collect::<Vec<_>>()).unwrap();
    circuit.output_values(&circuit.evaluate(&stacked).unwrap()).unwrap()
}

fn build(goal: Goal, width: usize, inputs: usize, block: impl Fn(&mut Builder, &[Word]) -> Vec<Word>) -> Circuit {
    let mut builder = Builder::new(goal);
    let words: Vec<Word> = (0..inputs).map(|party| builder.input(Party(party as u8), width)).collect();
    let outputs = block(&mut builder, &words);
    builder.finish(&outputs)
}

fn mask(width: usize) -> u64 {
    u64::MAX >> (64 - width)
}

fn signed(value: u64, width: usize) -> i64 {
    (value << (64 - width)) as i64 >> (64 - width)
}

/// Values, among them the ones at the edges.
fn values(width: usize, seed: u64) -> Vec<u64> {
    let top = 1u64 << (width - 1);
    let edges = [0, 1, mask(width), top, top - 1];
    let mixed = (0..20).map(|i| {
        (seed ^ i)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
            .wrapping_mul(seed | 1)
            & mask(width)
    });
    let all: Vec<u64> = edges.iter().map(|edge| edge & mask(width)).chain(mixed).collect();
    let turn = (seed % all.len() as u64) as usize;
    [&all[turn..], &all[..turn]].concat()
}

fn goal() -> impl Strategy<Value = Goal> {
    prop::sample::select(vec![Goal::FewAnds, Goal::LowDepth])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn sums_and_comparisons_are_those_of_integers(goal in goal(), width in 1usize..=64, seeds in any::<[u64; 2]>()) {
        let inputs: Vec<Vec<u64>> = seeds.iter().map(|seed| values(width, *seed)).collect();
        let outputs = run(goal, width, &inputs, |b, w| {
            let (sum, carry) = b.add_with(&w[0], &w[1], Bit::ONE);
            let bits = [carry, b.less_unsigned(&w[0], &w[1]), b.less_signed(&w[0], &w[1]), b.equal(&w[0], &w[1]), b.equal(&w[0], &w[0])];
            vec![b.add(&w[0], &w[1]), b.subtract(&w[0], &w[1]), sum, bits.to_vec()]
        });
        for (i, (x, y)) in inputs[0].iter().zip(&inputs[1]).enumerate() {
            prop_assert_eq!(outputs[0][i], x.wrapping_add(*y) & mask(width));
            prop_assert_eq!(outputs[1][i], x.wrapping_sub(*y) & mask(width));
            let sum = u128::from(*x) + u128::from(*y) + 1;
            prop_assert_eq!(outputs[2][i], sum as u64 & mask(width));
            let expected = [sum >> width != 0, x < y, signed(*x, width) < signed(*y, width), x == y, true];
            let packed = expected.iter().enumerate().fold(0, |bits, (at, bit)| bits | u64::from(*bit) << at);
            prop_assert_eq!(outputs[3][i], packed);
        }
    }

    #[test]
    fn sums_of_shares_reconstruct(goal in goal(), width in 1usize..=64, parties in 1usize..7, seed in any::<u64>()) {
        let inputs: Vec<Vec<u64>> = (0..parties as u64).map(|party| values(width, seed.wrapping_mul(party * 2 + 3))).collect();
        let outputs = run(goal, width, &inputs, |b, w| {
            let sum = b.sum(w);
            vec![b.remask(&sum, &w[1..]), sum]
        });
        for i in 0..inputs[0].len() {
            let sum = inputs.iter().fold(0u64, |sum, values| sum.wrapping_add(values[i]));
            prop_assert_eq!(outputs[1][i], sum & mask(width));
            prop_assert_eq!(outputs[0][i], inputs[0][i]);
        }
    }

    #[test]
    fn choices_are_those_of_integers(goal in goal(), width in 2usize..=40, words in 1usize..9, seed in any::<u64>()) {
        let inputs: Vec<Vec<u64>> = (0..words as u64).map(|word| values(width, seed.wrapping_add(word * word))).collect();
        let outputs = run(goal, width, &inputs, |b, w| {
            let (max, place) = b.argmax(w);
            let pooled = b.max_of(w);
            vec![b.relu(&w[0]), max, place, pooled]
        });
        for i in 0..inputs[0].len() {
            let row: Vec<i64> = inputs.iter().map(|values| signed(values[i], width)).collect();
            let max = row.iter().copied().max().unwrap();
            let place = row.iter().position(|value| *value == max).unwrap() as u64;
            let expected = [row[0].max(0) as u64, max as u64 & mask(width), place, max as u64 & mask(width)];
            prop_assert_eq!(outputs.iter().map(|word| word[i]).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn truncation_is_an_arithmetic_shift(goal in goal(), width in 2usize..=40, part in 0usize..40, seed in any::<u64>()) {
        let places = part % width;
        let inputs = vec![values(width, seed)];
        let outputs = run(goal, width, &inputs, |b, w| {
            let near = b.truncate_to_nearest(&w[0], places);
            let floor = b.truncate(&w[0], places);
            vec![b.extend_sign(&floor, width), b.extend_sign(&near, width + 1), b.extend_zero(&floor, width)]
        });
        for (i, x) in inputs[0].iter().enumerate() {
            let x = signed(*x, width);
            let half = if places == 0 { 0 } else { 1 << (places - 1) };
            prop_assert_eq!(outputs[0][i], (x >> places) as u64 & mask(width));
            prop_assert_eq!(outputs[1][i], ((x + half) >> places) as u64 & mask(width + 1));
            prop_assert_eq!(outputs[2][i], (x >> places) as u64 & mask(width - places));
        }
    }

    #[test]
    fn residues_follow_their_modulus(goal in goal(), modulus in prop_oneof![2u64..40, 2u64..=1 << 50, Just(1 << 41), Just(1 << 50)],
                                     wider in 0usize..3, parties in 1usize..5, seed in any::<u64>()) {
        let width = (64 - (modulus - 1).leading_zeros()) as usize + 1 + wider;
        let mut inputs: Vec<Vec<u64>> = (0..parties as u64 + 1)
            .map(|party| values(60, seed.wrapping_mul(party * 2 + 3)).iter().map(|value| value % modulus).collect())
            .collect();
        inputs.iter_mut().enumerate().for_each(|(i, values)| values[i] = [0, modulus - 1, modulus / 2, (modulus - 1) / 2][i % 4]);
        let outputs = run(goal, width, &inputs, |b, w| {
            let centred = b.centre_modulo(&w[0], modulus);
            vec![
                b.sum_modulo(w, modulus),
                b.subtract_modulo(&w[0], &w[1], modulus),
                b.relu_modulo(&w[0], modulus),
                b.lift_modulo(&centred, modulus),
                centred,
            ]
        });
        for i in 0..inputs[0].len() {
            let (x, y) = (inputs[0][i], inputs[1][i]);
            let sum = inputs.iter().fold(0, |sum, values| (sum + values[i]) % modulus);
            let centred = if x > modulus / 2 { x as i64 - modulus as i64 } else { x as i64 };
            let expected = [sum, (x + modulus - y) % modulus, centred.max(0) as u64, x, centred as u64 & mask(width)];
            prop_assert_eq!(outputs.iter().map(|word| word[i]).collect::<Vec<_>>(), expected);
        }
    }
}

#[test]
fn modular_blocks_fill_their_words() {
    // t = 2^k needs no room beyond k bits, and t just below it uses all of them.
    for modulus in [1 << 7, (1 << 7) - 1, 65] {
        let inputs = [0, 1, modulus / 2, modulus - 1]
            .map(|x| (0..modulus).map(|y| (x, y)).collect::<Vec<_>>())
            .concat();
        let inputs: Vec<Vec<u64>> = vec![
            inputs.iter().map(|pair| pair.0).collect(),
            inputs.iter().map(|pair| pair.1).collect(),
        ];
        for goal in [Goal::FewAnds, Goal::LowDepth] {
            let outputs = run(goal, 7, &inputs, |b, w| {
                vec![b.add_modulo(&w[0], &w[1], modulus), b.subtract_modulo(&w[0], &w[1], modulus)]
            });
            for (i, (x, y)) in inputs[0].iter().zip(&inputs[1]).enumerate() {
                assert_eq!(outputs[0][i], (x + y) % modulus);
                assert_eq!(outputs[1][i], (x + modulus - y) % modulus);
            }
        }
    }
}

#[test]
fn blocks_cost_what_the_table_says() {
    let cost = |goal, inputs, block: &dyn Fn(&mut Builder, &[Word]) -> Vec<Word>| {
        let circuit = build(goal, 32, inputs, block);
        (circuit.ands(), circuit.depth())
    };
    let few = |inputs, block: &dyn Fn(&mut Builder, &[Word]) -> Vec<Word>| cost(Goal::FewAnds, inputs, block);
    let low = |inputs, block: &dyn Fn(&mut Builder, &[Word]) -> Vec<Word>| cost(Goal::LowDepth, inputs, block);
    let t = 0xffff_fffb;
    assert_eq!(few(2, &|b, w| vec![b.add(&w[0], &w[1])]), (31, 31));
    assert_eq!(low(2, &|b, w| vec![b.add(&w[0], &w[1])]), (151, 6));
    assert_eq!(few(2, &|b, w| vec![b.subtract(&w[0], &w[1])]), (31, 31));
    assert_eq!(few(2, &|b, w| vec![vec![b.less_unsigned(&w[0], &w[1])]]), (32, 32));
    assert_eq!(few(2, &|b, w| vec![vec![b.less_signed(&w[0], &w[1])]]), (32, 32));
    assert_eq!(low(2, &|b, w| vec![vec![b.less_signed(&w[0], &w[1])]]), (89, 6));
    assert_eq!(few(2, &|b, w| vec![vec![b.equal(&w[0], &w[1])]]), (31, 5));
    assert_eq!(few(2, &|b, w| vec![b.select(w[0][0], &w[0], &w[1])]), (32, 1));
    assert_eq!(few(1, &|b, w| vec![b.relu(&w[0])]), (31, 1));
    assert_eq!(few(2, &|b, w| vec![b.max(&w[0], &w[1])]), (64, 33));
    assert_eq!(few(4, &|b, w| vec![b.max_of(w)]), (192, 66));
    // The last selection of an index bit between 0 and 1 is free.
    assert_eq!(few(4, &|b, w| vec![b.argmax(w).1]), (161, 66));
    assert_eq!(few(1, &|b, w| vec![b.truncate(&w[0], 10)]), (0, 0));
    assert_eq!(few(1, &|b, w| vec![b.truncate_to_nearest(&w[0], 10)]), (22, 22));
    for (parties, ands) in [(2, 31), (3, 61), (4, 92), (5, 121)] {
        assert_eq!(few(parties, &|b, w| vec![b.sum(w)]), (ands, 31));
    }
    assert_eq!(few(2, &|b, w| vec![b.subtract_modulo(&w[0], &w[1], t)]), (63, 63));
    assert_eq!(few(2, &|b, w| vec![b.add_modulo(&w[0], &w[1], t)]).0, 95);
    assert_eq!(few(1, &|b, w| vec![b.relu_modulo(&w[0], t)]), (62, 31));
    assert_eq!(few(1, &|b, w| vec![b.centre_modulo(&w[0], t)]).0, 61);
    let layer = |b: &mut Builder, w: &[Word]| {
        let sum = b.sum(w);
        let truncated = b.truncate(&sum, 10);
        vec![b.relu(&truncated)]
    };
    assert_eq!(few(3, &layer), (82, 32));
    assert_eq!(low(3, &layer), (194, 7));
}

#[test]
fn constants_and_repetitions_cost_nothing() {
    let circuit = build(Goal::FewAnds, 4, 1, |b, w| {
        let x = w[0][0];
        let not = b.not(x);
        let five = b.constant(5, 4);
        let bits = [
            b.and(x, Bit::ONE),
            b.and(x, Bit::ZERO),
            b.and(x, x),
            b.and(x, not),
            b.or(x, not),
            b.xor(x, not),
            b.xor(x, Bit::ONE),
        ];
        let unused = b.and(w[0][1], w[0][2]);
        let _ = b.xor(unused, x);
        vec![bits.to_vec(), five]
    });
    assert_eq!((circuit.ands(), circuit.depth(), circuit.wires()), (0, 0, 5));
    let outputs = circuit
        .output_values(&circuit.evaluate(&BitMatrix::from_values(4, &[0, 1])).unwrap())
        .unwrap();
    assert_eq!(outputs, [[0b1110000, 0b0110101], [5, 5]]);
}

#[test]
fn inputs_of_a_wrong_shape_are_refused() {
    let circuit = build(Goal::FewAnds, 4, 2, |b, w| vec![b.add(&w[0], &w[1])]);
    let refused = circuit.evaluate(&BitMatrix::zeros(7, 3)).err();
    let what = "rows of input bits";
    assert_eq!(
        refused,
        Some(crate::MpcError::Mismatch {
            what,
            expected: 8,
            actual: 7
        })
    );
    assert!(circuit.output_values(&BitMatrix::zeros(5, 1)).is_err());
}

#[test]
fn groups_are_of_one_layer_and_have_one_operand() {
    for goal in [Goal::FewAnds, Goal::LowDepth] {
        let circuit = build(goal, 80, 3, |b, w| {
            let sum = b.sum(w);
            vec![b.relu(&sum), b.argmax(w).1]
        });
        let (mut at, mut shared) = (0, 0);
        let ands: Vec<(usize, usize)> = circuit
            .layers
            .iter()
            .enumerate()
            .flat_map(|(layer, gates)| gates.clone().map(move |gate| (layer, gate)))
            .map(|(layer, gate)| match circuit.gates[gate] {
                Gate::And(_, right) => (layer, right.wire),
                Gate::Xor(..) => panic!("layers are of ANDs"),
            })
            .collect();
        for group in &circuit.groups {
            let size = group.ands();
            let ands = &ands[at..at + size];
            assert!((1..=64).contains(&size) && ands.iter().all(|and| *and == ands[0]));
            at += size;
            shared += usize::from(size > 1);
        }
        assert_eq!((at, circuit.and_groups()), (circuit.ands(), circuit.groups.len()));
        // The 79 ANDs with a sign are two groups, and a selection is one.
        assert!(shared >= 4 && circuit.groups.iter().any(|group| group.ands() == 64));
    }
}

#[test]
fn transfers_go_between_parties_whose_words_matter() {
    // The majority of one word of each: party 1's and 2's, 0's and 1's, 0's and 2's, as x ^ z and y ^ z.
    let circuit = build(Goal::FewAnds, 1, 3, |b, w| vec![vec![b.majority(w[0][0], w[1][0], w[2][0])]]);
    let count = |from, to| circuit.transfers(Party(from), Party(to));
    assert_eq!(
        circuit.groups,
        [Group {
            left: vec![0b101],
            right: 0b110
        }]
    );
    assert_eq!([count(0, 1), count(0, 2), count(2, 1)], [1; 3]);
    assert_eq!([count(1, 0), count(1, 2), count(2, 0)], [0; 3]);
    // What depends on all is made by all.
    let circuit = build(Goal::FewAnds, 8, 2, |b, w| {
        let sum = b.add(&w[0], &w[1]);
        vec![b.relu(&sum)]
    });
    let both = [circuit.transfers(Party(0), Party(1)), circuit.transfers(Party(1), Party(0))];
    assert_eq!((circuit.and_groups(), both[0] + both[1]), (8, 15));
}
