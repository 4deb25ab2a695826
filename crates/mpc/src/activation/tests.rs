use super::*;
use crate::{
    PartySecret, Session,
    boolean::{TransferSetup, Transfers, Triples},
    circuit::Gate,
    ideal,
    shares::FixedPoint,
    transfer::Width,
};
use proptest::prelude::*;
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// What each party is sent, given what each sends to its peers in order.
fn deliver(sent: &[Vec<Vec<u8>>]) -> Vec<Vec<Vec<u8>>> {
    let slot = |from: usize, to: usize| if to < from { to } else { to - 1 };
    let to = |to: usize| {
        let from = (0..sent.len()).filter(|from| *from != to);
        from.map(|from| sent[from][slot(from, to)].clone()).collect()
    };
    (0..sent.len()).map(to).collect()
}

/// One step of every party: what each makes of the messages of the one before.
fn exchange<S, T>(
    states: Vec<S>,
    sent: &[Vec<Vec<u8>>],
    step: impl Fn(S, &[Vec<u8>]) -> (T, Vec<Vec<u8>>),
) -> (Vec<T>, Vec<Vec<Vec<u8>>>) {
    let received = deliver(sent);
    states
        .into_iter()
        .zip(&received)
        .map(|(state, messages)| step(state, messages))
        .unzip()
}

fn transfers(parties: usize) -> Vec<Transfers> {
    let start = |party: usize| {
        let session = Session::new(&PartySecret::new([party as u8; 32]), b"activation");
        TransferSetup::start(&session, (Party(party as u8), parties), Width::new(4).unwrap()).unwrap()
    };
    let (states, sent): (Vec<_>, Vec<_>) = (0..parties).map(start).unzip();
    let (states, sent) = exchange(states, &sent, |state, messages| state.points(messages).unwrap());
    let (states, sent) = exchange(states, &sent, |state, messages| state.sums(messages).unwrap());
    exchange(states, &sent, |state, messages| (state.finish(messages).unwrap(), Vec::new())).0
}

/// Triples of one chunk, and the bytes sent for them.
fn prepare(transfers: &mut [Transfers], ands: usize, values: usize) -> (Vec<Triples>, usize) {
    let (states, first): (Vec<_>, Vec<_>) = transfers
        .iter_mut()
        .map(|transfers| transfers.begin(ands, values).unwrap())
        .unzip();
    let states = transfers.iter_mut().zip(states).collect();
    let (makers, second) = exchange(states, &first, |(transfers, state), messages| {
        transfers.choose(state, messages).unwrap()
    });
    let (maskings, third) = exchange(makers, &second, |maker, messages| maker.mask(messages).unwrap());
    let (triples, _) = exchange(maskings, &third, |masking, messages| {
        (masking.finish(messages).unwrap(), Vec::new())
    });
    let bytes = [first, second, third].iter().flatten().flatten().map(Vec::len).sum();
    (triples, bytes)
}

/// All holders and the server; the revealed values, the rounds, and the bytes between holders and to the server.
fn run(relu: &Relu, shares: &[Vec<u64>], triples: Vec<Vec<Triples>>) -> (Vec<u64>, usize, [usize; 2]) {
    let start =
        |(party, (shares, triples)): (usize, (&Vec<u64>, Vec<Triples>))| relu.start(Party(party as u8), shares, triples).unwrap();
    let mut steps: Vec<Step> = shares.iter().zip(triples).enumerate().map(start).collect();
    let (mut rounds, mut bytes) = (0, [0; 2]);
    loop {
        let (mut waiting, mut sent, mut revealed) = (Vec::new(), Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Exchange(state, message) => {
                    waiting.push(state);
                    sent.push(vec![message; relu.parties() - 1]);
                }
                Step::Reveal(message) => revealed.push(message),
            }
        }
        if waiting.is_empty() {
            bytes[1] = revealed.iter().map(Vec::len).sum();
            return (relu.reveal(shares[0].len(), &revealed).unwrap(), rounds, bytes);
        }
        rounds += 1;
        bytes[0] += sent.iter().flatten().map(Vec::len).sum::<usize>();
        let received = deliver(&sent);
        steps = waiting
            .into_iter()
            .zip(&received)
            .map(|(state, messages)| state.step(messages).unwrap())
            .collect();
    }
}

