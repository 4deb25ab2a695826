use ndarray::array;

use super::*;

fn classes(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn cross_entropy_gives_softmax_and_the_first_largest() {
    let outputs = array![[1.0f32, 3.0, 2.0], [200.0, 200.0, -200.0]].into_dyn();
    let predictions = Predictions::new(vec![0, 4], &outputs, Loss::CrossEntropy, classes(&["a", "b", "c"]));
    let all: Vec<_> = predictions.iter().collect();
    assert_eq!((all[0].row, all[1].row), (0, 4));
    assert_eq!([&all[0].class, &all[1].class], [&Some("b".to_owned()), &Some("a".into())]);
    let p = all[0].probabilities.as_ref().unwrap();
    // e^1 / (e^1 + e^2 + e^3) and so on.
    for (class, expected) in [("a", 0.090_030_57), ("b", 0.665_240_94), ("c", 0.244_728_47)] {
        assert!((p[class] - expected).abs() < 1e-6, "{class}: {}", p[class]);
    }
    assert_eq!(all[1].probabilities.as_ref().unwrap()["a"], 0.5);
    assert_eq!(
        predictions.class_counts().unwrap(),
        [("a".into(), 1), ("b".into(), 1), ("c".into(), 0)].into()
    );
}

#[test]
fn one_binary_output_is_the_probability_of_the_second_class() {
    let outputs = array![[0.0f32], [2.0], [-200.0]].into_dyn();
    let predictions = Predictions::new(vec![0, 1, 2], &outputs, Loss::Bce, classes(&["no", "yes"]));
    let all: Vec<_> = predictions.iter().collect();
    assert_eq!(
        all.iter().map(|p| p.class.clone().unwrap()).collect::<Vec<_>>(),
        ["no", "yes", "no"],
        "0 is not above 0"
    );
    let p = all[1].probabilities.as_ref().unwrap();
    assert!((p["yes"] - 0.880_797).abs() < 1e-6 && (p["no"] - 0.119_203).abs() < 1e-6);
    assert_eq!(all[2].probabilities.as_ref().unwrap()["no"], 1.0);
}

#[test]
fn several_binary_outputs_are_a_sigmoid_each() {
    let outputs = array![[0.0f32, 3.0, 2.0]].into_dyn();
    let predictions = Predictions::new(vec![0], &outputs, Loss::Bce, classes(&["a", "b", "c"]));
    let only = predictions.iter().next().unwrap();
    assert_eq!(only.class.unwrap(), "b");
    let p = only.probabilities.unwrap();
    assert_eq!(p["a"], 0.5);
    assert!(p["b"] + p["c"] > 1.5, "each for itself");
}

#[test]
fn files_of_all_formats() {
    let outputs = array![[2.0f32, -1.5]].into_dyn();
    let values = Predictions::new(vec![3], &outputs, Loss::Mse, None);
    let text = |format| String::from_utf8(values.to_bytes(format)).unwrap();
    assert_eq!(text(PredictionFormat::Csv), "row,value_0,value_1\n3,2,-1.5\n");
    assert_eq!(text(PredictionFormat::JsonLines), "{\"row\":3,\"values\":[2.0,-1.5]}\n");
    let npy = values.to_bytes(PredictionFormat::Npy);
    assert!(npy.starts_with(b"\x93NUMPY") && npy.ends_with(&[2.0f32.to_le_bytes(), (-1.5f32).to_le_bytes()].concat()));

    let outputs = array![[0.0f32]].into_dyn();
    let odd = Predictions::new(vec![0], &outputs, Loss::Bce, classes(&["a, \"b\"", "c"]));
    assert_eq!(
        String::from_utf8(odd.to_bytes(PredictionFormat::Csv)).unwrap(),
        "row,class,\"probability_a, \"\"b\"\"\",probability_c\n0,\"a, \"\"b\"\"\",0.5,0.5\n"
    );
}

#[test]
fn the_name_says_the_format() {
    assert_eq!(PredictionFormat::of(Path::new("a/b.csv")).unwrap(), PredictionFormat::Csv);
    assert_eq!(
        PredictionFormat::of(Path::new("b.json")).unwrap(),
        PredictionFormat::JsonLines
    );
    for name in ["b", "b.parquet", ".csv"] {
        let error = PredictionFormat::of(Path::new(name)).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn several_labels_apply_or_none() {
    let outputs = ArrayD::from_shape_vec(vec![3, 2], vec![1.0, 2.0, -1.0, 3.0, -1.0, 0.0]).unwrap();
    let predictions = Predictions::labels(vec![0, 1, 5], &outputs, vec!["MI".into(), "CD".into()]);
    let labels: Vec<_> = predictions.iter().map(|p| p.labels.unwrap()).collect();
    assert_eq!(labels, [vec!["MI", "CD"], vec!["CD"], vec![]]);
    assert_eq!(
        predictions.class_counts().unwrap(),
        [("MI".to_owned(), 1), ("CD".to_owned(), 2)].into()
    );
    let csv = String::from_utf8(predictions.to_bytes(PredictionFormat::Csv)).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "row,labels,probability_MI,probability_CD");
    assert!(lines[1].starts_with("0,MI+CD,0.73105"), "{csv}");
    assert!(lines[3].starts_with("5,,0.26894") && lines[3].ends_with(",0.5"), "{csv}");
    let one = predictions.iter().next().unwrap();
    assert!(one.class.is_none() && one.values.is_none());
    assert_eq!(one.probabilities.unwrap().len(), 2);
}
