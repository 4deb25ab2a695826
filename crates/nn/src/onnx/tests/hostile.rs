//! Files that somebody else wrote.

use super::*;

fn error(graph: &Graph) -> String {
    OnnxModel::parse(&graph.model()).unwrap_err().to_string()
}

#[track_caller]
fn refused(graph: &Graph, expected: &str) {
    let error = error(graph);
    assert!(error.contains(expected), "{error}");
}

#[test]
fn operators_are_refused_by_node_and_name() {
    let one = |operator: &str, attributes: &[Message]| after_dense(&[node(operator, &["v1"], "y", attributes)], "y");
    assert_eq!(
        error(&one("Erf", &[])),
        r#"ONNX node "Erf_y" (Erf): expected an operator that this crate's layers can do, got another"#
    );
    refused(&one("GlobalAveragePool", &[]), "expected samples with channels, got [3]");
    refused(
        &one("MaxPool", &[ints("kernel_shape", &[2, 2])]),
        "expected a window of 0 axes, got [2, 2]",
    );
    refused(&one("Softmax", &[int("axis", 0)]), "axis 1, got [3] and 0");
    refused(&one("ArgMax", &[]), "axis 1, got [3] and 0");
    refused(&one("Flatten", &[int("axis", 0)]), "[batch, features] as the new shape");
    refused(
        &one("Flatten", &[int("axis", i64::MIN)]),
        "[batch, features] as the new shape",
    );
    refused(
        &one("ReduceMean", &[ints("axes", &[i64::MIN, i64::MAX])]),
        "a mean over all axes after the channels",
    );
    refused(&one("Reshape", &[]), "expected 2 inputs, got 1");
    refused(
        &after_dense(&[node("Relu", &["z"], "y", &[])], "y"),
        r#"inputs that are computed before, got "z""#,
    );
    refused(
        &after_dense(&[node("Relu", &["v1"], "v1", &[])], "v1"),
        "an output of its own",
    );
    refused(
        &after_dense(&[], "nothing"),
        r#"output "nothing": expected a node that computes it"#,
    );
    refused(&after_dense(&[], "w"), "a node that computes it");
    refused(
        &after_dense(&[node("Relu", &["w"], "y", &[])], "y"),
        "values of the sample as its input, got a constant",
    );
    let domain = node("Relu", &["v1"], "y", &[]).bytes(7, b"com.example");
    refused(
        &after_dense(&[domain], "y"),
        r#"an operator of ONNX itself, got one of "com.example""#,
    );
    let after_scores = [node("Softmax", &["v1"], "s", &[]), node("Relu", &["s"], "y", &[])];
    refused(&after_dense(&after_scores, "y"), "nothing after the scores");
    let escape = node("\u{1b}[2J", &["v1"], "y", &[]);
    refused(&after_dense(&[escape], "y"), r"(\u{1b}[2J)");
}

