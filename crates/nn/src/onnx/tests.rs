//! ONNX files made from networks give the same network; everything else is an error that says where.

use std::collections::BTreeMap;

use ndarray::ArrayD;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use self::encoder::*;
use super::*;
use crate::LayerSpec;

mod encoder;
mod hostile;

type Arrays = BTreeMap<String, ArrayD<f32>>;

/// How a file writes the same things.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    /// As PyTorch: Gemm with a transposed weight, Flatten, raw initializers.
    Gemm,
    /// As others: MatMul and Add, biases of convolutions added, Reshape, constants as nodes.
    MatMul,
}

/// A writer of networks.
struct Export<'a> {
    graph: Graph,
    arrays: &'a Arrays,
    style: Style,
    count: usize,
}

impl Export<'_> {
    fn fresh(&mut self) -> String {
        self.count += 1;
        format!("v{}", self.count)
    }

    fn constant(&mut self, name: &str, array: &ArrayD<f32>) {
        match self.style {
            Style::Gemm => self.graph.initializers.push(raw(name, array)),
            Style::MatMul => {
                let value = tensor("value", &listed("", array));
                self.graph.nodes.push(node("Constant", &[], name, &[value]));
            }
        }
    }

    fn array(&mut self, name: &str) -> String {
        self.constant(name, &self.arrays[name].clone());
        name.to_owned()
    }

    fn push(&mut self, operator: &str, inputs: &[&str], attributes: &[Message]) -> String {
        let output = self.fresh();
        self.graph.nodes.push(node(operator, inputs, &output, attributes));
        output
    }

    fn bias(&mut self, name: &str, from: &str, axes: usize) -> String {
        let bias = self.arrays[name].clone();
        let shape = [vec![bias.len()], vec![1; axes]].concat();
        self.constant(name, &bias.into_shape_with_order(shape).unwrap());
        self.push("Add", &[from, name], &[])
    }

    fn layers(&mut self, layers: &[LayerSpec], prefix: &str, mut at: String) -> String {
        for (index, layer) in layers.iter().enumerate() {
            at = self.layer(layer, format!("{prefix}{index}"), at);
        }
        at
    }

    fn layer(&mut self, layer: &LayerSpec, place: String, at: String) -> String {
        let name = |end: &str| format!("{place}.{end}");
        match *layer {
            LayerSpec::Dense { bias, .. } => self.dense(&place, bias, &at),
            LayerSpec::Conv2d {
                kernel,
                stride,
                padding,
                bias,
                ..
            } => {
                let weight = self.array(&name("weight"));
                let [k, s, p] = [kernel, stride, padding].map(|number| number as i64);
                let attributes = [
                    ints("kernel_shape", &[k, k]),
                    ints("strides", &[s, s]),
                    ints("pads", &[p; 4]),
                    int("group", 1),
                ];
                match (bias, self.style) {
                    (true, Style::Gemm) => {
                        let bias = self.array(&name("bias"));
                        self.push("Conv", &[&at, &weight, &bias], &attributes)
                    }
                    (true, Style::MatMul) => {
                        let product = self.push("Conv", &[&at, &weight], &attributes);
                        self.bias(&name("bias"), &product, 2)
                    }
                    (false, _) => self.push("Conv", &[&at, &weight], &attributes),
                }
            }
            LayerSpec::MaxPool2d { size, stride, padding } => {
                let [k, s, p] = [size, stride.unwrap_or(size), padding].map(|number| number as i64);
                let attributes = [
                    ints("kernel_shape", &[k, k]),
                    ints("strides", &[s, s]),
                    ints("pads", &[p; 4]),
                    int("ceil_mode", 0),
                ];
                self.push("MaxPool", &[&at], &attributes)
            }
            LayerSpec::AvgPool2d { size, stride } => {
                let [k, s] = [size, stride.unwrap_or(size)].map(|number| number as i64);
                self.push(
                    "AveragePool",
                    &[&at],
                    &[ints("kernel_shape", &[k, k]), ints("strides", &[s, s])],
                )
            }
            LayerSpec::GlobalAvgPool2d {} if self.style == Style::MatMul => {
                self.push("ReduceMean", &[&at], &[ints("axes", &[-1, -2]), int("keepdims", 1)])
            }
            LayerSpec::GlobalAvgPool2d {} => self.push("GlobalAveragePool", &[&at], &[]),
            LayerSpec::BatchNorm { epsilon, momentum } => {
                let ends = ["weight", "bias", "running_mean", "running_var"];
                let names = ends.map(|end| self.array(&name(end)));
                let inputs: Vec<&str> = [&at].into_iter().chain(&names).map(String::as_str).collect();
                let attributes = [float("epsilon", epsilon as f32), float("momentum", 1.0 - momentum as f32)];
                self.push("BatchNormalization", &inputs, &attributes)
            }
            LayerSpec::Relu {} => self.push("Relu", &[&at], &[]),
            LayerSpec::Sigmoid {} => self.push("Sigmoid", &[&at], &[]),
            LayerSpec::Tanh {} => self.push("Tanh", &[&at], &[]),
            LayerSpec::LeakyRelu { slope } => self.push("LeakyRelu", &[&at], &[float("alpha", slope as f32)]),
            LayerSpec::Flatten {} if self.style == Style::MatMul => {
                self.graph.initializers.push(integers(&name("shape"), &[0, -1]));
                self.push("Reshape", &[&at, &name("shape")], &[])
            }
            LayerSpec::Flatten {} => self.push("Flatten", &[&at], &[int("axis", 1)]),
            LayerSpec::Residual { ref body, ref shortcut } => {
                let body = self.layers(body, &name("body."), at.clone());
                let shortcut = self.layers(shortcut, &name("shortcut."), at);
                self.push("Add", &[&shortcut, &body], &[])
            }
            ref other => panic!("no export of {other:?}"),
        }
    }

    fn dense(&mut self, place: &str, bias: bool, at: &str) -> String {
        let name = |end: &str| format!("{place}.{end}");
        if self.style == Style::Gemm {
            let mut inputs = vec![at.to_owned(), self.array(&name("weight"))];
            if bias {
                inputs.push(self.array(&name("bias")));
            }
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            return self.push("Gemm", &inputs, &[float("alpha", 1.0), int("transB", 1)]);
        }
        let weight = self.arrays[&name("weight")]
            .clone()
            .reversed_axes()
            .as_standard_layout()
            .to_owned();
        self.constant(&name("weight"), &weight);
        let product = self.push("MatMul", &[at, &name("weight")], &[]);
        match bias {
            true => self.bias(&name("bias"), &product, 0),
            false => product,
        }
    }
}

