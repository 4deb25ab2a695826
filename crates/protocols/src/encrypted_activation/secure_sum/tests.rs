use ndarray::{ArrayD, IxDyn};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;

const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];

/// Identities of all clients, and the roster with all of them.
fn identities() -> (Vec<Identity>, Roster) {
    let all: Vec<_> = NAMES
        .iter()
        .map(|name| Identity::generate(name.parse().unwrap()).unwrap().0)
        .collect();
    let mut roster = Roster::default();
    for identity in &all {
        roster.pin(identity.party.clone(), identity.certificate.clone());
    }
    (all, roster)
}

fn fellows<'a>(identity: &'a Identity, roster: &'a Roster) -> Fellows<'a> {
    Fellows {
        identity,
        roster,
        clients: NAMES.iter().map(|name| name.parse().unwrap()).collect(),
        job: [7; 32],
    }
}

/// Every client's secret, and the public keys of all.
fn keys(identities: &[Identity], roster: &Roster) -> (Vec<MaskSecret>, BTreeMap<Party, SignedKey>) {
    let secrets: Vec<_> = (0..3)
        .map(|seed| MaskSecret::generate(&mut ChaCha20Rng::from_seed([seed; 32])))
        .collect();
    let keys = secrets.iter().zip(identities);
    let keys = keys
        .map(|(secret, me)| (me.party.clone(), secret.signed(&fellows(me, roster)).unwrap()))
        .collect();
    (secrets, keys)
}

#[test]
fn masks_cancel_in_the_sum_and_hide_each_part() {
    let (identities, roster) = identities();
    let (secrets, keys) = keys(&identities, &roster);
    let mut masks: Vec<_> = secrets
        .into_iter()
        .zip(&identities)
        .map(|(secret, me)| secret.agree(&fellows(me, &roster), &keys).unwrap())
        .collect();
    let values: Vec<ArrayD<f32>> = [0.25, -3.5, 100.0].map(|v| ArrayD::from_elem(IxDyn(&[2, 50]), v)).into();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut sum = vec![0u64; 100];
        for (mask, value) in masks.iter_mut().zip(&values) {
            let mut masked = to_fixed(std::slice::from_ref(value), 0.5).unwrap();
            mask.mask(&mut masked);
            sum.iter_mut().zip(&masked).for_each(|(sum, v)| *sum = sum.wrapping_add(*v));
            seen.push(masked);
        }
        let mut total = ArrayD::<f32>::zeros(IxDyn(&[2, 50]));
        add_fixed([&mut total].into_iter(), &sum);
        assert!(total.iter().all(|v| *v == 0.5 * (0.25 - 3.5 + 100.0)));
    }
    // Equal values under fresh words each: no word occurs twice, in no vector, client or sum. (Of 600 random words two are equal with probability 2^-46.)
    let mut words = seen.concat();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), 600);
}

#[test]
fn a_key_that_the_server_exchanged_is_refused() {
    let (identities, roster) = identities();
    let own = MaskSecret::generate(&mut ChaCha20Rng::from_seed([9; 32]));
    for forge in [
        // A key of the server's with the right owner's old signature, a signature of another client, another job's, none.
        |keys: &mut BTreeMap<Party, SignedKey>, _: &[Identity]| keys.get_mut(&party("beta")).unwrap().key = [3; 32],
        |keys: &mut BTreeMap<Party, SignedKey>, _: &[Identity]| {
            let other = keys[&party("gamma")].signature.clone();
            keys.get_mut(&party("beta")).unwrap().signature = other;
        },
        |keys: &mut BTreeMap<Party, SignedKey>, all: &[Identity]| {
            let key = &mut keys.get_mut(&party("beta")).unwrap();
            key.signature = SignedKey::sign(PURPOSE, [8; 32], &all[1], key.key).unwrap().signature;
        },
        |keys: &mut BTreeMap<Party, SignedKey>, _: &[Identity]| drop(keys.remove(&party("beta"))),
        // Of small order, properly signed.
        |keys: &mut BTreeMap<Party, SignedKey>, all: &[Identity]| {
            let key = &mut keys.get_mut(&party("beta")).unwrap();
            key.key = [0; 32];
            key.signature = SignedKey::sign(PURPOSE, [7; 32], &all[1], [0; 32]).unwrap().signature;
        },
    ] {
        let (_, mut keys) = keys(&identities, &roster);
        forge(&mut keys, &identities);
        let secret = MaskSecret(own.0.clone());
        let refused = secret.agree(&fellows(&identities[0], &roster), &keys);
        assert_eq!(refused.err(), Some(party("beta")));
    }
}

#[test]
fn an_update_beyond_the_fixed_point_range_is_refused() {
    for (value, fits) in [
        (4_194_303.0, true),
        (4_194_304.0, false),
        (f32::NAN, false),
        (f32::NEG_INFINITY, false),
    ] {
        let array = ArrayD::from_elem(IxDyn(&[1]), value);
        assert_eq!(to_fixed(&[array], 1.0).is_ok(), fits, "{value}");
    }
}

fn party(name: &str) -> Party {
    name.parse().unwrap()
}
