use super::*;
use crate::OptimiserSpec;

type Schedule = LearningRateSchedule;

fn rates(schedule: Schedule, updates: impl IntoIterator<Item = u64>) -> Vec<f64> {
    updates.into_iter().map(|update| schedule.rate(0.1, update)).collect()
}

fn close(actual: &[f64], expected: &[f64]) {
    assert_eq!(actual.len(), expected.len());
    for (a, e) in actual.iter().zip(expected) {
        assert!((a - e).abs() < 1e-12, "{actual:?}, expected {expected:?}");
    }
}

#[test]
fn rates_by_hand() {
    close(&rates(Schedule::default(), [1, 2, u64::MAX]), &[0.1; 3]);
    let warm = Schedule::Constant { warm_up: 4 };
    close(&rates(warm, 1..=6), &[0.025, 0.05, 0.075, 0.1, 0.1, 0.1]);
    let step = |warm_up| Schedule::Step {
        every: 2,
        factor: 0.5,
        warm_up,
    };
    close(&rates(step(0), 1..=6), &[0.1, 0.1, 0.05, 0.05, 0.025, 0.025]);
    close(&rates(step(2), 1..=6), &[0.05, 0.1, 0.1, 0.1, 0.05, 0.05]);
    assert_eq!(step(0).rate(0.1, u64::MAX), 0.0);
    let cosine = |updates, warm_up| Schedule::Cosine {
        updates,
        warm_up,
        last: 0.02,
    };
    // cos of 0, 45, 90, 135 and 180 degrees between 0.02 and 0.1.
    let root = 0.5f64.sqrt();
    let curve = [0.1, 0.06 + 0.04 * root, 0.06, 0.06 - 0.04 * root, 0.02];
    close(&rates(cosine(4, 0), 1..=5), &curve);
    close(&rates(cosine(4, 0), [6, 100, u64::MAX]), &[0.02; 3]);
    close(&rates(cosine(6, 2), 1..=7), &[&[0.05, 0.1], &curve[..]].concat());
}

#[test]
fn rates_of_a_power_by_hand() {
    let power = |gamma, warm_up| Schedule::Power {
        offset: 4.0,
        gamma,
        warm_up,
    };
    // 0.1 / sqrt(4 + t).
    let curve = [0.1 / 2.0, 0.1 / 5f64.sqrt(), 0.1 / 6f64.sqrt()];
    close(&rates(power(0.5, 0), 1..=3), &curve);
    close(&rates(power(0.5, 0), [6, 13]), &[0.1 / 3.0, 0.025]);
    close(&rates(power(0.5, 2), 1..=5), &[&[0.025, 0.05], &curve[..]].concat());
    close(&rates(power(0.0, 0), [1, 1000]), &[0.1; 2]);
    assert!(power(1.0, 0).rate(0.1, u64::MAX) > 0.0);
}

fn no_noise() -> crate::streams::Stream {
    panic!("no noise is wanted")
}

#[test]
fn an_optimiser_follows_its_schedule() {
    let schedule = Schedule::Step {
        every: 1,
        factor: 0.5,
        warm_up: 0,
    };
    let sgd = OptimiserSpec::Sgd {
        learning_rate: 0.5,
        momentum: 0.0,
        weight_decay: 0.0,
        schedule,
    };
    let adamw = OptimiserSpec::AdamW {
        learning_rate: 0.5,
        beta1: 0.0,
        beta2: 0.0,
        epsilon: 1e-30,
        weight_decay: 0.5,
        schedule,
    };
    let (mut by_sgd, mut by_adamw, mut expected) = ([1.0f32], [1.0f32], 1.0f32);
    let mut moments = [super::super::Moments::default(), super::super::Moments::default()];
    for (update, rate) in [(1, 0.5), (2, 0.25), (3, 0.125)] {
        sgd.step(update, &mut by_sgd, &[1.0], &mut moments[0], no_noise);
        adamw.step(update, &mut by_adamw, &[1.0], &mut moments[1], no_noise);
        // Decay is scaled by the rate too, as in PyTorch.
        expected = expected * (1.0 - 0.5 * rate) - rate;
        assert!((by_adamw[0] - expected).abs() < 1e-6, "{by_adamw:?} {expected}");
    }
    assert_eq!(by_sgd, [1.0 - 0.5 - 0.25 - 0.125]);
}

