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
    // Wrong: one of the first column (2.0 for a zero), one of the third (1.0 for a zero); the mean of 3/4, 1, 3/4, 1.
    assert_eq!(evaluation.accuracy, Some(0.875));
    assert_eq!(evaluation.recall, [Some(1.0), Some(1.0), None, Some(1.0)]);
    let nothing = Evaluation::new(Loss::Bce, &outputs, &BatchTargets::Values(ArrayD::zeros(IxDyn(&[4, 4])))).unwrap();
    assert_eq!((nothing.auc, nothing.auc_by_class), (None, vec![None; 4]));
}

#[test]
fn an_evaluation_written_before_the_classes_had_areas_is_read() {
    let json = r#"{"loss":2.0,"accuracy":0.5,"recall":[],"auc":0.75,"confusion":[]}"#;
    let evaluation: Evaluation = serde_json::from_str(json).unwrap();
    assert_eq!((evaluation.auc, evaluation.auc_by_class), (Some(0.75), vec![]));
}

#[test]
fn a_regression_has_a_loss_only() {
    let outputs = array(&[2, 1], &[1.0, 3.0]);
    let evaluation = Evaluation::new(Loss::Mse, &outputs, &BatchTargets::Values(array(&[2, 1], &[1.0, 1.0]))).unwrap();
    let json = serde_json::to_string(&evaluation).unwrap();
    assert_eq!(
        json,
        r#"{"loss":2.0,"accuracy":null,"recall":[],"auc":null,"auc_by_class":[],"confusion":[]}"#
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
}
