# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""The log of train: its lines against docs/log.md, docs/log.md against `help log`, and what must be in them."""

import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import time

import numpy as np
import onnx
import pytest
from make_resnet import make_resnet
from PIL import Image
from program import PROGRAM, run
from test_help import rows_of_help
from training_log import lines_of

DOCS = pathlib.Path(os.environ.get("LORAC_SOURCE_DIR", pathlib.Path(__file__).parents[2])) / "docs" / "log.md"
SIDE, COUNT, BATCH = 8, 40, 8


def keys_of_docs():
    """{event: [(key, type, always, meaning)]}"""
    events = {}
    for line in DOCS.read_text().splitlines():
        if line.startswith("## "):
            rows = events.setdefault(line[3:], [])
        match = re.match(r"\| `(\S+)`(, not always)? \| (\w+) \| (.*) \|$", line)
        if match:
            rows.append((match[1], match[3], not match[2], match[4]))
    return events


KEYS = keys_of_docs()


def test_help_log_says_what_the_docs_say():
    listed = {}
    for line in run("help", "log").stdout.split("\n\n")[1].splitlines():
        event, key, kind, sometimes, meaning = re.match(r"  (\w+)\.(\S+) +(\w+) +(\? )?(.*)$", line).groups()
        listed.setdefault(event, []).append((key, kind, not sometimes, meaning))
    assert listed == KEYS


KINDS = {"text": (str, type(None)), "integer": (int,), "number": (int, float, type(None)), "list": (list,),
         "object": (dict,)}


def check_object(event, prefix, found):
    rows = {key[len(prefix):]: (kind, always) for key, kind, always, _ in KEYS[event]
            if key.startswith(prefix) and not re.search(r"[.\[]", key[len(prefix):])}
    assert set(found) <= set(rows), (event, prefix)
    for key, (kind, always) in rows.items():
        assert not always or key in found, (event, prefix + key)
        if key not in found:
            continue
        assert isinstance(found[key], KINDS[kind]) and not isinstance(found[key], bool), (event, prefix + key)
        inner = [known for known, *_ in KEYS[event]]
        if any(known.startswith(f"{prefix}{key}.") for known in inner):
            check_object(event, f"{prefix}{key}.", found[key])
        if any(known.startswith(f"{prefix}{key}[].") for known in inner):
            for row in found[key]:
                check_object(event, f"{prefix}{key}[].", row)


def check_log(path):
    lines = lines_of(path)
    for line in lines:
        assert list(line)[0] == "event"
        check_object(line["event"], "", {key: value for key, value in line.items() if key != "event"})
    assert lines[0]["event"] == "start" and [line["event"] for line in lines].count("start") == 1
    return lines


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(3)
    onnx.save(make_resnet(depth=8, width=0.25, input_size=(SIDE, SIDE)), folder / "plain.onnx")
    assert run("inject", folder / "plain.onnx", "-o", folder / "injected.onnx", "-q", "--mean", "0.5").returncode == 0
    np.save(folder / "x.npy", random.integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8))
    np.save(folder / "y.npy", np.arange(COUNT) % 10)
    return folder


def command(files, tmp_path, *options):
    return [str(word) for word in ("train", files / "injected.onnx", "-o", tmp_path / "o.onnx", "--data",
                                   files / "x.npy", "--labels", files / "y.npy", "--batch", BATCH, "--log",
                                   tmp_path / "log", *options)]


def train(files, tmp_path, *options):
    result = run(*command(files, tmp_path, *options))
    assert result.returncode == 0, result.stderr
    return check_log(tmp_path / "log"), result


def test_a_run_with_validation(files, tmp_path):
    lines, result = train(files, tmp_path, "--val", "0.25", "--epochs", "5", "--lr", "0.1", "--memory-budget", "50M")
    steps, epochs, best = ([line for line in lines if line["event"] == event] for event in ("step", "epoch", "best"))
    start, end = lines[0], lines[-1]
    assert start["format"] == 1 and abs(start["time"] - time.time()) < 300
    assert (start["images"], start["validation_images"], start["classes"]) == (30, 10, 10)
    assert (start["steps"], start["steps_per_epoch"], start["epochs"]) == (15, 3, 5)
    assert start["memory_budget"]["bytes"] == 50_000_000
    assert start["memory_budget"]["predicted_peak_bytes"] == start["predicted_peak_bytes"]
    assert [line["step"] for line in steps] == list(range(1, 16))
    assert [(line["epoch"], line["step"]) for line in epochs] == [(i, 3 * i) for i in range(1, 6)]
    for epoch in epochs:
        mean = np.mean([line["loss"] for line in steps if line["epoch"] == epoch["epoch"]])
        assert epoch["loss"] == pytest.approx(mean, rel=1e-7)
        said = epoch["validation"]
        assert said["images"] == 10 and said["accuracy"] == pytest.approx(said["correct"] / 10)
    # A line best follows its epoch's; the last of them is what was written.
    for line in best:
        before = lines[lines.index(line) - 1]
        assert (before["event"], before["epoch"], before["step"]) == ("epoch", line["epoch"], line["step"])
        assert (before["validation"]["accuracy"], before["validation"]["loss"]) == (line["accuracy"], line["loss"])
    assert (end["event"], end["reason"], end["step"], end["kept"]) == ("end", "done", 15, "best")
    assert end["written"] == str(tmp_path / "o.onnx")
    assert (end["best_epoch"], end["best_accuracy"]) == (best[-1]["epoch"], best[-1]["accuracy"])
    assert f"best after epoch {end['best_epoch']}: accuracy {100 * end['best_accuracy']:.2f} %" in result.stdout


