//! The kernels on whatever adapters this machine has; a software one (Mesa's lavapipe) will do. With `CLOVEN_VULKAN` set, but to 0, there must be one.
#![allow(clippy::unwrap_used, clippy::panic)]

use cloven_accel::{
    AccelError, Kind, Matrices, Shape,
    job::{Job, Limits, Step, Tensor, Worker, testing},
};

/// Numbers of the adapters; none, with a word, where tests need none.
fn adapters() -> std::ops::Range<usize> {
    let wanted = std::env::var_os("CLOVEN_VULKAN").is_some_and(|value| value != "0");
    match cloven_accel_wgpu::available() {
        Ok(names) => {
            println!("adapters: {names:?}");
            0..names.len()
        }
        Err(error) if wanted => panic!("CLOVEN_VULKAN is set, but {error}"),
        Err(error) => {
            println!("{error}: not run");
            0..0
        }
    }
}

#[test]
fn adapters_compute_as_the_processor_does() {
    for number in adapters() {
        testing::conforms(cloven_accel_wgpu::open(Some(number)).unwrap(), 60);
    }
}

#[test]
fn adapters_compute_in_several_launches_and_parts() {
    for number in adapters() {
        testing::conforms_when_large(cloven_accel_wgpu::open(Some(number)).unwrap());
    }
}

#[test]
fn an_adapter_that_is_not_there_is_an_error() {
    let error = cloven_accel_wgpu::open(Some(1000)).err().unwrap();
    assert!(matches!(error, AccelError::NoDevice { kind: "wgpu", .. }), "{error}");
    if !adapters().is_empty() {
        assert!(error.to_string().ends_with("got 1000"), "{error}");
    }
}

#[test]
fn tensors_that_are_too_large_are_refused() {
    for number in adapters() {
        let mut worker = Worker::on(cloven_accel_wgpu::open(Some(number)).unwrap(), Limits::default());
        // An outer product of 2^28 elements, 1 GiB: more than software and small adapters have in one buffer.
        let shape = Shape::matrix(1, 1 << 14).unwrap();
        let put = Step::Put {
            slot: 0,
            tensor: Tensor::Floats(Matrices::new(shape, vec![1.0; 1 << 14]).unwrap()),
        };
        let product = Step::Product {
            kind: Kind::WeightGradient,
            left: 0,
            right: 0,
            keep: Some(1),
        };
        match worker.run(Job(vec![put, product])) {
            Ok(_) => println!("{}: took 1 GiB", worker.device_name()),
            Err(AccelError::TooMany { what, max, actual }) => {
                assert_eq!((what, actual), ("bytes of one tensor on the device", 1 << 30));
                assert!(max < actual, "{max}");
            }
            Err(error) => assert!(error.is_of_the_device(), "{error}"),
        }
        let small = Job(vec![Step::Read { slot: 0 }]);
        assert_eq!(worker.run(small).unwrap().0[0].shape(), shape);
    }
}