#[test]
fn sums_are_biases_or_blocks() {
    let add = |inputs: &[&str]| node("Add", inputs, "y", &[]);
    let relu = || node("Relu", &["v1"], "r", &[]);
    refused(&after_dense(&[add(&["v1", "v1"])], "y"), "a layer in one of the branches");
    refused(
        &after_dense(&[add(&["w", "b"])], "y"),
        "two branches, or a product and a bias",
    );
    refused(&after_dense(&[add(&["v1", "w"])], "y"), "a constant of shape [2, 3]");
    refused(
        &after_dense(&[relu(), add(&["r", "b"])], "y"),
        "a constant after another layer",
    );
    refused(&after_dense(&[relu(), add(&["v1", "b"])], "y"), "got another constant");
    refused(
        &after_dense(&[add(&["v1", "x"])], "y"),
        "branches of the same shape, got [[3], [2]]",
    );
    let after = [add(&["v1", "b"]), node("Relu", &["v1"], "r", &[])];
    refused(&after_dense(&after, "r"), "one to which a bias was added");
    // Ways that part and meet crosswise are no blocks inside each other.
    let crosswise = [
        relu(),
        node("Add", &["r", "v1"], "s", &[]),
        node("Tanh", &["r"], "t", &[]),
        add(&["s", "t"]),
    ];
    refused(
        &after_dense(&crosswise, "y"),
        "branches that part at one place and meet at one Add",
    );
    let in_a_row: Vec<Message> = (0..60)
        .flat_map(|n| {
            let [from, tanh, relu, to] = [format!("d{n}"), format!("t{n}"), format!("r{n}"), format!("d{}", n + 1)];
            let from = if n == 0 { "v1".to_owned() } else { from };
            [
                node("Tanh", &[&from], &tanh, &[]),
                node("Relu", &[&from], &relu, &[]),
                node("Add", &[&tanh, &relu], &to, &[]),
            ]
        })
        .collect();
    let onnx = OnnxModel::parse(&after_dense(&in_a_row, "d60").model()).unwrap();
    assert_eq!(onnx.model.layers.len(), 61);
    let nested: Vec<Message> = (0..6)
        .map(|n| {
            node(
                "Relu",
                &[&if n == 0 { "v1".to_owned() } else { format!("n{}", n - 1) }],
                &format!("n{n}"),
                &[],
            )
        })
        .collect();
    let sums = (0..6).map(|n| {
        let left = if n == 0 { "n5".to_owned() } else { format!("s{}", n - 1) };
        let right = if n == 5 { "v1".to_owned() } else { format!("n{}", 4 - n) };
        node("Add", &[&left, &right], &format!("s{n}"), &[])
    });
    refused(
        &after_dense(&[nested, sums.collect()].concat(), "s5"),
        "at most 4 residual blocks inside each other",
    );
}

#[test]
fn constants_must_be_what_they_say() {
    let with = |tensor: Message| {
        let mut graph = after_dense(&[], "v1");
        graph.initializers = vec![tensor];
        graph
    };
    let header = |axes: &[i64], kind| Message::default().packed(1, axes).number(2, kind).bytes(8, b"w");
    refused(&with(header(&[2, 3], 1).bytes(9, &[0; 20])), "5 numbers for [2, 3]");
    refused(&with(header(&[2, 3], 1).bytes(9, &[0; 23])), "23 bytes");
    refused(&with(header(&[2, 3], 1).bytes(4, &[0; 4])), "1 numbers for [2, 3]");
    refused(&with(header(&[2, 3], 1).bytes(9, &[0xff; 24])), "an infinity or NaN");
    refused(&with(header(&[2, 3], 10).bytes(9, &[0; 12])), "numbers of type 10");
    refused(&with(header(&[-1, 3], 1)), "2 axes with another number of values");
    refused(&with(header(&[1 << 40, 1 << 40], 1)), "2 axes with another number of values");
    refused(&with(header(&[i64::MAX; 33], 1)), "at most 32 numbers of a list");
    refused(
        &with(header(&[2, 3], 1).number(14, 1)),
        "its numbers in the file, got numbers in another file",
    );
    refused(
        &with(raw("w", &ArrayD::zeros(vec![3, 3]))),
        "a matrix that fits them, got [2] and [3, 3]",
    );
    refused(
        &with(raw("w", &ArrayD::zeros(vec![6]))),
        "a matrix that fits them, got [2] and [6]",
    );
    let double = header(&[2, 3], 11).bytes(9, &1.5f64.to_le_bytes().repeat(6));
    assert_eq!(parsed(&with(double)).parameters[0].1, ArrayD::from_elem(vec![3, 2], 1.5));
}

