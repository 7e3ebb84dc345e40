# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""--tune and its file: written, used again, merged, and no failure where it cannot be. No time is judged."""

import json
import os
import subprocess

import numpy as np
import onnx
import pytest
from make_resnet import make_resnet

PROGRAM = os.environ["LORAC_ONNX"]
SIDE, COUNT = 8, 8
NOTHING = "tune: nothing had to be measured"


def run(*arguments, cache_home=None, home=None):
    environment = {name: value for name, value in os.environ.items() if name not in ("XDG_CACHE_HOME", "HOME")}
    if cache_home:
        environment["XDG_CACHE_HOME"] = str(cache_home)
    if home:
        environment["HOME"] = str(home)
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=300,
                          env=environment)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(3)
    onnx.save(make_resnet(depth=8, width=0.25, input_size=(SIDE, SIDE)), folder / "plain.onnx")
    assert run("inject", folder / "plain.onnx", "-o", folder / "injected.onnx", "-q", "--normalize",
               "none").returncode == 0
    np.save(folder / "x.npy", random.integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8))
    np.save(folder / "y.npy", random.integers(0, 10, COUNT))
    return folder


def train(files, output, *options, **keywords):
    result = run("train", files / "injected.onnx", "-o", output, "--data", files / "x.npy", "--labels",
                 files / "y.npy", "--batch", 4, "--steps", 2, "--threads", 1, "--tune", *options, **keywords)
    assert result.returncode == 0, result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def first(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("first")
    notes = train(files, folder / "o.onnx", "--tune-cache", folder / "tune.json", "--log", folder / "log")
    assert "tune: measured how to run " in notes
    return folder


def test_the_file(first):
    content = json.loads((first / "tune.json").read_text())
    assert content["format"] == "lorac-onnx tune cache" and content["version"] == 1
    assert content["choices"]
    for key, choice in content["choices"].items():
        assert key.startswith("kernels ") and ", 1 thread: 4x" in key
        assert "forward" in choice and set(choice) <= {"forward", "gradient", "form"}


def test_used_again_nothing_is_measured_and_the_bits_are_the_same(files, first, tmp_path):
    before = (first / "tune.json").read_bytes()
    notes = train(files, tmp_path / "o.onnx", "--tune-cache", first / "tune.json", "--log", tmp_path / "log")
    assert NOTHING in notes and "measured how" not in notes
    assert (first / "tune.json").read_bytes() == before
    assert (tmp_path / "o.onnx").read_bytes() == (first / "o.onnx").read_bytes()
    rows = {}
    for folder, chosen in ((first, "measured"), (tmp_path, "given")):
        line, *others = [json.loads(text) for text in (folder / "log").read_text().splitlines()]
        rows[folder] = line["convolutions"]
        assert len(rows[folder]) == 9 and not any("convolutions" in other for other in others)
        assert {row.pop("chosen") for row in rows[folder]} <= {chosen, "rule"}
    assert rows[first] == rows[tmp_path]
    assert {row["form"] for row in rows[first]} & {"definition", "branch"}


def test_eval_and_bench_have_their_own_entries(files, first, tmp_path):
    cache = tmp_path / "tune.json"
    cache.write_bytes((first / "tune.json").read_bytes())
    before = json.loads(cache.read_text())["choices"]
    evaluate = ["eval", files / "injected.onnx", "--data", files / "x.npy", "--batch", 4, "--threads", 1, "--tune",
                "--tune-cache", cache]
    notes = run(*evaluate).stderr
    after = json.loads(cache.read_text())["choices"]
    assert "measured how" in notes and before.items() < after.items()
    assert NOTHING in run(*evaluate).stderr
    # A step of bench is one of train.
    bench = run("bench", files / "injected.onnx", "--batch", 4, "--threads", 1, "--steps", 1, "--json", "--tune",
                "--tune-cache", cache)
    assert NOTHING in bench.stderr and json.loads(bench.stdout)["start_seconds"]["tune"] < 1
    # Another batch is another convolution.
    assert "measured how" in run(*[8 if option == 4 else option for option in evaluate]).stderr


@pytest.mark.parametrize("content, word", [
    (b"", "line"), (b"{\"format\": ", "line"), (b"\0\1\2", "line"), (b"[]", "no tune cache"),
    (b'{"format": "lorac-onnx tune cache", "version": 2, "choices": {}}', "no tune cache of version 1"),
    (b'{"format": "another", "version": 1, "choices": {}}', "no tune cache"),
    (b'{"format": "lorac-onnx tune cache", "version": 1, "choices": []}', "no tune cache")])
def test_a_file_that_is_none_is_written_anew(files, tmp_path, content, word):
    (tmp_path / "tune.json").write_bytes(content)
    notes = train(files, tmp_path / "o.onnx", "--tune-cache", tmp_path / "tune.json")
    assert word in notes and "not used, and written anew" in notes and "measured how" in notes
    assert json.loads((tmp_path / "tune.json").read_text())["choices"]
    assert NOTHING in train(files, tmp_path / "o.onnx", "--tune-cache", tmp_path / "tune.json")


@pytest.mark.parametrize("row", [{"forward": 3}, 7, None, {"forward": "x" * 1000, "gradient": [], "form": {}},
                                 {"forward": "no such", "gradient": "no such", "form": "no such"}])
def test_rows_that_are_none(files, first, tmp_path, row):
    content = json.loads((first / "tune.json").read_text())
    content["choices"] = {key: row for key in content["choices"]}
    (tmp_path / "tune.json").write_text(json.dumps(content))
    train(files, tmp_path / "o.onnx", "--tune-cache", tmp_path / "tune.json")


def test_what_others_wrote_stays(files, first, tmp_path):
    content = json.loads((first / "tune.json").read_text())
    foreign = {key.replace("kernels ", "kernels 9"): {"forward": "future"} for key in content["choices"]}
    (tmp_path / "tune.json").write_text(json.dumps(content | {"choices": foreign, "more": 1}))
    assert "measured how" in train(files, tmp_path / "o.onnx", "--tune-cache", tmp_path / "tune.json")
    after = json.loads((tmp_path / "tune.json").read_text())
    assert foreign.items() < after["choices"].items() and set(content["choices"]) < set(after["choices"])
    assert after["more"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.onnx", "tune.json"]


def test_the_users_own_file(files, tmp_path):
    assert "measured how" in train(files, tmp_path / "o.onnx", cache_home=tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "lorac-onnx" / "tune.json").exists()
    assert "measured how" in train(files, tmp_path / "o.onnx", home=tmp_path / "home")
    assert (tmp_path / "home" / ".cache" / "lorac-onnx" / "tune.json").exists()
    assert NOTHING in train(files, tmp_path / "o.onnx", home=tmp_path / "home", cache_home="relative")


def test_a_file_that_cannot_be_written_is_no_failure(files, tmp_path):
    (tmp_path / "file").write_text("")
    for cache in (tmp_path / "no" / "tune.json", tmp_path / "file" / "tune.json", tmp_path):
        notes = train(files, tmp_path / "o.onnx", "--tune-cache", cache)
        assert "measured how" in notes and "warning: what was measured could not be kept" in notes, notes
    notes = train(files, tmp_path / "o.onnx")
    assert "neither XDG_CACHE_HOME nor HOME" in notes


# What packs nothing is slower, so that it is never measured as the fastest; the rule has it for small budgets.
def test_a_budget_that_the_rule_keeps_is_enough(files, tmp_path):
    model, cache = tmp_path / "injected.onnx", tmp_path / "tune.json"
    onnx.save(make_resnet(depth=20, input_size=(SIDE, SIDE)), tmp_path / "plain.onnx")
    assert run("inject", tmp_path / "plain.onnx", "-o", model, "-q", "--train-all").returncode == 0
    common = [model, "--batch", 4, "--steps", 1, "--threads", 1, "--json"]
    smallest = json.loads(run("inspect", model, "--json", "--batch", 4).stdout)["smallest_memory_budget"]
    budget = smallest + 100000  # the images that bench makes come on top
    tuned = ["--tune", "--tune-cache", cache]
    run("bench", *common, "--memory-budget", budget, *tuned)
    content = json.loads(cache.read_text())
    for row in content["choices"].values():
        row.update({"forward": "direct", "gradient": "deconvolution"})
    cache.write_text(json.dumps(content))
    result = run("bench", *common, "--memory-budget", budget, *tuned)
    assert result.returncode == 0 and "do not fit the memory budget; the rule's are taken" in result.stderr, result.stderr
    assert json.loads(cache.read_text()) == content


@pytest.mark.parametrize("options, message", [
    (["--tune-cache", "t.json"], "--tune-cache is for --tune: give both"),
    (["--tune", "--tune-cache", "{f}/injected.onnx"], "is another file of this run"),
    (["--tune", "--tune-cache", "{f}/x.npy"], "is another file of this run"),
    (["--tune", "--tune-cache", "{o}"], "is another file of this run")])
def test_refused(files, tmp_path, options, message):
    output = tmp_path / "o.onnx"
    result = run("train", files / "injected.onnx", "-o", output, "--data", files / "x.npy", "--labels",
                 files / "y.npy", *[option.format(f=files, o=output) for option in options])
    assert result.returncode == 2 and message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_it_nothing_is_read_or_written(files, tmp_path):
    result = run("train", files / "injected.onnx", "-o", tmp_path / "o.onnx", "--data", files / "x.npy", "--labels",
                 files / "y.npy", "--batch", 4, "--steps", 1, "--threads", 1, cache_home=tmp_path / "cache")
    assert result.returncode == 0 and "tune" not in result.stderr
    assert not (tmp_path / "cache").exists()
    assert "convolutions: " in result.stderr and "adapters by form: " in result.stderr
