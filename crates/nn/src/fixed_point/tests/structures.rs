//! Structures that somebody else wrote.

use super::*;

fn structure(input: &[usize], steps: Vec<Step>) -> Structure {
    Structure {
        input: input.to_vec(),
        input_scale: None,
        ring_bits: 32,
        fraction_bits: 8,
        steps,
        layer_ends: Vec::new(),
        ending: Ending::Scores,
    }
}

fn linear(shape: LinearShape) -> Step {
    Step::Linear {
        layer: "0".to_owned(),
        shape,
    }
}

fn non_linear(operation: Operation, truncation: u32) -> Step {
    Step::NonLinear {
        layer: "0".to_owned(),
        operation,
        truncation,
    }
}

fn pool(image: [usize; 3], size: [usize; 2], stride: usize, padding: usize) -> Window {
    Window {
        image,
        size,
        stride,
        padding,
    }
}

fn error(input: &[usize], steps: Vec<Step>) -> String {
    refused(structure(input, steps).check())
}

#[test]
fn shapes_must_fit() {
    let dense = |inputs, outputs| linear(LinearShape::Dense { inputs, outputs });
    assert_eq!(
        error(&[3], vec![dense(4, 2)]),
        "fixed point: step 0, input: expected 4 values, got 3"
    );
    assert_eq!(
        error(&[3], vec![dense(3, 2), dense(3, 2)]),
        "fixed point: step 1, input: expected 3 values, got 2"
    );
    for shape in [(0, 1), (3, 0), (3, usize::MAX), (1 << 20, 1 << 20)] {
        assert!(
            error(&[3], vec![dense(shape.0, shape.1)]).contains("possible sizes"),
            "{shape:?}"
        );
    }
    let convolution = |channels, image, kernel, stride, padding| {
        let shape = LinearShape::Convolution {
            channels,
            image,
            kernel,
            stride,
            padding,
        };
        error(&[1], vec![linear(shape)])
    };
    let huge = usize::MAX;
    for problem in [
        convolution([1, 1], [1, 1], 2, 1, 0),
        convolution([1, 1], [2, 2], 1, 0, 0),
        convolution([1, 1], [2, 2], 1, 1, 1),
        convolution([huge, 1], [2, 2], 1, 1, 0),
        convolution([1, 1], [2, 2], huge, 1, huge),
        convolution([1, 1], [4096, 4096], 4096, 1, 4095),
        convolution([1, 1 << 24], [4096, 4096], 1, 1, 0),
    ] {
        assert!(problem.contains("possible sizes"), "{problem}");
    }
    let max = |window| error(&[16], vec![non_linear(Operation::MaxPool(window), 0)]);
    for window in [
        pool([0, 4, 4], [2, 2], 1, 0),
        pool([1, 4, 4], [0, 2], 1, 0),
        pool([1, 4, 4], [2, 2], 0, 0),
        pool([1, 4, 4], [5, 2], 1, 0),
        pool([1, 4, 4], [2, 2], 1, 2),
        pool([huge, huge, 4], [2, 2], 1, 0),
        pool([1, 4096, 4096], [2048, 2048], 1, 0),
    ] {
        assert!(max(window).contains("windows on a plane"), "{window:?}");
    }
    assert!(max(pool([1, 4, 3], [2, 2], 1, 0)).contains("expected 12 values, got 16"));
    for input in [&[][..], &[0], &[1, 1, 1, 1], &[huge, 2], &[1 << 25]] {
        assert!(error(input, vec![]).contains("1 to 3 axes"), "{input:?}");
    }
    let mut named = vec![dense(3, 2)];
    if let Step::Linear { layer, .. } = &mut named[0] {
        *layer = "\u{1b}[2J".to_owned();
    }
    assert!(error(&[3], named).contains("a place such as 3.body.0"));
    assert!(error(&[1], vec![Step::Offset { value: 0 }; 4001]).contains("at most 4000"));
}

