"""A PyTorch ``nn.Sequential``, or a model in an ONNX file, as a split job: weights in, weights out."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cloven import _cloven
from cloven._job import Job
from cloven._run import Run, run


class SplitJob:
    """A job made of a model, whose weights training begins with; a PyTorch model has the trained ones afterwards."""

    def __init__(self, model: Any, job: Job, places: dict[str, str], weights: dict[str, Any] | None = None):
        self.model = model
        self.job = job
        self._places = places
        """Prefix of a parameter's name in the model, by that in the job."""
        self._weights = weights
        """Those of a model in a file."""

    def initial_weights(self) -> dict[str, Any]:
        """The model's weights as they are now, by the names that they have in the job, as numpy arrays."""
        import numpy as np

        if self._weights is not None:
            return dict(self._weights)
        theirs = self.model.state_dict()
        weights = {}
        for ours, prefix in self._places.items():
            for name, value in theirs.items():
                owner, _, parameter = name.rpartition(".")
                if owner == prefix and parameter != "num_batches_tracked":
                    weights[f"{ours}.{parameter}"] = np.ascontiguousarray(value.detach().cpu().float().numpy())
        return weights

    def write_weights(self, path: str | os.PathLike[str]) -> Path:
        """Writes :meth:`initial_weights` as safetensors, for ``initial_weights`` in a party's ``local.toml``."""
        from safetensors.numpy import save_file

        save_file(self.initial_weights(), os.fspath(path))
        return Path(path)

    def run(self, data: Any = None, *, client: str | None = None, **options: Any) -> Run:
        """Trains from the model's weights with every party as a process of this machine, then gives the model the trained ones. ``data`` and ``options`` are
        those of :func:`cloven.run`; of several clients, the model gets the layers of ``client``."""
        with tempfile.TemporaryDirectory(prefix="cloven-") as folder:
            weights = self.write_weights(Path(folder) / "initial.safetensors")
            done = run(self.job, data, initial_weights=weights, **options)
        if self._weights is None:
            self.load(done, client=client)
        return done

    def load(self, run: Run, *, client: str | None = None) -> None:
        """Gives the model the weights that a run of this job has trained."""
        import torch

        state = self.model.state_dict()
        for name, value in run.state_dict(client=client).items():
            ours, _, parameter = name.rpartition(".")
            place = f"{self._places[ours]}.{parameter}"
            state[place] = torch.from_numpy(value).to(state[place])
        self.model.load_state_dict(state)


def split(
    model: Any,
    *,
    shape: Sequence[int] | None = None,
    server_layers: int | Iterable[int],
    classes: int | None = None,
    protocol: str = "plain",
    clients: str | Sequence[str] = "client",
    server: str = "server",
    loss: str = "cross-entropy",
    optimiser: Mapping[str, Any] | None = None,
    epochs: int = 10,
    batch: int = 32,
    name: str = "own",
    set: Mapping[str, Any] | None = None,
    **sections: Any,
) -> SplitJob:
    """A job that trains an ``nn.Sequential``, or the model of an ONNX file, split between a client, who has data, labels, first and last layers, and a server.

    ``shape`` is that of one sample (an ONNX file has its own); ``server_layers`` are the numbers of the model's modules that the server holds, of an ONNX
    file those of its layers as the job has them (``cloven model import`` shows them); protocol ``enclave`` takes them all. Further ``sections`` of the job (``encryption={...}``) are passed on; ``set`` changes values.

        job = cloven.split(model, shape=(1, 128), classes=5, server_layers=[7], protocol="encrypted-activation")
        run = job.run((x, y, x_test, y_test))        # the model has the trained weights now
    """
    weights: dict[str, Any] | None = None
    places: dict[str, str]
    numbers: dict[int, list[int]]
    if isinstance(model, (str, os.PathLike)):
        layers, shape, weights = _onnx(model)
        places, numbers = {}, {number: [number] for number in range(len(layers))}
    else:
        layers, places, numbers = _layers(model)
    if shape is None:
        raise TypeError("shape is missing: that of one sample")
    wanted = [server_layers] if isinstance(server_layers, int) else list(server_layers)
    clients = [clients] if isinstance(clients, str) else list(clients)
    try:
        held = sorted(number for module in wanted for number in numbers[module if module >= 0 else module + len(numbers)])
    except KeyError as error:
        raise ValueError(f"server_layers: the model has modules 0 to {len(numbers) - 1}, got {error.args[0]}") from None
    data: dict[str, Any] = {"name": name, "shape": list(shape)}
    if classes is not None:
        data["classes"] = classes
    data.update(sections.pop("data", {}))
    training = {
        "epochs": epochs,
        "batch": batch,
        "loss": loss,
        "optimiser": dict(optimiser or {"type": "adamw", "learning_rate": 1e-3}),
        **sections.pop("training", {}),
    }
    parties = sections.pop("parties", None) or {**{client: "client" for client in clients}, server: "server"}
    cut = {} if protocol == "enclave" else {"server_layers": held}
    job = Job(protocol=protocol, parties=parties, data=data, model={**cut, "layers": layers}, training=training, **sections)
    return SplitJob(model, Job(job, set=set) if set else job, places, weights)


