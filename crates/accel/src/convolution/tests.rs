use super::*;
use crate::{
    Words, float_products,
    job::{Job, Limits, Step, Tensor, Worker},
    masked::{Blinder, Decoded, Side, balanced_scales, decode, fitting_scale},
};
use proptest::prelude::*;
use rand::{Rng, TryRng, rand_core::TryCryptoRng};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

fn numbers(shape: Shape, rng: &mut ChaCha20Rng) -> Matrices<f32> {
    let values = (0..shape.elements()).map(|_| rng.next_u32() as i32 as f32 / 2f32.powi(31));
    Matrices::new(shape, values.collect()).unwrap()
}

fn windows() -> impl Strategy<Value = Window> {
    (
        1usize..4,
        [3usize..8, 3usize..8],
        [1usize..4, 1usize..4],
        [1usize..3, 1usize..3],
        [0usize..3, 0usize..3],
    )
        .prop_map(|(channels, image, kernel, stride, padding)| {
            let padding = [0, 1].map(|side| padding[side].min(kernel[side] - 1));
            Window {
                channels,
                image,
                kernel,
                stride,
                padding,
            }
        })
}

/// The definition: element (b, i, j), (ki, kj, c) is the pixel at (i s - p + ki, j s - p + kj), or zero outside.
fn patch(window: &Window, images: &[f32], [b, i, j]: [usize; 3], [ki, kj, c]: [usize; 3]) -> f32 {
    let [y, x] = [(0, i, ki), (1, j, kj)].map(|(side, place, element)| {
        let at = (place * window.stride[side] + element) as isize - window.padding[side] as isize;
        usize::try_from(at).ok().filter(|at| *at < window.image[side])
    });
    match (y, x) {
        (Some(y), Some(x)) => images[((b * window.image[0] + y) * window.image[1] + x) * window.channels + c],
        _ => 0.0,
    }
}

proptest! {
    #[test]
    fn patches_are_the_pixels_under_the_kernel_and_folding_is_the_transpose(window in windows(), count in 0usize..3, seed in any::<u64>()) {
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        let images = numbers(window.images(count).unwrap(), rng);
        let patches = window.unfold(&images).unwrap();
        let ([oh, ow], [_, kw]) = (window.output(), window.kernel);
        let columns = patches.shape().columns;
        for (at, value) in patches.values().iter().enumerate() {
            let (row, column) = (at / columns, at % columns);
            let place = [row / (oh * ow), row / ow % oh, row % ow];
            prop_assert_eq!(*value, patch(&window, images.values(), place, [column / window.channels / kw, column / window.channels % kw, column % window.channels]));
        }
        // <U(x), p> = <x, U^T(p)>, on integers.
        let whole = |m: &Matrices<f32>| m.values().iter().map(|v| (v * 100.0) as i32).collect::<Vec<_>>();
        let other = numbers(patches.shape(), rng);
        let [x, p] = [&images, &other].map(|m| Matrices::new(m.shape(), whole(m)).unwrap());
        let dot = |a: &[i32], b: &[i32]| a.iter().zip(b).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum::<i64>();
        let folded = window.fold(&p).unwrap();
        prop_assert_eq!(dot(window.unfold(&x).unwrap().values(), p.values()), dot(x.values(), folded.values()));
        // Residues go the same way.
        let of = |m: &Matrices<i32>| Residues::of_integers(m.shape(), m.values()).unwrap();
        prop_assert_eq!(window.unfold_residues(&of(&x)).unwrap(), of(&window.unfold(&x).unwrap()));
        prop_assert_eq!(window.fold_residues(&of(&p)).unwrap(), of(&folded));
        // Norms are bounds of the patches'.
        let (bound, actual) = (window.norms(&images).unwrap(), Norms::of(&patches).unwrap());
        prop_assert!(bound.row * 1.01 >= actual.row && bound.column * 1.01 >= actual.column && bound.largest >= actual.largest);
        prop_assert!(bound.row <= actual.row + 1e-6, "rows are exact");
    }
}

/// One step of a masked convolution with three workers: (x, w, g) and the three products decoded.
struct Trained {
    operands: [Quantised; 3],
    products: [Decoded; 3],
    numbers: [Matrices<f32>; 3],
}

