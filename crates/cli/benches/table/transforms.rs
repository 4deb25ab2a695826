//! Forward transforms beside tfhe-ntt and concrete-ntt: same degree, same 50-bit prime, same input, one thread.

use cloven_ring::{Backend, NttPlan, RingError, ntt_primes};

use crate::{row::Row, timing::medians};

const PART: &str = "transforms";
const DEGREES: [usize; 4] = [2048, 4096, 8192, 16384];
/// Against tfhe-ntt, which takes AVX-512 where there is some.
const TARGETS: [(Backend, f64); 2] = [(Backend::Avx512Ifma, 1.0), (Backend::Avx2, 2.5)];

/// On a cache line of its own, as the polynomials of the crate are.
#[repr(align(64))]
#[derive(Clone)]
struct Words([u64; 16384]);

/// Two ratios for every degree and backend.
pub fn rows(rounds: usize) -> Result<Vec<Row>, RingError> {
    let mut rows = Vec::new();
    for (backend, target) in TARGETS {
        for degree in DEGREES {
            rows.extend(of(backend, target, degree, rounds)?);
        }
    }
    Ok(rows)
}

fn of(backend: Backend, target: f64, degree: usize, rounds: usize) -> Result<[Row; 2], RingError> {
    let what = |other: &str| format!("forward NTT, N = {degree}: {} over {other}", backend.name());
    let [tfhe_name, concrete_name] = [tfhe_name(), "concrete-ntt"];
    if !Backend::available().contains(&backend) {
        let lacking = |other, target| {
            let why = format!("this machine has no {}", backend.name());
            Row::not_measured(PART, what(other), "", why).at_most(target)
        };
        return Ok([lacking(tfhe_name, target), lacking(concrete_name, 1.0)]);
    }
    let modulus = ntt_primes(50, degree, 1)?[0];
    let ours = NttPlan::with_backend(degree, modulus, backend)?;
    let tfhe = tfhe_ntt::prime64::Plan::try_new(degree, modulus.value()).expect("an NTT prime");
    let concrete = concrete_ntt::prime64::Plan::try_new(degree, modulus.value()).expect("an NTT prime");
    // Transformed over and over: every output is a valid input.
    let mut input = Box::new(Words([0; 16384]));
    (1..)
        .zip(&mut input.0[..degree])
        .for_each(|(i, word)| *word = modulus.pow(3, i));
    let [mut a, mut b, mut c] = [input.clone(), input.clone(), input];
    let [own, theirs, slower] = medians(
        rounds,
        [
            &mut || ours.forward(&mut a.0[..degree]),
            &mut || tfhe.fwd(&mut b.0[..degree]),
            &mut || concrete.fwd(&mut c.0[..degree]),
        ],
    );
    let row = |other, seconds: f64, target| {
        Row::new(PART, what(other), own / seconds, "").at_most(target).detail(format!(
            "{:.2} us over {:.2} us",
            own * 1e6,
            seconds * 1e6
        ))
    };
    let against_tfhe = match (backend, tfhe_has_avx512()) {
        // The bound of the AVX2 kernels is one against AVX-512.
        (Backend::Avx2, false) => Row {
            target: None,
            ..row(tfhe_name, theirs, target)
        },
        _ => row(tfhe_name, theirs, target),
    };
    Ok([against_tfhe, row(concrete_name, slower, 1.0)])
}

fn tfhe_name() -> &'static str {
    match tfhe_has_avx512() {
        true => "tfhe-ntt (AVX-512)",
        false => "tfhe-ntt (no AVX-512 here)",
    }
}

fn tfhe_has_avx512() -> bool {
    Backend::available().contains(&Backend::Avx512Ifma)
}
