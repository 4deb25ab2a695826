use super::{ideal::*, *};
use crate::{Bits, MpcError, PartySecret, Session, transposition::TILE};
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

fn session(party: u8, context: &[u8]) -> Session {
    Session::new(&PartySecret::new([party; 32]), context)
}

fn pair_with(width: Width, delta: u128, context: &[u8]) -> (Sender, Receiver) {
    let (receiver, message) = ReceiverSetup::new(&session(2, context), width);
    let (sender, message) = SenderSetup::new(&session(1, context), width, Delta::new(delta), &message).unwrap();
    let (receiver, message) = receiver.finish(&message).unwrap();
    (sender.finish(&message).unwrap(), receiver)
}

fn choices(count: usize, seed: u64) -> Bits {
    Bits::random(count, &mut ChaCha20Rng::seed_from_u64(seed))
}

#[test]
fn every_width_gives_correlated_transfers_over_several_chunks() {
    for bits in 1..=8 {
        let width = Width::new(bits).unwrap();
        let (mut sender, mut receiver) = pair_with(width, 0x0123_4567_89ab_cdef_1111_2222_3333_4444 << bits, b"widths");
        let mut seen = std::collections::HashSet::new();
        for count in [1, 127, 128, 129, TILE + 5] {
            let choices = choices(count, count as u64);
            let (t, message) = receiver.extend(&choices).unwrap();
            assert_eq!(message.len(), width.message_bytes(count));
            let q = sender.extend(count, &message).unwrap();
            assert!(
                is_correlated(sender.delta(), &q, &choices, &t),
                "width {bits}, {count} transfers"
            );
            assert!(q.iter().all(|word| seen.insert(*word)), "no word comes twice");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn chosen_messages_arrive_and_the_others_do_not(
        delta: u128, width in 1u32..=8, pairs in prop::collection::vec((any::<[u128; 2]>(), any::<bool>()), 1..300),
    ) {
        let (mut sender, mut receiver) = pair_with(Width::new(width).unwrap(), delta, b"chosen");
        let (messages, chosen): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        for _ in 0..2 {
            let (pads, message) = receiver.random(&Bits::from_bools(&chosen)).unwrap();
            let message = sender.encrypt(&messages, &message).unwrap();
            let expected: Vec<u128> = messages.iter().zip(&chosen).map(|(pair, c)| pair[usize::from(*c)]).collect();
            prop_assert_eq!(&*pads.decrypt(&message).unwrap(), &expected);
        }
    }
}

#[test]
fn random_transfers_obey_the_relation_as_the_dealer_s_do() {
    let (mut sender, mut receiver) = pair_with(Width::new(4).unwrap(), 7 << 100 | 1, b"random");
    let choices = choices(1000, 5);
    let (received, message) = receiver.random(&choices).unwrap();
    assert!(is_random_transfer(&sender.random(1000, &message).unwrap(), &received));
    let mut rng = ChaCha20Rng::seed_from_u64(6);
    let (dealt, chosen) = random(&choices, &mut rng);
    assert!(is_random_transfer(&dealt, &chosen));
    assert!(!is_random_transfer(&dealt, &received));
    let delta = Delta::new(3);
    let (q, t) = correlated(&delta, &choices, &mut rng);
    assert!(is_correlated(&delta, &q, &choices, &t) && !is_correlated(&Delta::new(2), &q, &choices, &t));
}

#[test]
fn sessions_of_one_party_share_nothing() {
    let words = |context: &[u8]| {
        let (mut sender, mut receiver) = pair_with(Width::IKNP, 1 << 64, context);
        let (_, message) = receiver.extend(&choices(200, 1)).unwrap();
        let q = sender.extend(200, &message).unwrap();
        (message, q.to_vec())
    };
    let (first, again, other) = (words(b"run 1"), words(b"run 1"), words(b"run 2"));
    assert_eq!(first, again, "a retried run gives the same bytes");
    assert!(first.1.iter().all(|word| !other.1.contains(word)));
    assert_ne!(first.0, other.0);
}

#[test]
fn a_missing_choice_of_the_hash_s_tweak_would_show() {
    // Equal words at different places have different pads.
    let hash = crate::hash::TweakedHash::new(&session(1, b"hash"), "test");
    let mut words = vec![9; 200];
    hash.hash(0, &mut words);
    let mut later = vec![9; 100];
    hash.hash(100, &mut later);
    assert_eq!(words[100..], later);
    assert_eq!(words.iter().collect::<std::collections::HashSet<_>>().len(), 200);
}

#[test]
fn wrong_lengths_points_and_counts_are_errors() {
    let width = Width::new(2).unwrap();
    let (one, two) = (session(1, b"hostile"), session(2, b"hostile"));
    assert_eq!(
        Width::new(9).unwrap_err(),
        MpcError::Count {
            what: "bits to a seed tree",
            min: 1,
            max: 8,
            actual: 9
        }
    );
    let offer = |announcement: &[u8]| SenderSetup::new(&one, width, Delta::new(5), announcement).map(|(_, message)| message);
    let (_, announcement) = ReceiverSetup::new(&two, width);
    for wrong in [31, 33, 0] {
        let expected = MpcError::Length {
            expected: 32,
            actual: wrong,
        };
        assert_eq!(offer(&vec![0; wrong]).unwrap_err(), expected);
    }
    // The neutral element, and bytes that are no canonical encoding.
    assert_eq!(offer(&[0; 32]).unwrap_err(), MpcError::Point { index: 0 });
    assert_eq!(offer(&[255; 32]).unwrap_err(), MpcError::Point { index: 0 });

    let points = offer(&announcement).unwrap();
    let finish = |points: &[u8]| ReceiverSetup::new(&two, width).0.finish(points).map(|(_, message)| message);
    let mut wrong = points.clone();
    wrong[7 * 32..8 * 32].fill(255);
    assert_eq!(finish(&wrong).unwrap_err(), MpcError::Point { index: 7 });
    assert_eq!(
        finish(&points[1..]).unwrap_err(),
        MpcError::Length {
            expected: 4096,
            actual: 4095
        }
    );

    let sums = finish(&points).unwrap();
    let sender = |sums: &[u8]| {
        SenderSetup::new(&one, width, Delta::new(5), &announcement)
            .unwrap()
            .0
            .finish(sums)
    };
    assert!(matches!(
        sender(&sums[..9]),
        Err(MpcError::Length {
            expected: 4096,
            actual: 9
        })
    ));

    let (mut sender, mut receiver) = (
        sender(&sums).unwrap(),
        ReceiverSetup::new(&two, width).0.finish(&points).unwrap().0,
    );
    let (pads, message) = receiver.random(&choices(300, 1)).unwrap();
    let expected = width.message_bytes(300);
    assert_eq!(
        sender.extend(300, &message[1..]).unwrap_err(),
        MpcError::Length {
            expected,
            actual: expected - 1
        }
    );
    assert_eq!(
        sender.extend(usize::MAX, &message).unwrap_err(),
        MpcError::Count {
            what: "transfers",
            min: 1,
            max: MAX_CHUNK,
            actual: usize::MAX
        }
    );
    assert!(matches!(sender.extend(0, &[]), Err(MpcError::Count { .. })));
    let none = Bits::default();
    assert!(matches!(receiver.extend(&none), Err(MpcError::Count { .. })));
    // Refused steps used nothing up.
    let pairs = vec![[1, 2]; 300];
    let encrypted = sender.encrypt(&pairs, &message).unwrap();
    let opened = pads.decrypt(&encrypted).unwrap();
    assert!(
        opened
            .iter()
            .zip(choices(300, 1).iter())
            .all(|(word, c)| *word == 1 + u128::from(c))
    );
    let (pads, _) = receiver.random(&choices(3, 1)).unwrap();
    assert_eq!(
        pads.decrypt(&encrypted).map(|_| ()).unwrap_err(),
        MpcError::Length {
            expected: 96,
            actual: 9600
        }
    );
}

#[test]
fn flipped_bits_spoil_what_they_touch_and_nothing_else() {
    let (mut sender, mut receiver) = pair_with(Width::new(8).unwrap(), u128::MAX, b"flips");
    let choices = choices(256, 3);
    let (t, mut message) = receiver.extend(&choices).unwrap();
    // Bit 5 of the first word: transfer 5 only.
    message[0] ^= 1 << 5;
    let q = sender.extend(256, &message).unwrap();
    let right = |i: usize| t[i] == q[i] ^ if choices.iter().nth(i).unwrap() { u128::MAX } else { 0 };
    assert_eq!((0..256).filter(|i| !right(*i)).collect::<Vec<_>>(), [5]);
}