def test_a_run_without(files, tmp_path):
    lines, _ = train(files, tmp_path, "--steps", "7")
    assert [line["event"] for line in lines] == ["start"] + 5 * ["step"] + ["epoch"] + 2 * ["step"] + ["epoch", "end"]
    assert all("validation" not in line for line in lines)
    assert lines[0]["validation_images"] == 0 and "memory_budget" not in lines[0]
    assert lines[-1]["kept"] == "last" and "best_epoch" not in lines[-1] and "message" not in lines[-1]


def test_options_are_those_of_help_with_their_values(files, tmp_path):
    lines, _ = train(files, tmp_path, "--steps", "1", "--optimizer", "adamw", "--no-shuffle", "--mean", "0.5,0.25,1",
                     "--range", "3:30", "--seed", "18446744073709551615")
    start = lines[0]
    names = [name for _, name, *_ in rows_of_help(run("train", "-h").stdout)]
    assert list(start["options"]) == names
    assert start["given"] == [name for name in names if name in (
        "output", "data", "labels", "batch", "log", "steps", "optimizer", "no-shuffle", "mean", "range", "seed")]
    expected = {"optimizer": "adamw", "no-shuffle": True, "nesterov": False, "mean": [0.5, 0.25, 1], "std": [],
                "range": "3:30", "batch": BATCH, "momentum": 0.9, "val": None, "input-size": None,
                "schedule": "cosine", "seed": "18446744073709551615", "log": str(tmp_path / "log"), "keep": None}
    assert {name: start["options"][name] for name in expected} == expected
    assert start["lr"] == 0.001  # AdamW's own default


def test_patience(files, tmp_path):
    lines, _ = train(files, tmp_path, "--val", "0.25", "--epochs", "99", "--lr", "1e-30", "--patience", "2")
    assert (lines[-1]["reason"], lines[-1]["step"], lines[-1]["best_epoch"]) == ("patience", 9, 1)


def test_interrupted(files, tmp_path):
    process = subprocess.Popen([PROGRAM, *command(files, tmp_path, "--epochs", "900000")], stderr=subprocess.PIPE)
    while len(lines_of(tmp_path / "log", "step")) < 3:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    lines = check_log(tmp_path / "log")
    steps = lines_of(tmp_path / "log", "step")
    assert process.returncode == 130
    assert (lines[-1]["reason"], lines[-1]["step"]) == ("interrupted", steps[-1]["step"])
    assert f"stopped after step {steps[-1]['step']} of" in lines[-1]["message"]


def comparable(lines, *left_out):
    """Without what may differ from run to run: times, and the name of the output."""
    differs = {"seconds", "images_per_second", "written"}
    rows = []
    for line in lines:
        row = {key: value for key, value in line.items() if key not in differs}
        if "validation" in row:
            row["validation"] = {key: value for key, value in row["validation"].items() if key not in differs}
        if row["event"] not in left_out:
            rows.append(row)
    return rows


