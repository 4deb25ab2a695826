//! One step of training of a linear layer or a convolution, plain and masked, on one thread: what the workers and the enclave take.
//!
//! `cargo bench -p cloven-accel --bench table [-- --rounds 9 --images 8]` (images of a batch of convolutions); with `--features avx512-f32` against f32 products with AVX-512.
//!
//! A figure is the least of its rounds, in time of this thread on Linux (a neighbour's load then counts for little), else by the clock.
//! Operations are counted by the formulas of the modules.

mod convolution;

use cloven_accel::{
    AccelError, Backend, Dimensions, Kind, Matrices, Shape, Words, float_products,
    freivalds::{self, check_floats, check_integers},
    masked::{
        Blinder, DECODE_OPERATIONS, Decoded, Norms, Quantised, SHARE_OPERATIONS, Side, balanced_scales, decode, fitting_scale,
        product_exponent,
    },
    permuted::LayerKeys,
    residue_products, residue_products_on,
};
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use std::hint::black_box;

/// Name, batch, and m, k, n of x `[m, k]`, W `[k, n]`.
const LAYERS: [(&str, usize, [usize; 3]); 5] = [
    ("ResNet-18 64 x 32 x 32, 8 images, patches at the enclave", 1, [8192, 576, 64]),
    ("ResNet-18 512 x 4 x 4, 8 images, patches at the enclave", 1, [128, 4608, 512]),
    ("ViT 192: queries, keys, values, 64 images", 1, [4160, 192, 576]),
    ("ViT 192: MLP, 64 images", 1, [4160, 192, 768]),
    ("ViT 192: scores of 3 heads, 64 images", 192, [65, 64, 65]),
];

fn main() -> Result<(), AccelError> {
    let argument = |name: &str, default| {
        let value = std::env::args().skip_while(|argument| argument != name).nth(1);
        value.and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    let (rounds, images) = (argument("--rounds", 9), argument("--images", 8));
    let one = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .expect("a pool of one thread");
    one.install(|| {
        convolution::table(images, rounds)?;
        LAYERS
            .iter()
            .try_for_each(|(name, batch, sizes)| layer(name, *batch, *sizes, rounds))
    })
}

/// Least seconds of a work.
fn least<T>(rounds: usize, mut work: impl FnMut() -> Result<T, AccelError>) -> Result<f64, AccelError> {
    let mut best = f64::INFINITY;
    for _ in 0..=rounds {
        let begun = seconds();
        black_box(work()?);
        best = best.min(seconds() - begun);
    }
    Ok(best)
}

/// What this thread has computed for.
#[cfg(target_os = "linux")]
fn seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(not(target_os = "linux"))]
fn seconds() -> f64 {
    static BEGUN: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    BEGUN.elapsed().as_secs_f64()
}

/// The operands of one step, in numbers, and shared.
struct Step {
    numbers: [Matrices<f32>; 3],
    quantised: [Quantised; 3],
    shares: [[Words; 3]; 3],
}

/// Which operands of (x, W, g) a kind takes.
fn operands<T>(kind: Kind, all: &[T; 3]) -> [&T; 2] {
    match kind {
        Kind::Forward => [&all[0], &all[1]],
        Kind::WeightGradient => [&all[0], &all[2]],
        Kind::InputGradient => [&all[2], &all[1]],
    }
}

fn layer(name: &str, batch: usize, [m, k, n]: [usize; 3], rounds: usize) -> Result<(), AccelError> {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let [x, w, g] = [[m, k], [k, n], [m, n]];
    let numbers = [
        numbers(batch, x, 1.0, &mut rng)?,
        numbers(batch, w, 0.05, &mut rng)?,
        numbers(batch, g, 1e-4, &mut rng)?,
    ];
    let mut blinder = Blinder::new(&mut rng);
    let quantising = least(rounds, || quantise(&numbers))?;
    let quantised = quantise(&numbers)?;
    let sharing = least(rounds, || share(&mut blinder, &quantised))?;
    let shares = share(&mut blinder, &quantised)?;
    let step = Step {
        numbers,
        quantised,
        shares,
    };
    println!("{name}: {batch} x [{m}, {k}] x [{k}, {n}]");
    workers(&step, rounds)?;
    enclave(&step, quantising, sharing, rounds, &mut rng)?;
    permuted(&step, rounds, &mut rng)?;
    operations(&step);
    Ok(())
}