fn train(window: &Window, count: usize, outputs: usize, rng: &mut ChaCha20Rng) -> Trained {
    let patches = window.patches(count).unwrap();
    let x = numbers(window.images(count).unwrap(), rng);
    let w = numbers(Shape::matrix(patches.columns, outputs).unwrap(), rng);
    let g = numbers(Shape::matrix(patches.rows, outputs).unwrap(), rng);
    let [a, b, c] = [window.norms(&x).unwrap(), Norms::of(&w).unwrap(), Norms::of(&g).unwrap()];
    let (f, h) = balanced_scales(Kind::Forward, patches.columns, &a, &b).unwrap();
    let weight = fitting_scale(Kind::WeightGradient, patches.rows, (&a, f, Side::Left), &c).unwrap();
    let input = fitting_scale(Kind::InputGradient, outputs, (&b, h, Side::Right), &c).unwrap();
    let gradient = weight.min(input.lower(window.overlap_bits()).unwrap());
    let operands = [(&x, a, f), (&w, b, h), (&g, c, gradient)];
    let operands = operands.map(|(numbers, norms, scale)| Quantised::new(numbers, norms, scale).unwrap());
    let mut blinder = Blinder::new(rng);
    let shares = operands.each_ref().map(|operand| blinder.share(operand).unwrap());
    let answers: [Vec<Words>; 3] = std::array::from_fn(|z| {
        let [x, w, g] = shares.each_ref().map(|shares| Tensor::Words(shares[z].clone()));
        let product = |kind, left, right, keep| Step::Product { kind, left, right, keep };
        let job = Job(vec![
            Step::Put { slot: 0, tensor: x },
            Step::Put { slot: 1, tensor: w },
            Step::Put { slot: 2, tensor: g },
            Step::Unfold {
                from: 0,
                to: 3,
                window: *window,
            },
            product(Kind::Forward, 3, 1, None),
            product(Kind::WeightGradient, 3, 2, None),
            product(Kind::InputGradient, 2, 1, Some(4)),
            Step::Fold {
                from: 4,
                to: 4,
                window: *window,
            },
            Step::Read { slot: 4 },
        ]);
        let job = Job::decode(&job.encode()).unwrap();
        let answer = Worker::new(Limits::default()).run(job).unwrap();
        let words = answer.0.into_iter().map(|tensor| match tensor {
            Tensor::Words(words) => words,
            Tensor::Floats(_) => panic!("words"),
        });
        words.collect()
    });
    let [x_q, w_q, g_q] = &operands;
    let exponents = [
        window.exponent(Kind::Forward, x_q, w_q).unwrap(),
        window.exponent(Kind::WeightGradient, x_q, g_q).unwrap(),
        window.exponent(Kind::InputGradient, g_q, w_q).unwrap(),
    ];
    let products = std::array::from_fn(|p| decode(std::array::from_fn(|z| &answers[z][p]), exponents[p]).unwrap());
    Trained {
        operands,
        products,
        numbers: [x, w, g],
    }
}

fn verify(window: &Window, trained: &Trained, rng: &mut ChaCha20Rng) -> [bool; 3] {
    let ([x, w, g], [y, dw, dx]) = (&trained.operands, &trained.products);
    [
        check_output(window, x, w, y, rng).is_ok(),
        check_weight_gradient(window, x, g, dw, rng).is_ok(),
        check_input_gradient(window, g, w, dx, rng).is_ok(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_masked_convolution_is_right_and_every_lie_is_found(window in windows(), count in 1usize..4, outputs in 1usize..5, seed in any::<u64>(), at in any::<usize>()) {
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        let mut trained = train(&window, count, outputs, rng);
        prop_assert_eq!(verify(&window, &trained, rng), [true; 3]);
        let [x, w, g] = &trained.numbers;
        let patches = window.unfold(x).unwrap();
        let plain = [
            float_products(Kind::Forward, &patches, w).unwrap(),
            float_products(Kind::WeightGradient, &patches, g).unwrap(),
            window.fold(&float_products(Kind::InputGradient, g, w).unwrap()).unwrap(),
        ];
        for (masked, plain) in trained.products.iter().zip(&plain) {
            let largest = plain.values().iter().fold(0f32, |largest, v| largest.max(v.abs()));
            let masked = masked.numbers().unwrap();
            let pairs = masked.values().iter().zip(plain.values());
            prop_assert!(pairs.into_iter().all(|(m, p)| (m - p).abs() <= 0.02 * largest.max(0.1)));
        }
        for product in &mut trained.products {
            product.tamper(at);
        }
        prop_assert_eq!(verify(&window, &trained, rng), [false; 3]);
    }
}

/// Coefficients that are given, below 2^42.
struct Given<'a>(std::slice::Iter<'a, u64>);

impl TryRng for Given<'_> {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        unreachable!("coefficients are taken from words of 64 bits")
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.0.next().expect("as many as are drawn") << 22)
    }

    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Self::Error> {
        unreachable!("coefficients are taken from words of 64 bits")
    }
}

impl TryCryptoRng for Given<'_> {}

