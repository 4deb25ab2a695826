//! Shares that add up to direct sums, noise against its formula, what the key holder can compute, refusals.

mod hiding;

use cloven_ring::{Coefficients, Poly, Runs};
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{
    Ciphertext, PublicKey, RandomnessKey, SecretKey,
    crt::centred_floats,
    stream::{Domain, Stream},
    testing::{convolution, shapes, slow, spread, words},
};

/// Outputs of a job.
const REVEALED: u64 = 1 << 30;

struct Parties {
    layer: PrivateInputLinear,
    secret: SecretKey,
    public: PublicKey,
}

fn holder_key() -> RandomnessKey {
    RandomnessKey::new([2; 32])
}

fn responder_key() -> RandomnessKey {
    RandomnessKey::new([3; 32])
}

/// Words that stand for integers of so many bits.
fn weights(count: usize, ring_bits: u32, bits: u32, seed: u64) -> Vec<u64> {
    let sign = |word: u64| ((word << (64 - bits)) as i64 >> (64 - bits)) as u64 & ((1 << ring_bits) - 1);
    words(count, bits, seed).into_iter().map(sign).collect()
}

impl Parties {
    fn new(shape: LinearShape, ring_bits: u32, weight_bits: u32) -> Self {
        let mut layers = PrivateInputLinear::for_shapes(&[shape], ring_bits, weight_bits, REVEALED).unwrap();
        Self::of(layers.remove(0))
    }

    fn of(layer: PrivateInputLinear) -> Self {
        let secret = SecretKey::generate(layer.parameters(), &mut ChaCha20Rng::from_seed([1; 32]));
        let public = PublicKey::generate(&secret, &holder_key(), b"receiver").unwrap();
        Self { layer, secret, public }
    }

    fn weights(&self, seed: u64) -> Vec<u64> {
        let secrecy = self.layer.secrecy;
        weights(self.layer.shape.weights(), secrecy.ring_bits, secrecy.weight_bits, seed)
    }

    fn input(&self, seed: u64) -> Vec<u64> {
        words(self.layer.shape.inputs(), self.layer.ring_bits(), seed)
    }

    fn encrypt(&self, x: &[u64]) -> Vec<u8> {
        self.layer.encrypt(x, &self.secret, &holder_key(), b"x").unwrap()
    }

    fn respond(&self, weights: &[u64], upload: &[u8], context: &[u8]) -> MaskedResponse {
        let weights = self.layer.prepare(weights).unwrap();
        self.layer
            .respond(&weights, upload, &self.public, &responder_key(), context)
            .unwrap()
    }

    fn sum(&self, a: &[u64], b: &[u64]) -> Vec<u64> {
        let mask = (1 << self.layer.ring_bits()) - 1;
        a.iter().zip(b).map(|(a, b)| a.wrapping_add(*b) & mask).collect()
    }

    fn check(&self, weights: &[u64], x: &[u64]) {
        let layer = &self.layer;
        let upload = self.encrypt(x);
        assert_eq!(upload.len(), layer.upload_len());
        let answer = self.respond(weights, &upload, b"w");
        assert_eq!(answer.response.len(), layer.response_len());
        let share = layer.decrypt(&answer.response, &self.secret).unwrap();
        let expected = slow(layer.shape, weights, x, layer.ring_bits());
        assert_eq!(self.sum(&share, &answer.share), expected, "{layer:?}");
        assert_eq!(layer.multiply(weights, x).unwrap(), expected);
    }

    /// The products, before they are randomised.
    fn products(&self, weights: &[u64], upload: &[u8]) -> Vec<Ciphertext> {
        let ciphertexts = self.layer.read_upload(upload).unwrap();
        let weights = self.layer.prepare(weights).unwrap();
        (0..self.layer.responses())
            .map(|index| self.layer.product(&weights, &ciphertexts, index).unwrap())
            .collect()
    }