@pytest.mark.parametrize("stop_at", [7, 9, 10])  # 9 is the end of an epoch, which is validated after it went on
def test_a_run_that_goes_on(files, tmp_path, stop_at):
    """Lines of steps, epochs and best as if nothing had been, whatever the first run wrote after its checkpoint."""
    options = ("--val", "0.25", "--epochs", "6", "--lr", "0.1", "--schedule", "constant")
    resumed, whole = tmp_path / "resumed", tmp_path / "whole"
    resumed.mkdir()
    whole.mkdir()
    undisturbed, _ = train(files, whole, *options)
    checkpoints = ("--checkpoint", tmp_path / "checkpoints", "--checkpoint-steps", stop_at, "--checkpoint-keep", 9,
                   "--resume")
    process = subprocess.Popen([PROGRAM, *command(files, resumed, *options, *checkpoints)], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    while not lines_of(resumed / "log", "checkpoint")[1:]:  # the first is of step 0
        assert process.poll() is None or lines_of(resumed / "log", "end")
    process.kill()
    process.communicate()
    for name in sorted((tmp_path / "checkpoints").iterdir(), reverse=True):
        if name.suffix and int(re.sub(r"\D", "", name.name) or 0) > stop_at:
            name.unlink()  # the run may have gone on before it was killed
    lines, _ = train(files, resumed, *options, *checkpoints)
    assert [line["step"] for line in lines if line["event"] == "resume"] == [stop_at]
    assert comparable(lines[1:], "checkpoint", "resume") == comparable(undisturbed[1:])
    assert lines[-2]["event"] != "end" and (resumed / "o.onnx").read_bytes() == (whole / "o.onnx").read_bytes()


def test_images_that_cannot_be_read(files, tmp_path):
    """One of those that are trained on, one of those that are validated on: each once, and one less is scored."""
    broken = []
    for name in ("data", "val"):
        for i, image in enumerate(np.load(files / "x.npy")):
            path = tmp_path / name / f"class{i % 10}" / f"{i:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
        path.write_bytes(path.read_bytes()[:40])
        broken.append(str(path))
    result = run("train", files / "injected.onnx", "-o", tmp_path / "o.onnx", "--data", tmp_path / "data", "--val",
                 tmp_path / "val", "--broken-share", "0.5", "--batch", str(BATCH), "--epochs", "3", "--log",
                 tmp_path / "log")
    assert result.returncode == 0, result.stderr
    lines = [line for line in check_log(tmp_path / "log") if line["event"] == "broken_image"]
    assert len(lines) == 2 and all(path in line["message"] for path, line in zip(broken, lines))
    assert all(result.stderr.count(path) == 1 for path in broken)
    assert {line["validation"]["images"] for line in lines_of(tmp_path / "log", "epoch")} == {COUNT - 1}


def test_the_time_is_up(files, tmp_path):
    result = run(*command(files, tmp_path, "--epochs", "900000", "--max-minutes", "0.001"))
    end = check_log(tmp_path / "log")[-1]
    assert result.returncode == 4 and end["reason"] == "time" and end["written"]


def test_a_step_that_fails(files, tmp_path):
    result = run(*command(files, tmp_path, "--lr", "1e25", "--clip-norm", "0", "--schedule", "constant"))
    lines = check_log(tmp_path / "log")
    assert result.returncode == 1 and (lines[-1]["event"], lines[-1]["reason"]) == ("end", "failed")
    assert lines[-1]["message"] in result.stderr
    assert lines[-1]["step"] == len(lines_of(tmp_path / "log", "step"))
    assert (lines[-1]["written"] is None) == (lines[-1]["step"] == 0)


def test_an_output_that_cannot_be_written(files, tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    words = command(files, tmp_path, "--epochs", "900000")
    words[words.index("-o") + 1] = str(folder / "o.onnx")
    process = subprocess.Popen([PROGRAM, *words], stderr=subprocess.PIPE, text=True)
    while len(lines_of(tmp_path / "log", "step")) < 3:
        time.sleep(0.02)
    folder.rmdir()
    process.send_signal(signal.SIGINT)
    stderr = process.communicate(timeout=60)[1]
    end = check_log(tmp_path / "log")[-1]
    assert process.returncode == 1 and (end["reason"], end["written"], end["kept"]) == ("failed", None, "last")
    assert "o.onnx" in end["message"] and end["message"] in stderr


def test_a_log_that_cannot_be_written_whole(files, tmp_path):
    """It ends before the line that does not fit; training goes on, and the model is written."""
    limit = (files / "injected.onnx").stat().st_size + 10000
    words = command(files, tmp_path, "--steps", limit // 60, "--quiet")
    result = subprocess.run([PROGRAM, *words], capture_output=True, text=True, timeout=120,
                            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert result.returncode == 1
    assert result.stderr == f"lorac-onnx train: --log '{tmp_path / 'log'}': could not be written whole\n"
    assert f"trained {limit // 60} steps" in result.stdout
    whole = (tmp_path / "o.onnx").read_bytes()
    lines = check_log(tmp_path / "log")
    assert len(lines_of(tmp_path / "log", "step")) < limit // 60 and lines[-1]["event"] != "end"
    assert (tmp_path / "log").stat().st_size <= limit
    train(files, tmp_path, "--steps", limit // 60)
    assert (tmp_path / "o.onnx").read_bytes() == whole


def test_what_is_written_is_json_for_names_that_are_not_utf8(files, tmp_path):
    os.link(files / "injected.onnx", os.fsencode(tmp_path) + b"/m\xff.onnx")
    words = [os.fsencode(word) for word in command(files, tmp_path, "--steps", "1")]
    words[1] = os.fsencode(tmp_path) + b"/m\xff.onnx"
    assert subprocess.run([PROGRAM, *words], capture_output=True, timeout=60).returncode == 0
    assert check_log(tmp_path / "log")[0]["model"].endswith("m?.onnx")


def test_the_example_of_the_docs(files, tmp_path):
    train(files, tmp_path, "--steps", "3")
    code = next(line.strip() for line in DOCS.read_text().splitlines() if line.startswith("    losses = "))
    names = {"json": json, "open": lambda name: open(tmp_path / name)}
    exec(code, names)
    assert len(names["losses"]) == 3
