//! Convolutions whose images are shared, unfolded at the workers.

use super::{least, numbers, share};
use cloven_accel::{
    AccelError, Backend, Kind, Matrices, Words,
    convolution::{Window, check_input_gradient, check_output, check_weight_gradient},
    float_products,
    masked::{
        Blinder, DECODE_OPERATIONS, Decoded, Norms, Quantised, SHARE_OPERATIONS, Side, balanced_scales, decode, fitting_scale,
    },
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use std::hint::black_box;

/// Channels and size of the square images of ResNet-18's stages for CIFAR; as many outputs.
const STAGES: [[usize; 2]; 4] = [[64, 32], [128, 16], [256, 8], [512, 4]];

pub fn table(count: usize, rounds: usize) -> Result<(), AccelError> {
    for [channels, side] in STAGES {
        let window = Window {
            channels,
            image: [side; 2],
            kernel: [3; 2],
            stride: [1; 2],
            padding: [1; 2],
        };
        stage(&window, [count, channels], rounds)?;
    }
    Ok(())
}

fn stage(window: &Window, [count, outputs]: [usize; 2], rounds: usize) -> Result<(), AccelError> {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let patches = window.patches(count)?;
    let images = window.images(count)?;
    let x = numbers(images.batch, [images.rows, images.columns], 1.0, &mut rng)?;
    let w = numbers(1, [patches.columns, outputs], 0.05, &mut rng)?;
    let g = numbers(1, [patches.rows, outputs], 1e-4, &mut rng)?;
    let all = [x, w, g];
    println!(
        "ResNet-18 {} x {} x {}, {count} images, patches at the workers",
        window.channels, window.image[0], window.image[1]
    );
    let floats = least(rounds, || plain(window, &all))?;
    let quantised = quantise(window, &all)?;
    let mut blinder = Blinder::new(&mut rng);
    let shares = share(&mut blinder, &quantised)?;
    let multiplications = 3.0 * patches.elements() as f64 * outputs as f64;
    for backend in Backend::available().into_iter().filter(|backend| *backend != Backend::SCALAR) {
        let [x, w, g] = [0, 1, 2].map(|operand| &shares[operand][0]);
        let seconds = least(rounds, || worker(backend, window, [x, w, g]))?;
        println!(
            "  {:10}  f32 {:.1} GMAC/s, four primes {:.1} GMAC/s, patches and words included; three workers over plain {:.2} (at most 12, aim 6)",
            backend.name(),
            multiplications / floats / 1e9,
            multiplications / seconds / 1e9,
            3.0 * seconds / floats
        );
    }
    let answers = [0, 1, 2].map(|z| worker(Backend::best(), window, [0, 1, 2].map(|operand| &shares[operand][z])));
    let [first, second, third] = answers;
    let answers = [first?, second?, third?];
    let quantising = least(rounds, || quantise(window, &all))?;
    let sharing = least(rounds, || share(&mut blinder, &quantised))?;
    let [xq, wq, gq] = &quantised;
    let exponents = [
        window.exponent(Kind::Forward, xq, wq)?,
        window.exponent(Kind::WeightGradient, xq, gq)?,
        window.exponent(Kind::InputGradient, gq, wq)?,
    ];
    let product = |p: usize| -> Result<Decoded, AccelError> { decode([0, 1, 2].map(|z: usize| &answers[z][p]), exponents[p]) };
    let decoding = least(rounds, || {
        (0..3).try_for_each(|p| {
            black_box(product(p)?.numbers()?);
            Ok(())
        })
    })?;
    let [y, dw, dx] = [product(0)?, product(1)?, product(2)?];
    let checks = [
        least(rounds, || check_output(window, xq, wq, &y, &mut rng))?,
        least(rounds, || check_weight_gradient(window, xq, gq, &dw, &mut rng))?,
        least(rounds, || check_input_gradient(window, gq, wq, &dx, &mut rng))?,
    ];
    let checking = checks.iter().sum::<f64>();
    let enclave = quantising + sharing + decoding + checking;
    println!(
        "  enclave     {:.2} ms ({:.0} % of the plain products' {:.2} ms): quantise {:.2}, share {:.2}, decode {:.2}, Freivalds {:.2} ({:.1} % of these; {:.2} + {:.2} + {:.2})",
        enclave * 1e3,
        100.0 * enclave / floats,
        floats * 1e3,
        quantising * 1e3,
        sharing * 1e3,
        decoding * 1e3,
        checking * 1e3,
        100.0 * checking / enclave,
        checks[0] * 1e3,
        checks[1] * 1e3,
        checks[2] * 1e3,
    );
    let elements: u64 = all.iter().map(|operand| operand.shape().elements() as u64).sum();
    let each = |seconds: f64| seconds / elements as f64 * 1e9;
    println!("  an element  share {:.2} ns, decode {:.2} ns", each(sharing), each(decoding));
    let own = elements * (SHARE_OPERATIONS + DECODE_OPERATIONS) + window.check_operations(count, outputs);
    let plain = 2.0 * multiplications;
    println!(
        "  operations  enclave {:.0} M: {:.2} % of all, {:.1} % of the plain products'",
        own as f64 / 1e6,
        100.0 * own as f64 / (own as f64 + 12.0 * plain),
        100.0 * own as f64 / plain
    );
    Ok(())
}

fn quantise(window: &Window, [x, w, g]: &[Matrices<f32>; 3]) -> Result<[Quantised; 3], AccelError> {
    let [a, b, c] = [window.norms(x)?, Norms::of(w)?, Norms::of(g)?];
    let (f, h) = balanced_scales(Kind::Forward, w.shape().rows, &a, &b)?;
    let weight = fitting_scale(Kind::WeightGradient, g.shape().rows, (&a, f, Side::Left), &c)?;
    let input = fitting_scale(Kind::InputGradient, g.shape().columns, (&b, h, Side::Right), &c)?;
    let gradient = weight.min(input.lower(window.overlap_bits())?);
    Ok([
        Quantised::new(x, a, f)?,
        Quantised::new(w, b, h)?,
        Quantised::new(g, c, gradient)?,
    ])
}

fn plain(window: &Window, [x, w, g]: &[Matrices<f32>; 3]) -> Result<[Matrices<f32>; 3], AccelError> {
    let patches = window.unfold(x)?;
    Ok([
        float_products(Kind::Forward, &patches, w)?,
        float_products(Kind::WeightGradient, &patches, g)?,
        window.fold(&float_products(Kind::InputGradient, g, w)?)?,
    ])
}

fn worker(backend: Backend, window: &Window, words: [&Words; 3]) -> Result<[Words; 3], AccelError> {
    let [x, w, g] = words.map(|words| words.residues_on(backend));
    let answer = |product| Words::of_residues_on(backend, &product);
    Ok([
        answer(window.unfolded_products_on(backend, Kind::Forward, &x, &w)?)?,
        answer(window.unfolded_products_on(backend, Kind::WeightGradient, &x, &g)?)?,
        answer(window.folded_products_on(backend, Kind::InputGradient, &g, &w)?)?,
    ])
}
