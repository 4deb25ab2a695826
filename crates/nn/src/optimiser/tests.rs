use super::*;

const CONSTANT: LearningRateSchedule = LearningRateSchedule::Constant { warm_up: 0 };
const ADAMW: OptimiserSpec = OptimiserSpec::AdamW {
    learning_rate: 0.1,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weight_decay: 0.5,
    schedule: CONSTANT,
};
const SGD: OptimiserSpec = OptimiserSpec::Sgd {
    learning_rate: 0.1,
    momentum: 0.5,
    weight_decay: 0.25,
    schedule: CONSTANT,
};

/// The weight after steps with these gradients.
fn run(optimiser: &OptimiserSpec, weight: f32, gradients: &[f32]) -> f32 {
    let mut weights = [weight];
    let mut moments = Moments::default();
    for (update, gradient) in gradients.iter().enumerate() {
        optimiser.step(update as u64 + 1, &mut weights, &[*gradient], &mut moments);
    }
    weights[0]
}

fn close(actual: f32, expected: f32) {
    assert!((actual - expected).abs() < 1e-6, "{actual} and {expected}");
}

#[test]
fn sgd_by_hand() {
    // v1 = 1 + 0.25 * 2 = 1.5, w1 = 2 - 0.15 = 1.85; v2 = 0.75 + (-1 + 0.4625) = 0.2125, w2 = 1.82875.
    close(run(&SGD, 2.0, &[1.0]), 1.85);
    close(run(&SGD, 2.0, &[1.0, -1.0]), 1.82875);
    let plain = OptimiserSpec::Sgd {
        learning_rate: 0.1,
        momentum: 0.0,
        weight_decay: 0.25,
        schedule: CONSTANT,
    };
    close(run(&plain, 2.0, &[1.0]), 1.85);
}

#[test]
fn adamw_by_hand() {
    // The first step is the learning rate in the direction of the gradient, after the decay of 0.1 * 0.5.
    close(run(&ADAMW, 2.0, &[0.3]), 2.0 * 0.95 - 0.1);
    // Second step, gradient 0.6: m = 0.087 / 0.19, v = (0.09 * 0.000999 + 0.36 * 0.001) / 0.001999.
    let (m, v) = (0.087 / 0.19, (0.09 * 0.000_999 + 0.36 * 0.001) / 0.001_999);
    close(run(&ADAMW, 2.0, &[0.3, 0.6]), (1.8 * 0.95 - 0.1 * m / f64::sqrt(v)) as f32);
}

#[test]
fn a_very_late_update_still_works() {
    let mut weights = [1.0];
    ADAMW.step(u64::MAX, &mut weights, &[0.5], &mut Moments::default());
    assert!(weights[0].is_finite());
}

#[test]
fn settings_out_of_range_are_refused() {
    let sgd = |learning_rate, momentum, weight_decay| OptimiserSpec::Sgd {
        learning_rate,
        momentum,
        weight_decay,
        schedule: CONSTANT,
    };
    for bad in [
        sgd(0.0, 0.0, 0.0),
        sgd(f64::NAN, 0.0, 0.0),
        sgd(f64::INFINITY, 0.0, 0.0),
        sgd(0.1, 1.0, 0.0),
    ] {
        assert!(bad.validate().is_err(), "{bad:?}");
    }
    assert_eq!(
        sgd(0.1, 0.0, -1.0).validate().unwrap_err().to_string(),
        "optimiser weight_decay: expected a number of at least 0, got -1"
    );
    SGD.validate().unwrap();
    ADAMW.validate().unwrap();
}

#[test]
fn job_file_names_and_defaults() {
    let adamw: OptimiserSpec = toml::from_str("type = 'adamw'\nlearning_rate = 0.001").unwrap();
    let defaults = OptimiserSpec::AdamW {
        learning_rate: 0.001,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.0,
        schedule: CONSTANT,
    };
    assert_eq!(adamw, defaults);
    let sgd: OptimiserSpec = toml::from_str("type = 'sgd'\nlearning_rate = 0.1").unwrap();
    assert_eq!(
        sgd,
        OptimiserSpec::Sgd {
            learning_rate: 0.1,
            momentum: 0.0,
            weight_decay: 0.0,
            schedule: CONSTANT
        }
    );
    assert!(toml::from_str::<OptimiserSpec>("type = 'sgd'\nlearning_rate = 0.1\nnesterov = true").is_err());
}