    /// The noise of outputs in them, in units of 1/q.
    fn noise(&self, weights: &[u64], x: &[u64]) -> Vec<f64> {
        let exact = slow(self.layer.shape, weights, x, self.layer.ring_bits());
        let mut noise = Vec::new();
        for (index, product) in self.products(weights, &self.encrypt(x)).iter().enumerate() {
            let wanted = self.layer.layout.wanted(index);
            let mut plain = self.secret.decrypt(product).unwrap();
            let messages = wanted.iter().map(|&(at, output)| (at, exact[output]));
            plain.sub_assign(&self.layer.encoding.encoded(messages)).unwrap();
            let all = centred_floats(&plain);
            noise.extend(wanted.iter().map(|&(at, _)| all[at]));
        }
        noise
    }

    /// What the key holder reads of a randomised product with the same number added to every output.
    fn read(&self, (c0, c1): (Poly<Coefficients>, Poly<Coefficients>), index: usize, added: u128) -> Vec<u128> {
        let wanted = self.layer.layout.wanted(index);
        let bytes = self.layer.covered(c0, c1, &wanted, &vec![added; wanted.len()]).unwrap();
        self.layer.read_one(&bytes, &wanted, &self.secret).unwrap().to_vec()
    }
}

fn stream() -> Stream {
    Stream::new(Domain::Hiding, &[4; 32])
}

