use ndarray::{ArrayD, IxDyn};
use proptest::prelude::*;

use super::*;

fn array(shape: &[usize], values: &[f32]) -> ArrayD<f32> {
    ArrayD::from_shape_vec(IxDyn(shape), values.to_vec()).unwrap()
}

#[test]
fn classes_by_hand() {
    // Decisions 0, 1, 1, 0 for the classes 0, 1, 0, 0; class 2 never occurs.
    let outputs = array(&[4, 3], &[2.0, 1.0, 0.0, 0.0, 3.0, 1.0, 0.0, 1.0, 0.5, 5.0, 5.0, 0.0]);
    let targets = BatchTargets::Classes(vec![0, 1, 0, 0]);
    let evaluation = Evaluation::new(Loss::CrossEntropy, &outputs, &targets).unwrap();
    assert_eq!(evaluation.accuracy, Some(0.75));
    assert_eq!(evaluation.recall, [Some(2.0 / 3.0), Some(1.0), None]);
    assert_eq!(evaluation.confusion, [vec![2, 1, 0], vec![0, 1, 0], vec![0, 0, 0]]);
    // In both classes that occur, every sample of the class has a greater margin than every other sample.
    assert_eq!(evaluation.auc_by_class, [Some(1.0), Some(1.0), None]);
    assert_eq!(evaluation.auc, Some(1.0), "a class that does not occur is left out");
    assert_eq!(evaluation.loss, Loss::CrossEntropy.value(&outputs, &targets).unwrap());
}

#[test]
fn the_auc_of_classes_is_one_against_rest() {
    // Two classes: both one-against-rest curves are the curve of the difference of logits.
    let outputs = array(&[4, 2], &[0.0, 1.0, 0.0, -1.0, 10.0, 10.5, 3.0, 3.25]);
    let evaluation = Evaluation::new(Loss::CrossEntropy, &outputs, &BatchTargets::Classes(vec![1, 0, 0, 1])).unwrap();
    assert_eq!(evaluation.auc, Some(0.75));
}

#[test]
fn sure_decisions_do_not_tie() {
    // Softmax is 1.0 in f64 for both positives' class; the margins still order them.
    let outputs = array(&[3, 2], &[0.0, 100.0, 0.0, 200.0, 0.0, 150.0]);
    let evaluation = Evaluation::new(Loss::CrossEntropy, &outputs, &BatchTargets::Classes(vec![0, 1, 1])).unwrap();
    assert_eq!(evaluation.auc, Some(1.0));
}

#[test]
fn one_binary_output() {
    let outputs = array(&[5, 1], &[-1.0, 0.0, 0.5, 2.0, 0.5]);
    let targets = BatchTargets::Values(array(&[5, 1], &[0.0, 1.0, 0.0, 1.0, 1.0]));
    let evaluation = Evaluation::new(Loss::Bce, &outputs, &targets).unwrap();
    assert_eq!(evaluation.accuracy, Some(0.6));
    assert_eq!(evaluation.confusion, [vec![1, 1], vec![1, 2]]);
    assert_eq!(evaluation.recall, [Some(0.5), Some(2.0 / 3.0)]);
    // Pairs: 0.0 beats -1 only; 2.0 both; 0.5 beats -1 and ties once.
    assert_eq!(evaluation.auc, Some((1.0 + 2.0 + 1.5) / 6.0));
    assert_eq!(evaluation.auc_by_class, [evaluation.auc]);
    // 2.0 finds one of three, all of one right; 0.5 one more, two of three right; 0.0 the last, three of four.
    let expected = (1.0 + 2.0 / 3.0 + 3.0 / 4.0) / 3.0;
    assert!((evaluation.average_precision.unwrap() - expected).abs() < 1e-15);
    assert_eq!(evaluation.average_precision_by_class, [evaluation.average_precision]);
}