fn export(model: &ModelSpec, arrays: &Arrays, style: Style) -> Graph {
    let mut export = Export {
        graph: Graph {
            sample: model.input.clone(),
            ..Graph::default()
        },
        arrays,
        style,
        count: 0,
    };
    let output = export.layers(&model.layers, "", "x".to_owned());
    export.graph.output = output;
    export.graph
}

fn dense(outputs: usize) -> LayerSpec {
    LayerSpec::Dense { outputs, bias: true }
}

fn conv(channels: usize, kernel: usize, stride: usize, padding: usize, bias: bool) -> LayerSpec {
    LayerSpec::Conv2d {
        channels,
        kernel,
        stride,
        padding,
        bias,
    }
}

fn avg(size: usize) -> LayerSpec {
    LayerSpec::AvgPool2d {
        size,
        stride: Some(size),
    }
}

fn max(size: usize, padding: usize) -> LayerSpec {
    LayerSpec::MaxPool2d {
        size,
        stride: Some(2),
        padding,
    }
}

fn norm() -> LayerSpec {
    LayerSpec::BatchNorm {
        epsilon: 1e-3,
        momentum: 0.25,
    }
}

const RELU: LayerSpec = LayerSpec::Relu {};
const FLATTEN: LayerSpec = LayerSpec::Flatten {};

fn models() -> Vec<(&'static str, ModelSpec)> {
    let minionn = vec![
        conv(16, 5, 1, 0, true),
        avg(2),
        RELU,
        conv(16, 5, 1, 0, true),
        avg(2),
        RELU,
        FLATTEN,
        dense(100),
        RELU,
        dense(10),
    ];
    let lenet = vec![
        conv(20, 5, 1, 0, true),
        max(2, 0),
        RELU,
        conv(50, 5, 1, 0, true),
        max(3, 1),
        RELU,
        FLATTEN,
        dense(500),
        RELU,
        dense(10),
    ];
    let block = |channels, stride| LayerSpec::Residual {
        body: vec![
            conv(channels, 3, stride, 1, false),
            norm(),
            RELU,
            conv(channels, 3, 1, 1, false),
            norm(),
        ],
        shortcut: if stride == 1 {
            vec![]
        } else {
            vec![conv(channels, 1, stride, 0, false), norm()]
        },
    };
    let inner = LayerSpec::Residual {
        body: vec![LayerSpec::Tanh {}, block(4, 1), LayerSpec::LeakyRelu { slope: 0.125 }],
        shortcut: vec![],
    };
    let resnet = vec![
        conv(4, 3, 1, 1, false),
        norm(),
        RELU,
        inner,
        RELU,
        block(8, 2),
        RELU,
        LayerSpec::GlobalAvgPool2d {},
        FLATTEN,
        dense(5),
        LayerSpec::Sigmoid {},
    ];
    let flat = vec![LayerSpec::Dense { outputs: 7, bias: false }, norm(), RELU, dense(3)];
    let spec = |input: &[usize], layers| ModelSpec {
        input: input.to_vec(),
        layers,
    };
    vec![
        ("minionn", spec(&[1, 28, 28], minionn)),
        ("lenet", spec(&[1, 28, 28], lenet)),
        ("resnet", spec(&[3, 9, 7], resnet)),
        ("flat", spec(&[6], flat)),
    ]
}

