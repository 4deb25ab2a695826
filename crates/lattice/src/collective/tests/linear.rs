//! Layers of all shapes against direct sums.

use proptest::prelude::*;

use super::*;
use crate::{
    LatticeError,
    linear::LinearShape,
    testing::{convolution, shapes, slow},
};

/// A layer's shares of weights and input, and its encryption.
struct Layer {
    all: Parties,
    linear: SecretLinear,
    encrypted: EncryptedLayer,
    weights: Vec<Vec<u64>>,
    inputs: Vec<Vec<u64>>,
}

impl Layer {
    fn new(parties: usize, bits: u32, shape: LinearShape, seed: u64) -> Self {
        let all = Parties::new(parties, bits, &[shape]);
        let linear = all.collective.linear(shape).unwrap();
        Self::of(all, linear, seed)
    }

    fn batch(settings: CollectiveSettings, shape: LinearShape, batch: usize, seed: u64) -> Self {
        let all = Parties::of(settings, &[shape]);
        let linear = all.collective.linear_batch(shape, batch, 1 << 25).unwrap();
        Self::of(all, linear, seed)
    }

    fn of(all: Parties, linear: SecretLinear, seed: u64) -> Self {
        let (parties, bits) = (all.secrets.len(), all.collective.settings().ring_bits);
        let shape = linear.shape();
        let of = |count, salt: u64| {
            (0..parties as u64)
                .map(|party| words(count, bits, seed * 64 + salt + party))
                .collect()
        };
        let weights: Vec<Vec<u64>> = of(shape.weights(), 0);
        let mut loader = linear.loader(&all.reference, b"layer");
        for index in 0..linear.ciphertexts() {
            let shares: Vec<Vec<u8>> = all
                .secrets
                .iter()
                .zip(&weights)
                .map(|(secret, weights)| linear.share(index, weights, secret, &all.reference, b"layer").unwrap())
                .collect();
            assert!(shares.iter().all(|share| share.len() == linear.share_len()));
            loader.push(&linear.aggregate(&shares).unwrap()).unwrap();
        }
        let encrypted = loader.finish().unwrap();
        Self {
            encrypted,
            weights,
            inputs: of(linear.batch() * shape.inputs(), 32),
            linear,
            all,
        }
    }

    fn respond(&self, party: usize, context: &[u8]) -> Vec<u8> {
        let (input, secret) = (&self.inputs[party], &self.all.secrets[party]);
        self.linear
            .respond(&self.encrypted, input, &self.all.public, secret, context)
            .unwrap()
    }

    fn expected(&self) -> Vec<u64> {
        let bits = self.all.collective.settings().ring_bits;
        let [weights, input] = [&self.weights, &self.inputs].map(|shares| sum(shares, bits));
        let shape = self.linear.shape();
        let inputs = input.chunks_exact(shape.inputs());
        inputs.flat_map(|input| slow(shape, &weights, input, bits)).collect()
    }

    /// All parties' shares of F r.
    fn run(&self) -> Vec<Vec<u64>> {
        let linear = &self.linear;
        let responses: Vec<Vec<u8>> = (0..self.inputs.len()).map(|party| self.respond(party, b"r")).collect();
        assert!(responses.iter().all(|response| response.len() == linear.response_len()));
        let sums = linear.sum(&responses).unwrap();
        let query = linear.query(&sums).unwrap();
        assert_eq!(query.len(), linear.query_len());
        let others = self.all.secrets[1..].iter();
        let answers: Vec<ToShares> = others.map(|secret| linear.to_shares(&query, secret, b"r").unwrap()).collect();
        let sent: Vec<&[u8]> = answers.iter().map(|answer| answer.message.as_slice()).collect();
        assert!(sent.iter().all(|message| message.len() == linear.answer_len()));
        let last = linear.last_share(&sums, &self.all.secrets[0], &sent).unwrap();
        [last]
            .into_iter()
            .chain(answers.into_iter().map(|answer| answer.share))
            .collect()
    }

