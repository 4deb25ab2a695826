//! The kernels on whatever GPUs this machine has; without one, that this is said.
#![allow(clippy::unwrap_used, clippy::panic)]

use cloven_accel::{AccelError, job::testing};

/// How many GPUs there are; none, with a word, where there is no driver.
fn gpus() -> std::ops::Range<usize> {
    match cloven_accel_cuda::available() {
        Ok(names) => {
            println!("GPUs: {names:?}");
            0..names.len()
        }
        Err(error) => {
            println!("{error}: not run");
            0..0
        }
    }
}

#[test]
fn gpus_compute_as_the_processor_does() {
    for number in gpus() {
        testing::conforms(cloven_accel_cuda::open(Some(number)).unwrap(), 300);
        testing::conforms_when_large(cloven_accel_cuda::open(Some(number)).unwrap());
    }
}

#[test]
fn a_gpu_that_is_not_there_is_an_error() {
    let error = cloven_accel_cuda::open(Some(1000)).err().unwrap();
    assert!(matches!(error, AccelError::NoDevice { kind: "CUDA", .. }), "{error}");
    if !gpus().is_empty() {
        assert!(error.to_string().ends_with("got 1000"), "{error}");
    }
}
