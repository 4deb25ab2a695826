//! What the key holder, or somebody with another key, can compute; randomness that repeats with its data only.

use super::*;

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn what_the_key_holder_reads_says_nothing_of_the_noise_beneath() {
    let parties = Parties::new(convolution([4, 16], 16, 3, 1, 1), 32, 20);
    let (layer, secrecy) = (&parties.layer, parties.layer.secrecy);
    let (w, x) = (parties.weights(9), parties.input(10));
    let before = parties.noise(&w, &x);
    let answer = parties.respond(&w, &parties.encrypt(&x), b"w");
    let exact = slow(layer.shape, &w, &x, 32);
    let (mut rest, mut after) = (answer.response.as_slice(), Vec::new());
    for index in 0..layer.responses() {
        let wanted = layer.layout.wanted(index);
        let (one, tail) = rest.split_at(layer.one_len(wanted.len()));
        rest = tail;
        let read = layer.read_one(one, &wanted, &parties.secret).unwrap();
        after.extend(read.iter().zip(wanted).map(|(fraction, (_, output))| {
            let message = exact[output].wrapping_sub(answer.share[output]) & u64::from(u32::MAX);
            fraction.wrapping_sub(layer.encoding.fraction(message)) as i128 as f64
        }));
    }
    assert!(correlation(&before, &after).abs() < 5.0 / (before.len() as f64).sqrt());
    // Three uniforms of variance 1/12, and the roundings.
    let unit = f64::from(secrecy.flooding_bits()).exp2();
    let ratio = spread(&after).0 / (unit / 2.0);
    assert!((0.95..1.05).contains(&ratio), "{ratio}");
}

/// c1 / a modulo the first prime, centred.
fn divide(response: &Poly<Coefficients>, upload: &Ciphertext) -> Vec<f64> {
    let basis = response.basis().clone();
    let mut quotient = response.clone().into_evaluations();
    for (prime, modulus) in basis.moduli().iter().enumerate() {
        for (value, &a) in quotient.residues_mut(prime).iter_mut().zip(upload.c1.residues(prime)) {
            *value = modulus.mul(*value, modulus.inv(a).unwrap());
        }
    }
    let quotient = quotient.into_coefficients();
    let modulus = basis.moduli()[0];
    quotient.residues(0).iter().map(|&c| modulus.centred(c) as f64).collect()
}

#[test]
fn the_key_holder_divides_a_bare_response_and_finds_nothing_in_a_randomised_one() {
    let parties = Parties::new(
        LinearShape::Dense {
            inputs: 60,
            outputs: 100,
        },
        32,
        20,
    );
    let layer = &parties.layer;
    assert_eq!((layer.uploads(), layer.responses()), (1, 1));
    let (w, x) = (parties.weights(11), parties.input(12));
    let upload = parties.encrypt(&x);
    let product = || parties.products(&w, &upload).swap_remove(0);
    let ciphertext = &layer.read_upload(&upload).unwrap()[0];
    let mut weights = vec![0.0; layer.parameters.degree()];
    for (at, word) in layer.layout.weights(&w, 0, 0, 32) {
        weights[at] = f64::from(word as u32 as i32);
    }
    assert_eq!(
        divide(&product().c1.into_coefficients(), ciphertext),
        weights,
        "the attack works"
    );
    let (_, c1) = parties.public.randomise(product(), &Runs::all(), &mut stream()).unwrap();
    let quotient = divide(&c1, ciphertext);
    assert!(correlation(&quotient, &weights).abs() < 5.0 / (quotient.len() as f64).sqrt());
    // Uniform: an eighth in each eighth, five deviations.
    let prime = layer.parameters.basis().moduli()[0].value() as f64;
    let mut counts = [0.0; 8];
    quotient
        .iter()
        .for_each(|v| counts[((v / prime + 0.5) * 8.0) as usize % 8] += 1.0);
    let expected = quotient.len() as f64 / 8.0;
    assert!(
        counts.iter().all(|count| (count - expected).abs() < 5.0 * expected.sqrt()),
        "{counts:?}"
    );
}

