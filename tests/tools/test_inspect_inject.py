# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""What inspect and inject say and record, and that a fresh merge takes it all back."""

import json
import re

import numpy as np
import onnx
import pytest
from cli_files import CLASSES
from onnx import TensorProto
from program import good, run


# ---- inspect

def test_inspect_plain(files):
    text = good("inspect", files / "plain.onnx").stdout
    data = json.loads(good("inspect", files / "plain.onnx", "--json").stdout)
    rows = data["convolutions"]
    assert len(rows) == 9 and len(re.findall(r"^\S*conv\S* ", text, re.M | re.I)) >= 9
    assert rows[0]["adapted"] is False and rows[0]["reason"] == "first convolution"
    assert all(row["adapted"] and row["reason"] is None for row in rows[1:])
    for row in rows:
        m, c, kh, kw = row["weight"]
        channels, height, width = row["output"]
        assert channels == m and row["multiply_adds"] == m * height * width * c * kh * kw
        if row["adapted"]:
            assert row["inner"] == 4 * kh
            assert row["adapter_parameters"] == row["inner"] * (c * kw + m * kh)
        assert row["name"] in text and str(row["multiply_adds"]) in text
    head = 32 * CLASSES
    trainable = data["trainable"]
    assert trainable["adapters"] == sum(row["adapter_parameters"] for row in rows)
    assert (trainable["first_weight"], trainable["last_weight"], trainable["last_bias"]) == (0, head, CLASSES)
    assert trainable["total"] == trainable["adapters"] + head + CLASSES
    model = onnx.load(files / "plain.onnx")
    assert data["parameters"] == sum(int(np.prod(t.dims)) for t in model.graph.initializer
                                     if t.data_type == TensorProto.FLOAT)
    assert trainable["percent"] == pytest.approx(100 * trainable["total"] / data["parameters"])
    assert data["batch_norm_nodes"] == 9 and data["injected"] is False
    assert data["multiply_adds_per_image"] == sum(row["multiply_adds"] for row in rows) + head
    assert data["refused"] == [] and data["cannot_run"] is None and data["cannot_train"] is None


def test_inspect_counts_a_training_step(files):
    data = json.loads(good("inspect", files / "plain.onnx", "--batch", "2", "--json").stdout)
    rows, head = data["convolutions"], 32 * CLASSES
    expected = 2 * 3 * head  # forward, its input's gradient, its weight's
    for i, row in enumerate(rows):
        m, c, kh, kw = row["weight"]
        factor = 1 + (1 if row["adapted"] else 0)
        # The second convolution's input comes from the first, which is frozen: no gradient goes there.
        factor += 0 if i == 0 or row["name"] == rows[1]["name"] else 1
        expected += 2 * factor * row["multiply_adds"]
        expected += 3 * m * kh * row["inner"] * c * kw
    assert data["multiply_adds_per_training_step"] == expected


def test_inspect_options_and_state(files):
    first = json.loads(good("inspect", files / "plain.onnx", "--json", "--train-first", "--no-train-last").stdout)
    assert first["trainable"]["first_weight"] == 8 * 3 * 9
    assert first["trainable"]["last_weight"] == first["trainable"]["last_bias"] == 0
    plain = json.loads(good("inspect", files / "plain.onnx", "--json").stdout)
    injected = json.loads(good("inspect", files / "injected.onnx", "--json").stdout)
    assert injected["injected"] is True
    for key in ["trainable", "parameters", "multiply_adds_per_image", "multiply_adds_per_training_step"]:
        assert injected[key] == plain[key], key
    all_of_it = json.loads(good("inspect", files / "folded.onnx", "--json", "--train-all").stdout)
    assert all_of_it["trainable"]["total"] == all_of_it["parameters"] and all_of_it["trainable"]["adapters"] == 0
    some = json.loads(good("inspect", files / "plain.onnx", "--json", "--layers", "layer3").stdout)
    rows = some["convolutions"]
    assert [row["adapted"] for row in rows] == ["layer3" in row["name"] for row in rows]


def test_inspect_notes_unused_options(files):
    result = good("inspect", files / "injected.onnx", "--rank", "7")
    assert "are not used" in result.stderr and len(result.stderr.splitlines()) == 1
    assert result.stdout == good("inspect", files / "injected.onnx").stdout


def test_inspect_gives_a_verdict_first(files, tmp_path):
    def verdict(path, *options):
        text, data = good("inspect", path, *options).stdout, json.loads(good("inspect", path, "--json", *options).stdout)
        assert text.startswith(data["verdict_text"] + "\n")
        return data
    plain = verdict(files / "plain.onnx")
    assert plain["verdict"] == "trainable" and plain["bn_modes"] == ["frozen", "train"]
    assert plain["verdict_text"] == "trainable: adapters on 8 of 9 convolutions"
    assert plain["ir_version"] == onnx.load(files / "plain.onnx").ir_version and plain["output"]
    assert verdict(files / "folded.onnx")["bn_modes"] == ["frozen"]
    # What is left out by choice takes nothing away; what cannot have an adapter does.
    assert verdict(files / "plain.onnx", "--exclude", "layer1")["verdict"] == "trainable"
    model = onnx.load(files / "plain.onnx")
    names = [node for node in model.graph.node if node.op_type == "Conv"]
    names[4].name = names[3].name
    onnx.save(model, tmp_path / "twins.onnx")
    twins = verdict(tmp_path / "twins.onnx")
    assert twins["verdict"] == "partly" and "2 cannot have one" in twins["verdict_text"]
    assert names[3].name in twins["verdict_text"] and "same name" in twins["verdict_text"]
    sine = verdict(files / "sine.onnx")
    assert sine["verdict"] == "not" and "node 'wave' (Sin)" in sine["verdict_text"]