/// A network with trained-looking numbers, and a batch.
fn network(model: &ModelSpec) -> (Network, Arrays, ArrayD<f32>) {
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let mut uniform = |low: f32| low + (rng.next_u32() >> 8) as f32 / (1 << 24) as f32;
    let mut network = Network::new(model, 0..model.layers.len(), 5).unwrap();
    let mut buffers = network.buffers();
    for (name, values) in &mut buffers {
        let low = if name.ends_with("var") { 0.5 } else { -0.5 };
        values.mapv_inplace(|_| uniform(low));
    }
    network.set_buffers(&buffers).unwrap();
    let x = ArrayD::from_shape_simple_fn(network.batch_shape(3), || uniform(-0.5));
    let arrays = network.parameters().into_iter().chain(buffers).collect();
    (network, arrays, x)
}

#[test]
fn files_give_the_network_back() {
    for (name, model) in models() {
        let (network, arrays, x) = network(&model);
        let expected = network.forward(&x).unwrap();
        for style in [Style::Gemm, Style::MatMul] {
            let onnx = OnnxModel::parse(&export(&model, &arrays, style).model()).unwrap();
            assert_eq!(onnx.model, model, "{name}");
            assert_eq!(onnx.arrays().into_iter().collect::<Arrays>(), arrays, "{name}");
            assert!(onnx.notes.is_empty() && !onnx.arg_max);
            let actual = onnx.network().unwrap().forward(&x).unwrap();
            for (actual, expected) in actual.iter().zip(&expected) {
                assert!((actual - expected).abs() < 1e-5, "{name}: {actual} and {expected}");
            }
        }
    }
}

#[test]
fn a_file_becomes_a_model_in_fixed_point() {
    use crate::fixed_point::{Ending, FixedModel};
    let (_, model) = models().swap_remove(0);
    let (network, arrays, x) = network(&model);
    let onnx = OnnxModel::parse(&export(&model, &arrays, Style::Gemm).model()).unwrap();
    let fixed = FixedModel::convert(&onnx.model, &onnx.arrays(), 32, 12, Ending::Scores).unwrap();
    let report = fixed.compare(&x, &network.forward(&x).unwrap(), &[0; 3]).unwrap();
    assert!(report.largest_difference < 0.01, "{report:?}");
}

#[test]
fn a_file_is_read_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let (_, model) = models().pop().unwrap();
    let (_, arrays, _) = network(&model);
    std::fs::write(&path, export(&model, &arrays, Style::Gemm).model()).unwrap();
    assert_eq!(OnnxModel::read(&path).unwrap().model, model);
    std::fs::write(&path, b"not a model").unwrap();
    let error = OnnxModel::read(&path).unwrap_err().to_string();
    assert!(
        error.contains("model.onnx: ONNX model: expected a protobuf message"),
        "{error}"
    );
    assert!(OnnxModel::read(&folder.path().join("none")).is_err());
}