/// Shares of values, among them those at the edges.
fn shares(parties: usize, count: usize, rng: &mut ChaCha20Rng) -> Vec<Vec<u64>> {
    let mut shares: Vec<Vec<u64>> = (0..parties).map(|_| (0..count).map(|_| rng.next_u64()).collect()).collect();
    let edges = [0, 1, u64::MAX, 1 << 63, (1 << 63) - 1];
    for (at, edge) in edges.into_iter().enumerate().take(count) {
        let others = shares[1..].iter().fold(0u64, |sum, share| sum.wrapping_add(share[at]));
        shares[0][at] = edge.wrapping_sub(others);
    }
    shares
}

/// Ideal triples of every chunk, by party.
fn dealt(relu: &Relu, values: usize, rng: &mut ChaCha20Rng) -> Vec<Vec<Triples>> {
    let mut triples: Vec<Vec<Triples>> = (0..relu.parties()).map(|_| Vec::new()).collect();
    for values in relu.chunks(values).unwrap() {
        let dealt = ideal::triples(relu.parties(), relu.circuit().ands(), values, rng);
        triples.iter_mut().zip(dealt).for_each(|(triples, dealt)| triples.push(dealt));
    }
    triples
}

fn goal(low: bool) -> Goal {
    if low { Goal::LowDepth } else { Goal::FewAnds }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_server_gets_relu(parties in 2usize..5, count in 1usize..200, low in any::<bool>(), seed in any::<u64>()) {
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        let relu = Relu::new(parties, goal(low)).unwrap();
        let shares = shares(parties, count, rng);
        let triples = dealt(&relu, count, rng);
        let (revealed, rounds, _) = run(&relu, &shares, triples);
        prop_assert_eq!(rounds, relu.rounds());
        prop_assert_eq!(revealed, ideal::relu(&shares));
    }
}

#[test]
fn triples_of_transfers_do() {
    for parties in [2, 3] {
        let rng = &mut ChaCha20Rng::seed_from_u64(parties as u64);
        let relu = Relu::new(parties, Goal::FewAnds).unwrap();
        let mut transfers = transfers(parties);
        // Twice: the transfers go on where they stopped.
        for count in [40, 7] {
            let shares = shares(parties, count, rng);
            let (triples, _) = prepare(&mut transfers, relu.circuit().ands(), count);
            assert!(ideal::triples_multiply(&triples));
            let triples = triples.into_iter().map(|triples| vec![triples]).collect();
            assert_eq!(run(&relu, &shares, triples).0, ideal::relu(&shares));
        }
    }
}

#[test]
fn chunks_are_evaluated_as_one() {
    let rng = &mut ChaCha20Rng::seed_from_u64(5);
    let relu = Relu::new(2, Goal::LowDepth).unwrap();
    let most = relu.chunks(MAX_VALUES).unwrap()[0];
    assert!(
        most * relu.circuit().ands() <= MAX_CHUNK && most.is_multiple_of(64) && (most + 128) * relu.circuit().ands() > MAX_CHUNK
    );
    assert_eq!(relu.chunks(2 * most + 3).unwrap(), [most, most, 3]);
    assert!(relu.chunks(0).is_err() && relu.chunks(MAX_VALUES + 1).is_err());
    let shares = shares(2, most + 70, rng);
    let triples = dealt(&relu, most + 70, rng);
    let (revealed, rounds, _) = run(&relu, &shares, triples);
    assert_eq!(revealed, ideal::relu(&shares));
    assert_eq!(rounds, relu.rounds());
}

/// The premise of revealing output shares as they are: each output bit is an AND of its own, whose triple makes the shares fresh.
#[test]
fn every_output_is_an_and_of_its_own() {
    for parties in [2, 3, 5] {
        for low in [false, true] {
            let circuit = Relu::new(parties, goal(low)).unwrap().circuit;
            let wires: std::collections::HashSet<usize> = circuit.outputs.iter().map(|output| output.wire).collect();
            assert_eq!(wires.len(), WIDTH - 1);
            assert!(
                wires
                    .iter()
                    .all(|wire| matches!(circuit.gates[wire - circuit.first_gate()], Gate::And(..)))
            );
        }
    }
}

