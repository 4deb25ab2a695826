"""PyTorch models, where PyTorch is installed."""

import numpy as np
import pytest

import cloven

torch = pytest.importorskip("torch", reason="needs PyTorch")
from torch import nn  # noqa: E402


def model():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3, padding="same"), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Identity(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )


@pytest.mark.parametrize("protocol, server_layers", [("plain", [4, 5]), ("encrypted-activation", 4)])
def test_weights_go_in_and_come_out(tmp_path, digits, protocol, server_layers):
    x, y = digits
    network = model()
    job = cloven.split(
        network, shape=(1, 8, 8), classes=10, server_layers=server_layers, protocol=protocol, epochs=1, batch=32,
        optimiser={"type": "sgd", "learning_rate": 1e-12}, set={"encryption": {}} if protocol != "plain" else None,
    )  # fmt: skip
    before = {name: value.clone() for name, value in network.state_dict().items()}
    job.run((x[:320], y[:320], x[320:], y[320:]), runs=tmp_path / "still")
    # With steps of nothing the weights are those that went in, but for what a batch says of itself.
    for name, value in network.state_dict().items():
        if "running" not in name and "tracked" not in name:
            assert torch.allclose(value, before[name], atol=1e-6), name
    trained = cloven.split(
        network, shape=(1, 8, 8), classes=10, server_layers=server_layers, protocol=protocol, epochs=2, batch=32
    )
    run = trained.run((torch.from_numpy(x), torch.from_numpy(y)), runs=tmp_path / "trained")
    network.eval()
    with torch.no_grad():
        here = torch.softmax(network(torch.from_numpy(x[:50])), 1).numpy()
    assert np.allclose(here, run.predict(torch.from_numpy(x[:50])), atol=1e-3)
    assert run.test_accuracy > 0.7


def test_what_cannot_be_split_is_named():
    for module, problem in [
        (nn.Conv2d(2, 2, 3, groups=2), "groups"),
        (nn.LSTM(3, 3), "of no kind"),
        (nn.Conv2d(1, 1, (3, 5)), "same along all axes"),
        (nn.Flatten(0), "whole samples"),
    ]:
        with pytest.raises(TypeError, match=problem):
            cloven.split(nn.Sequential(module), shape=(1, 8, 8), server_layers=0)
    with pytest.raises(ValueError, match="modules 0 to 6, got 9"):
        cloven.split(model(), shape=(1, 8, 8), server_layers=9)
    with pytest.raises(TypeError, match="Sequential"):
        cloven.split(nn.Linear(1, 1), shape=(1,), server_layers=0)