#[test]
fn a_share_by_itself_is_uniform() {
    let parties = Parties::new(convolution([1, 16], 28, 5, 1, 0), 16, 8);
    // Zero: what the key holder reads is the mask.
    let x = vec![0; parties.layer.shape.inputs()];
    let answer = parties.respond(&parties.weights(1), &parties.encrypt(&x), b"w");
    let share = parties.layer.decrypt(&answer.response, &parties.secret).unwrap();
    for share in [&share, &answer.share] {
        for bit in 0..16 {
            let ones = share.iter().filter(|&word| word >> bit & 1 == 1).count() as f64;
            let half = share.len() as f64 / 2.0;
            assert!((ones - half).abs() < 5.0 * (half / 2.0).sqrt(), "{bit}");
        }
    }
}

#[test]
fn another_key_reads_nonsense() {
    let parties = Parties::new(LinearShape::Dense { inputs: 50, outputs: 80 }, 32, 20);
    let layer = &parties.layer;
    let (w, x) = (parties.weights(1), parties.input(2));
    let answer = parties.respond(&w, &parties.encrypt(&x), b"w");
    let stranger = SecretKey::generate(layer.parameters(), &mut ChaCha20Rng::from_seed([9; 32]));
    let share = layer.decrypt(&answer.response, &stranger).unwrap();
    let expected = slow(layer.shape, &w, &x, 32);
    let right = parties
        .sum(&share, &answer.share)
        .iter()
        .zip(&expected)
        .filter(|(a, b)| a == b)
        .count();
    assert_eq!(right, 0);
}

#[test]
fn a_repeated_step_repeats_and_another_one_shares_no_mask() {
    let shape = LinearShape::Dense { inputs: 5, outputs: 900 };
    let parties = Parties::new(shape, 48, 20);
    let (w, x) = (parties.weights(13), parties.input(14));
    let upload = parties.encrypt(&x);
    assert_eq!(upload, parties.encrypt(&x));
    let first = parties.respond(&w, &upload, b"1");
    let again = parties.respond(&w, &upload, b"1");
    assert!(first.response == again.response && first.share == again.share);
    let (mut other_weights, mut other_input) = (w.clone(), x.clone());
    other_weights[4499] ^= 1;
    other_input[4] ^= 1;
    let stranger = PublicKey::generate(&parties.secret, &holder_key(), b"another").unwrap();
    let prepared = parties.layer.prepare(&w).unwrap();
    let layer = &parties.layer;
    let mut all = vec![
        first,
        parties.respond(&w, &upload, b"2"),
        parties.respond(&other_weights, &upload, b"1"),
        parties.respond(&w, &parties.encrypt(&other_input), b"1"),
        layer.respond(&prepared, &upload, &stranger, &responder_key(), b"1").unwrap(),
        layer
            .respond(&prepared, &upload, &parties.public, &RandomnessKey::new([4; 32]), b"1")
            .unwrap(),
    ];
    let mut masks: Vec<u64> = all.iter().flat_map(|answer| answer.share.iter()).copied().collect();
    masks.sort_unstable();
    masks.dedup();
    // 5,400 of 2^48.
    assert_eq!(masks.len(), 6 * 900, "no mask twice");
    all.dedup_by(|a, b| a.response == b.response);
    assert_eq!(all.len(), 6);
}

/// A seed names the public half of a ciphertext: two messages under one would show their difference.
#[test]
fn no_two_uploads_share_a_seed() {
    let shapes = [convolution([8, 3], 8, 3, 1, 1), convolution([8, 3], 8, 3, 2, 1)];
    let layers = PrivateInputLinear::for_shapes(&shapes, 32, 20, REVEALED).unwrap();
    let parties = Parties::of(layers[0].clone());
    let x = parties.input(1);
    let mut other = x.clone();
    other[0] ^= 1;
    let encrypt = |layer: &PrivateInputLinear, x: &[u64], context: &[u8]| {
        layer.encrypt(x, &parties.secret, &holder_key(), context).unwrap()
    };
    let uploads = [
        encrypt(&layers[0], &x, b"1"),
        encrypt(&layers[0], &other, b"1"),
        encrypt(&layers[0], &x, b"2"),
        // Another stride of the same picture.
        encrypt(&layers[1], &x, b"1"),
        encrypt(&layers[0], &vec![0; x.len()], b"1"),
    ];
    let one = SeededPair::encoded_len(parties.layer.parameters());
    let mut seeds: Vec<&[u8]> = uploads
        .iter()
        .flat_map(|upload| upload.chunks(one))
        .map(|c| &c[..32])
        .collect();
    let count = seeds.len();
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), count);
}
