# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""What the chain tests share: running the program, running onnxruntime, measuring, and random images."""

import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import onnx
import onnxruntime

PROGRAM = os.environ["LORAC_ONNX"]
SOURCE = pathlib.Path(os.environ.get("LORAC_SOURCE_DIR", pathlib.Path(__file__).parents[2]))
SHARED = pathlib.Path(os.environ.get("LORAC_SHARED_DIR", SOURCE.parent / "shared"))
FASHION_MODEL = SOURCE / "models" / "resnet14-fashion.onnx"
FASHION_DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")


def run(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)


def good(*arguments):
    result = run(*arguments)
    assert result.returncode == 0, f"{' '.join(map(str, arguments))}\nexit {result.returncode}: {result.stderr}"
    return result


# A process of its own and a small one: a child starts with the peak of the process that it was forked from.
MEASURE = """
import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print(usage.ru_maxrss * 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def measured(*arguments):
    """Run the program; (seconds, peak memory in bytes)."""
    started = time.monotonic()
    result = subprocess.run([sys.executable, "-S", "-E", "-c", MEASURE, PROGRAM, *map(str, arguments)],
                            capture_output=True, text=True)
    seconds = time.monotonic() - started
    assert result.returncode == 0, result.stderr
    return seconds, int(result.stdout.splitlines()[-1])


def session_of(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # IR 3 models get a warning for each initialiser
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def image_shape(session, size=(32, 32)):
    """[C, H, W] of the first input; [size] where height and width are free."""
    channels, *sides = session.get_inputs()[0].shape[1:]
    return [channels, *(side if isinstance(side, int) else given for side, given in zip(sides, size))]


def onnxruntime_outputs(path, images, batch=8):
    """The first output for float images [N,C,H,W]; one by one where the model declares another batch."""
    session = session_of(path)
    declared = session.get_inputs()[0]
    batch = declared.shape[0] if isinstance(declared.shape[0], int) else batch
    first = session.get_outputs()[0].name
    parts = [session.run([first], {declared.name: images[i:i + batch]})[0] for i in range(0, len(images), batch)]
    return np.concatenate(parts)


def our_outputs(path, data, tmp_path, *options):
    good("eval", path, "--data", data, "--outputs", tmp_path / "outputs.npy", "--quiet", *options)
    return np.load(tmp_path / "outputs.npy")


def relative_error(actual, expected):
    """The largest difference over the largest value expected."""
    assert actual.shape == expected.shape
    assert np.isfinite(actual).all() and np.isfinite(expected).all()
    return float(np.abs(actual.astype(np.float64) - expected).max() / np.abs(expected).max())


def random_images(count, shape, seed=0):
    return np.random.default_rng([seed, 7]).standard_normal((count, *shape)).astype(np.float32)


def metadata(model):
    return {entry.key: entry.value for entry in model.metadata_props}


def initializers(model):
    return {tensor.name: tensor for tensor in model.graph.initializer}


def is_valid(path):
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return False
    return True