fn parse(schedule: &str) -> Result<OptimiserSpec, toml::de::Error> {
    toml::from_str(&format!("type = 'adamw'\nlearning_rate = 0.001\nschedule = {{ {schedule} }}"))
}

fn parsed(schedule: &str) -> Schedule {
    match parse(schedule).unwrap() {
        OptimiserSpec::AdamW { schedule, .. } => schedule,
        other => panic!("{other:?}"),
    }
}

#[test]
fn schedules_in_job_files() {
    assert_eq!(
        parsed("type = 'cosine', updates = 10000, warm_up = 500, final = 1e-5"),
        Schedule::Cosine {
            updates: 10000,
            warm_up: 500,
            last: 1e-5
        }
    );
    assert_eq!(
        parsed("type = 'step', every = 30"),
        Schedule::Step {
            every: 30,
            factor: 0.1,
            warm_up: 0
        }
    );
    assert_eq!(parsed("type = 'constant', warm_up = 5"), Schedule::Constant { warm_up: 5 });
    assert_eq!(
        parsed("type = 'power'"),
        Schedule::Power {
            offset: 1.0,
            gamma: 0.55,
            warm_up: 0
        }
    );
    for wrong in [
        "type = 'linear'",
        "type = 'cosine'",
        "type = 'cosine', updates = -1",
        "type = 'step', every = 30, gamma = 0.1",
        "warm_up = 5",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    for (schedule, expected) in [
        (
            "type = 'step', every = 0",
            "optimiser schedule.every: expected at least 1, got 0",
        ),
        (
            "type = 'step', every = 1, factor = 0.0",
            "optimiser schedule.factor: expected a number above 0 and at most 1, got 0",
        ),
        (
            "type = 'step', every = 1, factor = nan",
            "optimiser schedule.factor: expected a number above 0 and at most 1, got NaN",
        ),
        (
            "type = 'cosine', updates = 5, warm_up = 5",
            "optimiser schedule.updates: expected more updates than the warm-up has, got 5",
        ),
        (
            "type = 'cosine', updates = 5, final = -0.5",
            "optimiser schedule.final: expected a number of at least 0, got -0.5",
        ),
        (
            "type = 'cosine', updates = 5, final = 0.5",
            "optimiser schedule.final: expected at most the learning rate, got 0.5",
        ),
    ] {
        let error = parse(schedule).unwrap().validate().unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    parse("type = 'cosine', updates = 6, warm_up = 5, final = 0.001")
        .unwrap()
        .validate()
        .unwrap();
}

/// What enters the digest of a job: without a schedule, nothing of it.
#[test]
fn the_canonical_form_is_that_of_before() {
    let json = |text: &str| serde_json::to_string(&toml::from_str::<OptimiserSpec>(text).unwrap()).unwrap();
    let adamw = r#"{"type":"adamw","learning_rate":0.001,"beta1":0.9,"beta2":0.999,"epsilon":1e-8,"weight_decay":0.0}"#;
    assert_eq!(json("type = 'adamw'\nlearning_rate = 0.001"), adamw);
    assert_eq!(
        json("type = 'sgd'\nlearning_rate = 0.5"),
        r#"{"type":"sgd","learning_rate":0.5,"momentum":0.0,"weight_decay":0.0}"#
    );
    // A schedule that changes nothing means the same as none.
    assert_eq!(
        json("type = 'adamw'\nlearning_rate = 0.001\nschedule = { type = 'constant' }"),
        adamw
    );
    let warm = json("type = 'sgd'\nlearning_rate = 0.5\nschedule = { type = 'constant', warm_up = 3 }");
    assert_eq!(
        warm,
        r#"{"type":"sgd","learning_rate":0.5,"momentum":0.0,"weight_decay":0.0,"schedule":{"type":"constant","warm_up":3}}"#
    );
    let cosine: OptimiserSpec = parse("type = 'cosine', updates = 10").unwrap();
    let again: OptimiserSpec = toml::from_str(&toml::to_string(&cosine).unwrap()).unwrap();
    assert_eq!(again, cosine);
}
