//! Conversion: which steps come out, that they compute what the network computes, and what is refused.

use super::*;

#[test]
fn scores_are_those_of_the_network() {
    for (name, model) in models() {
        let (network, arrays, x) = network(&model, 6);
        // The order of sigmoids is that of what goes in; compare before them.
        let inner = match model.layers.last() {
            Some(LayerSpec::Sigmoid {}) => model.layers.len() - 1,
            _ => model.layers.len(),
        };
        let mut scores = Network::new(&model, 0..inner, 0).unwrap();
        scores.set_parameters(&network.parameters()).unwrap();
        scores.set_buffers(&network.buffers()).unwrap();
        let float = scores.forward(&x).unwrap();
        for (ring_bits, fraction_bits, tolerance) in [(48, 16, 2e-3), (32, 11, 3e-2)] {
            let fixed = FixedModel::convert(&model, &arrays, ring_bits, fraction_bits, Ending::Scores).unwrap();
            let labels = vec![0; 6];
            let report = fixed.compare(&x, &float, &labels).unwrap();
            assert!(report.largest_difference < tolerance, "{name} {report:?}");
            assert!(report.worst_range().unwrap().room > 1.0, "{name} {report:?}");
            assert_eq!(report.samples, 6);
        }
    }
}

#[test]
fn a_report_counts_right_answers_and_agreement() {
    let model = spec(&[2], vec![LayerSpec::Dense { outputs: 2, bias: false }]);
    let identity = ArrayD::from_shape_vec(vec![2, 2], vec![1.0, 0.0, 0.0, 1.0]).unwrap();
    let fixed = FixedModel::convert(&model, &[("0.weight".to_owned(), identity)], 32, 4, Ending::ArgMax).unwrap();
    let x = ArrayD::from_shape_vec(vec![4, 2], vec![1.0, 0.0, 0.0, 1.0, 0.51, 0.52, 2.0, 0.0]).unwrap();
    // The third sample's scores are alike at four bits, so that the first wins.
    let report = fixed.compare(&x, &x, &[0, 1, 1, 1]).unwrap();
    assert_eq!(
        [report.float_accuracy, report.fixed_accuracy, report.agreement],
        [0.75, 0.5, 0.75]
    );
    assert!((report.largest_difference - 0.02).abs() < 1e-6);
    assert_eq!(
        refused(fixed.compare(&x, &x, &[0, 1])),
        "targets: expected a label for each of 4 samples, at least one, got 2"
    );
    assert!(fixed.compare(&x, &ArrayD::zeros(vec![2, 4]), &[0; 4]).is_err());
}

/// Short names of steps, with the bits that matter.
fn told(model: &ModelSpec) -> Vec<String> {
    let step = |step: Step| match step {
        Step::Linear { layer, .. } => format!("linear {layer}"),
        Step::SumPool {
            multiplier, scale_bits, ..
        } => format!("sum *{multiplier} +{scale_bits}"),
        Step::Offset { value } => format!("offset {value}"),
        Step::NonLinear {
            layer,
            operation,
            truncation,
        } => format!("{} {layer} -{truncation}", operation.name()),
        Step::Fork => "fork".to_owned(),
        Step::Turn => "turn".to_owned(),
        Step::Join {
            body_shift,
            shortcut_shift,
        } => format!("join {body_shift} {shortcut_shift}"),
    };
    steps(model).into_iter().map(step).collect()
}

#[test]
fn steps_come_where_they_should() {
    let models: std::collections::BTreeMap<_, _> = models().into_iter().collect();
    assert_eq!(
        told(&models["minionn"]),
        [
            "linear 0",
            "sum *1 +2",
            "relu 2 -12",
            "linear 3",
            "sum *1 +2",
            "relu 5 -12",
            "linear 7",
            "relu 8 -10",
            "linear 9"
        ]
    );
    assert_eq!(
        told(&models["lenet"]),
        [
            "linear 0",
            "max-pool-relu 1 -10",
            "linear 3",
            "max-pool-relu 4 -10",
            "linear 7"
        ]
    );
    // 42 places become 12 after the stride of 2: 3 x 4, whose 1/12 is 341/2^12 as exactly as ten bits can tell.
    let resnet = [
        "linear 0",
        "relu 2 -10",
        "fork",
        "linear 3.body.0",
        "relu 3.body.2 -10",
        "linear 3.body.3",
        "turn",
        "join 0 10",
        "offset 512",
        "relu 4 -10",
        "fork",
        "linear 5.body.0",
        "relu 5.body.2 -10",
        "linear 5.body.3",
        "turn",
        "linear 5.shortcut.0",
        "join 0 0",
        "offset 512",
        "relu 6 -10",
        "sum *341 +12",
        "offset 2048",
        "truncate 10 -12",
        "linear 10",
    ];
    assert_eq!(told(&models["resnet"]), resnet);
    // The first average's ninth is in the product before it; the second comes after a maximum.
    assert_eq!(
        told(&models["odd"]),
        [
            "linear 0",
            "sum *1 +4",
            "offset 8192",
            "max-pool 3 -14",
            "sum *455 +12",
            "offset 2048",
            "truncate 6 -12",
            "linear 6"
        ]
    );
    let bare = told(&models["bare"]);
    assert_eq!(bare[..5], ["relu 0 -0", "sum *1 +2", "fork", "offset 2", "relu 2.body.0 -2"]);
    assert_eq!(
        told(&models["flat"]),
        ["linear 0", "relu 2 -10", "linear 3", "truncate 4 -10", "linear 4"]
    );
}