#[test]
fn scales_must_fit() {
    let one = || linear(LinearShape::Dense { inputs: 1, outputs: 1 });
    let check = |steps| structure(&[1], steps).output_scale();
    assert_eq!(check(vec![one(), one()]).unwrap(), 24);
    let ways = structure(&[1], vec![one(), non_linear(Operation::Relu, 8)]);
    assert_eq!(
        (ways.scales().unwrap(), ways.sizes().unwrap()),
        (vec![8, 16, 8], vec![1, 1, 1])
    );
    assert!(refused(check(vec![one(), one(), one()])).contains("a scale below 32, got 32"));
    assert_eq!(check(vec![one(), non_linear(Operation::Relu, 8)]).unwrap(), 8);
    for truncation in [0, 7, 9, u32::MAX] {
        let error = refused(check(vec![one(), non_linear(Operation::Relu, truncation)]));
        assert!(error.contains("16 less the fraction's 8"), "{error}");
    }
    let join = |body_shift, shortcut_shift| Step::Join {
        body_shift,
        shortcut_shift,
    };
    let block = |body, shortcut| vec![Step::Fork, one(), Step::Turn, join(body, shortcut)];
    assert_eq!(check(block(0, 8)).unwrap(), 16);
    assert_eq!(check(block(1, 9)).unwrap(), 17);
    for (body, shortcut) in [(0, 0), (8, 0), (u32::MAX, u32::MAX), (u32::MAX, 7)] {
        assert!(check(block(body, shortcut)).is_err(), "{body} {shortcut}");
    }
    let sum = |multiplier, scale_bits, padding| Step::SumPool {
        window: pool([1, 1, 1], [1, 1], 1, padding),
        multiplier,
        scale_bits,
    };
    assert_eq!(check(vec![sum(3, 2, 0)]).unwrap(), 10);
    for wrong in [
        sum(0, 0, 0),
        sum(-1, 0, 0),
        sum(1 << 24, 0, 0),
        sum(1, 32, 0),
        sum(1, u32::MAX, 0),
        sum(1, 0, 1),
    ] {
        assert!(check(vec![wrong]).is_err());
    }
    for value in [1 << 31, i64::MIN, i64::MAX] {
        assert!(refused(check(vec![Step::Offset { value }])).contains("a number below 2^31"));
    }
}

#[test]
fn branches_must_fit() {
    let join = || Step::Join {
        body_shift: 0,
        shortcut_shift: 0,
    };
    assert!(error(&[1], vec![Step::Fork]).contains("an end for each"));
    assert!(error(&[1], vec![Step::Turn]).contains("a body before it"));
    assert!(error(&[1], vec![join()]).contains("a shortcut before it"));
    assert!(error(&[1], vec![Step::Fork, join()]).contains("a shortcut before it"));
    assert!(error(&[1], vec![Step::Fork, Step::Turn, Step::Turn]).contains("a body before it"));
    assert!(error(&[1], vec![Step::Fork; 5]).contains("at most 4 inside each other"));
    assert!(structure(&[1], vec![Step::Fork, Step::Turn, join()]).check().is_ok());
}

#[test]
fn a_structure_is_the_same_after_json() {
    for (name, model) in models() {
        let structure = converted(&model, 32, 8).structure().clone();
        let text = serde_json::to_string(&structure).unwrap();
        assert_eq!(serde_json::from_str::<Structure>(&text).unwrap(), structure, "{name} {text}");
    }
    let text = r#"{"step":"linear","layer":"0","shape":{"dense":{"inputs":1,"outputs":2}}}"#;
    assert_eq!(
        serde_json::to_string(&linear(LinearShape::Dense { inputs: 1, outputs: 2 })).unwrap(),
        text
    );
}

#[test]
fn ends_of_layers_and_scales_of_inputs_are_checked() {
    let steps = || vec![linear(LinearShape::Dense { inputs: 2, outputs: 2 })];
    let with = |layer_ends: Vec<usize>, input_scale| {
        let structure = structure(&[2], steps());
        Structure {
            layer_ends,
            input_scale,
            ..structure
        }
        .check()
        .is_ok()
    };
    assert!(with(vec![], None) && with(vec![0, 1, 1], Some(9)));
    for ends in [vec![0], vec![2], vec![1, 0], vec![1, 0, 1]] {
        assert!(!with(ends, None));
    }
    assert!(!with(vec![1], Some(32)));
}
