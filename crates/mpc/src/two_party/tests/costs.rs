//! What the table of the module says, and what is sent.

use super::{simulation::*, *};
use crate::circuit::{Builder, Goal, Party};

#[test]
fn messages_are_as_long_as_the_costs_say() {
    let (_, transcript) = setup(b"costs");
    assert_eq!(bytes(&transcript), [SETUP_DOWN, SETUP_UP]);
    for (operation, outputs) in [
        (Operation::Relu, 2304),
        (Operation::Relu, 3),
        (Operation::Truncate, 70),
        (Operation::MaxPool { window: 3 }, 300),
        (Operation::ArgMax { classes: 10 }, 5),
    ] {
        let truncation = if operation.opens() { 12 } else { 0 };
        let layer = layer(operation, 32, truncation);
        let (inputs, chunks) = (Inputs::random(&layer, outputs, 1), layer.chunks(outputs).unwrap());
        let (prepared, transcripts) = with_pair(|pair| prepare(pair, &layer, &chunks, &inputs));
        let (_, transcript) = online(&layer, prepared, &inputs.words[0]);
        let sent = transcripts
            .iter()
            .map(bytes)
            .fold([0; 2], |[all, more], [down, up]| [all + down, more + up]);
        let cost = layer.cost(outputs).unwrap();
        assert_eq!(sent, [cost.prepare_down, cost.prepare_up], "{operation:?}");
        assert_eq!(bytes(&transcript), [cost.online_down, cost.online_up], "{operation:?}");
    }
}

/// ANDs of one output, and tenths of bytes without the marks.
#[test]
fn costs_are_those_of_the_table() {
    let of = |operation: Operation| {
        let truncation = if operation.opens() { 12 } else { 0 };
        let (layer, outputs) = (layer(operation, 32, truncation), 640);
        let (cost, marks) = (layer.cost(outputs).unwrap(), 8 * layer.chunks(outputs).unwrap().len());
        let messages = [
            cost.prepare_up - marks,
            cost.prepare_down - marks,
            cost.online_down - 8,
            cost.online_up.saturating_sub(8),
            cost.user_keeps,
        ];
        let tenths = messages.map(|bytes| (bytes * 10 + outputs / 2) / outputs);
        (layer.circuit().ands(), tenths)
    };
    let costs = [
        of(Operation::Relu),
        of(Operation::Truncate),
        of(Operation::MaxPoolRelu { window: 4 }),
        of(Operation::MaxPoolRelu { window: 9 }),
        of(Operation::ArgMax { classes: 10 }),
    ];
    let table = [
        (50, [1280, 16546, 5120, 40, 21746]),
        (31, [1280, 10483, 5120, 40, 15683]),
        (263, [5120, 84706, 20480, 40, 105266]),
        (618, [11520, 198306, 46080, 40, 244466]),
        (861, [12800, 275520, 51200, 0, 326720]),
    ];
    assert_eq!(costs, table);
}

/// What the words on the labels of output bits spare.
#[test]
fn masks_in_the_circuit_cost_another_31_ands() {
    let mut builder = Builder::new(Goal::FewAnds);
    let [ours, theirs, mask] = [0, 1, 1].map(|party| builder.input(Party(party), 32));
    let sum = builder.add(&ours, &theirs);
    let short = builder.truncate(&sum, 12);
    let relu = builder.relu(&short);
    let wide = builder.extend_zero(&relu, 32);
    let output = builder.remask(&wide, &[mask]);
    assert_eq!(builder.finish(&[output]).ands(), 50 + 31);
}