def _onnx(model: str | os.PathLike[str]) -> tuple[list[dict[str, Any]], list[int], dict[str, Any]]:
    """Layers, shape of a sample, and weights of an ONNX file."""
    from safetensors.numpy import load_file

    with tempfile.TemporaryDirectory(prefix="cloven-") as folder:
        path = str(Path(folder) / "weights.safetensors")
        imported = json.loads(_cloven.import_onnx(os.fspath(model), path))
        return imported["layers"], imported["shape"], load_file(path)


def _layers(model: Any) -> tuple[list[dict[str, Any]], dict[str, str], dict[int, list[int]]]:
    """Layers as a job has them; the module's name for each layer's number; the numbers of the layers of each module."""
    from torch import nn

    if not isinstance(model, nn.Sequential):
        raise TypeError(f"the model must be a torch.nn.Sequential, got {type(model).__name__}")
    layers: list[dict[str, Any]] = []
    places: dict[str, str] = {}
    numbers: dict[int, list[int]] = {}

    def add(module: Any, name: str, number: int) -> None:
        if isinstance(module, nn.Sequential):
            for child, inner in module.named_children():
                add(inner, f"{name}.{child}", number)
        elif not isinstance(module, nn.Identity):
            numbers[number].append(len(layers))
            places[str(len(layers))] = name
            layers.append(_layer(module, name))

    for number, (name, module) in enumerate(model.named_children()):
        numbers[number] = []
        add(module, name, number)
    return layers, places, numbers


def _layer(module: Any, name: str) -> dict[str, Any]:
    for kind, make in _makers().items():
        # Not a subclass, which may compute something else.
        if type(module) is kind:
            return make(module, lambda problem: TypeError(f"module {name} ({module}): {problem}"))
    known = ", ".join(kind.__name__ for kind in _makers())
    raise TypeError(f"module {name} ({module}) is of no kind that a job has: {known}, Sequential, Identity")


