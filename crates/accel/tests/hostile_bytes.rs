//! Mutated bytes into the decoders of jobs and answers: no panic, and what is accepted encodes to the very bytes that came. Accepted jobs are run.
//!
//! Every decoder gets `CLOVEN_FUZZ_SECONDS` (default: a third of a second), at least one mutation of each kind; a failure names decoder and seed.
#![allow(clippy::unwrap_used, clippy::panic)]

use cloven_accel::{
    AccelError, Kind, Matrices, Shape, Words,
    convolution::Window,
    job::{Answer, Job, Limits, Step, Tensor, Worker},
};
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

fn tensors() -> [Tensor; 4] {
    let shape = |rows, columns| Shape::new(2, rows, columns).unwrap();
    let floats = |rows, columns| {
        let values = (0..2 * rows * columns).map(|i| i as f32 - 3.5).collect();
        Tensor::Floats(Matrices::new(shape(rows, columns), values).unwrap())
    };
    let words = |rows, columns| {
        let integers: Vec<i32> = (0..2 * (rows * columns) as i32).map(|i| i * 12_345).collect();
        Tensor::Words(Words::of_integers(shape(rows, columns), &integers).unwrap())
    };
    [floats(2, 3), floats(3, 2), words(2, 3), words(3, 0)]
}

fn job() -> Job {
    let put = |(tensor, slot)| Step::Put { slot, tensor };
    let product = |kind, left, right, keep| Step::Product { kind, left, right, keep };
    let window = Window {
        channels: 3,
        image: [1, 2],
        kernel: [1, 2],
        stride: [1, 1],
        padding: [0, 1],
    };
    let rest = [
        product(Kind::Forward, 0, 1, None),
        product(Kind::WeightGradient, 2, 2, Some(4)),
        product(Kind::InputGradient, 0, 0, Some(5)),
        Step::Add {
            to: 5,
            from: 5,
            factor: 0.5,
        },
        // Three channels of 1 x 2 of slot 0.
        Step::Unfold { from: 0, to: 6, window },
        Step::Fold { from: 6, to: 6, window },
        Step::Read { slot: 4 },
        Step::Free { slot: 1 },
    ];
    Job(tensors().into_iter().zip(0..).map(put).chain(rest).collect())
}

fn mutant(valid: &[u8], seed: u64) -> Vec<u8> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut below = |most: usize| (rng.next_u64() % most as u64) as usize;
    let mut bytes = valid.to_vec();
    for _ in 0..below(4) {
        let at = below(bytes.len());
        bytes[at] ^= 1 << below(8);
    }
    match seed % 6 {
        0 => bytes.truncate(below(bytes.len())),
        1 => bytes.push(below(256) as u8),
        2 => bytes.extend_from_slice(valid),
        3 => {
            let first = below(bytes.len());
            bytes[first..].iter_mut().for_each(|byte| *byte = below(256) as u8);
        }
        _ => {}
    }
    bytes
}

/// Mutants until time is up; how many were accepted.
fn fuzz(name: &str, valid: &[u8], decode: impl Fn(&[u8]) -> Result<Vec<u8>, AccelError>) -> usize {
    assert_eq!(decode(valid).as_deref(), Ok(valid), "{name}");
    let seconds = std::env::var("CLOVEN_FUZZ_SECONDS").map_or(1.0 / 3.0, |text| text.parse().unwrap());
    let begun = Instant::now();
    let mut accepted = 0;
    for seed in 0.. {
        let bytes = mutant(valid, seed);
        let decoded = catch_unwind(AssertUnwindSafe(|| decode(&bytes)));
        match decoded.unwrap_or_else(|_| panic!("{name}: seed {seed} panics")) {
            Ok(again) => {
                assert!(again == bytes, "{name}: seed {seed}");
                accepted += 1;
            }
            Err(error) => assert!(error.to_string().len() < 200, "{name}: seed {seed}"),
        }
        if seed >= 50 && begun.elapsed() >= Duration::from_secs_f64(seconds) {
            break;
        }
    }
    accepted
}

#[test]
fn hostile_answers_are_errors_or_answers() {
    let valid = Answer(tensors().to_vec()).encode();
    let accepted = fuzz("answer", &valid, |bytes| Answer::decode(bytes).map(|answer| answer.encode()));
    assert!(accepted > 0);
}

#[test]
fn hostile_jobs_are_errors_or_jobs_that_end() {
    let limits = Limits {
        stored_elements: 1000,
        answer_elements: 1000,
        multiply_accumulates: 10_000,
    };
    let run = |bytes: &[u8]| {
        let job = Job::decode(bytes)?;
        let encoded = job.encode();
        let answer = Worker::new(limits).run(job);
        if let Err(error) = answer {
            assert!(error.to_string().len() < 200);
        }
        Ok(encoded)
    };
    assert!(Worker::new(limits).run(job()).is_ok());
    assert!(fuzz("job", &job().encode(), run) > 0);
}
