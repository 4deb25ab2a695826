//! Mutated bytes into every decoder: no panic, and accepted exactly when a slow reader finds the bytes valid.
//!
//! No wire form has a length field: every length follows from the shape. Every decoder gets `CLOVEN_FUZZ_SECONDS` (default: its share of one
//! second), at least one mutation; a failure names decoder and seed.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "hostile_bytes/collective.rs"]
mod collective;
#[path = "hostile_bytes/private_input.rs"]
mod private_input;

use std::{
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, available_parallelism},
    time::{Duration, Instant},
};

use cloven_lattice::{
    Ciphertext, Gadget, LatticeError, Parameters, PublicKey, RandomnessKey, RelinearisationKey, SecretKey, Upload,
    linear::{
        EncryptedProduct, EncryptedWeights, ExactProduct, Layout, Masking, Product, Scales, SharedProduct, SharedTraining,
        TrainingScales, WeightProduct,
    },
};
use cloven_ring::Poly;
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// A piece of a wire form.
#[derive(Clone, Copy)]
enum Piece {
    /// Bytes of any value: a seed.
    Free(usize),
    /// A float of eight bytes that is zero or more.
    Energy,
    /// `count` numbers of `bits` bits, which times 2^`dropped` must stay below the modulus; then zero bits to a whole byte.
    Packed {
        count: usize,
        bits: u32,
        dropped: u32,
        modulus: u64,
    },
}

impl Piece {
    fn len(self) -> usize {
        match self {
            Self::Free(len) => len,
            Self::Energy => 8,
            Self::Packed { count, bits, .. } => (count * bits as usize).div_ceil(8),
        }
    }

    /// Bit by bit.
    fn is_valid(self, bytes: &[u8]) -> bool {
        if let Self::Energy = self {
            return f64::from_le_bytes(bytes.try_into().unwrap()) >= 0.0;
        }
        let Self::Packed {
            count,
            bits,
            dropped,
            modulus,
        } = self
        else {
            return true;
        };
        let bit = |at: usize| u64::from(bytes[at / 8] >> (at % 8) & 1);
        let number = |i: usize| (0..bits as usize).map(|b| bit(i * bits as usize + b) << b).sum::<u64>();
        let padding = (count * bits as usize..8 * bytes.len()).all(|at| bit(at) == 0);
        padding && (0..count).all(|i| u128::from(number(i)) << dropped < u128::from(modulus))
    }
}

type Decoder = Box<dyn Fn(&[u8]) -> Result<(), LatticeError> + Send + Sync>;

/// A decoder, a valid input, and what makes an input valid.
struct Target {
    name: &'static str,
    valid: Vec<u8>,
    pieces: Vec<Piece>,
    decode: Decoder,
}

impl Target {
    fn is_valid(&self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        let whole = bytes.len() == self.pieces.iter().map(|piece| piece.len()).sum::<usize>();
        whole
            && self.pieces.iter().all(|piece| {
                let (head, tail) = rest.split_at(piece.len());
                rest = tail;
                piece.is_valid(head)
            })
    }

    fn fuzz(&self, time: Duration) {
        let end = Instant::now() + time;
        let mut mutations = 0;
        while mutations < 1 || Instant::now() < end {
            self.check(mutations);
            mutations += 1;
        }
        println!("{}: {mutations} mutations", self.name);
    }

    fn check(&self, seed: u64) {
        let bytes = self.mutated(seed);
        let result = catch_unwind(AssertUnwindSafe(|| (self.decode)(&bytes)));
        let result = result.unwrap_or_else(|_| panic!("{}: panic, seed {seed}", self.name));
        let valid = match result {
            Ok(()) => true,
            // Decoded, and refused for its value before the rest was read.
            Err(LatticeError::Range {
                what: "output" | "product",
                ..
            }) => return,
            Err(_) => false,
        };
        assert_eq!(valid, self.is_valid(&bytes), "{}, seed {seed}: {result:?}", self.name);
    }