    fn check(&self) {
        let bits = self.all.collective.settings().ring_bits;
        assert_eq!(sum(&self.run(), bits), self.expected(), "{:?}", self.linear.shape());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn shares_add_up_to_the_direct_sum(shape in shapes(), parties in 2usize..=5, bits in 16u32..=48, seed in any::<u32>()) {
        Layer::new(parties, bits, shape, seed.into()).check();
    }

    #[test]
    fn shares_of_a_batch_add_up_to_the_direct_sums(shape in shapes(), batch in 1usize..6, inputs in 1usize..6, seed in any::<u32>()) {
        let settings = CollectiveSettings { inputs, ..CollectiveSettings::new(2, 32) };
        Layer::batch(settings, shape, batch, seed.into()).check();
    }

    #[test]
    fn products_in_the_clear_are_direct_sums(shape in shapes(), bits in 16u32..=48, seed in any::<u32>()) {
        let collective = Collective::new(CollectiveSettings::new(3, bits), &[shape]).unwrap();
        let [weights, x] = [shape.weights(), shape.inputs()].map(|count| words(count, bits, seed.into()));
        let linear = collective.linear(shape).unwrap();
        prop_assert_eq!(linear.multiply(&weights, &x).unwrap(), slow(shape, &weights, &x, bits));
    }
}

/// Responses of the known models, and that they are right.
#[test]
fn the_known_layers_have_few_responses() {
    for (shape, ciphertexts, responses) in [
        (convolution([1, 16], 28, 5, 1, 0), 2, 2),
        (convolution([16, 16], 12, 5, 1, 0), 6, 1),
        (
            LinearShape::Dense {
                inputs: 256,
                outputs: 100,
            },
            4,
            1,
        ),
        (
            LinearShape::Dense {
                inputs: 100,
                outputs: 10,
            },
            1,
            1,
        ),
        (convolution([1, 20], 28, 5, 1, 0), 2, 2),
        (convolution([20, 50], 12, 5, 1, 0), 20, 1),
        (
            LinearShape::Dense {
                inputs: 800,
                outputs: 500,
            },
            50,
            1,
        ),
        (convolution([16, 16], 32, 3, 1, 1), 48, 3),
        (convolution([16, 32], 32, 3, 2, 1), 128, 2),
        (convolution([16, 32], 32, 1, 2, 0), 16, 1),
        (convolution([32, 32], 16, 3, 1, 1), 64, 2),
        (convolution([64, 64], 8, 3, 1, 1), 64, 1),
    ] {
        let layer = Layer::new(3, 32, shape, 1);
        assert_eq!(
            (layer.linear.ciphertexts(), layer.linear.responses()),
            (ciphertexts, responses),
            "{shape:?}"
        );
        layer.check();
    }
}

#[test]
fn the_noise_of_products_is_that_of_the_formula() {
    let dense = LinearShape::Dense {
        inputs: 256,
        outputs: 100,
    };
    for (parties, bits, inputs, shape) in [
        (3, 32, 1, dense),
        (3, 32, 4, dense),
        (2, 16, 1, convolution([16, 16], 12, 5, 1, 0)),
        (5, 48, 1, convolution([4, 16], 16, 3, 1, 1)),
    ] {
        let settings = CollectiveSettings {
            inputs,
            ..CollectiveSettings::new(parties, bits)
        };
        let layer = Layer::batch(settings, shape, inputs, 5);
        assert_eq!(layer.linear.responses(), 1);
        let linear = &layer.linear;
        let (mut noise, expected) = (Vec::new(), layer.expected());
        let mut sums: Vec<Ciphertext> = Vec::new();
        for input in &layer.inputs {
            let products = linear.products(&layer.encrypted, input).unwrap();
            match sums.is_empty() {
                true => sums = products,
                false => sums
                    .iter_mut()
                    .zip(&products)
                    .for_each(|(sum, one)| sum.add_assign(one).unwrap()),
            }
        }
        for (response, sum) in sums.iter().enumerate() {
            let (wanted, messages): (Vec<usize>, Vec<u64>) = linear
                .outputs_of(response)
                .into_iter()
                .map(|(at, output)| (at, expected[output]))
                .unzip();
            noise.extend(layer.all.noise(sum, &wanted, &messages));
        }
        let settings = layer.all.collective.settings();
        let (deviation, most) = spread(&noise);
        let ratio = deviation / crate::collective::noise::layer_variance(settings, &shape, inputs).sqrt();
        let bound = crate::collective::noise::bound(settings, &[shape], inputs);
        println!(
            "{shape:?}, {parties} parties, {bits} bits, {inputs} inputs: measured {ratio:.3} of the formula's deviation, largest {:.4} of the bound",
            most / bound
        );
        // A padded picture's outer outputs lack some terms; noise of neighbouring outputs is correlated.
        assert!((0.75..1.25).contains(&ratio), "{ratio}");
        assert!(most <= bound && most > bound / 300.0, "{}", most / bound);
    }
}

#[test]
fn a_response_repeats_with_its_data_only() {
    let layer = Layer::new(2, 32, LinearShape::Dense { inputs: 3, outputs: 2 }, 1);
    let other = Layer::new(2, 32, LinearShape::Dense { inputs: 3, outputs: 2 }, 2);
    assert_eq!(layer.respond(0, b"r"), layer.respond(0, b"r"));
    let with = |encrypted, input: &[u64]| {
        let (public, secret) = (&layer.all.public, &layer.all.secrets[0]);
        layer.linear.respond(encrypted, input, public, secret, b"r").unwrap()
    };
    let mut altered = layer.inputs[0].clone();
    altered[0] ^= 1;
    let whole = layer.all.collective.whole_len();
    let c1 = |bytes: Vec<u8>| layer.all.collective.read_whole(&bytes[..whole], &[]).unwrap();
    let one = c1(layer.respond(0, b"r"));
    for another in [
        layer.respond(0, b"s"),
        layer.respond(1, b"r"),
        with(&layer.encrypted, &altered),
        with(&other.encrypted, &layer.inputs[0]),
    ] {
        let same = one.iter().zip(c1(another)).filter(|(a, b)| **a == *b).count();
        assert_eq!(same, 0);
    }
}

/// Without its randomness a response's c1 is a known polynomial times the input; with it, nothing that is known explains it.
#[test]
fn the_input_cannot_be_read_from_a_response() {
    let layer = Layer::new(2, 32, LinearShape::Dense { inputs: 3, outputs: 2 }, 1);
    let bare = layer
        .linear
        .products(&layer.encrypted, &layer.inputs[0])
        .unwrap()
        .swap_remove(0);
    let bytes = layer.all.collective.compress(bare, &[]).unwrap();
    let response = layer.respond(0, b"r");
    let whole = |bytes: &[u8]| {
        let bytes = &bytes[..layer.all.collective.whole_len()];
        layer.all.collective.read_whole(bytes, &[]).unwrap()
    };
    let differences = whole(&bytes).into_iter().zip(whole(&response));
    let mut high: Vec<u64> = differences.map(|(a, b)| (a.wrapping_sub(b) >> 125) as u64).collect();
    high.sort_unstable();
    // Uniform: an eighth in each eighth, five deviations.
    for eighth in 0..8 {
        let count = high.iter().filter(|&&h| h == eighth).count() as f64;
        assert!((count - 1024.0).abs() < 5.0 * 30.0, "{eighth}: {count}");
    }
}

#[test]
fn layers_that_do_not_fit_are_refused() {
    let refuses_batches = |collective: &Collective, shape, batch| collective.linear_batch(shape, batch, usize::MAX).is_err();
    let small = LinearShape::Dense { inputs: 10, outputs: 10 };
    let collective = Collective::new(CollectiveSettings::new(3, 32), &[small]).unwrap();
    let error = collective
        .linear(LinearShape::Dense {
            inputs: 4096,
            outputs: 10,
        })
        .unwrap_err();
    assert!(
        matches!(error, LatticeError::Noise { bound, actual } if actual > bound),
        "{error}"
    );
    for shape in [
        convolution([1, 1], 100, 3, 1, 1),
        convolution([1, 1], 2, 3, 1, 0),
        convolution([1, 1], 4, 3, 0, 0),
        LinearShape::Dense { inputs: 0, outputs: 1 },
    ] {
        let error = collective.linear(shape).unwrap_err();
        assert!(matches!(error, LatticeError::NoLayout { .. }), "{shape:?}: {error}");
    }
    assert!(refuses_batches(&collective, small, 0) && refuses_batches(&collective, small, 1025));
    let layer = Layer::new(2, 32, small, 1);
    let (linear, all) = (&layer.linear, &layer.all);
    let share = |index, weights: &[u64]| linear.share(index, weights, &all.secrets[0], &all.reference, b"");
    assert!(share(linear.ciphertexts(), &layer.weights[0]).is_err());
    assert!(share(0, &layer.weights[0][1..]).is_err());
    assert!(matches!(
        share(0, &[1 << 32; 100]),
        Err(LatticeError::Wide { actual: 33, .. })
    ));
    assert!(linear.loader(&all.reference, b"").finish().is_err());
    let respond = |input: &[u64]| linear.respond(&layer.encrypted, input, &all.public, &all.secrets[0], b"");
    assert!(respond(&layer.inputs[0][1..]).is_err());
    assert!(matches!(respond(&[1 << 33; 10]), Err(LatticeError::Wide { .. })));
    assert!(linear.sum(&[layer.respond(0, b"")]).is_err());
}

#[test]
fn bytes_do_not_depend_on_threads() {
    let settings = CollectiveSettings {
        inputs: 2,
        ..CollectiveSettings::new(2, 32)
    };
    let layer = Layer::batch(settings, convolution([12, 30], 12, 3, 2, 1), 5, 3);
    assert!(layer.linear.responses() > 1 && layer.linear.ciphertexts() > 4);
    let [one, three] = [1, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| layer.run())
    });
    assert_eq!(one, three);
}
