//! Products of a ResNet-18 and a vision transformer on every device that is here, on shares and on floats.
//!
//! `cargo bench -p cloven --features wgpu,cuda --bench accelerators [-- --rounds 9]`
//!
//! Two figures each, the least of the rounds, by the clock: a product of operands that the device has, and a job with its bytes: both operands come, the product goes
//! back. Of software devices the figures say nothing.

use cloven::Accelerator;
use cloven_accel::{
    AccelError, Kind, Matrices, Shape, Words,
    job::{Accelerator as Device, Job, Limits, Step, Tensor, Worker},
};
use std::time::Instant;

/// Name, batch, and m, k, n of x `[m, k]`, W `[k, n]`.
const LAYERS: [(&str, usize, [usize; 3]); 6] = [
    ("ResNet-18 64 x 32 x 32, 64 images", 1, [65536, 576, 64]),
    ("ResNet-18 256 x 8 x 8, 64 images", 1, [4096, 2304, 256]),
    ("ResNet-18 512 x 4 x 4, 64 images", 1, [1024, 4608, 512]),
    ("ViT 192: queries, keys, values, 64 images", 1, [4160, 192, 576]),
    ("ViT 192: MLP, 64 images", 1, [4160, 192, 768]),
    ("ViT 192: scores of 3 heads, 64 images", 192, [65, 64, 65]),
];

/// Products that stay on the device, between two waits for it.
const AT_ONCE: usize = 8;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given = std::env::args().skip_while(|argument| argument != "--rounds").nth(1);
    let rounds = given.and_then(|value| value.parse().ok()).unwrap_or(5);
    for (accelerator, name) in Accelerator::available() {
        println!("\n{} ({name})", String::from(accelerator));
        println!(
            "{:44} {:16} {:>11} {:>11} {:>11} {:>11}",
            "ms", "", "shares", "with bytes", "floats", "with bytes"
        );
        match accelerator.open(Limits::default())? {
            cloven::AcceleratedWorker::Cpu(mut worker) => table(&mut worker, rounds)?,
            #[cfg(feature = "wgpu")]
            cloven::AcceleratedWorker::Wgpu(mut worker) => table(&mut worker, rounds)?,
            #[cfg(feature = "cuda")]
            cloven::AcceleratedWorker::Cuda(mut worker) => table(&mut worker, rounds)?,
        }
    }
    Ok(())
}

fn table<A: Device>(worker: &mut Worker<A>, rounds: usize) -> Result<(), AccelError> {
    for (name, batch, [m, k, n]) in LAYERS {
        for kind in Kind::ALL {
            let [left, right] = match kind {
                Kind::Forward => [[m, k], [k, n]],
                Kind::WeightGradient => [[m, k], [m, n]],
                Kind::InputGradient => [[m, n], [k, n]],
            };
            print!("{name:44} {:16}", format!("{kind:?}"));
            for tensor in [shares, floats] {
                let operands = [left, right].map(|[rows, columns]| Shape::new(batch, rows, columns).and_then(tensor));
                let [left, right] = operands;
                let [held, whole] = times(worker, kind, left?, right?, rounds)?;
                print!(" {held:11.3} {whole:11.3}");
            }
            println!();
        }
    }
    Ok(())
}

fn shares(shape: Shape) -> Result<Tensor, AccelError> {
    let integers: Vec<i32> = (0..shape.elements() as i32).map(|i| i.wrapping_mul(-1_640_531_535)).collect();
    Words::of_integers(shape, &integers).map(Tensor::Words)
}

fn floats(shape: Shape) -> Result<Tensor, AccelError> {
    let values = (0..shape.elements()).map(|i| (i % 251) as f32 / 125.0 - 1.0).collect();
    Matrices::new(shape, values).map(Tensor::Floats)
}

/// Milliseconds of a product of operands that are there, and of a job with its bytes.
fn times<A: Device>(
    worker: &mut Worker<A>,
    kind: Kind,
    left: Tensor,
    right: Tensor,
    rounds: usize,
) -> Result<[f64; 2], AccelError> {
    let one = Tensor::Floats(Matrices::new(Shape::matrix(1, 1)?, vec![1.0])?);
    let put = |slot, tensor: &Tensor| Step::Put {
        slot,
        tensor: tensor.clone(),
    };
    let product = |keep| Step::Product {
        kind,
        left: 0,
        right: 1,
        keep,
    };
    worker.run(Job(vec![put(0, &left), put(1, &right), put(2, &one)]))?;
    // The answer is a number that comes after all products.
    let wait = Step::Read { slot: 2 };
    let products = Job([vec![product(Some(3)); AT_ONCE], vec![wait]].concat());
    let whole = Job(vec![put(0, &left), put(1, &right), product(None)]);
    let mut least = [f64::INFINITY; 2];
    for _ in 0..=rounds {
        for (least, (job, count)) in least.iter_mut().zip([(&products, AT_ONCE), (&whole, 1)]) {
            let job = job.clone();
            let begun = Instant::now();
            worker.run(job)?;
            *least = least.min(begun.elapsed().as_secs_f64() * 1e3 / count as f64);
        }
    }
    Ok(least)
}
