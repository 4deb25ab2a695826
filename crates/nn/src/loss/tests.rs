use ndarray::{ArrayD, IxDyn};

use super::*;

fn array(shape: &[usize], values: &[f32]) -> ArrayD<f32> {
    ArrayD::from_shape_vec(IxDyn(shape), values.to_vec()).unwrap()
}

/// Compares the gradient with central differences of the value.
fn check(loss: impl Into<WeightedLoss>, outputs: &ArrayD<f32>, targets: &BatchTargets) {
    let loss = loss.into();
    let (value, gradient) = loss.value_and_gradient(outputs, targets).unwrap();
    assert_eq!(value, loss.value(outputs, targets).unwrap());
    let step = 1.0 / 128.0;
    for index in 0..outputs.len() {
        let moved = |by: f32| {
            let mut outputs = outputs.clone();
            outputs.as_slice_mut().unwrap()[index] += by;
            loss.value(&outputs, targets).unwrap()
        };
        let slope = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
        let given = f64::from(gradient.as_slice().unwrap()[index]);
        assert!((slope - given).abs() < 1e-4, "{loss:?} output {index}: {slope} and {given}");
    }
}

#[test]
fn gradients_are_derivatives() {
    let outputs = array(&[3, 4], &[0.5, -1.0, 2.0, 0.25, -3.0, 0.0, 1.5, 1.5, 4.0, -4.0, 0.75, 1.0]);
    let ones = array(&[3, 4], &[0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
    check(Loss::CrossEntropy, &outputs, &BatchTargets::Classes(vec![2, 0, 3]));
    check(Loss::Bce, &outputs, &BatchTargets::Values(ones.clone()));
    check(Loss::Mse, &outputs, &BatchTargets::Values(ones * 0.3));
}

fn weighted(loss: Loss, class_weights: ClassWeights) -> WeightedLoss {
    WeightedLoss {
        loss,
        class_weights: Some(class_weights),
    }
}

#[test]
fn gradients_of_weighted_losses_are_derivatives() {
    let outputs = array(&[3, 4], &[0.5, -1.0, 2.0, 0.25, -3.0, 0.0, 1.5, 1.5, 4.0, -4.0, 0.75, 1.0]);
    let ones = array(&[3, 4], &[0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
    let each = ClassWeights::Each(vec![0.5, 2.0, 1.0, 7.0]);
    let classes = BatchTargets::Classes(vec![2, 0, 3]);
    check(weighted(Loss::CrossEntropy, each.clone()), &outputs, &classes);
    let values = BatchTargets::Values(ones);
    check(weighted(Loss::Bce, each), &outputs, &values);
    check(weighted(Loss::Bce, ClassWeights::Positive(4.5)), &outputs, &values);
}

#[test]
fn weights_of_a_cross_entropy_give_a_weighted_mean() {
    let outputs = array(&[3, 2], &[1.0, 0.0, 0.5, 2.0, -1.0, 0.0]);
    let alone = |row: usize, class| {
        Loss::CrossEntropy
            .value(&outputs.select(Axis(0), &[row]), &BatchTargets::Classes(vec![class]))
            .unwrap()
    };
    let loss = weighted(Loss::CrossEntropy, ClassWeights::Each(vec![3.0, 0.5]));
    let value = loss.value(&outputs, &BatchTargets::Classes(vec![0, 1, 0])).unwrap();
    let expected = (3.0 * alone(0, 0) + 0.5 * alone(1, 1) + 3.0 * alone(2, 0)) / 6.5;
    assert!((value - expected).abs() < 1e-12);
}

#[test]
fn a_positive_counts_as_often_as_its_weight_says() {
    let (outputs, targets) = (array(&[2, 1], &[0.5, -1.0]), array(&[2, 1], &[1.0, 0.0]));
    let (value, gradient) = weighted(Loss::Bce, ClassWeights::Positive(3.0))
        .value_and_gradient(&outputs, &BatchTargets::Values(targets.clone()))
        .unwrap();
    let copied = |array: &ArrayD<f32>| array.select(Axis(0), &[0, 0, 0, 1]);
    let (copies, slopes) = Loss::Bce
        .value_and_gradient(&copied(&outputs), &BatchTargets::Values(copied(&targets)))
        .unwrap();
    // The mean is over two values here and over four there.
    assert!((value - 2.0 * copies).abs() < 1e-12);
    assert!((gradient[[0, 0]] - 6.0 * slopes[[0, 0]]).abs() < 1e-6 && (gradient[[1, 0]] - 2.0 * slopes[[3, 0]]).abs() < 1e-6);
}

#[test]
fn weights_of_one_are_none() {
    let outputs = array(&[3, 2], &[0.3, -1.7, 2.0, 0.25, -3.0, 0.1]);
    let (classes, values) = (
        BatchTargets::Classes(vec![1, 0, 1]),
        BatchTargets::Values(array(&[3, 2], &[0.0, 1.0, 1.0, 0.0, 0.0, 1.0])),
    );
    for (loss, targets) in [(Loss::CrossEntropy, classes), (Loss::Bce, values)] {
        let plain = loss.value_and_gradient(&outputs, &targets).unwrap();
        let ones = weighted(loss, ClassWeights::Each(vec![1.0; 2]));
        assert_eq!(ones.value_and_gradient(&outputs, &targets).unwrap(), plain);
        assert_eq!(
            WeightedLoss::from(loss).value_and_gradient(&outputs, &targets).unwrap(),
            plain
        );
    }
}

#[test]
fn balanced_weights_let_all_classes_count_alike() {
    // Classes with 1, 3, 0 and 2 of 6 samples.
    let classes = BatchTargets::Classes(vec![1, 3, 1, 0, 3, 1]);
    let weights = ClassWeights::balanced(Loss::CrossEntropy, &classes, 4).unwrap();
    assert_eq!(weights, ClassWeights::Each(vec![6.0 / 4.0, 6.0 / 12.0, 1.0, 6.0 / 8.0]));
    // One positive among four; all of one kind.
    let values = BatchTargets::Values(array(&[4, 2], &[0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0]));
    assert_eq!(
        ClassWeights::balanced(Loss::Bce, &values, 2).unwrap(),
        ClassWeights::Each(vec![3.0, 1.0])
    );
    for (loss, targets, outputs) in [
        (Loss::Mse, &values, 2),
        (Loss::CrossEntropy, &values, 2),
        (Loss::Bce, &classes, 4),
    ] {
        assert_eq!(ClassWeights::balanced(loss, targets, outputs), None);
    }
    assert_eq!(ClassWeights::balanced(Loss::CrossEntropy, &classes, 3), None);
}

#[test]
fn weights_that_do_not_fit_are_refused() {
    let each = |weights: &[f64]| ClassWeights::Each(weights.to_vec());
    for (loss, weights, expected) in [
        (
            Loss::Mse,
            each(&[1.0]),
            "class_weights: expected none with the loss mse, got some",
        ),
        (
            Loss::CrossEntropy,
            ClassWeights::Positive(2.0),
            "class_weights: expected a list of 3, one for each class, got the number 2",
        ),
        (
            Loss::CrossEntropy,
            each(&[1.0, 2.0]),
            "class_weights: expected 3, one for each output, got 2",
        ),
        (
            Loss::Bce,
            each(&[1.0, 0.0, 2.0]),
            "class_weights: expected positive numbers, got 0",
        ),
        (
            Loss::Bce,
            ClassWeights::Positive(f64::NAN),
            "class_weights: expected positive numbers, got NaN",
        ),
        (
            Loss::Bce,
            ClassWeights::Positive(f64::INFINITY),
            "class_weights: expected positive numbers, got inf",
        ),
    ] {
        let loss = weighted(loss, weights);
        assert_eq!(loss.validate(3).unwrap_err().to_string(), expected);
        let targets = BatchTargets::Values(array(&[1, 3], &[0.0; 3]));
        assert_eq!(
            loss.value(&array(&[1, 3], &[0.0; 3]), &targets).unwrap_err().to_string(),
            expected
        );
    }
    weighted(Loss::Bce, ClassWeights::Positive(2.0)).validate(3).unwrap();
}

#[test]
fn weights_in_job_files() {
    let read = |toml: &str| toml::from_str::<WeightedLoss>(toml);
    assert_eq!(read("loss = 'mse'").unwrap(), Loss::Mse.into());
    assert_eq!(
        read("loss = 'bce'\nclass_weights = 3").unwrap(),
        weighted(Loss::Bce, ClassWeights::Positive(3.0))
    );
    let three = weighted(Loss::CrossEntropy, ClassWeights::Each(vec![1.0, 2.5]));
    assert_eq!(read("loss = 'cross-entropy'\nclass_weights = [1, 2.5]").unwrap(), three);
    assert_eq!(
        toml::from_str::<WeightedLoss>(&toml::to_string(&three).unwrap()).unwrap(),
        three
    );
    assert_eq!(toml::to_string(&WeightedLoss::from(Loss::Bce)).unwrap(), "loss = \"bce\"\n");
    let error = read("loss = 'bce'\nclass_weights = 'many'").unwrap_err().to_string();
    assert!(
        error.contains("expected a number, the weight of ones, or a list of numbers"),
        "{error}"
    );
}

#[test]
fn known_values() {
    let ln2 = std::f64::consts::LN_2;
    let (value, gradient) = Loss::CrossEntropy
        .value_and_gradient(&array(&[1, 2], &[7.0, 7.0]), &BatchTargets::Classes(vec![1]))
        .unwrap();
    assert!((value - ln2).abs() < 1e-15);
    assert_eq!(gradient, array(&[1, 2], &[0.5, -0.5]));
    let (value, gradient) = Loss::Bce
        .value_and_gradient(&array(&[1, 1], &[0.0]), &BatchTargets::Values(array(&[1, 1], &[1.0])))
        .unwrap();
    assert!((value - ln2).abs() < 1e-15);
    assert_eq!(gradient, array(&[1, 1], &[-0.5]));
    let (value, gradient) = Loss::Mse
        .value_and_gradient(
            &array(&[2, 1], &[3.0, 1.0]),
            &BatchTargets::Values(array(&[2, 1], &[1.0, 1.0])),
        )
        .unwrap();
    assert_eq!((value, gradient), (2.0, array(&[2, 1], &[2.0, 0.0])));
}

#[test]
fn several_labels_are_several_binary_losses() {
    let (outputs, targets) = (
        array(&[2, 3], &[0.5, -1.0, 2.0, 0.0, 3.0, -2.0]),
        array(&[2, 3], &[1.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
    );
    let (loss, gradient) = Loss::Bce
        .value_and_gradient(&outputs, &BatchTargets::Values(targets.clone()))
        .unwrap();
    let mut sum = 0.0;
    for label in 0..3 {
        let column = |a: &ArrayD<f32>| a.select(Axis(1), &[label]);
        let targets = BatchTargets::Values(column(&targets));
        let (value, alone) = Loss::Bce.value_and_gradient(&column(&outputs), &targets).unwrap();
        sum += value;
        for (all, alone) in column(&gradient).iter().zip(&alone) {
            assert!((all * 3.0 - alone).abs() < 1e-6);
        }
    }
    assert!((loss - sum / 3.0).abs() < 1e-12);
    let picked = BatchTargets::Values(targets).select(&[1, 1]);
    assert_eq!(picked, BatchTargets::Values(array(&[2, 3], &[0.0; 6])));
}

#[test]
fn extreme_logits_stay_finite() {
    let outputs = array(&[2, 2], &[1e30, -1e30, -1e4, 1e4]);
    let value = Loss::CrossEntropy
        .value(&outputs, &BatchTargets::Classes(vec![0, 0]))
        .unwrap();
    assert_eq!(value, 1e4);
    let targets = BatchTargets::Values(array(&[2, 2], &[1.0, 0.0, 0.0, 1.0]));
    assert_eq!(Loss::Bce.value(&outputs, &targets).unwrap(), 0.0);
}

#[test]
fn a_loss_that_is_not_finite_is_divergence() {
    let classes = BatchTargets::Classes(vec![0]);
    let ones = BatchTargets::Values(array(&[1, 2], &[1.0, 0.0]));
    for bad in [f32::NAN, f32::INFINITY] {
        for (loss, targets) in [(Loss::CrossEntropy, &classes), (Loss::Bce, &ones), (Loss::Mse, &ones)] {
            let error = loss.value(&array(&[1, 2], &[0.0, bad]), targets).unwrap_err();
            assert!(matches!(error, ModelError::Diverged { .. }), "{loss:?}: {error}");
        }
    }
}

#[test]
fn targets_must_belong_to_the_outputs() {
    let outputs = array(&[2, 3], &[0.0; 6]);
    let values = |shape: &[usize], value| BatchTargets::Values(ArrayD::from_elem(shape, value));
    for (loss, targets, expected) in [
        (
            Loss::CrossEntropy,
            BatchTargets::Classes(vec![0]),
            "targets: expected 2, one for each sample, got 1",
        ),
        (
            Loss::CrossEntropy,
            BatchTargets::Classes(vec![0, 3]),
            "targets: expected classes in 0..3, got 3",
        ),
        (
            Loss::CrossEntropy,
            values(&[2, 3], 1.0),
            "targets: expected classes, got values",
        ),
        (
            Loss::Bce,
            BatchTargets::Classes(vec![0, 1]),
            "targets: expected values, got classes",
        ),
        (Loss::Bce, values(&[2, 3], 0.5), "targets: expected 0 or 1, got 0.5"),
        (Loss::Mse, values(&[3, 2], 0.5), "targets: expected shape [2, 3], got [3, 2]"),
    ] {
        assert_eq!(loss.value(&outputs, &targets).unwrap_err().to_string(), expected);
    }
    let empty = ArrayD::zeros(vec![0, 3]);
    assert!(Loss::CrossEntropy.value(&empty, &BatchTargets::Classes(vec![])).is_err());
    assert!(Loss::Mse.value(&empty, &BatchTargets::Values(empty.clone())).is_err());
}

#[test]
fn names_in_job_files() {
    let names: Vec<String> = [Loss::CrossEntropy, Loss::Bce, Loss::Mse]
        .iter()
        .map(|loss| serde_json::to_string(loss).unwrap())
        .collect();
    assert_eq!(names, [r#""cross-entropy""#, r#""bce""#, r#""mse""#]);
}