#[test]
fn fixed_point_keeps_its_scale() {
    let fixed = FixedPoint::new(40).unwrap();
    let values = [1.5, -1.5, 0.0, 1000.25, -4_000_000.0];
    let matrix = fixed.encode(1, 5, &values).unwrap();
    let (own, seeds) = crate::shares::share(&matrix, 1, &mut ChaCha20Rng::seed_from_u64(1)).unwrap();
    let shares = [own, crate::shares::expand(1, 5, &*seeds[0]).unwrap()].map(|share| share.words().to_vec());
    let relu = Relu::new(2, Goal::FewAnds).unwrap();
    let triples = dealt(&relu, 5, &mut ChaCha20Rng::seed_from_u64(2));
    let (revealed, ..) = run(&relu, &shares, triples);
    assert_eq!(
        revealed.iter().map(|word| fixed.decode(*word)).collect::<Vec<_>>(),
        [1.5, 0.0, 0.0, 1000.25, 0.0]
    );
}

#[test]
fn garbled_is_the_same() {
    let rng = &mut ChaCha20Rng::seed_from_u64(6);
    let relu = Relu::new(2, Goal::FewAnds).unwrap();
    let [mut zero, mut one]: [Transfers; 2] = transfers(2).try_into().ok().unwrap();
    // A whole number of pieces and not, and bits on shares in between.
    for values in [5, 256, 300] {
        let shares = shares(2, values, rng);
        let (mut evaluating, message) = relu.evaluate(&mut one, &shares[1]).unwrap();
        let mut garbling = relu.garble(&mut zero, &shares[0], &message).unwrap();
        let mut bytes = 0;
        while let Some(piece) = garbling.next_piece().unwrap() {
            bytes += piece.len();
            evaluating.accept(&piece).unwrap();
        }
        assert!(matches!(evaluating.accept(&[]).err(), Some(MpcError::Turn { .. })));
        let messages = [garbling.finish().unwrap(), evaluating.finish().unwrap()];
        assert_eq!(relu.reveal(values, &messages).unwrap(), ideal::relu(&shares));
        assert_eq!(bytes, 5056 * values);
        assert!(values != 256 || message.len() == 264 * values);

        let mut both = [zero, one];
        let triples = prepare(&mut both, relu.circuit().ands(), values).0.into_iter();
        assert_eq!(
            run(&relu, &shares, triples.map(|triples| vec![triples]).collect()).0,
            ideal::relu(&shares)
        );
        [zero, one] = both;
    }
}

#[test]
fn wrong_garbled_messages_are_refused() {
    let relu = Relu::new(2, Goal::FewAnds).unwrap();
    let [mut zero, mut one]: [Transfers; 2] = transfers(2).try_into().ok().unwrap();
    let (mut evaluating, mut message) = relu.evaluate(&mut one, &[5; 11]).unwrap();
    let length = |expected, actual| Some(MpcError::Length { expected, actual });
    let bytes = message.len();
    assert_eq!(
        relu.garble(&mut zero, &[7; 11], &message[1..]).err(),
        length(bytes, bytes - 1)
    );
    *message.last_mut().unwrap() |= 0x80;
    let mut garbling = relu.garble(&mut zero, &[7; 11], &message).unwrap();
    assert_eq!(garbling.next_piece().err(), Some(MpcError::Padding { row: 63 }));
    assert_eq!(evaluating.accept(&[0; 9]).err(), length(5056 * 11, 9));
    let evaluating = relu.evaluate(&mut one, &[5; 11]).unwrap().0;
    assert!(matches!(evaluating.finish().err(), Some(MpcError::Turn { .. })));

    // Roles, numbers of parties and of values.
    assert!(relu.evaluate(&mut zero, &[5; 11]).is_err() && relu.garble(&mut one, &[7; 11], &message).is_err());
    assert!(relu.evaluate(&mut one, &[]).is_err());
    assert!(Relu::new(3, Goal::FewAnds).unwrap().evaluate(&mut one, &[5; 11]).is_err());
    assert!(relu.evaluate(&mut transfers(3)[1], &[5; 11]).is_err());
}

