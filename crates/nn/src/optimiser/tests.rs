use super::*;
use crate::streams::NoiseKey;

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
        optimiser.step(update as u64 + 1, &mut weights, &[*gradient], &mut moments, || {
            noise(update as u64 + 1)
        });
    }
    weights[0]
}

fn noise(update: u64) -> Stream {
    NoiseKey::public(3).stream("0.weight", update)
}

fn sgld(temperature: f64, schedule: LearningRateSchedule) -> OptimiserSpec {
    OptimiserSpec::Sgld {
        learning_rate: 0.5,
        temperature,
        weight_decay: 0.25,
        schedule,
    }
}

const POWER: LearningRateSchedule = LearningRateSchedule::Power {
    offset: 2.0,
    gamma: 0.55,
    warm_up: 0,
};

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
fn sgld_without_noise_by_hand() {
    // Half the rate: 2 - 0.25 (1 + 0.25 * 2) = 1.625.
    close(run(&sgld(0.0, CONSTANT), 2.0, &[1.0]), 1.625);
    let sgd = OptimiserSpec::Sgd {
        learning_rate: 0.25,
        momentum: 0.0,
        weight_decay: 0.25,
        schedule: POWER,
    };
    let gradients = [1.0, -0.5, 0.25, 3.0];
    assert_eq!(run(&sgld(0.0, POWER), 2.0, &gradients), run(&sgd, 2.0, &gradients));
}

#[test]
fn the_noise_of_sgld_has_the_variance_of_its_rate() {
    let count = 100_000;
    for (optimiser, update) in [(sgld(1.0, POWER), 1), (sgld(1.0, POWER), 40), (sgld(0.01, CONSTANT), 7)] {
        // Of weights and gradients of 0, only the noise remains.
        let mut weights = vec![0.0; count];
        optimiser.step(update, &mut weights, &vec![0.0; count], &mut Moments::default(), || {
            noise(update)
        });
        let squares = weights.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>() / count as f64;
        let mean = weights.iter().map(|w| f64::from(*w)).sum::<f64>() / count as f64;
        let expected = optimiser.noise_deviation(update).powi(2);
        let temperature = if update == 7 { 0.01 } else { 1.0 };
        assert!((expected - temperature * optimiser.rate(update)).abs() < 1e-12);
        // Five standard deviations.
        assert!(
            (squares / expected - 1.0).abs() < 5.0 * (2.0 / count as f64).sqrt(),
            "{squares} and {expected}"
        );
        assert!(mean.abs() < 5.0 * (expected / count as f64).sqrt(), "{mean}");
    }
}

#[test]
fn an_odd_number_of_weights_all_get_noise() {
    let mut weights = [0.0; 5];
    sgld(1.0, CONSTANT).step(1, &mut weights, &[0.0; 5], &mut Moments::default(), || noise(1));
    assert!(weights.iter().all(|weight| *weight != 0.0), "{weights:?}");
}

/// With a constant small rate, SGLD on a quadratic loss settles to the normal distribution that its posterior is.
#[test]
fn sgld_samples_the_posterior() {
    // Loss (w - 3)^2 / 2 with temperature 1/4: mean 3, variance 1/4, up to the discretisation: over 1 - eps / 4.
    let optimiser = OptimiserSpec::Sgld {
        learning_rate: 0.1,
        temperature: 0.25,
        weight_decay: 0.0,
        schedule: CONSTANT,
    };
    let count = 2_000;
    let (mut weights, mut moments) = (vec![3.0f32; count], Moments::default());
    let (mut sum, mut squares, mut samples) = (0.0, 0.0, 0.0);
    for update in 1..=400 {
        let gradient: Vec<f32> = weights.iter().map(|w| w - 3.0).collect();
        optimiser.step(update, &mut weights, &gradient, &mut moments, || noise(update));
        if update > 100 {
            let errors = || weights.iter().map(|w| f64::from(*w) - 3.0);
            sum += errors().sum::<f64>();
            squares += errors().map(|error| error * error).sum::<f64>();
            samples += count as f64;
        }
    }
    let expected = 0.25 / (1.0 - 0.1 / 4.0);
    // Five standard deviations: successive weights correlate by 0.95, so that 600,000 are worth 15,000 for the mean, 31,000 for the squares.
    assert!((sum / samples).abs() < 0.02, "{}", sum / samples);
    assert!(
        (squares / samples / expected - 1.0).abs() < 0.04,
        "{} and {expected}",
        squares / samples
    );
}

#[test]
fn a_very_late_update_still_works() {
    let mut weights = [1.0];
    ADAMW.step(u64::MAX, &mut weights, &[0.5], &mut Moments::default(), || noise(u64::MAX));
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
    assert_eq!(
        sgld(-1.0, CONSTANT).validate().unwrap_err().to_string(),
        "optimiser temperature: expected a number of at least 0, got -1"
    );
    SGD.validate().unwrap();
    ADAMW.validate().unwrap();
    sgld(0.0, POWER).validate().unwrap();
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
    let sgld = "type = 'sgld'\nlearning_rate = 0.1\nschedule = { type = 'power', offset = 10, gamma = 0.6 }";
    let sgld: OptimiserSpec = toml::from_str(sgld).unwrap();
    assert_eq!(
        (sgld.noise_deviation(1), sgld.is_memoryless()),
        ((0.1 * 10f64.powf(-0.6)).sqrt(), false)
    );
    assert_eq!(
        toml::from_str::<OptimiserSpec>(&toml::to_string(&sgld).unwrap()).unwrap(),
        sgld
    );
    assert!(toml::from_str::<OptimiserSpec>("type = 'sgd'\nlearning_rate = 0.1\nnesterov = true").is_err());
}