fn numbers(batch: usize, [rows, columns]: [usize; 2], size: f32, rng: &mut ChaCha20Rng) -> Result<Matrices<f32>, AccelError> {
    let shape = Shape::new(batch, rows, columns)?;
    let values = (0..shape.elements()).map(|_| rng.next_u32() as i32 as f32 / 2f32.powi(31) * size);
    Matrices::new(shape, values.collect())
}

/// Scales for the forward product; that of the gradient fits both of its products.
fn quantise([x, w, g]: &[Matrices<f32>; 3]) -> Result<[Quantised; 3], AccelError> {
    let [a, b, c] = [Norms::of(x)?, Norms::of(w)?, Norms::of(g)?];
    let (shape, outputs) = (x.shape(), g.shape().columns);
    let (f, h) = balanced_scales(Kind::Forward, shape.columns, &a, &b)?;
    let weight = fitting_scale(Kind::WeightGradient, shape.rows, (&a, f, Side::Left), &c)?;
    let input = fitting_scale(Kind::InputGradient, outputs, (&b, h, Side::Right), &c)?;
    Ok([
        Quantised::new(x, a, f)?,
        Quantised::new(w, b, h)?,
        Quantised::new(g, c, weight.min(input))?,
    ])
}

fn share(blinder: &mut Blinder, operands: &[Quantised; 3]) -> Result<[[Words; 3]; 3], AccelError> {
    let [x, w, g] = operands;
    Ok([blinder.share(x)?, blinder.share(w)?, blinder.share(g)?])
}

/// The products of a step, plain and at the three workers together.
fn workers(step: &Step, rounds: usize) -> Result<(), AccelError> {
    let first = step.shares.each_ref().map(|shares| shares[0].residues());
    for backend in Backend::available().into_iter().filter(|backend| *backend != Backend::SCALAR) {
        let (mut floats, mut residues, mut multiplications) = (0.0, 0.0, 0);
        for kind in Kind::ALL {
            let [left, right] = operands(kind, &step.numbers);
            floats += least(rounds, || float_products(kind, left, right))?;
            let [left, right] = operands(kind, &first);
            residues += least(rounds, || residue_products_on(backend, kind, left, right))?;
            multiplications += kind.dimensions(left.shape(), right.shape())?.multiply_accumulates();
        }
        let each = |seconds: f64| seconds / first[0].shape().elements() as f64 * 1e9;
        let taken = each(least(rounds, || Ok(step.shares[0][0].residues_on(backend)))?);
        let given = each(least(rounds, || Words::of_residues_on(backend, &first[0]))?);
        let rate = |seconds: f64, times: f64| times * multiplications as f64 / seconds / 1e9;
        println!(
            "  {:10}  f32 {:.1} GMAC/s, bytes {:.1} GMAC/s, four primes {:.1} GMAC/s; three workers over plain {:.2} (at most 12, aim 6); words to residues {taken:.2}, back {given:.2} ns an element",
            backend.name(),
            rate(floats, 1.0),
            rate(residues, 4.0),
            rate(residues, 1.0),
            3.0 * residues / floats,
        );
    }
    Ok(())
}

