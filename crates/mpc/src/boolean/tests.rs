use super::*;
use crate::{
    Batches, BitMatrix,
    circuit::{Builder, Circuit, Goal, Group, Word},
    correlation::{CotReceiver, CotSender, Delta},
    ideal,
};
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

fn circuit(goal: Goal, parties: usize) -> Circuit {
    let mut builder = Builder::new(goal);
    let words: Vec<Word> = (0..parties).map(|party| builder.input(Party(party as u8), 10)).collect();
    let sum = builder.sum(&words);
    let truncated = builder.truncate(&sum, 2);
    let relu = builder.relu(&truncated);
    let (_, place) = builder.argmax(&words);
    let outputs = [relu, place, builder.not_word(&words[1]), builder.constant(6, 3)];
    builder.finish(&outputs)
}

fn transfers(parties: usize, count: usize, rng: &mut ChaCha20Rng) -> Vec<Vec<(CotSender, CotReceiver)>> {
    let mut pairs: std::collections::HashMap<(u8, u8), (CotSender, CotReceiver)> = std::collections::HashMap::new();
    for from in 0..parties as u8 {
        for to in peers(Party(from), parties) {
            pairs.insert((from, to), ideal::correlated_transfers(&Delta::random(rng), count, rng));
        }
    }
    let (mut senders, mut receivers): (std::collections::HashMap<_, _>, std::collections::HashMap<_, _>) = pairs
        .into_iter()
        .map(|(key, (sender, receiver))| ((key, sender), (key, receiver)))
        .unzip();
    let mut of = |me: u8| {
        let both =
            peers(Party(me), parties).map(|peer| (senders.remove(&(me, peer)).unwrap(), receivers.remove(&(peer, me)).unwrap()));
        both.collect()
    };
    (0..parties as u8).map(&mut of).collect()
}

/// What each party is sent, given what each sends to its peers.
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

fn triples(parties: usize, ands: usize, instances: usize, rng: &mut ChaCha20Rng) -> (Vec<Triples>, usize) {
    let mut sent = Vec::new();
    let mut makers = Vec::new();
    for (me, transfers) in transfers(parties, ands * instances, rng).into_iter().enumerate() {
        let batch = Batches::new(b"test").next(instances).unwrap();
        let (maker, messages) = TripleMaker::start((Party(me as u8), parties), batch, ands, transfers, rng).unwrap();
        makers.push(maker);
        sent.push(messages);
    }
    let received = deliver(&sent);
    let masked: Vec<_> = makers
        .into_iter()
        .zip(&received)
        .map(|(maker, messages)| maker.mask(messages).unwrap())
        .collect();
    let (maskings, masks): (Vec<_>, Vec<_>) = masked.into_iter().unzip();
    let bytes = sent.iter().chain(&masks).flatten().map(Vec::len).sum();
    let received = deliver(&masks);
    let triples = maskings
        .into_iter()
        .zip(&received)
        .map(|(masking, messages)| masking.finish(messages).unwrap())
        .collect();
    (triples, bytes)
}