/// The layers of two known models of handwritten digits.
fn known() -> [LinearShape; 7] {
    let dense = |inputs, outputs| LinearShape::Dense { inputs, outputs };
    [
        convolution([1, 16], 28, 5, 1, 0),
        convolution([16, 16], 12, 5, 1, 0),
        dense(256, 100),
        dense(100, 10),
        convolution([20, 50], 12, 5, 1, 0),
        dense(800, 500),
        dense(500, 10),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn shares_add_up_to_the_direct_sum(shape in shapes(), ring_bits in 16u32..=48, bits in 1u32..=48, seed in any::<u32>()) {
        let parties = Parties::new(shape, ring_bits, bits.min(ring_bits));
        parties.check(&parties.weights(seed.into()), &parties.input(u64::from(seed) + 1));
    }
}

/// No output meets a pixel: nothing goes up, zeros come back.
#[test]
fn a_kernel_that_meets_nothing_but_padding_gives_zero() {
    let shape = LinearShape::Convolution {
        channels: [2, 3],
        image: [1, 1],
        kernel: [1, 1],
        stride: [4, 4],
        padding: [2, 2],
    };
    let parties = Parties::new(shape, 32, 20);
    assert_eq!((parties.layer.uploads(), shape.outputs()), (0, 12));
    parties.check(&parties.weights(1), &parties.input(2));
}

#[test]
fn one_key_serves_all_layers_of_a_network() {
    let layers = PrivateInputLinear::for_shapes(&known(), 32, 20, REVEALED).unwrap();
    for layer in layers {
        let parties = Parties::of(layer);
        parties.check(&parties.weights(5), &parties.input(6));
    }
}

#[test]
fn the_known_layers_take_the_stated_bytes() {
    let layers = PrivateInputLinear::for_shapes(&known(), 32, 20, REVEALED).unwrap();
    let parameters = layers[0].parameters();
    println!("N = {}, log2(q) = {:.2}", parameters.degree(), parameters.log2_modulus());
    assert_eq!(parameters.degree(), 8192);
    for (layer, expected) in layers.iter().zip([
        (1, 124_960, 2, 130_432),
        (2, 249_920, 3, 139_648),
        (1, 124_960, 4, 180_664),
        (1, 124_960, 1, 45_100),
        (3, 374_880, 7, 329_392),
        (5, 624_800, 10, 452_750),
        (1, 124_960, 1, 45_100),
    ]) {
        let found = (layer.uploads(), layer.upload_len(), layer.responses(), layer.response_len());
        println!("{:?}: {found:?}", layer.shape());
        assert_eq!(found, expected);
    }
}

/// All outputs at the ends of the flooding, of weights and inputs at the ends of theirs.
#[test]
fn the_largest_operands_are_exact_under_the_widest_flooding() {
    for (ring_bits, bits, shape) in [
        (32, 20, LinearShape::Dense { inputs: 300, outputs: 9 }),
        (48, 48, convolution([5, 7], 9, 3, 1, 1)),
        (16, 8, convolution([3, 4], 10, 3, 2, 1)),
    ] {
        let parties = Parties::new(shape, ring_bits, bits);
        let (layer, secrecy) = (&parties.layer, parties.layer.secrecy);
        let mask = (1u64 << ring_bits) - 1;
        let least = secrecy.weight_bound().wrapping_neg() & mask;
        for (w, x) in [
            (least, mask),
            (secrecy.weight_bound() & mask, 1 << (ring_bits - 1)),
            (least, 1),
        ] {
            let (w, x) = (vec![w; shape.weights()], vec![x; shape.inputs()]);
            let bound = secrecy.bound(&layer.layout, layer.parameters.degree());
            assert!(parties.noise(&w, &x).iter().all(|e| e.abs() <= bound), "{shape:?}");
            let exact = slow(shape, &w, &x, ring_bits);
            for (index, product) in parties.products(&w, &parties.encrypt(&x)).into_iter().enumerate() {
                let randomised = parties.public.randomise(product, &Runs::all(), &mut stream()).unwrap();
                let most = 3u128 << (secrecy.flooding_bits() - 1);
                for added in [most, most.wrapping_neg()] {
                    let read = parties.read(randomised.clone(), index, added);
                    for (fraction, (_, output)) in read.into_iter().zip(layer.layout.wanted(index)) {
                        assert_eq!(layer.encoding.message(fraction), exact[output], "{shape:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn noise_is_as_large_as_its_formula_says() {
    for (ring_bits, bits, shape) in [
        (
            32,
            20,
            LinearShape::Dense {
                inputs: 256,
                outputs: 100,
            },
        ),
        (32, 20, convolution([16, 16], 12, 5, 1, 0)),
        (48, 40, convolution([4, 16], 16, 3, 2, 1)),
        (16, 8, convolution([4, 16], 16, 3, 1, 0)),
    ] {
        let parties = Parties::new(shape, ring_bits, bits);
        let (layer, secrecy) = (&parties.layer, parties.layer.secrecy);
        let noise = parties.noise(&parties.weights(7), &parties.input(8));
        let [inner, terms] = layer.layout.terms().map(|count| count as f64);
        // Of numbers uniform in the range a third of the largest square is the mean; rho is uniform as well.
        let sigma = cloven_ring::sample::SIGMA;
        let formula = secrecy.weight_bound() as f64 * ((sigma * sigma * terms + inner / 12.0) / 3.0).sqrt();
        let (deviation, most) = spread(&noise);
        let ratio = deviation / formula;
        println!("{shape:?}, {ring_bits}, {bits} bits: measured {ratio:.3} of the formula's deviation");
        // The last response may hold fewer channels, and a padded picture's outer outputs lack some terms.
        assert!((0.75..1.15).contains(&ratio), "{shape:?}: {ratio}");
        assert!(most <= secrecy.bound(&layer.layout, layer.parameters.degree()));
    }
}

#[test]
fn rounding_adds_the_noise_of_its_formula() {
    for (ring_bits, bits) in [(32, 20), (16, 8), (48, 20)] {
        let parties = Parties::new(convolution([2, 4], 12, 3, 1, 1), ring_bits, bits);
        let (layer, secrecy) = (&parties.layer, parties.layer.secrecy);
        let (w, x) = (parties.weights(7), parties.input(8));
        let exact = slow(layer.shape, &w, &x, ring_bits);
        let product = parties.products(&w, &parties.encrypt(&x)).swap_remove(0);
        let randomised = parties.public.randomise(product, &Runs::all(), &mut stream()).unwrap();
        let read = parties.read(randomised, 0, 0).into_iter().zip(layer.layout.wanted(0));
        let rest =
            read.map(|(fraction, (_, output))| fraction.wrapping_sub(layer.encoding.fraction(exact[output])) as i128 as f64);
        let degree = layer.parameters.degree();
        let step = |bits: u32| 2f64.powi(128 - bits as i32);
        let (whole, wanted) = (step(secrecy.whole_bits(degree)), step(secrecy.wanted_bits()));
        let formula = (whole.powi(2) * degree as f64 / 18.0 + wanted.powi(2) / 12.0).sqrt();
        let ratio = spread(&rest.collect::<Vec<_>>()).0 / formula;
        assert!((0.85..1.15).contains(&ratio), "{ring_bits}: {ratio}");
    }
}

/// All that the key holder reads fits below half of the lowest bit, and the flooding is as wide as the statistical distance demands.
#[test]
fn the_modulus_holds_what_it_must() {
    for ring_bits in [16, 32, 48] {
        for bits in [1, 8, ring_bits] {
            for revealed in [1, 1 << 20, 1 << 40] {
                let shape = convolution([8, 8], 12, 3, 1, 1);
                let layer = PrivateInputLinear::for_shapes(&[shape], ring_bits, bits, revealed)
                    .unwrap()
                    .remove(0);
                let (secrecy, degree) = (layer.secrecy, layer.parameters.degree());
                let log2_modulus = layer.parameters.log2_modulus();
                let noise = secrecy.bound(&layer.layout, degree) * (128.0 - log2_modulus).exp2() + 15.0;
                let unit = f64::from(secrecy.flooding_bits()).exp2();
                assert!(1.07 * noise * (revealed as f64).sqrt() * 2f64.powi(40) <= unit * 1.000_001);
                let rounding = |bits: u32| 2f64.powi(128 - bits as i32);
                let whole = rounding(secrecy.whole_bits(degree)) * noise::rounding_bound(degree);
                let back = 2f64.powf(128.0 - log2_modulus) * 12.0 * (degree as f64 / 18.0).sqrt();
                let all = 1.5 * unit + whole + rounding(secrecy.wanted_bits()) / 2.0 + back + 15.0 + noise;
                assert!(all < 2f64.powi(127 - ring_bits as i32), "{ring_bits} {bits} {revealed}");
                let needed = secrecy.log2_modulus(&layer.layout, degree);
                assert!((needed..needed + 2.0).contains(&log2_modulus));
            }
        }
    }
}

/// A small ring where its modulus has room, the large one elsewhere.
#[test]
fn the_ring_is_the_one_with_the_fewest_bytes() {
    let shape = convolution([8, 8], 8, 3, 1, 1);
    let degree = |ring_bits, bits, revealed| {
        let layers = PrivateInputLinear::for_shapes(&[shape], ring_bits, bits, revealed).unwrap();
        layers[0].parameters().degree()
    };
    assert_eq!(degree(16, 8, 1 << 20), 4096);
    assert_eq!(degree(32, 20, REVEALED), 8192);
}

#[test]
fn what_does_not_fit_is_refused() {
    let dense = LinearShape::Dense { inputs: 3, outputs: 2 };
    let new = |shape, ring_bits, bits, revealed| PrivateInputLinear::for_shapes(&[shape], ring_bits, bits, revealed).unwrap_err();
    for (ring_bits, bits, revealed) in [(15, 8, 1), (49, 8, 1), (32, 0, 1), (32, 33, 1), (32, 20, (1 << 40) + 1)] {
        let error = new(dense, ring_bits, bits, revealed);
        assert!(matches!(error, LatticeError::Setting { .. }), "{error}");
    }
    for shape in [
        convolution([1, 1], 100, 3, 1, 1),
        convolution([1, 1], 2, 3, 1, 0),
        convolution([1, 1], 4, 3, 0, 0),
        LinearShape::Dense { inputs: 0, outputs: 1 },
        LinearShape::Dense {
            inputs: usize::MAX,
            outputs: 2,
        },
    ] {
        assert!(matches!(new(shape, 32, 20, 1), LatticeError::NoLayout { .. }), "{shape:?}");
    }
    assert!(PrivateInputLinear::for_shapes(&[], 32, 20, 1).unwrap().is_empty());
    let parties = Parties::new(dense, 32, 20);
    let (layer, other) = (&parties.layer, Parties::new(dense, 32, 8));
    let refused = |weights: &[u64]| layer.prepare(weights).map(drop).unwrap_err();
    assert!(matches!(refused(&[0; 5]), LatticeError::Size { .. }));
    assert!(matches!(refused(&[1 << 32; 6]), LatticeError::Wide { actual: 33, .. }));
    let (most, least) = (1u64 << 19, (1u64 << 32) - (1 << 19));
    assert!(layer.prepare(&[most, least, 0, 0, 0, 0]).is_ok());
    assert!(matches!(
        refused(&[0, most, 0, most + 1, 0, 0]),
        LatticeError::Range { position: 3, .. }
    ));
    assert!(matches!(
        refused(&[0, least, least - 1, 0, 0, 0]),
        LatticeError::Range { position: 2, .. }
    ));
    let encrypt = |x: &[u64], secret| layer.encrypt(x, secret, &holder_key(), b"x");
    assert!(matches!(encrypt(&[0; 2], &parties.secret), Err(LatticeError::Size { .. })));
    assert!(matches!(
        encrypt(&[1 << 32; 3], &parties.secret),
        Err(LatticeError::Wide { .. })
    ));
    assert!(matches!(
        encrypt(&[0; 3], &other.secret),
        Err(LatticeError::OtherProduct { .. })
    ));
    let upload = parties.encrypt(&[0; 3]);
    let respond = |weights: &PreparedWeights, upload: &[u8], receiver| {
        layer.respond(weights, upload, receiver, &responder_key(), b"w").map(drop)
    };
    let weights = layer.prepare(&[0; 6]).unwrap();
    assert!(matches!(
        respond(&weights, &upload[1..], &parties.public),
        Err(LatticeError::Length { .. })
    ));
    assert!(matches!(
        respond(&weights, &upload, &other.public),
        Err(LatticeError::OtherProduct { what: "public key" })
    ));
    assert!(matches!(
        respond(&other.layer.prepare(&[0; 6]).unwrap(), &upload, &parties.public),
        Err(LatticeError::OtherProduct { what: "weights" })
    ));
    let answer = parties.respond(&[0; 6], &upload, b"w").response;
    assert!(matches!(
        layer.decrypt(&answer[1..], &parties.secret),
        Err(LatticeError::Length { .. })
    ));
    assert!(matches!(
        layer.decrypt(&answer, &other.secret),
        Err(LatticeError::OtherProduct { what: "secret" })
    ));
    assert!(matches!(layer.multiply(&[0; 6], &[0; 2]), Err(LatticeError::Size { .. })));
}

#[test]
fn bytes_do_not_depend_on_threads() {
    let parties = Parties::new(convolution([12, 30], 12, 3, 2, 1), 32, 20);
    assert!(parties.layer.responses() > 1 && parties.layer.uploads() > 1);
    let (w, x) = (parties.weights(3), parties.input(4));
    let [one, three] = [1, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let upload = parties.encrypt(&x);
            let answer = parties.respond(&w, &upload, b"w");
            let share = parties.layer.decrypt(&answer.response, &parties.secret).unwrap();
            (upload, answer.response, answer.share.to_vec(), share.to_vec())
        })
    });
    assert!(one == three);
}