#[test]
fn half_a_unit_goes_into_the_bias_where_there_is_one() {
    let model = spec(&[1, 2, 2], vec![conv(1, 1, 1, 0), avg_pool(2), RELU]);
    let arrays = [
        ("0.weight".to_owned(), ArrayD::zeros(vec![1, 1, 1, 1])),
        ("0.bias".to_owned(), ArrayD::from_elem(vec![1], 0.25)),
    ];
    let fixed = FixedModel::convert(&model, &arrays, 32, 10, Ending::Scores).unwrap();
    // A quarter at scale 20, and a quarter of half of 2^12.
    assert_eq!(fixed.weights().next().unwrap().1, [(1 << 18) + (1 << 9)]);
    assert_eq!(fixed.structure().output_scale().unwrap(), 10);
}

#[test]
fn other_layers_are_refused_by_name_and_number() {
    let refusal = |input: &[usize], layers: Vec<LayerSpec>| {
        let model = spec(input, layers);
        let (_, arrays, _) = network(&model, 1);
        refused(FixedModel::convert(&model, &arrays, 32, 10, Ending::Scores))
    };
    let error = refusal(&[3], vec![dense(2), LayerSpec::Tanh {}, dense(2)]);
    assert!(error.starts_with("layer 1 (tanh): expected dense, conv2d"), "{error}");
    let error = refusal(&[3], vec![LayerSpec::Sigmoid {}, dense(2)]);
    assert!(error.starts_with("layer 0 (sigmoid)"), "{error}");
    let error = refusal(&[3], vec![dense(3), residual(vec![dense(3), LayerSpec::Gelu {}], vec![])]);
    assert!(error.starts_with("layer 1.body.1 (gelu)"), "{error}");
    let error = refusal(&[3], vec![dense(3), RELU, norm()]);
    assert!(error.starts_with("layer 2 (batch-norm): expected it after dense"), "{error}");
    let error = refusal(&[3], vec![dense(3), residual(vec![norm()], vec![])]);
    assert!(error.starts_with("layer 1.body.0 (batch-norm)"), "{error}");
    let error = refusal(&[1, 4], vec![LayerSpec::MaxPool1d { size: 2, stride: None }]);
    assert!(error.starts_with("layer 0 (max-pool1d)"), "{error}");
}

#[test]
fn parameters_that_are_not_the_models_are_refused() {
    let model = spec(&[2], vec![dense(2), norm()]);
    let (_, arrays, _) = network(&model, 1);
    let with = |change: &dyn Fn(&mut Arrays)| {
        let mut arrays = arrays.clone();
        change(&mut arrays);
        refused(FixedModel::convert(&model, &arrays, 32, 10, Ending::Scores))
    };
    assert_eq!(
        with(&|a| drop(a.remove(0))),
        r#"parameter "0.weight": expected [2, 2], got nothing"#
    );
    assert_eq!(
        with(&|a| a.push(a[0].clone())),
        r#"parameter "0.weight": expected it once, got it twice"#
    );
    assert_eq!(
        with(&|a| a[0].0 = "7.weight".into()),
        r#"parameter "0.weight": expected [2, 2], got nothing"#
    );
    assert_eq!(
        with(&|a| a.push(("7.weight".into(), a[0].1.clone()))),
        r#"parameter "7.weight": expected only those of the model, got it"#
    );
    assert_eq!(
        with(&|a| a[1].1 = ArrayD::zeros(vec![3])),
        r#"parameter "0.bias": expected shape [2], got [3]"#
    );
    assert!(with(&|a| a[1].1[0] = f32::NAN).contains("finite"));
    assert!(with(&|a| a.last_mut().unwrap().1[0] = -1.0).contains("variances"));
    assert!(with(&|a| a[0].1[[0, 0]] = 1e9).contains("0.weight: expected a magnitude below"));
}

#[test]
fn impossible_bits_and_samples_are_refused() {
    let model = spec(&[2], vec![dense(1)]);
    let (_, arrays, _) = network(&model, 1);
    let of = |ring, fraction, ending| FixedModel::convert(&model, &arrays, ring, fraction, ending);
    assert_eq!(
        refused(of(23, 10, Ending::Scores)),
        "fixed point: ring: expected 24 to 48 bits, got 23"
    );
    assert_eq!(
        refused(of(49, 10, Ending::Scores)),
        "fixed point: ring: expected 24 to 48 bits, got 49"
    );
    assert_eq!(
        refused(of(32, 0, Ending::Scores)),
        "fixed point: fraction bits: expected 1 to 20, got 0"
    );
    assert_eq!(
        refused(of(32, 21, Ending::Scores)),
        "fixed point: fraction bits: expected 1 to 20, got 21"
    );
    assert_eq!(
        refused(of(32, 16, Ending::Scores)),
        "fixed point: step 0: expected a scale below 32, got 32"
    );
    assert_eq!(
        refused(of(32, 8, Ending::ArgMax)),
        "fixed point: argmax: expected at least 2 values, got 1"
    );
    let fixed = of(32, 8, Ending::Scores).unwrap();
    assert_eq!(refused(fixed.evaluate(&[1])), "sample: expected shape [2], got [1]");
    let x = |value: f32| ArrayD::from_elem(vec![1, 2], value);
    assert!(refused(fixed.quantise(&x(f32::NAN))).contains("magnitude below 8388608"));
    assert!(refused(fixed.quantise(&x(8388608.0))).contains("input"));
    assert_eq!(fixed.quantise(&x(-1.501)).unwrap(), [[-384, -384]]);
    assert!(fixed.quantise(&ArrayD::zeros(vec![2, 1])).is_err());
}