def test_inspect_names_what_cannot_run(files):
    text = good("inspect", files / "sine.onnx").stdout
    data = json.loads(good("inspect", files / "sine.onnx", "--json").stdout)
    assert [(row["node"], row["op_type"]) for row in data["refused"]] == [("wave", "Sin")]
    assert data["multiply_adds_per_image"] is None and data["training_peak_bytes"] is None
    assert "wave" in text and data["refused"][0]["reason"] in text and "unknown" in text


# ---- inject

def test_inject_reports(files, tmp_path):
    result = good("inject", files / "plain.onnx", "-o", tmp_path / "o.onnx", "--exclude", "layer1")
    assert "adapters on 6 of 9 convolutions" in result.stdout
    assert "excluded by --exclude" in result.stdout and "first convolution" in result.stdout
    assert re.search(r"trainable \d+ of \d+ parameters \(\d+\.\d\d %\): adapters \d+, last weight 320, last bias 10",
                     result.stdout)
    assert str(tmp_path / "o.onnx") in result.stdout
    meta = {p.key: p.value for p in onnx.load(tmp_path / "o.onnx").metadata_props}
    assert meta["lorac.format"] == "1" and meta["lorac.tool"].startswith("lorac-onnx ")
    assert "lorac.input" not in meta


def test_inject_records_pixels(files, tmp_path):
    good("inject", files / "plain.onnx", "-o", tmp_path / "o.onnx", "--mean", "0.1,0.2,0.3", "--channel-order", "bgr")
    record = json.loads({p.key: p.value for p in onnx.load(tmp_path / "o.onnx").metadata_props}["lorac.input"])
    assert record["mean"] == [0.1, 0.2, 0.3] and record["scale"] == pytest.approx(1 / 255, abs=0)
    assert "bgr" in json.dumps(record)


def test_seed_decides_the_adapters(files, tmp_path):
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        good("inject", files / "plain.onnx", "-o", tmp_path / name, "--seed", seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


def test_fresh_merge_gives_the_file_back(files, tmp_path):
    good("merge", files / "silent.onnx", "-o", tmp_path / "o.onnx")
    assert (tmp_path / "o.onnx").read_bytes() == (files / "plain.onnx").read_bytes()


def test_inject_notes_what_may_not_be_meant(files, tmp_path):
    for options, note in [
            (["--exclude", "layr1"], "note: --exclude 'layr1' matches no convolution; see inspect for the names"),
            (["--rank", "9"], "note: rank 9 is above the full rank of "),
            (["--rank", "64"], "note: rank 64 is above the full rank of 8 convolutions (e.g. '")]:
        (line,) = good("inject", files / "plain.onnx", "-o", tmp_path / "o.onnx", *options).stderr.splitlines()
        assert line.startswith(f"lorac-onnx inject: {note}"), line
        assert good("inject", files / "plain.onnx", "-o", tmp_path / "o.onnx", *options, "--quiet").stderr == ""
    # Full rank itself is no reason for a note: 3x3 convolutions of 8 channels, 24 of 24.
    quiet = good("inject", files / "plain.onnx", "-o", tmp_path / "o.onnx", "--rank", "8", "--exclude", "layer1")
    assert quiet.stderr == ""


def test_a_model_that_cannot_be_trained_is_injected_and_merged(files, tmp_path):
    model = onnx.load(files / "plain.onnx")
    for node in model.graph.node:
        if node.op_type == "Relu":
            node.op_type, node.name = "Sin", "wave"
            break
    onnx.save(model, tmp_path / "i.onnx")
    result = good("inject", tmp_path / "i.onnx", "-o", tmp_path / "o.onnx")
    assert result.stdout.startswith("not trainable: node 'wave' (Sin)")
    assert "adapters on 8 of 9 convolutions" in result.stdout
    (line,) = result.stderr.splitlines()
    assert "note: this model cannot be trained yet: node 'wave' (Sin)" in line
    assert line.endswith("; lorac-onnx inspect lists all")
    onnx.checker.check_model(str(tmp_path / "o.onnx"), full_check=True)
    refused = run("merge", tmp_path / "o.onnx", "-o", tmp_path / "m.onnx")
    assert refused.returncode == 1 and refused.stderr.endswith("; --no-check merges without running it\n")
    assert f"'{tmp_path}/o.onnx': node 'wave' (Sin)" in refused.stderr and not (tmp_path / "m.onnx").exists()
    good("merge", tmp_path / "o.onnx", "-o", tmp_path / "m.onnx", "--no-check")
    assert (tmp_path / "m.onnx").read_bytes() == (tmp_path / "i.onnx").read_bytes()
    for command in (["train", tmp_path / "o.onnx", "-o", tmp_path / "t.onnx", "--mean", "0", "--data", files / "x.npy",
                     "--labels", files / "y.npy"], ["eval", tmp_path / "o.onnx", "--data", files / "f.npy"]):
        result = run(*command)
        assert result.returncode == 1 and result.stderr.count("o.onnx'") == 1, result.stderr
        assert f"'{tmp_path}/o.onnx': node 'wave' (Sin)" in result.stderr


def test_existing_output_is_replaced(files, tmp_path):
    (tmp_path / "o.onnx").write_text("old")
    good("inject", files / "plain.onnx", "-o", tmp_path / "o.onnx")
    onnx.load(tmp_path / "o.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["o.onnx"]
