//! Medians of interleaved measurements.

use std::time::{Duration, Instant};

/// Calls are repeated until a sample lasts this long: a clock's reading is then nothing beside it.
const SAMPLE: Duration = Duration::from_micros(150);

/// Median seconds of one call of each work: a sample of each in turn, `rounds` times.
pub fn medians<const K: usize>(rounds: usize, mut works: [&mut dyn FnMut(); K]) -> [f64; K] {
    let calls: [u32; K] = std::array::from_fn(|k| calls_of_a_sample(works[k]));
    let mut samples: [Vec<f64>; K] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for _ in 0..rounds {
        for ((work, &calls), samples) in works.iter_mut().zip(&calls).zip(&mut samples) {
            samples.push(seconds(calls, *work) / f64::from(calls));
        }
    }
    samples.map(median)
}

/// The middle value, or the mean of the two in the middle; not a number for none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.len(), values.len() % 2) {
        (0, _) => f64::NAN,
        (_, 0) => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

/// Also the warm-up: pages, caches, the clock of the processor.
fn calls_of_a_sample(work: &mut dyn FnMut()) -> u32 {
    let mut calls = 1;
    while seconds(calls, work) < SAMPLE.as_secs_f64() {
        calls *= 2;
    }
    calls
}

fn seconds(calls: u32, work: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    (0..calls).for_each(|_| work());
    start.elapsed().as_secs_f64()
}
