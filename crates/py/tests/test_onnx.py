"""Models in ONNX files: layers and weights go in."""

import json
import subprocess

import numpy as np
import pytest

import cloven
from cloven._process import program

onnx = pytest.importorskip("onnx", reason="onnx is part of the package's test requirements")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


@pytest.fixture
def trained(tmp_path):
    """A file of a network 64 -> 16 -> 10, and its weights."""
    return write_network(tmp_path)


def write_network(folder):
    rng = np.random.default_rng(1)
    weights = {
        "a": rng.normal(size=(16, 64), scale=0.2).astype(np.float32),
        "b": rng.normal(size=16).astype(np.float32),
        "c": rng.normal(size=(10, 16), scale=0.2).astype(np.float32),
        "d": rng.normal(size=10).astype(np.float32),
    }
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Gemm", ["flat", "a", "b"], ["hidden"], transB=1),
        helper.make_node("Relu", ["hidden"], ["positive"]),
        helper.make_node("Gemm", ["positive", "c", "d"], ["scores"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    path = folder / "network.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path, weights


def test_training_begins_with_the_files_weights(tmp_path, digits, trained):
    x, y = digits
    path, weights = trained
    still = {"type": "sgd", "learning_rate": 1e-12}
    job = cloven.split(path, classes=10, server_layers=[1], protocol="encrypted-activation", epochs=1, optimiser=still)
    run = job.run((x[:320], y[:320], x[320:], y[320:]), runs=tmp_path)
    for name, value in zip(("1.weight", "1.bias", "3.weight", "3.bias"), weights.values(), strict=True):
        assert np.allclose(run.state_dict()[name], value, atol=1e-5), name
    again = cloven.split(path, classes=10, server_layers=[1], epochs=8, batch=16).run((x, y), runs=tmp_path)
    assert again.test_accuracy > 0.8


def test_the_command_reads_it_too(tmp_path, trained):
    path, weights = trained
    line = [*program(), "model", "import", path, "--output", tmp_path / "weights.safetensors"]
    layers = json.loads(subprocess.run([*line, "--json"], capture_output=True, check=True).stdout)
    assert [layer["type"] for layer in layers["layers"]] == ["flatten", "dense", "relu", "dense"]
    assert layers["shape"] == [1, 8, 8] and layers["parameters"] == sum(value.size for value in weights.values())
    text = subprocess.run(line, capture_output=True, check=True, text=True).stdout
    assert "[data]\nshape = " in text and 'type = "dense"' in text
    path.write_bytes(path.read_bytes()[:100])
    failed = subprocess.run(line, capture_output=True, text=True)
    assert failed.returncode == 3 and "network.onnx" in failed.stderr


def test_under_vertical_nobody_may_know_the_first_layer(tmp_path):
    with pytest.raises(cloven.ConfigurationError, match="initial_weights"):
        cloven.run(cloven.template("wdbc", "vertical"), runs=tmp_path, initial_weights="any.safetensors")
