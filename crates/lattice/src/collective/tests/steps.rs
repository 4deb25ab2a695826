//! The sub-protocols on single ciphertexts.

use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{LatticeError, RandomnessKey, SecretKey};

fn messages(parties: usize, count: usize, bits: u32, seed: u64) -> Vec<Vec<u64>> {
    (0..parties).map(|party| words(count, bits, seed + party as u64)).collect()
}

/// Positions in an order of their own, some left out.
fn positions(seed: u64) -> Vec<usize> {
    let mut all: Vec<usize> = (0..8192).collect();
    let keys = words(8192, 32, seed);
    all.sort_by_key(|&at| keys[at]);
    all.truncate(100);
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn everything_decrypts_to_the_sum_of_the_messages(seed in any::<u32>(), ring_bits in 16u32..=48) {
        for parties in 2..=5 {
            let all = Parties::new(parties, ring_bits, &[]);
            let collective = &all.collective;
            let shares = messages(parties, 8192, ring_bits, seed.into());
            let wanted = positions(seed.into());
            let total = sum(&shares, ring_bits);
            let expected: Vec<u64> = wanted.iter().map(|&at| total[at]).collect();
            let (compressed, whole) = all.compress(all.encrypt(&shares, 0), &wanted);

            let opened: Vec<Vec<u8>> = all.secrets.iter()
                .map(|secret| collective.decryption_share(&whole, &wanted, secret, b"open").unwrap())
                .collect();
            prop_assert!(opened.iter().all(|share| share.len() == collective.wanted_len(wanted.len())));
            prop_assert_eq!(&collective.decrypt(&compressed, &opened).unwrap(), &expected);

            let parts: Vec<ToShares> = all.secrets[1..].iter()
                .map(|secret| collective.to_shares(&whole, &wanted, secret, b"split").unwrap())
                .collect();
            let sent: Vec<&[u8]> = parts.iter().map(|part| part.message.as_slice()).collect();
            let last = collective.last_share(&compressed, &wanted, &all.secrets[0], &sent).unwrap();
            prop_assert_eq!(&sum(parts.iter().map(|part| &part.share).chain([&last]), ring_bits), &expected);

            let receiver = SecretKey::generate(collective.parameters(), &mut ChaCha20Rng::seed_from_u64(seed.into()));
            let public = PublicKey::generate(&receiver, &RandomnessKey::new([7; 32]), b"user").unwrap();
            let switched: Vec<Vec<u8>> = all.secrets.iter()
                .map(|secret| collective.switching_share(&whole, &wanted, secret, &public, b"user").unwrap())
                .collect();
            let switched = collective.switched(&compressed, &switched).unwrap();
            prop_assert_eq!(switched.len(), collective.switched_len(wanted.len()));
            prop_assert_eq!(&collective.decrypt_switched(&switched, &wanted, &receiver).unwrap(), &expected);
        }
    }
}

#[test]
fn encryptions_add_up() {
    let all = Parties::new(3, 32, &[]);
    let wanted = [0, 5];
    let [first, second] = [1, 2].map(|seed| messages(3, 6, 32, seed * 100));
    let mut both = all.compress(all.encrypt(&first, 0), &wanted).0;
    both.add_assign(&all.compress(all.encrypt(&second, 1), &wanted).0).unwrap();
    let mut whole = Vec::new();
    all.collective.write_whole(&both, &mut whole);
    let shares: Vec<Vec<u8>> = all
        .secrets
        .iter()
        .map(|secret| all.collective.decryption_share(&whole, &wanted, secret, b"").unwrap())
        .collect();
    let total = sum(first.iter().chain(&second), 32);
    assert_eq!(all.collective.decrypt(&both, &shares).unwrap(), [total[0], total[5]]);
}

#[test]
fn a_round_run_again_repeats_its_bytes_and_another_is_independent() {
    let all = Parties::new(3, 32, &[]);
    let (collective, wanted) = (&all.collective, positions(3));
    let message = messages(3, 8192, 32, 1);
    let [(_, first), (_, second)] = [0, 1].map(|index| all.compress(all.encrypt(&message, index), &wanted));
    let step =
        |whole: &[u8], wanted: &[usize], context: &[u8]| collective.to_shares(whole, wanted, &all.secrets[1], context).unwrap();
    let once = step(&first, &wanted, b"1");
    let again = step(&first, &wanted, b"1");
    assert!(once.message == again.message && once.share == again.share);
    let mut altered = first.clone();
    altered[0] ^= 1;
    let reversed: Vec<usize> = wanted.iter().rev().copied().collect();
    let others = [
        step(&second, &wanted, b"1"),
        step(&altered, &wanted, b"1"),
        step(&first, &wanted, b"2"),
        step(&first, &reversed, b"1"),
    ];
    for other in &others {
        let same = once.share.iter().zip(&other.share).filter(|(a, b)| a == b).count();
        assert_eq!(same, 0);
    }
    // The smudge too: what is left of two decryption shares when c1 s_j is taken away.
    let smudge = |whole: &[u8], context: &[u8]| {
        let c1 = collective.read_whole(whole, &wanted).unwrap();
        let exact = collective.times_secret(&all.secrets[1], &c1, &wanted).unwrap();
        let mut smudged = exact.clone();
        let mut randomness = collective.share_stream(&all.secrets[1], "test", context, whole, &wanted);
        collective.smudge(&mut smudged, &mut randomness);
        let pairs = smudged.iter().zip(&exact);
        pairs.map(|(a, b)| a.wrapping_sub(*b) as i128).collect::<Vec<_>>()
    };
    let smudges = [smudge(&first, b"1"), smudge(&altered, b"1"), smudge(&first, b"2")];
    let unit = 2f64.powi(collective.noise.smudge_bits as i32);
    for (index, one) in smudges.iter().enumerate() {
        let floats: Vec<f64> = one.iter().map(|&s| s as f64 / unit).collect();
        let (deviation, most) = spread(&floats);
        // Three uniforms of variance 1/12.
        assert!((0.35..0.65).contains(&deviation) && most <= 1.5, "{deviation} {most}");
        for other in &smudges[..index] {
            let correlation: f64 = one
                .iter()
                .zip(other)
                .map(|(a, b)| (*a as f64 / unit) * (*b as f64 / unit))
                .sum();
            assert!((correlation / 25.0).abs() < 0.5, "{correlation}");
        }
    }
}

