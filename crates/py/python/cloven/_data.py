"""Arrays and frames to where a party's process finds them.

Parties are processes of their own, so arrays reach them as files: in a folder that only this user can read and that goes when the run is over. An array is
written from where it lies, without a copy in memory, unless its elements are of a type that the reader does not know.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Samples:
    """A client's rows: ``x`` is ``[rows, sample shape...]``, ``y`` a class each (integers from 0), a label row each (0 and 1, with ``multi_label``
    in the job) or values (floats, for a regression). Without a test part the job's ``test_fraction`` is held back."""

    x: Any
    y: Any
    x_test: Any = None
    y_test: Any = None


@dataclass
class Columns:
    """A holder's table under protocol ``vertical``: ``frame`` is a pandas frame or a CSV or Parquet file, ``ids`` the columns that say whom a row is
    about, ``target`` the column of the labels (the label holder's), ``drop`` columns that stay out."""

    frame: Any
    ids: Sequence[str]
    target: str | None = None
    drop: Sequence[str] = ()
    categorical: Sequence[str] = ()
    preprocess: Mapping[str, Any] = field(default_factory=dict)


def source_of(data: Any, folder: Path) -> dict[str, Any]:
    """The ``[data]`` table of a party's settings; arrays are written into ``folder``."""
    if isinstance(data, Columns):
        return _columns(data, folder)
    if isinstance(data, Samples):
        return _samples(data, folder)
    if isinstance(data, Mapping):
        return dict(data)
    if isinstance(data, (str, os.PathLike)):
        return {"train": os.path.abspath(data)}
    if isinstance(data, Sequence) and len(data) in (2, 4):
        return _samples(Samples(*data), folder)
    raise TypeError(
        "data is (x, y), (x, y, x_test, y_test), cloven.Samples, cloven.Columns, a file, or the [data] table of a local.toml as a dict; "
        f"got {type(data).__name__}"
    )


def _samples(data: Samples, folder: Path) -> dict[str, Any]:
    import numpy as np

    x, y = features(data.x), labels(data.y)
    npy: dict[str, Any] = {"train_labels": str(_save(folder, "y", y)), "regression": bool(np.issubdtype(y.dtype, np.floating))}
    source: dict[str, Any] = {"train": str(_save(folder, "x", x)), "npy": npy}
    if (data.x_test is None) != (data.y_test is None):
        raise TypeError("x_test and y_test go together")
    if data.x_test is not None:
        source["test"] = str(_save(folder, "x_test", features(data.x_test)))
        npy["test_labels"] = str(_save(folder, "y_test", labels(data.y_test)))
    return source


def _columns(data: Columns, folder: Path) -> dict[str, Any]:
    if isinstance(data.frame, (str, os.PathLike)):
        path = os.path.abspath(data.frame)
    else:
        path = str(folder / "table.csv")
        data.frame.to_csv(path, index=False)
    options: dict[str, Any] = {"drop": list(data.drop)} if data.drop else {}
    if data.target is not None:
        options["target"] = data.target
    source: dict[str, Any] = {"train": path, "ids": list(data.ids)}
    if data.categorical:
        source["categorical"] = list(data.categorical)
    if data.preprocess:
        source["preprocess"] = dict(data.preprocess)
    if options:
        source["parquet" if path.endswith(".parquet") else "csv"] = options
    return source


def features(x: Any) -> Any:
    """As an array of numbers that the reader knows."""
    import numpy as np

    x = array(x)
    if x.dtype == np.bool_:
        return x.view(np.uint8)
    if x.dtype.kind not in "iuf":
        raise TypeError(f"features are numbers, got an array of {x.dtype}")
    if x.dtype.kind == "f" and x.dtype.itemsize not in (4, 8):
        return x.astype(np.float32)
    return x


def labels(y: Any) -> Any:
    """Classes as integers, values of a regression as floats."""
    import numpy as np

    y = array(y)
    if y.dtype == np.bool_:
        return y.view(np.uint8)
    if y.dtype.kind not in "iuf":
        raise TypeError(
            f"labels are classes (integers from 0) or values (floats), got an array of {y.dtype}: numpy.unique(y, return_inverse=True)[1] numbers them"
        )
    return y


def array(values: Any) -> Any:
    """As a numpy array; of a torch tensor, without a copy where it lies in main memory."""
    import numpy as np

    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":
            values = values.float()
        values = values.numpy()
    elif hasattr(values, "to_numpy"):
        values = values.to_numpy()
    return np.asarray(values)


def input_file(values: Any, folder: Path, name: str) -> str:
    """Rows to predict, as a file."""
    if isinstance(values, (str, os.PathLike)):
        return os.path.abspath(values)
    if hasattr(values, "to_csv"):
        path = folder / f"{name}.csv"
        values.to_csv(path, index=False)
        return str(path)
    return str(_save(folder, name, features(values)))


def _save(folder: Path, name: str, values: Any) -> Path:
    import numpy as np

    path = folder / f"{name}.npy"
    np.save(path, values, allow_pickle=False)
    return path


def arguments(**values: Any) -> str:
    """Arguments of the native half."""
    return json.dumps(values, default=os.fspath)
