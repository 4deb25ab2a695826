use super::*;

const ROWS: usize = 400;
const BATCH: usize = 4;

/// A fixed linear congruential sequence, uniform in -1/2..1/2.
fn noise(rows: usize, columns: usize, mut state: u32) -> Array2<f32> {
    Array2::from_shape_simple_fn((rows, columns), || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    })
}

/// Inputs of 12 numbers that vary in three directions; labels of three classes.
fn truth() -> Truth {
    Truth {
        inputs: noise(ROWS, 3, 5).dot(&noise(3, 12, 6)),
        shape: vec![12],
        labels: Some(noise(ROWS, 1, 7).iter().map(|v| ((v + 0.5) * 3.0) as u32).collect()),
        classes: 3,
        map: vec![16],
        logits: false,
        activations: Vec::new(),
    }
}

fn view(activation: &Array2<f32>, gradient: &Array2<f32>) -> View {
    let part = |m: &Array2<f32>, first: usize| Some(Seen::Numbers(m.slice(s![first..first + BATCH, ..]).to_owned()));
    let batch = |first: usize| Batch {
        activation: part(activation, first),
        gradient: part(gradient, first),
        ..Batch::default()
    };
    View {
        batches: (0..ROWS).step_by(BATCH).map(batch).collect(),
        activation_in: "activation".into(),
        gradient_in: "output gradient".into(),
        uploaded: false,
    }
}

/// What a network behind the server's layer makes of labels: a direction for each class.
fn telling_gradients(truth: &Truth) -> Array2<f32> {
    let directions = noise(3, 6, 8);
    let labels = truth.labels.clone().unwrap();
    Array2::from_shape_fn((ROWS, 6), |(row, column)| {
        directions[[labels[row] as usize, column]] * (1.0 + row as f32 / 100.0)
    })
}

fn succeeded(audit: &Audit, target: &str) -> Vec<bool> {
    audit
        .findings
        .iter()
        .filter(|f| f.target == target)
        .map(|f| f.succeeded)
        .collect()
}

#[test]
fn what_is_a_function_of_inputs_and_labels_gives_them_back() {
    let truth = truth();
    let activation = truth.inputs.dot(&noise(12, 16, 9)).mapv(|v| v.max(0.0));
    let audit = audit(&view(&activation, &telling_gradients(&truth)), &truth).unwrap();
    assert_eq!(audit.rows, ROWS);
    assert_eq!(succeeded(&audit, "labels"), [true]);
    assert_eq!(succeeded(&audit, "inputs"), [true; 3]);
    assert_eq!(audit.examples.len(), EXAMPLES);
    assert!(
        audit.not_tried.iter().any(|why| why.contains("pseudo-inverse")),
        "{:?}",
        audit.not_tried
    );
}

#[test]
fn noise_gives_nothing_back_and_the_verdict_is_no_promise() {
    let truth = truth();
    let audit = audit(&view(&noise(ROWS, 16, 10), &noise(ROWS, 6, 11)), &truth).unwrap();
    assert_eq!(succeeded(&audit, "labels"), [false]);
    assert_eq!(succeeded(&audit, "inputs"), [false; 3]);
    assert!(
        audit
            .findings
            .iter()
            .all(|f| f.verdict.contains("does not show that none can"))
    );
}

/// The server of an encrypted model with samples in the clear: these come back, and what they say of labels; its ciphertexts give nothing.
#[test]
fn samples_in_the_clear_are_told_apart_from_ciphertexts() {
    let mut truth = truth();
    // A direction of its own for each class.
    truth.inputs = telling_gradients(&truth);
    truth.shape = vec![6];
    let mut view = view(&truth.inputs.mapv(|x| (x * 32.0).round()), &noise(ROWS, 16, 10));
    view.uploaded = true;
    let audit = audit(&view, &truth).unwrap();
    assert_eq!(succeeded(&audit, "inputs"), [true]);
    assert_eq!(succeeded(&audit, "labels"), [false, true]);
    assert!(audit.findings.iter().any(|f| f.target == "inputs" && f.value > 0.99));
    assert!(audit.examples.iter().all(|example| example.reconstruction.is_none()));
    assert!(
        audit.not_tried.iter().any(|why| why.starts_with("weights")),
        "{:?}",
        audit.not_tried
    );
}

#[test]
fn too_few_rows_are_not_judged() {
    let truth = truth();
    let mut few = view(&noise(ROWS, 16, 10), &noise(ROWS, 6, 11));
    few.batches.truncate(3);
    let audit = audit(&few, &truth).unwrap();
    assert_eq!((audit.rows, audit.findings.len()), (12, 0));
    assert!(audit.not_tried[0].contains("12 rows are recorded"));
}

/// Gradients of fewer rows than outputs, and the weight's gradient: the activations, whatever they are.
#[test]
fn the_weights_gradient_gives_activations_back_exactly() {
    let mut truth = truth();
    let activation = noise(ROWS, 16, 12);
    let gradient = noise(ROWS, 6, 13);
    let mut view = view(&noise(ROWS, 30, 14), &gradient);
    for (at, batch) in view.batches.iter_mut().enumerate() {
        let rows = s![at * BATCH..(at + 1) * BATCH, ..];
        let [a, dy] = [&activation, &gradient].map(|m| m.slice(rows).mapv(f64::from));
        batch.weight_gradient = Some(dy.t().dot(&a));
        truth.activations.push(a);
    }
    let audit = audit(&view, &truth).unwrap();
    let finding = audit.findings.iter().find(|f| f.target == "activations").unwrap();
    assert!(finding.value > 0.999_99 && finding.rows > ROWS / 2, "{finding:?}");
}