#[test]
fn convolutions_have_limits() {
    let of = |weight: &[usize], attributes: &[Message]| Graph {
        nodes: vec![node("Conv", &["x", "w"], "y", attributes)],
        initializers: vec![raw("w", &ArrayD::zeros(weight.to_vec()))],
        sample: vec![2, 6, 6],
        output: "y".to_owned(),
    };
    refused(&of(&[4, 1, 3, 3], &[int("group", 2)]), "expected group 1, got 2");
    refused(&of(&[4, 1, 3, 3], &[]), "a weight for [2, 6, 6], got [4, 1, 3, 3]");
    refused(&of(&[4, 2, 3, 1], &[]), "the same kernel along all axes");
    refused(&of(&[4, 2, 3, 3], &[ints("strides", &[1, 2])]), "the same stride");
    refused(
        &of(&[4, 2, 3, 3], &[ints("pads", &[0, 0, 1, 1])]),
        "the same padding along all axes and on both sides, got [0, 0, 1, 1]",
    );
    refused(&of(&[4, 2, 3, 3], &[ints("pads", &[-1; 4])]), "the same padding");
    refused(&of(&[4, 2, 3, 3], &[ints("pads", &[3; 4])]), "a layer that fits");
    refused(&of(&[4, 2, 3, 3], &[ints("dilations", &[2, 2])]), "windows without gaps");
    refused(&of(&[4, 2, 7, 7], &[]), "a layer that fits");
    refused(&of(&[4, 2, 3, 3], &[ints("strides", &[i64::MAX; 2])]), "the same stride");
    let pool = |attributes: &[Message]| Graph {
        nodes: vec![node("AveragePool", &["x"], "y", attributes)],
        sample: vec![2, 6, 6],
        output: "y".to_owned(),
        ..Graph::default()
    };
    refused(
        &pool(&[ints("kernel_shape", &[3, 3]), ints("pads", &[1; 4])]),
        "no padding of these windows, got 1",
    );
    refused(
        &pool(&[ints("kernel_shape", &[4, 4]), ints("strides", &[4, 4]), int("ceil_mode", 1)]),
        "ceil_mode",
    );
    let fits = pool(&[ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2]), int("ceil_mode", 1)]);
    assert_eq!(parsed(&fits).model.layers, [avg(2)]);
}

#[test]
fn graphs_have_limits() {
    let graph = after_dense(&[], "v1");
    let bytes = |graph: Message, operators: i64| {
        let set = Message::default().number(2, operators);
        Message::default().message(8, &set).message(7, &graph).0
    };
    let error = |bytes: Vec<u8>| OnnxModel::parse(&bytes).unwrap_err().to_string();
    assert_eq!(error(vec![]), "ONNX model: expected a graph, got none");
    assert_eq!(
        error(bytes(graph.message(), 6)),
        "ONNX model: expected operator set 7 or later, got 6"
    );
    assert!(error(bytes(graph.message().message(11, &input("x2", &[2])), 13)).contains("expected one input"));
    assert!(error(bytes(graph.message().message(12, &input("w", &[])), 13)).contains("expected one output, got 2"));
    let many = vec![Message::default(); 8_001];
    assert!(error(bytes(Message::default().messages(1, &many), 13)).contains("at most 8000 nodes"));
    let mut unknown = graph.clone();
    unknown.sample = vec![usize::MAX];
    refused(&unknown, "1 to 3 axes of known length");
    unknown.sample = vec![1; 4];
    refused(&unknown, "1 to 3 axes of known length");
    let layers: Vec<Message> = (0..1_001)
        .map(|n| node("Relu", &[&format!("v{}", n + 1)], &format!("v{}", n + 2), &[]))
        .collect();
    refused(&after_dense(&layers, "v1002"), "at most 1000 layers");
}

#[test]
fn a_truncated_file_is_an_error_at_any_length() {
    let (_, model) = models().pop().unwrap();
    let (_, arrays, _) = network(&model);
    let bytes = export(&model, &arrays, Style::Gemm).model();
    for length in 0..bytes.len() {
        assert!(OnnxModel::parse(&bytes[..length]).is_err(), "{length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn a_corrupted_file_is_an_error_or_a_network(at in any::<prop::sample::Index>(), byte: u8, matmul: bool) {
        let (_, model) = models().pop().unwrap();
        let (_, arrays, _) = network(&model);
        let mut bytes = export(&model, &arrays, if matmul { Style::MatMul } else { Style::Gemm }).model();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(onnx) = OnnxModel::parse(&bytes) {
            prop_assert!(onnx.network().is_ok());
        }
    }

    #[test]
    fn random_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(OnnxModel::parse(&bytes).is_err());
    }
}