/// Of coefficients out of 0..SIZE, all that there are, no more than degree / SIZE let a lie pass: the bound that gives 2^-40 for SIZE = 2^42. A lie about one element is
/// the worst: it passes wherever one factor of its coefficient is 0.
#[test]
fn no_more_coefficients_hide_a_lie_than_the_degree_says() {
    const SIZE: u64 = 5;
    let window = Window {
        channels: 1,
        image: [2, 2],
        kernel: [2, 2],
        stride: [1, 1],
        padding: [0, 0],
    };
    // Of each check: coefficients, and how many of them are the factors of one element's.
    for (product, count, degree) in [(0, 3u32, 3u32), (1, 5, 3), (2, 6, 4)] {
        let all = SIZE.pow(count);
        let hidden = |trained: &Trained| {
            let passes = |number: &u64| {
                let digits: Vec<u64> = (0..count).map(|digit| number / SIZE.pow(digit) % SIZE).collect();
                let ([x, w, g], [y, dw, dx], rng) = (&trained.operands, &trained.products, &mut Given(digits.iter()));
                let verdict = match product {
                    0 => check_output(&window, x, w, y, rng),
                    1 => check_weight_gradient(&window, x, g, dw, rng),
                    _ => check_input_gradient(&window, g, w, dx, rng),
                };
                assert!(rng.0.next().is_none(), "all are drawn");
                verdict.is_ok()
            };
            (0..all).filter(passes).count() as u64
        };
        let train = || train(&window, 1, 1, &mut ChaCha20Rng::seed_from_u64(4));
        assert_eq!(hidden(&train()), all, "a right product passes");
        let elements = train().products[product].integers().values().len();
        let mut everywhere = train();
        for at in 0..elements {
            let mut lie = train();
            lie.products[product].tamper(at);
            everywhere.products[product].tamper(at);
            assert_eq!(hidden(&lie), all - (SIZE - 1).pow(degree) * SIZE.pow(count - degree));
        }
        let hidden = hidden(&everywhere);
        assert!(hidden * SIZE <= all * u64::from(degree), "{hidden} of {all}");
    }
}

#[test]
fn windows_without_patches_are_refused() {
    let good = Window {
        channels: 2,
        image: [5, 5],
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
    };
    assert_eq!(good.output(), [5, 5]);
    assert_eq!((good.check(), good.overlap_bits()), (Ok(()), 4));
    let bad = [
        Window { channels: 0, ..good },
        Window { stride: [0, 1], ..good },
        Window { kernel: [0, 1], ..good },
        Window { padding: [3, 0], ..good },
        Window { kernel: [8, 8], ..good },
        Window {
            image: [Window::MAX + 1, 5],
            ..good
        },
        Window { image: [0, 5], ..good },
    ];
    for window in bad {
        assert_eq!(window.check(), Err(AccelError::Window { actual: window }));
        assert!(window.images(1).is_err() && window.patches(1).is_err());
    }
    let images = Matrices::new(Shape::new(1, 24, 2).unwrap(), vec![0.0; 48]).unwrap();
    let error = AccelError::Size {
        what: "pixels of the images",
        expected: 25,
        actual: 24,
    };
    assert_eq!(good.unfold(&images).unwrap_err(), error);
    assert!(good.fold(&images).is_err());
}

proptest! {
    #[test]
    fn honest_float_products_pass_and_lies_beyond_the_tolerance_do_not(
        window in windows(), count in 1usize..4, outputs in 1usize..30, kind in 0usize..3, at in any::<usize>(), seed in any::<u64>(),
    ) {
        let (kind, rng) = (Kind::ALL[kind], &mut ChaCha20Rng::seed_from_u64(seed));
        let patches = window.patches(count).unwrap();
        let x = numbers(window.images(count).unwrap(), rng);
        let w = numbers(Shape::matrix(patches.columns, outputs).unwrap(), rng);
        let g = numbers(Shape::matrix(patches.rows, outputs).unwrap(), rng);
        let (left, right, mut product) = match kind {
            Kind::Forward => (&x, &w, window.unfolded_floats(kind, &x, &w).unwrap()),
            Kind::WeightGradient => (&x, &g, window.unfolded_floats(kind, &x, &g).unwrap()),
            Kind::InputGradient => (&g, &w, window.folded_floats(kind, &g, &w).unwrap()),
        };
        prop_assert_eq!(check_floats(&window, kind, left, right, &product, rng), Ok(()));
        let at = at % product.values().len();
        product.values_mut()[at] += 1.0;
        prop_assert_eq!(check_floats(&window, kind, left, right, &product, rng), Err(AccelError::WrongProduct { index: 0 }));
        product.values_mut()[at] = f32::NAN;
        prop_assert!(check_floats(&window, kind, left, right, &product, rng).is_err());
        prop_assert!(check_floats(&window, kind, right, left, &product, rng).is_err());
    }
}

/// A lie passes below the tolerance that matrices of windows would have, and not above it.
#[test]
fn the_tolerance_of_floats_is_that_of_the_windows() {
    let rng = &mut ChaCha20Rng::seed_from_u64(11);
    let window = Window {
        channels: 8,
        image: [9, 9],
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
    };
    let x = numbers(window.images(2).unwrap(), rng);
    let w = numbers(Shape::matrix(72, 16).unwrap(), rng);
    let patches = window.unfold(&x).unwrap();
    let (row, norm) = (40, |values: &[f32]| {
        values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
    });
    let tolerance = 8.0 * 72f64.sqrt() * norm(&patches.values()[row * 72..][..72]) * norm(w.values()) / 2f64.powi(24);
    let lie = |size: f64| {
        let mut product = window.unfolded_floats(Kind::Forward, &x, &w).unwrap();
        product.values_mut()[row * 16 + 3] += (size * tolerance) as f32;
        product
    };
    assert!((0..20).all(|_| check_floats(&window, Kind::Forward, &x, &w, &lie(0.5), rng).is_ok()));
    // One in a hundred million passes both rounds.
    assert!((0..20).all(|_| check_floats(&window, Kind::Forward, &x, &w, &lie(1e4), rng).is_err()));
}
