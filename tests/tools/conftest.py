# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Files that the tests of several modules read and none may change."""

import pytest
from cli_files import save_files
from program import good


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    save_files(folder)
    return folder


@pytest.fixture(scope="session")
def trained(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    result = good("train", files / "injected.onnx", "-o", folder / "trained.onnx", "--data", files / "x.npy",
                  "--labels", files / "y.npy", "--epochs", "3", "--batch", "16", "--lr", "0.05", "--threads", "1",
                  "--log", folder / "log")
    (folder / "stdout").write_text(result.stdout)
    (folder / "stderr").write_text(result.stderr)
    good("merge", folder / "trained.onnx", "-o", folder / "merged.onnx")
    return folder