/// Seconds of the enclave for a step.
fn enclave(step: &Step, quantising: f64, sharing: f64, rounds: usize, rng: &mut ChaCha20Rng) -> Result<(), AccelError> {
    let (mut decoding, mut checking) = (0.0, 0.0);
    for kind in Kind::ALL {
        let [left, right] = operands(kind, &step.shares);
        let answers: Vec<Words> = (0..3)
            .map(|z| Words::of_residues(&residue_products(kind, &left[z].residues(), &right[z].residues())?))
            .collect::<Result<_, _>>()?;
        let [left, right] = operands(kind, &step.quantised);
        let exponent = product_exponent(kind, left, right)?;
        let product = || -> Result<Decoded, AccelError> { decode([&answers[0], &answers[1], &answers[2]], exponent) };
        decoding += least(rounds, || product()?.numbers())?;
        let decoded = product()?;
        checking += least(rounds, || check_integers(kind, left, right, &decoded, rng))?;
    }
    let all = quantising + sharing + decoding + checking;
    println!(
        "  enclave     {:.2} ms: quantise {:.2}, share {:.2}, decode {:.2}, Freivalds {:.2} ({:.1} % of these; aim 5 % of all that the enclave does)",
        all * 1e3,
        quantising * 1e3,
        sharing * 1e3,
        decoding * 1e3,
        checking * 1e3,
        100.0 * checking / all,
    );
    let each = |seconds: f64, elements: usize| seconds / elements as f64 * 1e9;
    let products = Kind::ALL.map(|kind| {
        let [left, right] = operands(kind, &step.numbers);
        kind.dimensions(left.shape(), right.shape())
            .map_or(0, |dimensions| dimensions.product().elements())
    });
    println!(
        "  an element  share {:.2} ns, decode {:.2} ns",
        each(sharing, step.numbers.iter().map(|operand| operand.shape().elements()).sum()),
        each(decoding, products.into_iter().sum())
    );
    Ok(())
}

fn permuted(step: &Step, rounds: usize, rng: &mut ChaCha20Rng) -> Result<(), AccelError> {
    let [x, w, g] = &step.numbers;
    let keys = LayerKeys::new(w.shape().rows, w.shape().columns, rng)?;
    let rows = keys.batch(x.shape().rows, rng)?;
    let blinding = least(rounds, || {
        keys.unblind_output(&rows, &keys.blind_gradient(&rows, g)?)?;
        keys.unblind_weights(w)?;
        keys.unblind_input(&rows, &keys.blind_input(&rows, x)?)
    })?;
    let mut checking = 0.0;
    for kind in Kind::ALL {
        let [left, right] = operands(kind, &step.numbers);
        let product = float_products(kind, left, right)?;
        checking += least(rounds, || check_floats(kind, left, right, &product, 2, rng))?;
    }
    println!(
        "  permuted    blind and unblind {:.2} ms, two rounds of Freivalds {:.2} ms",
        blinding * 1e3,
        checking * 1e3
    );
    Ok(())
}

/// The enclave's operations over those of the products, plain and at the workers.
fn operations(step: &Step) {
    let dimensions = |kind| {
        let [left, right] = operands(kind, &step.numbers);
        kind.dimensions(left.shape(), right.shape())
    };
    let dimensions: Vec<Dimensions> = Kind::ALL.into_iter().filter_map(|kind| dimensions(kind).ok()).collect();
    let sum = |of: &dyn Fn(&Dimensions) -> u64| dimensions.iter().map(of).sum::<u64>() as f64;
    let elements: usize = step.numbers.iter().map(|operand| operand.shape().elements()).sum();
    let sharing = elements as f64 * SHARE_OPERATIONS as f64;
    let decoding = DECODE_OPERATIONS as f64 * sum(&|d| d.product().elements() as u64);
    let checking = sum(&|d| freivalds::operations(d));
    let plain = 2.0 * sum(&|d| d.multiply_accumulates());
    let own = sharing + decoding + checking;
    println!(
        "  operations  enclave {:.0} M (share {:.0}, decode {:.0}, Freivalds {:.0}): {:.2} % of all, {:.1} % of the plain products'",
        own / 1e6,
        sharing / 1e6,
        decoding / 1e6,
        checking / 1e6,
        100.0 * own / (own + 12.0 * plain),
        100.0 * own / plain,
    );
}