    fn mutated(&self, seed: u64) -> Vec<u8> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut bytes = self.valid.clone();
        for _ in 0..below(&mut rng, 4) {
            self.mutate(&mut bytes, &mut rng);
        }
        bytes
    }

    fn mutate(&self, bytes: &mut Vec<u8>, rng: &mut ChaCha20Rng) {
        let at = below(rng, bytes.len().max(1));
        let run = below(rng, 40).min(bytes.len() - at.min(bytes.len()));
        match below(rng, 9) {
            _ if bytes.is_empty() => bytes.push(1),
            0 | 1 => bytes[at] ^= 1 << below(rng, 8),
            2 => bytes[at..at + run].fill(0xff),
            3 => bytes[at..at + run].fill(0),
            4 => bytes.truncate(at),
            5 => bytes.extend((0..below(rng, 70)).map(|i| i as u8)),
            6 => rng.fill_bytes(&mut bytes[at..at + run]),
            7 => bytes.copy_within(at..at + run, 0),
            _ => self.near_modulus(bytes, rng),
        }
    }

    /// Writes the modulus, or a number just above or below, to some coefficient.
    fn near_modulus(&self, bytes: &mut [u8], rng: &mut ChaCha20Rng) {
        let index = below(rng, self.pieces.len());
        let start: usize = self.pieces[..index].iter().map(|piece| piece.len()).sum();
        if let Piece::Packed {
            count,
            bits,
            dropped,
            modulus,
        } = self.pieces[index]
            && bytes.len() >= start + self.pieces[index].len()
        {
            let number = (modulus >> dropped) + below(rng, 3) as u64 - 1;
            let first = below(rng, count) * bits as usize;
            for bit in 0..bits as usize {
                let (at, mask) = (start + (first + bit) / 8, 1 << ((first + bit) % 8));
                bytes[at] = bytes[at] & !mask | if number >> bit & 1 == 1 { mask } else { 0 };
            }
        }
    }
}

fn below(rng: &mut ChaCha20Rng, bound: usize) -> usize {
    (rng.next_u64() % bound as u64) as usize
}

fn secret(parameters: &Parameters) -> SecretKey {
    SecretKey::generate(parameters, &mut ChaCha20Rng::from_seed([1; 32]))
}

fn key() -> RandomnessKey {
    RandomnessKey::new([2; 32])
}

fn residues(parameters: &Parameters, dropped: u32) -> Vec<Piece> {
    let of_prime = |modulus: &cloven_ring::Modulus| Piece::Packed {
        count: parameters.degree(),
        bits: modulus.bits() - dropped,
        dropped,
        modulus: modulus.value(),
    };
    parameters.basis().moduli().iter().map(of_prime).collect()
}

fn seeded(parameters: &Parameters, dropped: u32, times: usize) -> Vec<Piece> {
    let one: Vec<Piece> = [Piece::Free(32)].into_iter().chain(residues(parameters, dropped)).collect();
    one.repeat(times)
}

/// Numbers modulo 2^`bits`: nothing but length and padding can be wrong.
fn response(count: usize, bits: u32) -> Piece {
    Piece::Packed {
        count,
        bits,
        dropped: 0,
        modulus: 1 << bits,
    }
}

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 37 % 101) as f32 / 101.0 - 0.5).collect()
}

