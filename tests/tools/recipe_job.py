# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""A job: a folder with a recipe and all that it names."""

import struct
import zlib

import numpy as np
import onnx
import pytest
from make_resnet import make_resnet
from program import run

COUNT, SIDE = 48, 16

RECIPE = """
model:
  file: plain.onnx
adapter:
  rank: 2
  freeze_a: true
  train_last: true
  overrides:
    - {layers: layer2, rank: 4, alpha: 16}
data:
  images: x.npy
  labels: y.npy
  range: [0, 40]
  mean: 0.5
  std: [0.25, 0.25, 0.5]
  seed: 3
train:
  epochs: 2
  batch: 8
  lr: 0.02
  shuffle: false
  nesterov: true
augment:
  kind: crop-flip
eval:
  images: x.npy
  labels: y.npy
  range: 40:48
output:
  merged: out/merged.onnx
  adapter: out/adapter.safetensors
  log: out/log.json
"""


@pytest.fixture
def job(tmp_path):
    random = np.random.default_rng(1)
    folder = tmp_path / "job"
    (folder / "out").mkdir(parents=True)
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(SIDE, SIDE)), folder / "plain.onnx")
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(SIDE, SIDE), bn="folded"), folder / "folded.onnx")
    np.save(folder / "x.npy", random.integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8))
    np.save(folder / "y.npy", random.integers(0, 10, COUNT))
    (folder / "job.yaml").write_text(RECIPE)
    return folder


def files_of(folder):
    return {path.name: path.read_bytes() for path in (folder / "out").iterdir() if path.suffix != ".json"}


def refused(job, *words, code=2, command="run"):
    """The message of a run that is refused before its first step; nothing is written."""
    before = {path: path.read_bytes() for path in job.rglob("*") if path.is_file()}
    message = None
    for dry in (["-n"], []):
        result = run(command, "job.yaml", *words, *dry, cwd=job)
        assert result.returncode == code, result.stdout + result.stderr
        assert result.stdout == "" and result.stderr.count("\n") == 1
        assert message in (None, result.stderr)
        message = result.stderr
    assert {path: path.read_bytes() for path in job.rglob("*") if path.is_file()} == before
    return message


def write_png(path, pixels):
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks))
