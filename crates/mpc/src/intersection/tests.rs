use super::{ideal::is_intersection, *};
use crate::{
    MpcError, PartySecret, Session,
    ids::Id,
    oprf::{Output, Receiver as Function, ReceiverSetup, Sender as Key},
};
use proptest::prelude::*;

fn session(party: usize, context: &[u8]) -> Session {
    Session::new(&PartySecret::new([party as u8 + 1; 32]), context)
}

fn ids(numbers: impl IntoIterator<Item = u32>) -> Vec<Id> {
    numbers
        .into_iter()
        .map(|i| *blake3::hash(&i.to_le_bytes()).as_bytes())
        .collect()
}

fn by_ecdh(sets: [Vec<Id>; 2]) -> Vec<Intersection> {
    let [a, b] = sets;
    let sizes = [a.len(), b.len()];
    let mut one = ecdh::Party::new(&session(0, b"ecdh"), a, sizes[1]).unwrap();
    let mut two = ecdh::Party::new(&session(1, b"ecdh"), b, sizes[0]).unwrap();
    while let Some(batch) = one.next_batch() {
        one.accept(&two.answer(&batch).unwrap()).unwrap();
    }
    while let Some(batch) = two.next_batch() {
        two.accept(&one.answer(&batch).unwrap()).unwrap();
    }
    vec![one.finish().unwrap(), two.finish().unwrap()]
}

fn function(from: usize, to: usize, inputs: &[Id]) -> (Key, Function) {
    let label = [from as u8, to as u8];
    let (key, function) = (session(from, b"f").child(&label), session(to, b"f").child(&label));
    let (setup, message) = ReceiverSetup::new(&function, inputs.to_vec()).unwrap();
    let (mut sender, message) = Key::new(&key, inputs.len(), &message).unwrap();
    let mut receiver = setup.finish(&message).unwrap();
    while let Some(chunk) = receiver.next_chunk() {
        sender.accept(&chunk).unwrap();
    }
    (sender, receiver)
}

fn by_oprf(sets: &[Vec<Id>; 2]) -> Vec<Intersection> {
    let (key, function) = function(0, 1, &sets[1]);
    let mut sender = oprf::Sender::new(&key, &sets[0], sets[1].len()).unwrap();
    let mut receiver = oprf::Receiver::new(&function, sets[0].len()).unwrap();
    while let Some(tags) = sender.next_tags() {
        assert!(matches!(receiver.accept(&tags[1..]), Err(MpcError::Length { .. })));
        receiver.accept(&tags).unwrap();
    }
    let (result, message) = receiver.finish().unwrap();
    vec![sender.finish(&message).unwrap(), result]
}

type Outputs = Vec<Vec<(Vec<Output>, Vec<Output>)>>;

fn among_many(sets: &[Vec<Id>]) -> Vec<Intersection> {
    let sizes: Vec<usize> = sets.iter().map(Vec::len).collect();
    let count = sets.len();
    let mut parties: Vec<_> = (0..count)
        .map(|i| multiparty::Party::new(&session(i, b"many"), i, &sizes, sets[i].clone()).unwrap())
        .collect();
    let pair = |i: usize, j: usize| match i == j {
        true => (Vec::new(), Vec::new()),
        false => {
            let (key, function) = function(i, j, &sets[j]);
            (key.outputs(&sets[i]).unwrap(), function.outputs().unwrap())
        }
    };
    let outputs: Outputs = (0..count).map(|i| (0..count).map(|j| pair(i, j)).collect()).collect();
    for (i, j) in (0..count)
        .flat_map(|i| (0..count).map(move |j| (i, j)))
        .filter(|(i, j)| i != j)
    {
        let table = parties[i].share(j, &outputs[i][j].0).unwrap();
        assert!(matches!(
            parties[j].accept_share(i, &outputs[i][j].1, &table[1..]),
            Err(MpcError::Length { .. })
        ));
        parties[j].accept_share(i, &outputs[i][j].1, &table).unwrap();
        assert!(matches!(
            parties[j].accept_share(i, &outputs[i][j].1, &table),
            Err(MpcError::Turn { .. })
        ));
    }
    for i in 1..count {
        let table = parties[i].sum(&outputs[i][0].0).unwrap();
        parties[0].accept_sum(i, &outputs[i][0].1, &table).unwrap();
    }
    let mut parties = parties.into_iter();
    let (result, message) = parties.next().unwrap().finish().unwrap();
    let others = parties.map(|party| party.learn(&message).unwrap());
    std::iter::once(result).chain(others).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn all_protocols_give_the_intersection_in_one_order(
        numbers in prop::collection::hash_map(0u32..400, 1u8..8, 1..200),
    ) {
        let mut sets = [0, 1, 2].map(|party| ids(numbers.iter().filter(|(_, who)| *who >> party & 1 == 1).map(|(i, _)| *i)));
        for (party, set) in sets.iter_mut().enumerate() {
            // Something that nobody else has: no set is empty.
            set.extend(ids([1000 + party as u32]));
        }
        prop_assert!(is_intersection(&sets, &among_many(&sets)));
        let [a, b, _] = sets;
        let pair = [a, b];
        prop_assert!(is_intersection(&pair, &by_oprf(&pair)));
        prop_assert!(is_intersection(&pair, &by_ecdh(pair.clone())));
    }
}