#[test]
fn several_binary_outputs() {
    let outputs = array(&[2, 2], &[1.0, -1.0, -1.0, -2.0]);
    let targets = BatchTargets::Values(array(&[2, 2], &[1.0, 1.0, 0.0, 0.0]));
    let evaluation = Evaluation::new(Loss::Bce, &outputs, &targets).unwrap();
    assert_eq!(evaluation.accuracy, Some(0.75));
    assert_eq!(evaluation.recall, [Some(1.0), Some(0.0)]);
    assert_eq!(evaluation.auc, Some(1.0));
    assert!(evaluation.confusion.is_empty());
}

#[test]
fn labels_of_one_kind_are_left_out_of_the_macro_average() {
    // Columns: one pair of four wrong; all ones; all zeros; perfect.
    #[rustfmt::skip]
    let outputs = array(&[4, 4], &[
        3.0, 1.0, -1.0, -2.0,
        1.0, 2.0, -2.0, 2.0,
        2.0, 3.0, 1.0, 3.0,
        0.0, 4.0, -3.0, -1.0,
    ]);
    #[rustfmt::skip]
    let targets = array(&[4, 4], &[
        1.0, 1.0, 0.0, 0.0,
        1.0, 1.0, 0.0, 1.0,
        0.0, 1.0, 0.0, 1.0,
        0.0, 1.0, 0.0, 0.0,
    ]);
    let evaluation = Evaluation::new(Loss::Bce, &outputs, &BatchTargets::Values(targets)).unwrap();
    assert_eq!(evaluation.auc_by_class, [Some(0.75), None, None, Some(1.0)]);
    assert_eq!(evaluation.auc, Some(0.875));
    // Of the first column 3.0 is right, 2.0 wrong, 1.0 right; a column of ones has all precision.
    let first = (1.0 + 2.0 / 3.0) / 2.0;
    assert_eq!(
        evaluation.average_precision_by_class,
        [Some(first), Some(1.0), None, Some(1.0)]
    );
    assert_eq!(evaluation.average_precision, Some((first + 1.0 + 1.0) / 3.0));
    // Wrong: one of the first column (2.0 for a zero), one of the third (1.0 for a zero); the mean of 3/4, 1, 3/4, 1.
    assert_eq!(evaluation.accuracy, Some(0.875));
    assert_eq!(evaluation.recall, [Some(1.0), Some(1.0), None, Some(1.0)]);
    let nothing = Evaluation::new(Loss::Bce, &outputs, &BatchTargets::Values(ArrayD::zeros(IxDyn(&[4, 4])))).unwrap();
    assert_eq!((nothing.auc, nothing.auc_by_class), (None, vec![None; 4]));
    assert_eq!(
        (nothing.average_precision, nothing.average_precision_by_class),
        (None, vec![None; 4])
    );
}

#[test]
fn an_evaluation_written_before_the_classes_had_areas_is_read() {
    let json = r#"{"loss":2.0,"accuracy":0.5,"recall":[],"auc":0.75,"confusion":[]}"#;
    let evaluation: Evaluation = serde_json::from_str(json).unwrap();
    assert_eq!((evaluation.auc, evaluation.auc_by_class), (Some(0.75), vec![]));
    assert_eq!(
        (evaluation.average_precision, evaluation.average_precision_by_class),
        (None, vec![])
    );
}

#[test]
fn a_regression_has_a_loss_only() {
    let outputs = array(&[2, 1], &[1.0, 3.0]);
    let evaluation = Evaluation::new(Loss::Mse, &outputs, &BatchTargets::Values(array(&[2, 1], &[1.0, 1.0]))).unwrap();
    let json = serde_json::to_string(&evaluation).unwrap();
    assert_eq!(
        json,
        r#"{"loss":2.0,"accuracy":null,"recall":[],"auc":null,"auc_by_class":[],"average_precision":null,"average_precision_by_class":[],"confusion":[]}"#
    );
}

