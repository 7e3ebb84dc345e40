# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Training that is stopped, and memory and files that run out: what was good is kept, and nothing else is left."""

import os
import pty
import re
import resource
import select
import signal
import subprocess
import time

import numpy as np
import onnx
import pytest
from cli_files import COUNT
from make_resnet import make_resnet
from program import PROGRAM, SANITIZED, good
from training_log import lines_of


# ---- interruption

def start_long_run(files, tmp_path, **keywords):
    return subprocess.Popen([PROGRAM, "train", files / "injected.onnx", "-o", tmp_path / "o.onnx", "--data",
                             files / "x.npy", "--labels", files / "y.npy", "--epochs", "900000", "--batch", "16",
                             "--log", tmp_path / "log"], **keywords)


def wait_for_steps(tmp_path, count=3):
    end = time.time() + 60
    while time.time() < end:
        if len(lines_of(tmp_path / "log", "step")) >= count:
            return
        time.sleep(0.02)
    raise AssertionError("no step was logged")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupt_writes_the_output(files, tmp_path, number):
    process = start_long_run(files, tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_steps(tmp_path)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and stdout == ""
    steps = len(lines_of(tmp_path / "log", "step"))
    assert f"interrupted after step {steps} of 2700000" in stderr.splitlines()[-1]
    assert (tmp_path / "o.onnx").read_bytes() != (files / "injected.onnx").read_bytes()
    good("eval", tmp_path / "o.onnx", "--data", files / "x.npy")


def test_a_second_hangup_changes_nothing(files, tmp_path):
    process = start_long_run(files, tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_steps(tmp_path)
    for _ in range(3):
        process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log", "o.onnx"]


@pytest.fixture(scope="session")
def large(tmp_path_factory):
    """An injected model whose file takes a while to write."""
    folder = tmp_path_factory.mktemp("large")
    onnx.save(make_resnet(depth=18, form="imagenet", input_size=(32, 32)), folder / "plain.onnx")
    good("inject", folder / "plain.onnx", "-o", folder / "injected.onnx")
    return folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", ["inject plain.onnx", "merge injected.onnx --no-check"])
def test_a_signal_while_writing_leaves_no_temporary_file(large, tmp_path, command, number):
    word, model, *options = command.split()
    process = subprocess.Popen([PROGRAM, word, large / model, "-o", tmp_path / "o.onnx", *options],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not os.listdir(tmp_path):
        pass
    process.send_signal(number)
    assert process.wait(60) in (-number, 0)
    assert os.listdir(tmp_path) == ["o.onnx"]
    onnx.load(tmp_path / "o.onnx")


def limited(*arguments, limit, kind=resource.RLIMIT_FSIZE):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=300,
                          preexec_fn=lambda: resource.setrlimit(kind, (limit, limit)))


unless_sanitized = pytest.mark.skipif(SANITIZED, reason="the address checker's own memory counts too")


@unless_sanitized
def test_bad_data_is_found_before_memory_is_taken(files, tmp_path):
    for command in (["train", files / "injected.onnx", "-o", tmp_path / "o.onnx", "--labels", files / "y.npy"],
                    ["eval", files / "injected.onnx"]):
        result = limited(*command, "--data", files / "wide.npy", "--batch", "65536", limit=400_000_000,
                         kind=resource.RLIMIT_AS)
        assert result.returncode == 1 and "wide.npy" in result.stderr and "memory" not in result.stderr


@unless_sanitized
def test_memory_that_runs_out_keeps_the_last_good_values(large, files, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(4).integers(0, 256, (COUNT, 32, 32, 3), dtype=np.uint8))
    command = ["train", large / "injected.onnx", "--data", tmp_path / "x.npy", "--labels", files / "y.npy", "--batch",
               "4", "--schedule", "constant", "--mean", "0.5", "--quiet", "--form-policy",
               "definition", "--steps"]
    process = subprocess.Popen([PROGRAM, *command, "1000", "-o", tmp_path / "o.onnx", "--log", tmp_path / "log"],
                               stderr=subprocess.PIPE, text=True)
    wait_for_steps(tmp_path)
    resource.prlimit(process.pid, resource.RLIMIT_AS, (0, 0))  # no more than it has; the definition packs in each step
    stderr = process.communicate(timeout=60)[1]
    match = re.search(r"step (\d+): out of memory .*; the last good values \(after step (\d+)\) are in", stderr)
    assert process.returncode == 1 and match and int(match[1]) == int(match[2]) + 1, stderr
    good(*command, match[2], "-o", tmp_path / "same.onnx")
    assert (tmp_path / "o.onnx").read_bytes() == (tmp_path / "same.onnx").read_bytes()


@unless_sanitized
def test_a_batch_that_is_too_large_says_so(files, tmp_path):
    for command in (["eval", files / "plain.onnx", "--data", files / "f.npy"],
                    ["compare", files / "plain.onnx", files / "plain.onnx"]):
        result = limited(*command, "--batch", "65536", limit=400_000_000, kind=resource.RLIMIT_AS)
        assert result.returncode == 1 and "plain.onnx': " in result.stderr, result.stderr
        assert result.stderr.endswith("; use a smaller --batch\n") and result.stderr.count("plain.onnx'") == 1


def test_a_file_above_the_limit_is_an_error(files, trained, tmp_path):
    data = ["--data", files / "x.npy", "--labels", files / "y.npy", "--steps", "1", "--quiet"]
    for command in (["inject", files / "plain.onnx", "-o"], ["merge", trained / "trained.onnx", "--no-check", "-o"],
                    ["train", files / "injected.onnx", *data, "-o"],
                    ["eval", files / "injected.onnx", "--data", files / "x.npy", "--outputs"]):
        result = limited(*command, tmp_path / "out", limit=1000)
        assert result.returncode == 1 and "File too large" in result.stderr, (command[0], result)
        assert len(result.stderr.splitlines()) == 1 and os.listdir(tmp_path) == []


def test_progress_line_on_a_terminal(files, tmp_path):
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    process = start_long_run(files, tmp_path, stdout=subprocess.PIPE, stderr=follower, env=environment)
    os.close(follower)
    wait_for_steps(tmp_path, 30)
    time.sleep(0.4)
    process.send_signal(signal.SIGINT)
    shown = b""
    while select.select([leader], [], [], 30)[0]:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    process.communicate(timeout=60)
    os.close(leader)
    assert process.returncode == 130
    assert re.search(rb"\r\x1b\[\?7lepoch \d+/900000  step \d+/2700000  loss [\d.]+  accuracy [\d.]+ %  "
                     rb"\d+ images/s  \S+ left", shown)
    assert b"\r\nlorac-onnx train: interrupted after step" in shown