#[test]
fn larger_sets_of_different_sizes_and_four_parties() {
    let pair = [ids(0..9000), ids(8500..8900)];
    assert!(is_intersection(&pair, &by_oprf(&pair)));
    let sets = [ids(0..3000), ids(1000..2500), ids(500..9000), ids((0..4000).rev())];
    let results = among_many(&sets);
    assert_eq!(results[0].places.len(), 1500);
    assert!(is_intersection(&sets, &results));
    assert!(!is_intersection(
        &sets,
        &ideal::intersect(&[sets[0].clone(), sets[1].clone()])
    ));
}

#[test]
fn wrong_messages_are_errors() {
    let mut party = ecdh::Party::new(&session(0, b"x"), ids(0..3), 2).unwrap();
    assert_eq!(
        party.answer(&[0; 63]).unwrap_err(),
        MpcError::Length {
            expected: 64,
            actual: 63
        }
    );
    assert_eq!(party.answer(&[0; 64]).unwrap_err(), MpcError::Point { index: 0 });
    assert_eq!(party.accept(&[1]).unwrap_err(), MpcError::Length { expected: 0, actual: 1 });
    assert!(matches!(
        party.finish(),
        Err(MpcError::Mismatch {
            expected: 3,
            actual: 0,
            ..
        })
    ));
    assert!(matches!(
        ecdh::Party::new(&session(0, b"x"), ids(0..3), usize::MAX),
        Err(MpcError::Count { .. })
    ));

    let (key, function) = function(0, 1, &ids(0..4));
    let sender = || oprf::Sender::new(&key, &ids(2..5), 4).unwrap();
    let receiver = || oprf::Receiver::new(&function, 3).unwrap();
    let tags = sender().next_tags().unwrap();
    let mut reversed = tags.clone();
    reversed[..6].copy_from_slice(&tags[6..12]);
    reversed[6..12].copy_from_slice(&tags[..6]);
    assert_eq!(
        receiver().accept(&reversed).unwrap_err(),
        MpcError::Invalid {
            what: "the order of tags",
            index: 1
        }
    );
    assert!(matches!(
        receiver().finish(),
        Err(MpcError::Mismatch {
            expected: 3,
            actual: 0,
            ..
        })
    ));
    assert_eq!(
        sender().finish(&[8]).unwrap_err(),
        MpcError::Invalid {
            what: "a mark",
            index: 3
        }
    );
    assert!(matches!(
        sender().finish(&[1, 0]),
        Err(MpcError::Length { expected: 1, actual: 2 })
    ));

    let many = || multiparty::Party::new(&session(1, b"y"), 1, &[3, 3, 3], ids(0..3)).unwrap();
    assert!(matches!(many().sum(&[[0; 2]; 3]), Err(MpcError::Turn { .. })));
    assert!(matches!(many().share(1, &[[0; 2]; 3]), Err(MpcError::Turn { .. })));
    assert!(matches!(many().share(7, &[[0; 2]; 3]), Err(MpcError::Count { .. })));
    assert!(matches!(
        many().learn(&[0; 31]),
        Err(MpcError::Length {
            expected: 32,
            actual: 31
        })
    ));
    assert_eq!(
        many().learn(&[0; 48]).unwrap_err(),
        MpcError::Invalid { what: "an id", index: 0 }
    );
    assert!(matches!(
        many().learn(&[0; 32 + 4 * 16]),
        Err(MpcError::Length {
            expected: 80,
            actual: 96
        })
    ));
    assert_eq!(many().learn(&[0; 32]).unwrap(), Intersection::default());
}