def _makers() -> dict[type, Callable[[Any, Callable[[str], Exception]], dict[str, Any]]]:
    from torch import nn

    def plain(kind: str) -> Callable[..., dict[str, Any]]:
        return lambda module, wrong: {"type": kind}

    def dense(module: Any, wrong: Any) -> dict[str, Any]:
        return {"type": "dense", "outputs": module.out_features, "bias": module.bias is not None}

    def convolution(kind: str) -> Callable[..., dict[str, Any]]:
        def make(module: Any, wrong: Any) -> dict[str, Any]:
            if module.groups != 1 or module.padding_mode != "zeros" or _one(module.dilation, "dilation", wrong) != 1:
                raise wrong("groups, dilation and padding of other values than zero are not supported")
            kernel, stride = _one(module.kernel_size, "kernel_size", wrong), _one(module.stride, "stride", wrong)
            if isinstance(module.padding, str):
                padding = _padding(module.padding, kernel, stride, wrong)
            else:
                padding = _one(module.padding, "padding", wrong)
            return {
                "type": kind,
                "channels": module.out_channels,
                "kernel": kernel,
                "stride": stride,
                "padding": padding,
                "bias": module.bias is not None,
            }

        return make

    def largest(kind: str) -> Callable[..., dict[str, Any]]:
        def make(module: Any, wrong: Any) -> dict[str, Any]:
            if module.ceil_mode or module.return_indices or _one(module.dilation, "dilation", wrong) != 1:
                raise wrong("ceil_mode, return_indices and dilation are not supported")
            layer = _pool(kind, module, wrong)
            padding = _one(module.padding, "padding", wrong)
            if padding and kind == "max-pool1d":
                raise wrong("padding is not supported")
            return {**layer, "padding": padding} if padding else layer

        return make

    def mean(kind: str) -> Callable[..., dict[str, Any]]:
        def make(module: Any, wrong: Any) -> dict[str, Any]:
            if module.ceil_mode or _one(module.padding, "padding", wrong) != 0 or getattr(module, "divisor_override", None):
                raise wrong("ceil_mode, padding and divisor_override are not supported")
            return _pool(kind, module, wrong)

        return make

    def global_mean(kind: str) -> Callable[..., dict[str, Any]]:
        def make(module: Any, wrong: Any) -> dict[str, Any]:
            if _one(module.output_size, "output_size", wrong) != 1:
                raise wrong("output_size must be 1")
            return {"type": kind}

        return make

    def batch_norm(module: Any, wrong: Any) -> dict[str, Any]:
        if not module.affine or not module.track_running_stats or module.momentum is None:
            raise wrong("affine, track_running_stats and a momentum are needed")
        return {"type": "batch-norm", "epsilon": module.eps, "momentum": module.momentum}

    def layer_norm(module: Any, wrong: Any) -> dict[str, Any]:
        if not module.elementwise_affine or module.bias is None:
            raise wrong("weight and bias are needed")
        return {"type": "layer-norm", "axes": len(module.normalized_shape), "epsilon": module.eps}

    def gelu(module: Any, wrong: Any) -> dict[str, Any]:
        if module.approximate != "none":
            raise wrong("only the exact form, approximate='none'")
        return {"type": "gelu"}

    def flatten(module: Any, wrong: Any) -> dict[str, Any]:
        if (module.start_dim, module.end_dim) != (1, -1):
            raise wrong("only whole samples are flattened")
        return {"type": "flatten"}

    return {
        nn.Linear: dense,
        nn.Conv1d: convolution("conv1d"),
        nn.Conv2d: convolution("conv2d"),
        nn.MaxPool1d: largest("max-pool1d"),
        nn.MaxPool2d: largest("max-pool2d"),
        nn.AvgPool1d: mean("avg-pool1d"),
        nn.AvgPool2d: mean("avg-pool2d"),
        nn.AdaptiveAvgPool1d: global_mean("global-avg-pool1d"),
        nn.AdaptiveAvgPool2d: global_mean("global-avg-pool2d"),
        nn.BatchNorm1d: batch_norm,
        nn.BatchNorm2d: batch_norm,
        nn.LayerNorm: layer_norm,
        nn.ReLU: plain("relu"),
        nn.LeakyReLU: lambda module, wrong: {"type": "leaky-relu", "slope": module.negative_slope},
        nn.Sigmoid: plain("sigmoid"),
        nn.Tanh: plain("tanh"),
        nn.GELU: gelu,
        nn.Flatten: flatten,
        nn.Dropout: lambda module, wrong: {"type": "dropout", "rate": module.p},
    }


def _one(value: Any, what: str, wrong: Any) -> int:
    """The number that all axes have."""
    values = {value} if isinstance(value, int) else {*value}
    if len(values) != 1:
        raise wrong(f"{what} must be the same along all axes")
    return values.pop()


def _pool(kind: str, module: Any, wrong: Any) -> dict[str, Any]:
    size = _one(module.kernel_size, "kernel_size", wrong)
    return {"type": kind, "size": size, "stride": _one(module.stride, "stride", wrong)}


def _padding(word: str, kernel: int, stride: int, wrong: Any) -> int:
    if word == "valid":
        return 0
    if kernel % 2 == 0 or stride != 1:
        raise wrong("padding='same' needs an odd kernel and stride 1")
    return kernel // 2
