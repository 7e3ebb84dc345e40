"""The oracle itself: onnxruntime must agree with the plain loops of tests/ref on every row of kernel_rows.h."""
import pathlib
import subprocess

import numpy as np
import onnx
import onnxruntime
import pytest

# float32 sums in onnxruntime, relative to the largest output.
TOLERANCE = 1e-5
# What onnxruntime says of valid models that it cannot run.
ITS_LIMITS = ("Dilation not supported for AutoPadType",)
PROGRAM = pathlib.Path("test_runtime_kernels")  # ctest runs us beside it


@pytest.fixture(scope="module")
def dumped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    subprocess.run([str(PROGRAM.resolve()), "--dump", str(folder)], check=True)
    return folder


def run(path, x):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def test_oracle_agrees_with_onnxruntime(dumped):
    models = sorted(dumped.glob("*.onnx"))
    assert len(models) > 150
    wrong = []
    for path in models:
        text = path.with_suffix(".txt").read_text()
        dims = [d.dim_value for d in onnx.load(path).graph.input[0].type.tensor_type.shape.dim]
        x = np.fromfile(path.with_suffix(".x")).astype(np.float32).reshape(dims)
        expected = np.fromfile(path.with_suffix(".y"))
        try:
            got = run(path, x)
        except Exception as error:
            if not any(limit in str(error) for limit in ITS_LIMITS):
                wrong.append(f"{text}: {error}")
            continue
        if got.size != expected.size:
            wrong.append(f"{text}: shape {got.shape}, the oracle has {expected.size} elements")
            continue
        error, largest = np.abs(got.ravel() - expected).max(), np.abs(expected).max()
        if not error <= TOLERANCE * largest:
            wrong.append(f"{text}: differs by {error:.3g}, the largest output is {largest:.3g}")
    assert not wrong, "\n".join(wrong)