fn evaluate(circuit: &Circuit, inputs: &[BitMatrix], triples: Vec<Triples>) -> (Vec<BitMatrix>, usize, usize) {
    let parties = inputs.len();
    let start = |(me, (inputs, triples)): (usize, (&BitMatrix, Triples))| {
        Evaluation::start(circuit, (Party(me as u8), parties), inputs, triples)
    };
    let mut steps: Vec<Step> = inputs
        .iter()
        .zip(triples)
        .enumerate()
        .map(|each| start(each).unwrap())
        .collect();
    let (mut rounds, mut bytes) = (0, 0);
    loop {
        let (mut openings, mut sent, mut done) = (Vec::new(), Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Open(opening, message) => {
                    openings.push(opening);
                    sent.push(vec![message; parties - 1]);
                }
                Step::Done(share) => done.push(share),
            }
        }
        if openings.is_empty() {
            return (done, rounds, bytes);
        }
        rounds += 1;
        bytes += sent.iter().flatten().map(Vec::len).sum::<usize>();
        let received = deliver(&sent);
        steps = openings
            .into_iter()
            .zip(received)
            .map(|(opening, messages)| opening.receive(&messages).unwrap())
            .collect();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn triples_multiply(parties in 2usize..6, ands in 0usize..9, instances in 1usize..140, seed in any::<u64>()) {
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        let (triples, bytes) = triples(parties, ands, instances, rng);
        prop_assert_eq!(bytes, parties * (parties - 1) * 2 * ands * instances.div_ceil(8));
        prop_assert!(ideal::triples_multiply(&triples));
    }

    #[test]
    fn triples_of_groups_multiply(parties in 2usize..5, groups in prop::collection::vec((prop::collection::vec(1u64..16, 1..64), 1u64..16), 1..5), instances in 1usize..140, seed in any::<u64>()) {
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        // Whose shares are not zero is drawn too.
        let groups: Vec<Group> = groups.into_iter().map(|(left, right)| Group { left, right }).collect();
        let (mut makers, mut sent) = (Vec::new(), Vec::new());
        for (me, transfers) in transfers(parties, groups.len() * instances, rng).into_iter().enumerate() {
            let (mut senders, mut receivers): (Vec<CotSender>, Vec<CotReceiver>) = transfers.into_iter().unzip();
            for ((sender, receiver), peer) in senders.iter_mut().zip(&mut receivers).zip(peers(Party(me as u8), parties)) {
                let count = |from: u8, to: u8| groups.iter().filter(|group| group.takes_transfer(from, to)).count() * instances;
                *sender = sender.split(count(me as u8, peer));
                *receiver = receiver.split(count(peer, me as u8));
            }
            let (batch, place) = (Batches::new(b"test").next(instances).unwrap(), (Party(me as u8), parties));
            let (mut maker, messages) = TripleMaker::receive(place, batch, groups.clone(), receivers, rng).unwrap();
            maker.senders(senders);
            makers.push(maker);
            sent.push(messages);
        }
        let masked: Vec<_> = makers.into_iter().zip(deliver(&sent)).map(|(maker, messages)| maker.mask(&messages).unwrap()).collect();
        let (maskings, masks): (Vec<_>, Vec<_>) = masked.into_iter().unzip();
        let finish = |(masking, messages): (Masking, Vec<Vec<u8>>)| masking.finish(&messages).unwrap();
        let triples: Vec<Triples> = maskings.into_iter().zip(deliver(&masks)).map(finish).collect();
        prop_assert_eq!(triples[0].ands(), groups.iter().map(Group::ands).sum::<usize>());
        prop_assert!(ideal::triples_multiply(&triples));
    }

    #[test]
    fn shared_is_clear(parties in 2usize..5, instances in 1usize..140, seed in any::<u64>(), low in any::<bool>()) {
        let circuit = circuit(if low { Goal::LowDepth } else { Goal::FewAnds }, parties);
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        let words: Vec<BitMatrix> = (0..parties).map(|_| BitMatrix::random(10, instances, rng)).collect();
        let mut shares: Vec<Vec<BitMatrix>> = (0..parties).map(|_| Vec::new()).collect();
        for (owner, word) in words.iter().enumerate() {
            let (own, seeds) = share_input(word, parties - 1, rng).unwrap();
            let mut seeds = seeds.iter();
            let mut own = Some(own);
            for (party, shares) in shares.iter_mut().enumerate() {
                let share = if party == owner { own.take() } else { seeds.next().map(|seed| expand_share(10, instances, &**seed).unwrap()) };
                shares.push(share.unwrap());
            }
        }
        let stack = |words: &[BitMatrix]| BitMatrix::stack(&words.iter().collect::<Vec<_>>()).unwrap();
        let inputs: Vec<BitMatrix> = shares.iter().map(|words| stack(words)).collect();
        let triples = ideal::triples(parties, circuit.ands(), instances, rng);
        let (outputs, rounds, bytes) = evaluate(&circuit, &inputs, triples);
        prop_assert!(ideal::reveal(&outputs).unwrap() == circuit.evaluate(&stack(&words)).unwrap());
        prop_assert_eq!(rounds, circuit.depth());
        prop_assert_eq!(bytes, parties * (parties - 1) * 2 * circuit.ands() * instances.div_ceil(8));
    }
}

#[test]
fn wrong_messages_are_refused() {
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let circuit = circuit(Goal::FewAnds, 2);
    let begin = |rng: &mut ChaCha20Rng| {
        let triples = ideal::triples(2, circuit.ands(), 5, rng).into_iter().next().unwrap();
        match Evaluation::start(&circuit, (Party(0), 2), &BitMatrix::zeros(20, 5), triples).unwrap() {
            Step::Open(opening, message) => (opening, message),
            Step::Done(_) => panic!("the circuit has ANDs"),
        }
    };
    let (opening, mut message) = begin(rng);
    let (expected, actual) = (message.len(), message.len() + 1);
    let long = [&message[..], &[0]].concat();
    let of_message = |cause| Some(MpcError::of(0)(cause));
    assert_eq!(
        opening.receive(&[long]).err(),
        of_message(MpcError::Length { expected, actual })
    );
    let (opening, _) = begin(rng);
    assert!(matches!(
        opening.receive(&[&message, &message]).err(),
        Some(MpcError::Mismatch { .. })
    ));
    let (opening, _) = begin(rng);
    message[1] |= 0x20;
    assert_eq!(opening.receive(&[message]).err(), of_message(MpcError::Padding { row: 1 }));

    let maker = |rng: &mut ChaCha20Rng| {
        let transfers = transfers(2, 12, rng).swap_remove(0);
        let batch = Batches::new(b"test").next(4).unwrap();
        TripleMaker::start((Party(0), 2), batch, 3, transfers, rng).unwrap().0
    };
    assert_eq!(
        maker(rng).mask(&[vec![0; 4]]).err(),
        of_message(MpcError::Length { expected: 3, actual: 4 })
    );
    assert_eq!(
        maker(rng).mask(&[vec![0, 16, 0]]).err(),
        of_message(MpcError::Padding { row: 1 })
    );
    let (masking, _) = maker(rng).mask(&[vec![0; 3]]).unwrap();
    assert_eq!(
        masking.finish(&[vec![0; 2]]).err(),
        of_message(MpcError::Length { expected: 3, actual: 2 })
    );
    assert_eq!(
        expand_share(1, 1, &[0; 31]).err(),
        Some(MpcError::Length {
            expected: 32,
            actual: 31
        })
    );
    assert!(check_parties(Party(2), 2).is_err() && check_parties(Party(0), 1).is_err() && check_parties(Party(0), 65).is_err());
}