/// A graph with one dense layer "v1" = x W, with more nodes after it.
fn after_dense(nodes: &[Message], output: &str) -> Graph {
    let weight = ArrayD::from_shape_vec(vec![2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let mut all = vec![node("MatMul", &["x", "w"], "v1", &[])];
    all.extend_from_slice(nodes);
    Graph {
        nodes: all,
        initializers: vec![raw("w", &weight), listed("b", &ArrayD::from_elem(vec![1, 3], 0.5))],
        sample: vec![2],
        output: output.to_owned(),
    }
}

fn parsed(graph: &Graph) -> OnnxModel {
    OnnxModel::parse(&graph.model()).unwrap()
}

#[test]
fn what_does_nothing_to_scores_is_left_out_with_a_note() {
    let nodes = [
        node("Identity", &["v1"], "i", &[]),
        node("Dropout", &["i"], "d", &[]),
        node("Softmax", &["d"], "s", &[int("axis", 1)]),
    ];
    let onnx = parsed(&after_dense(&nodes, "s"));
    assert_eq!(onnx.model.layers, [LayerSpec::Dense { outputs: 3, bias: false }]);
    assert_eq!(
        onnx.notes,
        [
            r#"node "Dropout_d" (Dropout) left out: it does nothing in use"#,
            r#"node "Softmax_s" (Softmax) left out: what comes out are scores"#
        ]
    );
    let arg_max = |from: &str| node("ArgMax", &[from], "a", &[int("axis", 1), int("keepdims", 0)]);
    assert!(parsed(&after_dense(&[arg_max("v1")], "a")).arg_max);
    let both = [node("LogSoftmax", &["v1"], "s", &[int("axis", -1)]), arg_max("s")];
    let onnx = parsed(&after_dense(&both, "a"));
    assert!(onnx.arg_max);
    assert_eq!(onnx.notes.len(), 2);
}

#[test]
fn numbers_that_come_apart_are_put_together() {
    // Two biases one after the other, a factor and a reshaped constant.
    let onnx = parsed(&after_dense(
        &[node("Add", &["v1", "b"], "v2", &[]), node("Add", &["b", "v2"], "v3", &[])],
        "v3",
    ));
    assert_eq!(onnx.parameters[1].1, ArrayD::from_elem(vec![3], 1.0));
    let mut graph = after_dense(&[], "g");
    graph.nodes = vec![
        node("Reshape", &["w", "shape"], "r", &[]),
        node("Identity", &["r"], "r2", &[]),
        node(
            "Gemm",
            &["x", "r2", "c"],
            "g",
            &[float("alpha", 2.0), float("beta", 4.0), int("transB", 1)],
        ),
    ];
    graph.initializers.push(integers("shape", &[3, -1]));
    graph.initializers.push(raw("c", &ArrayD::from_elem(vec![], 0.25)));
    let onnx = parsed(&graph);
    assert_eq!(
        onnx.parameters[0].1.iter().copied().collect::<Vec<_>>(),
        [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]
    );
    assert_eq!(onnx.parameters[1].1, ArrayD::from_elem(vec![3], 1.0));
}

#[test]
fn a_constant_matrix_may_be_transposed() {
    // As PyTorch writes a dense layer without bias.
    let mut graph = after_dense(&[], "y");
    graph.nodes = vec![
        node("Transpose", &["w"], "t", &[ints("perm", &[1, 0])]),
        node("MatMul", &["x", "t"], "y", &[]),
    ];
    graph.sample = vec![3];
    let weight = ArrayD::from_shape_vec(vec![2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    assert_eq!(parsed(&graph).parameters, [("0.weight".to_owned(), weight)]);
    let x = ArrayD::from_shape_vec(vec![1, 3], vec![1.0, 0.0, -1.0]).unwrap();
    let y = parsed(&graph).network().unwrap().forward(&x).unwrap();
    assert_eq!(y.iter().copied().collect::<Vec<_>>(), [-2.0, -2.0]);
    graph.nodes[0] = node("Transpose", &["w"], "t", &[ints("perm", &[0, 1])]);
    let error = OnnxModel::parse(&graph.model()).unwrap_err().to_string();
    assert!(error.contains("a matrix and its two axes exchanged, got [0, 1]"), "{error}");
}

#[test]
fn padding_may_be_said_in_words() {
    let weight = ArrayD::from_elem(vec![1, 1, 3, 3], 1.0);
    let graph = |attributes: &[Message]| Graph {
        nodes: vec![node("Conv", &["x", "w"], "y", attributes)],
        initializers: vec![raw("w", &weight)],
        sample: vec![1, 6, 6],
        output: "y".to_owned(),
    };
    let padding = |way: &str, stride| {
        let onnx = OnnxModel::parse(&graph(&[text("auto_pad", way), ints("strides", &[stride; 2])]).model());
        match onnx.map_err(|error| error.to_string())?.model.layers[..] {
            [LayerSpec::Conv2d { padding, .. }] => Ok::<_, String>(padding),
            ref other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        [
            padding("SAME_UPPER", 1),
            padding("SAME_LOWER", 1),
            padding("VALID", 2),
            padding("NOTSET", 1)
        ],
        [Ok(1), Ok(1), Ok(0), Ok(0)]
    );
    let error = padding("SAME_UPPER", 2).unwrap_err();
    assert!(
        error.ends_with("expected the same padding on both sides, got 1 in all"),
        "{error}"
    );
    assert!(padding("OTHER", 1).is_err());
}