#[test]
fn costs_are_those_of_the_table() {
    let rng = &mut ChaCha20Rng::seed_from_u64(7);
    let costs = [2, 3, 5].map(|parties| {
        [Goal::FewAnds, Goal::LowDepth].map(|goal| {
            let relu = Relu::new(parties, goal).unwrap();
            (relu.circuit().ands(), relu.rounds())
        })
    });
    assert_eq!(costs, [[(126, 64), (436, 8)], [(188, 64), (497, 8)], [(312, 64), (618, 9)]]);
    // Bytes, with whole words of values so that nothing is rounded up.
    for parties in [2, 3] {
        let relu = Relu::new(parties, Goal::FewAnds).unwrap();
        let (values, ands, pairs) = (128, relu.circuit().ands(), parties * (parties - 1));
        let shares = shares(parties, values, rng);
        let (triples, prepared) = prepare(&mut transfers(parties), ands, values);
        assert_eq!(
            prepared,
            pairs * (ands * values).div_ceil(128) * 16 * 32 + pairs * 2 * ands * values / 8
        );
        let (_, _, [opened, revealed]) = run(&relu, &shares, triples.into_iter().map(|triples| vec![triples]).collect());
        assert_eq!(opened, pairs * ands * values * 2 / 8);
        assert_eq!(revealed, parties * 63 * values / 8);
        assert_eq!(revealed, parties * relu.reveal_bytes(values).unwrap());
    }
}

#[test]
fn wrong_messages_are_refused() {
    let rng = &mut ChaCha20Rng::seed_from_u64(8);
    let relu = Relu::new(2, Goal::FewAnds).unwrap();
    let ands = relu.circuit().ands();
    let one = |rng: &mut ChaCha20Rng, values| vec![ideal::triples(2, ands, values, rng).swap_remove(0)];
    let waiting = |rng: &mut ChaCha20Rng| match relu.start(Party(0), &[5; 11], one(rng, 11)).unwrap() {
        Step::Exchange(waiting, message) => (waiting, message),
        Step::Reveal(_) => panic!("the circuit has ANDs"),
    };
    let (state, mut message) = waiting(rng);
    let (expected, actual) = (message.len(), message.len() - 1);
    assert_eq!(
        state.step(&[&message[1..]]).err(),
        Some(MpcError::of(0)(MpcError::Length { expected, actual }))
    );
    let (state, _) = waiting(rng);
    assert!(matches!(
        state.step(&[&message, &message]).err(),
        Some(MpcError::Mismatch { .. })
    ));
    let (state, _) = waiting(rng);
    message[3] |= 0x80;
    let padding = MpcError::of(0)(MpcError::Padding { row: 1 });
    assert_eq!(state.step(&[&message]).err(), Some(padding));
    assert!(relu.start(Party(2), &[5; 11], one(rng, 11)).is_err());
    assert!(relu.start(Party(0), &[5; 11], one(rng, 12)).is_err());
    assert!(relu.start(Party(0), &[5; 11], Vec::new()).is_err() && relu.start(Party(0), &[], Vec::new()).is_err());
    let bytes = relu.reveal_bytes(11).unwrap();
    assert_eq!(bytes, 63 * 2);
    let length = |actual| Some(MpcError::Length { expected: bytes, actual });
    assert_eq!(
        relu.reveal(11, &[vec![0; bytes], vec![0; bytes + 1]]).err(),
        length(bytes + 1)
    );
    assert!(relu.reveal(11, &[vec![0; bytes]]).is_err());
    assert_eq!(
        relu.reveal(11, &[vec![0; bytes], vec![0xff; bytes]]).err(),
        Some(MpcError::Padding { row: 0 })
    );
    assert!(Relu::new(1, Goal::FewAnds).is_err() && Relu::new(MAX_PARTIES + 1, Goal::FewAnds).is_err());
}