#[test]
fn average_precision_of_known_scores() {
    // The example of scikit-learn's documentation, and one with ties, by hand.
    let example = average_precision(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]).unwrap();
    assert!((example - 0.833_333_333_333_333_3).abs() < 1e-15, "{example}");
    let tied = [0.9, 0.5, 0.5, 0.5, 0.1, 0.1, 0.0, 0.0];
    let positive = [true, true, false, true, false, true, false, false];
    // 1 of 4 at 1/1, 2 of 4 at 3/4, 1 of 4 at 4/6.
    let expected = 0.25 + 0.5 * 0.75 + 0.25 * 4.0 / 6.0;
    assert!((average_precision(&tied, &positive).unwrap() - expected).abs() < 1e-15);
    assert_eq!(average_precision(&[], &[]), None);
    assert_eq!(average_precision(&[1.0, 2.0], &[false, false]), None);
    assert_eq!(average_precision(&[1.0, 2.0], &[true, true]), Some(1.0));
    assert_eq!(average_precision(&[0.0, -0.0], &[false, true]), Some(0.5));
}

#[test]
fn weights_of_classes_enter_the_loss_alone() {
    let outputs = array(&[3, 1], &[-1.0, 2.0, 0.5]);
    let targets = BatchTargets::Values(array(&[3, 1], &[0.0, 1.0, 1.0]));
    let plain = Evaluation::new(Loss::Bce, &outputs, &targets).unwrap();
    let loss = WeightedLoss {
        loss: Loss::Bce,
        class_weights: Some(crate::ClassWeights::Positive(3.0)),
    };
    let weighted = Evaluation::new(loss, &outputs, &targets).unwrap();
    assert!(weighted.loss > plain.loss);
    assert_eq!(
        Evaluation {
            loss: plain.loss,
            ..weighted
        },
        plain
    );
}

#[test]
fn the_curve_needs_both_kinds() {
    assert_eq!(area_under_curve(&[], &[]), None);
    assert_eq!(area_under_curve(&[1.0, 2.0], &[true, true]), None);
    assert_eq!(area_under_curve(&[1.0, 2.0], &[false, true]), Some(1.0));
    assert_eq!(area_under_curve(&[0.0, -0.0], &[false, true]), Some(0.5));
}

proptest! {
    #[test]
    fn the_rank_statistic_counts_pairs(samples in prop::collection::vec((0i8..6, any::<bool>()), 0..40)) {
        let scores: Vec<f64> = samples.iter().map(|(score, _)| f64::from(*score)).collect();
        let positive: Vec<bool> = samples.iter().map(|(_, positive)| *positive).collect();
        let (mut pairs, mut won) = (0.0, 0.0);
        for (score, _) in samples.iter().filter(|(_, positive)| *positive) {
            for (other, _) in samples.iter().filter(|(_, positive)| !positive) {
                pairs += 1.0;
                won += if score > other { 1.0 } else if score == other { 0.5 } else { 0.0 };
            }
        }
        let expected = (pairs > 0.0).then(|| won / pairs);
        prop_assert_eq!(area_under_curve(&scores, &positive), expected);
    }

    #[test]
    fn average_precision_is_a_sum_over_thresholds(samples in prop::collection::vec((0i8..6, any::<bool>()), 1..40)) {
        let scores: Vec<f64> = samples.iter().map(|(score, _)| f64::from(*score)).collect();
        let positive: Vec<bool> = samples.iter().map(|(_, positive)| *positive).collect();
        let count = |threshold: i8, wanted: bool| samples.iter().filter(|(score, positive)| *score >= threshold && (*positive || !wanted)).count() as f64;
        let positives = count(0, true);
        let mut expected = 0.0;
        for threshold in 0..6 {
            let recall = |threshold| count(threshold, true) / positives;
            let taken = count(threshold, false);
            if positives > 0.0 && taken > 0.0 {
                expected += (recall(threshold) - recall(threshold + 1)) * count(threshold, true) / taken;
            }
        }
        match average_precision(&scores, &positive) {
            None => prop_assert_eq!(positives, 0.0),
            Some(actual) => prop_assert!((actual - expected).abs() < 1e-12, "{} and {}", actual, expected),
        }
    }
}
