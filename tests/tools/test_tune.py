# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""--tune and its file: written, used again, merged, and refused where it cannot be. No time is judged."""

import json
import os
import subprocess
import tempfile

import numpy as np
import onnx
import pytest
from make_resnet import make_resnet
from program import PROGRAM
from training_log import lines_of

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
        line, *others = lines_of(folder / "log")
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
    (b'{\n "format": "lorac-onnx tune cache"', "line 2"), (b'{"format":"lorac-onnx tune cache", \0\1\2', "line 1"),
    (b'{"format": "lorac-onnx tune cache", "version": 2, "choices": {}}', "no tune cache of version 1"),
    (b'{"version": 2, "format": "lorac-onnx tune cache"}', "no tune cache of version 1"),
    (b'{"format": "lorac-onnx tune cache", "version": 1, "choices": []}', "no tune cache")])
def test_one_of_ours_that_is_damaged_is_written_anew(files, tmp_path, content, word):
    (tmp_path / "tune.json").write_bytes(content)
    notes = train(files, tmp_path / "o.onnx", "--tune-cache", tmp_path / "tune.json")
    assert word in notes and "not used, and written anew" in notes and "measured how" in notes
    assert json.loads((tmp_path / "tune.json").read_text())["choices"]
    assert NOTHING in train(files, tmp_path / "o.onnx", "--tune-cache", tmp_path / "tune.json")


def test_the_format_comes_first_and_an_empty_file_is_filled(files, tmp_path):
    (tmp_path / "tune.json").write_text("")
    notes = train(files, tmp_path / "o.onnx", "--tune-cache", tmp_path / "tune.json")
    assert "measured how" in notes and "tune.json" not in notes
    begin = b'{\n "format": "lorac-onnx tune cache"'
    assert (tmp_path / "tune.json").read_bytes().startswith(begin)
    damaged = (tmp_path / "tune.json").read_bytes()[:-40]
    (tmp_path / "tune.json").write_bytes(damaged)
    assert "written anew" in train(files, tmp_path / "o.onnx", "--tune-cache", tmp_path / "tune.json")


@pytest.mark.parametrize("row", [{"forward": 3}, 7, None, {}, {"forward": "x" * 1000, "gradient": [], "form": {}},
                                 {"forward": "superconv"}, {"forward": "gemm", "gradient": "no such"},
                                 {"forward": "gemm", "gradient": 3}, {"forward": "gemm", "form": "no such"}])
def test_rows_that_are_none_are_measured_again(files, first, tmp_path, row):
    content = json.loads((first / "tune.json").read_text())
    content["choices"] = {key: row for key in content["choices"]}
    (tmp_path / "tune.json").write_text(json.dumps(content))
    notes = train(files, tmp_path / "o.onnx", "--tune-cache", tmp_path / "tune.json", "--log", tmp_path / "log")
    assert "measured how" in notes
    rows = lines_of(tmp_path / "log", "start")[0]["convolutions"]
    assert {row["chosen"] for row in rows} <= {"measured", "rule"}
    after = json.loads((tmp_path / "tune.json").read_text())["choices"]
    assert set(after) == set(content["choices"]) and row not in after.values()


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


# What is at the user's own place is no failure, and stays.
def test_the_users_own_file_that_cannot_be_used(files, tmp_path):
    (tmp_path / "file").write_text("")
    notes = train(files, tmp_path / "o.onnx", cache_home=tmp_path / "file")
    assert "measured how" in notes and "warning: what was measured could not be kept" in notes
    own = tmp_path / "home" / "lorac-onnx" / "tune.json"
    own.mkdir(parents=True)
    notes = train(files, tmp_path / "o.onnx", cache_home=tmp_path / "home")
    assert "measured how" in notes and "is not an ordinary file; what is measured is not kept" in notes
    own.rmdir()
    own.write_text('{"mine": 1}')
    notes = train(files, tmp_path / "o.onnx", cache_home=tmp_path / "home")
    assert "measured how" in notes and "no tune cache: it is left as it is; what is measured is not kept" in notes
    assert own.read_text() == '{"mine": 1}'
    notes = train(files, tmp_path / "o.onnx")
    assert "measured how" in notes and "neither XDG_CACHE_HOME nor HOME" in notes


# No model is there: the cache is looked at first.
def refused_before_work(cache, **keywords):
    result = subprocess.run([PROGRAM, "bench", "no.onnx", "--tune", "--tune-cache", str(cache)], capture_output=True,
                            text=True, timeout=60, **keywords)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1 and "no.onnx" not in result.stderr
    return result.stderr


def test_a_given_file_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "fifo")
    os.symlink("loop", tmp_path / "loop")
    for name, word in (("no/tune.json", "cannot use the folder"), ("file/tune.json", "is not a folder"), ("", "a folder"),
                       ("fifo", "not an ordinary file"), ("/dev/null", "not an ordinary file"), ("loop", "loop")):
        assert word in refused_before_work(tmp_path / name)


def test_a_given_file_that_is_read_only_is_refused(tmp_path):
    with tempfile.TemporaryDirectory() as folder: # not below tmp_path, which only root may enter
        os.chmod(folder, 0o777)
        cache = os.path.join(folder, "tune.json")
        with open(cache, "w") as file:
            file.write('{"format": "lorac-onnx tune cache", "version": 1, "choices": {}}')
        os.chmod(cache, 0o444)
        other = {"user": 65534} if os.geteuid() == 0 else {}
        assert "cannot write" in refused_before_work(cache, **other)


@pytest.mark.parametrize("content", [b"[]", b"\0\1\2", b" ", b'{"format": ', b'{"format": "another", "version": 1}',
                                     b'{"lorac-onnx tune cache": "format"}'])
def test_a_given_file_of_another_kind_is_refused_and_stays(tmp_path, content):
    (tmp_path / "other").write_bytes(content)
    assert "no tune cache: it is left as it is" in refused_before_work(tmp_path / "other")
    assert (tmp_path / "other").read_bytes() == content


def test_a_model_given_by_mistake_stays(files, tmp_path):
    before = (files / "plain.onnx").read_bytes()
    assert "no tune cache" in refused_before_work(files / "plain.onnx")
    assert (files / "plain.onnx").read_bytes() == before


# What packs nothing is slower, so that it is never measured as the fastest; the rule has it for small budgets.
def test_a_budget_that_the_rule_keeps_is_enough(files, tmp_path):
    model, cache = tmp_path / "injected.onnx", tmp_path / "tune.json"
    onnx.save(make_resnet(depth=20, input_size=(SIDE, SIDE)), tmp_path / "plain.onnx")
    assert run("inject", tmp_path / "plain.onnx", "-o", model, "-q", "--train-all").returncode == 0
    common = [model, "--batch", 4, "--steps", 1, "--threads", 1, "--json"]
    smallest = json.loads(run("inspect", model, "--json", "--batch", 4).stdout)["smallest_memory_budget"]
    budget = smallest + 100000  # the images that bench makes come on top
    tuned = ["--tune", "--tune-cache", cache]
    fallback = "do not fit the memory budget; the rule's are taken"
    first = run("bench", *common, "--memory-budget", budget, *tuned)
    assert first.returncode == 0, first.stderr
    if not cache.exists():  # what was measured here did not fit by itself, and is not kept
        assert fallback in first.stderr
        return
    content = json.loads(cache.read_text())
    for row in content["choices"].values():
        row.update({"forward": "direct", "gradient": "deconvolution"})
    cache.write_text(json.dumps(content))
    result = run("bench", *common, "--memory-budget", budget, *tuned)
    assert result.returncode == 0 and fallback in result.stderr, result.stderr
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