#[test]
fn shares_of_keys_and_encryptions_repeat_with_their_data_only() {
    let all = Parties::new(2, 32, &[]);
    let share = |message: &[u64], context: &[u8], index| {
        all.collective
            .encryption_share(message, &all.secrets[0], &all.reference, context, index)
            .unwrap()
    };
    assert_eq!(share(&[1, 2], b"a", 0), share(&[1, 2], b"a", 0));
    for other in [share(&[1, 3], b"a", 0), share(&[1, 2], b"b", 0), share(&[1, 2], b"a", 1)] {
        assert_ne!(share(&[1, 2], b"a", 0), other);
    }
    let contribution = |context: &[u8], data: &[u64]| all.secrets[0].contribution(context, data);
    assert_eq!(contribution(b"a", &[1]), contribution(b"a", &[1]));
    let [mine, others] = [contribution(b"a", &[1]), contribution(b"a", &[2])];
    assert_ne!(mine, others);
    assert_ne!(
        CommonReference::joint(&[mine, [0; 32]]),
        CommonReference::joint(&[others, [0; 32]])
    );
}

#[test]
fn settings_without_room_are_refused_with_the_numbers() {
    let refused = |settings| Collective::new(settings, &[]).unwrap_err();
    let standard = CollectiveSettings::new(3, 32);
    for (settings, what) in [
        (CollectiveSettings { parties: 1, ..standard }, "parties"),
        (CollectiveSettings { parties: 65, ..standard }, "parties"),
        (
            CollectiveSettings {
                ring_bits: 15,
                ..standard
            },
            "ring bits",
        ),
        (
            CollectiveSettings {
                ring_bits: 49,
                ..standard
            },
            "ring bits",
        ),
        (
            CollectiveSettings {
                statistical_bits: 65,
                ..standard
            },
            "statistical bits",
        ),
        (
            CollectiveSettings {
                revealed: 1 << 41,
                ..standard
            },
            "log2 of the revealed coefficients",
        ),
    ] {
        let error = refused(settings);
        assert!(
            matches!(error, LatticeError::Setting { what: found, .. } if found == what),
            "{error}"
        );
    }
    let wide = CollectiveSettings {
        statistical_bits: 64,
        ring_bits: 48,
        ..standard
    };
    let error = refused(wide);
    assert!(
        matches!(error, LatticeError::Noise { bound, actual } if bound < actual),
        "{error}"
    );
    let layer = LinearShape::Dense { inputs: 0, outputs: 10 };
    let error = Collective::new(standard, &[layer]).unwrap_err();
    assert!(matches!(error, LatticeError::NoLayout { .. }), "{error}");
}

#[test]
fn other_secrets_counts_and_words_are_refused() {
    let all = Parties::new(2, 32, &[]);
    let foreign = Parties::new(2, 40, &[]);
    let collective = &all.collective;
    let (_, whole) = all.compress(all.encrypt(&messages(2, 1, 32, 1), 0), &[0]);
    assert!(collective.to_shares(&whole, &[0], &foreign.secrets[0], b"").is_err());
    assert!(
        collective
            .switching_share(&whole, &[0], &all.secrets[0], &foreign.public, b"")
            .is_err()
    );
    assert_ne!(collective.digest(), foreign.collective.digest());
    assert_eq!(collective.digest(), Parties::new(2, 32, &[]).collective.digest());
    assert!(collective.to_shares(&whole, &[8192], &all.secrets[0], b"").is_err());
    assert!(collective.to_shares(&whole[1..], &[0], &all.secrets[0], b"").is_err());
    assert!(matches!(
        collective.encryption_share(&[1 << 32], &all.secrets[0], &all.reference, b"", 0),
        Err(LatticeError::Wide { actual: 33, .. })
    ));
    assert!(
        collective
            .encryption_share(&[0; 8193], &all.secrets[0], &all.reference, b"", 0)
            .is_err()
    );
    let one = collective.public_key_share(&all.secrets[0], &all.reference, b"").unwrap();
    assert!(collective.public_key(&all.reference, b"", &[one]).is_err());
}