fn ciphertexts(parameters: &Parameters, dropped: u32) -> Vec<Target> {
    let secret = secret(parameters);
    let zero = Poly::zero(parameters.basis());
    let (mut upload, mut public, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    secret.encrypt(&zero, &key(), b"u").unwrap().encode(parameters, &mut upload);
    PublicKey::generate(&secret, &key(), b"p").unwrap().encode(&mut public);
    let read = Upload::decode(parameters, &upload).unwrap();
    read.encode(&mut whole);
    let [p, q, r] = [parameters; 3].map(Clone::clone);
    vec![
        Target {
            name: "upload",
            valid: upload,
            pieces: seeded(parameters, dropped, 1),
            decode: Box::new(move |bytes| Upload::decode(&p, bytes).map(|c| reduced(&[&c.c0, &c.c1]))),
        },
        Target {
            name: "public key",
            valid: public,
            pieces: seeded(parameters, 0, 1),
            decode: Box::new(move |bytes| PublicKey::decode(&q, bytes).map(|_| ())),
        },
        Target {
            name: "ciphertext",
            valid: whole,
            pieces: residues(parameters, 0).repeat(2),
            decode: Box::new(move |bytes| Ciphertext::decode(&r, bytes).map(|c| reduced(&[&c.c0, &c.c1]))),
        },
    ]
}

fn switching_keys() -> Vec<Target> {
    let parameters = Parameters::new(11, &[26, 26]).unwrap();
    let mut relinearisation = Vec::new();
    RelinearisationKey::generate(&secret(&parameters), Gadget::exact(25), &key(), b"r")
        .unwrap()
        .encode(&mut relinearisation);
    let of = parameters.clone();
    vec![Target {
        name: "relinearisation key",
        valid: relinearisation,
        // Two digits of 25 bits for each prime.
        pieces: seeded(&parameters, 0, 4),
        decode: Box::new(move |bytes| RelinearisationKey::decode(&of, Gadget::exact(25), bytes).map(|_| ())),
    }]
}

/// What a decoder returns has residues below their primes.
fn reduced(polys: &[&Poly<cloven_ring::Evaluations>]) {
    for poly in polys {
        for (prime, modulus) in poly.basis().moduli().iter().enumerate() {
            assert!(poly.residues(prime).iter().all(|&r| r < modulus.value()));
        }
    }
}

fn products() -> Vec<Target> {
    let parameters = Parameters::new(11, &[50]).unwrap();
    let scales = Scales {
        input: 21,
        weight: 19,
        response: 29,
    };
    let product = Product::new(&parameters, [2, 30, 5], scales).unwrap();
    let secret = secret(&parameters);
    let upload = product.encrypt(&numbers(60), &secret, &key(), b"x").unwrap();
    let weights = product.weights(&numbers(150), &numbers(5)).unwrap();
    let answer = product.respond(&weights, &upload, 2).unwrap();
    assert_eq!(product.layout().samples, 2);
    assert_eq!(product.layout().output_blocks(), 1);
    let (uploads, reader) = (product.layout().input_blocks(), product.clone());
    vec![
        Target {
            name: "Product::respond",
            valid: upload,
            pieces: seeded(&parameters, 3, uploads),
            decode: Box::new(move |bytes| product.respond(&weights, bytes, 2).map(|_| ())),
        },
        Target {
            name: "Product::decrypt",
            valid: answer,
            pieces: vec![response(2048 + 10, 29)],
            decode: Box::new(move |bytes| reader.decrypt(bytes, 2, &secret).map(|_| ())),
        },
    ]
}

fn weight_products() -> Vec<Target> {
    let parameters = Parameters::new(11, &[26, 26]).unwrap();
    let scales = Scales {
        input: 5,
        weight: 30,
        response: 25,
    };
    let product = WeightProduct::with_block_outputs(&parameters, [60, 9], 64, scales).unwrap();
    let secret = secret(&parameters);
    let weights = product.encrypt_weights(&numbers(540), &secret, &key(), b"w").unwrap();
    let delta = product.encrypt_delta(&numbers(18), 0.1, &secret, &key(), b"d").unwrap();
    let encrypted = product.receive_weights(&weights).unwrap();
    let rows = product.encode_rows(&numbers(120)).unwrap();
    let answer = product.forward(&encrypted, &rows).unwrap();
    let part = product.encode_weights_part(&encrypted, 0).unwrap();
    let encrypted = Mutex::new(encrypted);
    let (receiver, reader, decoder) = (product.clone(), product.clone(), product.clone());
    let whole = residues(&parameters, 0).repeat(2 * product.output_blocks());
    vec![
        Target {
            name: "WeightProduct::decode_weights_part",
            valid: part,
            pieces: [Piece::Energy].into_iter().chain(whole).collect(),
            decode: Box::new(move |bytes| decoder.decode_weights_part(&mut EncryptedWeights::empty(), bytes)),
        },
        Target {
            name: "WeightProduct::receive_weights",
            valid: weights,
            pieces: seeded(&parameters, 0, product.input_blocks() * product.output_blocks()),
            decode: Box::new(move |bytes| receiver.receive_weights(bytes).map(|_| ())),
        },
        Target {
            name: "WeightProduct::update",
            valid: delta,
            pieces: seeded(&parameters, 0, 2),
            decode: Box::new(move |bytes| product.update(&mut encrypted.lock().unwrap(), &rows, bytes)),
        },
        Target {
            name: "WeightProduct::decrypt",
            valid: answer,
            // One response a row, each padded for itself.
            pieces: vec![response(2048 + 9, 25); 2],
            decode: Box::new(move |bytes| reader.decrypt(bytes, 2, &secret).map(|_| ())),
        },
    ]
}

fn strided_products() -> Vec<Target> {
    let parameters = Parameters::new(11, &[26, 26]).unwrap();
    let scales = Scales {
        input: 5,
        weight: 30,
        response: 25,
    };
    // Four rows to a delta, up to eight to a response.
    let product = WeightProduct::strided_with_block_outputs(&parameters, [6, 9], 4, 256, scales).unwrap();
    let secret = secret(&parameters);
    let weights = product.encrypt_weights(&numbers(54), &secret, &key(), b"w").unwrap();
    let keys = product.merge_keys(&secret, &key(), b"k").unwrap();
    let delta = product.encrypt_delta(&numbers(90), 0.1, &secret, &key(), b"d").unwrap();
    let mut encrypted = product.receive_weights(&weights).unwrap();
    product.receive_merge_keys(&mut encrypted, &keys).unwrap();
    let rows = product.encode_rows(&numbers(60)).unwrap();
    let answer = product.forward(&encrypted, &rows).unwrap();
    let kept = Mutex::new(encrypted);
    let (receiver, reader) = (product.clone(), product.clone());
    vec![
        Target {
            name: "WeightProduct::receive_merge_keys",
            valid: keys,
            // Three levels of three digits of ten bits for each prime.
            pieces: seeded(&parameters, 0, 3 * 3 * 2),
            decode: Box::new(move |bytes| receiver.receive_merge_keys(&mut EncryptedWeights::empty(), bytes)),
        },
        Target {
            name: "WeightProduct::update, strided",
            valid: delta,
            pieces: seeded(&parameters, 0, 3),
            decode: Box::new(move |bytes| product.update(&mut kept.lock().unwrap(), &rows, bytes)),
        },
        Target {
            name: "WeightProduct::decrypt, strided",
            valid: answer,
            pieces: [8, 2].map(|rows| response(2048 + 9 * rows, 25)).to_vec(),
            decode: Box::new(move |bytes| reader.decrypt(bytes, 10, &secret).map(|_| ())),
        },
    ]
}

fn encrypted_products() -> Vec<Target> {
    let parameters = Parameters::new(11, &[50]).unwrap();
    let scales = TrainingScales {
        input: 20,
        weight: 20,
        delta: 26,
        response: 30,
    };
    let layout = Layout {
        degree: 2048,
        inputs: 60,
        outputs: 20,
        samples: 2,
        block_inputs: 60,
        block_outputs: 10,
    };
    let product = EncryptedProduct::new(&parameters, layout, scales).unwrap();
    let secret = secret(&parameters);
    let rows = product.encrypt_rows(&numbers(120), &secret, &key(), b"x").unwrap();
    let weights = product.encrypt_weights(&numbers(1200), &secret, &key(), b"w").unwrap();
    let delta = product.encrypt_delta(&numbers(40), &secret, &key(), b"d").unwrap();
    let relinearisation = product.relinearisation_key(&secret, &key(), b"r").unwrap();
    let relinearisation = product.receive_relinearisation_key(&relinearisation).unwrap();
    let encrypted = product.receive_weights(&weights).unwrap();
    let answer = product.outputs(&[&rows], 2, &encrypted, &relinearisation).unwrap();
    let [a, b, c, d] = [(); 4].map(|()| product.clone());
    vec![
        Target {
            name: "EncryptedProduct::outputs",
            valid: rows.clone(),
            pieces: seeded(&parameters, 0, 1),
            decode: Box::new(move |bytes| product.outputs(&[bytes], 2, &encrypted, &relinearisation).map(|_| ())),
        },
        Target {
            name: "EncryptedProduct::receive_rows",
            valid: rows,
            pieces: seeded(&parameters, 0, 1),
            decode: Box::new(move |bytes| a.receive_rows(bytes, 2).map(|_| ())),
        },
        Target {
            name: "EncryptedProduct::receive_weights",
            valid: weights,
            pieces: seeded(&parameters, 0, 2),
            decode: Box::new(move |bytes| b.receive_weights(bytes).map(|_| ())),
        },
        Target {
            name: "EncryptedProduct::receive_delta",
            valid: delta,
            pieces: seeded(&parameters, 0, 2),
            decode: Box::new(move |bytes| c.receive_delta(bytes, 2).map(|_| ())),
        },
        Target {
            name: "EncryptedProduct::decrypt_outputs",
            valid: answer,
            // Two samples, ten outputs each, from either output block.
            pieces: vec![response(2048 + 20, 30); 2],
            decode: Box::new(move |bytes| d.decrypt_outputs(bytes, 2, &secret).map(|_| ())),
        },
    ]
}

fn exact_products() -> Vec<Target> {
    let product = ExactProduct::new([3, 2, 5], 20, 1 << 20).unwrap();
    let parameters = product.parameters().clone();
    let secret = secret(&parameters);
    let public = PublicKey::generate(&secret, &key(), b"p").unwrap();
    let x = product.prepare(&[1, -2, 3, -4, 5, -6]).unwrap();
    let mut upload = Vec::new();
    product.encrypt(&[7; 10], &secret, &key(), b"w", &mut upload).unwrap();
    let (responder, reader) = (key(), product.clone());
    let respond = move |bytes: &[u8]| {
        let masking = Masking {
            receiver: &public,
            key: &responder,
            context: b"x",
        };
        product.respond(&x, bytes, &masking)
    };
    let answer = respond(&upload).unwrap().message;
    vec![
        Target {
            name: "ExactProduct::respond",
            valid: upload,
            pieces: seeded(&parameters, 0, 1),
            decode: Box::new(move |bytes| respond(bytes).map(drop)),
        },
        Target {
            name: "ExactProduct::decrypt",
            valid: answer,
            // c1 and the fifteen results, in halves.
            pieces: vec![response(8192, 38), response(8192, 38), response(15, 34), response(15, 34)],
            decode: Box::new(move |bytes| reader.decrypt(bytes, &secret).map(drop)),
        },
    ]
}

fn shared_products() -> Vec<Target> {
    let parameters = Parameters::new(11, &[50]).unwrap();
    let scales = TrainingScales {
        input: 20,
        weight: 20,
        delta: 26,
        response: 30,
    };
    let layer = SharedTraining::choose(&parameters, [4, 60, 20], scales).unwrap();
    let secrets = layer.secrets(&key());
    let (rows, my_rows) = layer.encrypt_rows(&numbers(240), &secrets, &key(), b"x").unwrap();
    let (weights, my_weights) = layer.encrypt_weights(&numbers(1200), &secrets, &key(), b"w").unwrap();
    let operands = [&numbers(240)[..], &numbers(80)];
    let (delta, _) = layer.encrypt_delta(operands, &secrets, &key(), b"d").unwrap();
    let encrypted = layer.receive_weights(&weights).unwrap();
    let answer = layer.outputs(&rows, 4, &encrypted).unwrap();
    // One seed, and the blocks of an operand.
    let operand = |blocks: usize| [vec![Piece::Free(32)], residues(&parameters, 0).repeat(blocks)].concat();
    let [forward, gradient, backward] = layer.products().map(SharedProduct::blocks);
    let left = |[i, t, _]: [usize; 3]| operand(i * t);
    let right = |[_, t, j]: [usize; 3]| operand(t * j);
    let samples = layer.products()[0].layout().samples;
    // The rows of each block of rows.
    let answer_pieces = (0..forward[0])
        .map(|i| response(samples.min(4 - i * samples) * 20, 30))
        .collect();
    let (weights_pieces, delta_pieces) = (
        [right(forward), right(backward)].concat(),
        [left(backward), left(gradient), right(gradient)].concat(),
    );
    let forward_part = layer.forward_part(&weights).unwrap().to_vec();
    let [a, b, c, d, e] = [(); 5].map(|()| layer.clone());
    vec![
        Target {
            name: "SharedTraining::outputs",
            valid: rows,
            pieces: left(forward),
            decode: Box::new(move |bytes| a.outputs(bytes, 4, &encrypted).map(|_| ())),
        },
        Target {
            name: "SharedTraining::receive_weights",
            valid: weights,
            pieces: weights_pieces,
            decode: Box::new(move |bytes| b.receive_weights(bytes).map(|_| ())),
        },
        Target {
            name: "SharedTraining::receive_delta",
            valid: delta,
            pieces: delta_pieces,
            decode: Box::new(move |bytes| c.receive_delta(bytes, 4).map(|_| ())),
        },
        Target {
            name: "SharedTraining::decrypt_outputs",
            valid: answer,
            pieces: answer_pieces,
            decode: Box::new(move |bytes| {
                d.decrypt_outputs(bytes, 4, (&my_rows, my_weights.forward()), &secrets)
                    .map(|_| ())
            }),
        },
        Target {
            name: "SharedTraining::receive_forward_part",
            valid: forward_part,
            pieces: right(forward),
            decode: Box::new(move |bytes| e.receive_forward_part(bytes).map(|_| ())),
        },
    ]
}

#[test]
fn hostile_bytes_are_accepted_exactly_when_they_are_valid() {
    let mut targets = ciphertexts(&Parameters::new(11, &[50]).unwrap(), 3);
    targets.extend(ciphertexts(&Parameters::new(11, &[26, 26]).unwrap(), 0));
    targets.extend(switching_keys());
    targets.extend(products());
    targets.extend(weight_products());
    targets.extend(strided_products());
    targets.extend(encrypted_products());
    targets.extend(exact_products());
    targets.extend(private_input::targets());
    targets.extend(shared_products());
    targets.extend(collective::targets());
    for target in &targets {
        assert!(target.is_valid(&target.valid), "{}: the slow reader", target.name);
        (target.decode)(&target.valid).unwrap();
    }
    let share = 1.0 / targets.len() as f64;
    let seconds = std::env::var("CLOVEN_FUZZ_SECONDS").map_or(share, |text| text.parse().unwrap());
    let (threads, next) = (available_parallelism().map_or(1, NonZero::get), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    target.fuzz(Duration::from_secs_f64(seconds));
                }
            });
        }
    });
}
