# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""The program as a user meets it: results, messages, exit codes, and what is left on disk."""

import gzip
import json
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
import onnxruntime
import pytest
from make_resnet import make_resnet
from onnx import TensorProto, helper
from training_log import lines_of, losses_of

PROGRAM = os.environ["LORAC_ONNX"]
COUNT, CLASSES, SIDE = 48, 10, 16


def run(*arguments, cwd=None, timeout=300):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, timeout=timeout)


def good(*arguments, **keywords):
    result = run(*arguments, **keywords)
    assert result.returncode == 0, result.stderr
    return result


# ---- files that every test may read and none may change

@pytest.fixture(scope="session")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(1)
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(SIDE, SIDE)), folder / "plain.onnx")
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(SIDE, SIDE), bn="folded"), folder / "folded.onnx")
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(SIDE, SIDE), classes=7), folder / "seven.onnx")
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(20, SIDE)), folder / "taller.onnx")
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(SIDE, SIDE), seed=5), folder / "other.onnx")
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(SIDE, SIDE), softmax=True), folder / "softmax.onnx")
    images = random.integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    labels = random.integers(0, CLASSES, COUNT)
    np.save(folder / "x.npy", images)
    np.save(folder / "f.npy", random.standard_normal((COUNT, 3, SIDE, SIDE)).astype(np.float32))
    np.save(folder / "y.npy", labels)
    save_bad_files(folder, images, labels)
    good("inject", folder / "plain.onnx", "-o", folder / "injected.onnx", "--mean", "0.5", "--std", "0.25")
    good("inject", folder / "plain.onnx", "-o", folder / "silent.onnx")
    for path in folder.iterdir():
        path.chmod(0o444)
    return folder


def save_bad_files(folder, images, labels):
    plain = (folder / "plain.onnx").read_bytes()
    (folder / "empty").write_bytes(b"")
    (folder / "cut.onnx").write_bytes(plain[:len(plain) // 2])
    (folder / "text.onnx").write_text("this is no model\n" * 20)
    (folder / "cut.npy").write_bytes((folder / "x.npy").read_bytes()[:2000])
    (folder / "text.npy").write_text("this is no array\n")
    np.save(folder / "wide.npy", np.zeros((COUNT, SIDE, SIDE + 4, 3), np.uint8))
    np.save(folder / "first.npy", images.transpose(0, 3, 1, 2).copy())
    np.save(folder / "double.npy", images.astype(np.float64))
    np.save(folder / "none.npy", images[:0])
    np.save(folder / "fewer.npy", labels[:-1])
    np.save(folder / "float_y.npy", labels.astype(np.float32))
    np.save(folder / "matrix_y.npy", np.eye(CLASSES)[labels].astype(np.int64))
    np.save(folder / "above_y.npy", np.where(np.arange(COUNT) == 7, CLASSES, labels))
    np.save(folder / "below_y.npy", np.where(np.arange(COUNT) == 3, -1, labels))
    bad = np.zeros((COUNT, 3, SIDE, SIDE), np.float32)
    bad[5, 1, 2, 3] = np.nan
    np.save(folder / "nan.npy", bad)
    sine = helper.make_node("Sin", ["input"], ["s"], name="wave")
    flat = helper.make_node("Flatten", ["s"], ["out"], name="flat")
    graph = helper.make_graph([sine, flat], "g",
                              [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
                              [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 3 * SIDE * SIDE])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "sine.onnx")


# ---- bad command lines and bad files

TRAIN = "train {f}/injected.onnx -o out.onnx --data {f}/x.npy --labels {f}/y.npy --steps 1 --batch 8"
EVAL = "eval {f}/injected.onnx --data {f}/x.npy"

# (arguments, exit code, part of the message)
BAD = [
    # usage
    ("train --batch 0", 2, "train: --batch 0: must be at least 1"),
    (TRAIN + " --batch -3", 2, "--batch -3: must be at least 1"),
    (TRAIN + " --batch 1e3", 2, "--batch 1e3: must be a whole number"),
    (TRAIN.replace("--batch 8", "--batch 49"), 2, "--batch 49: there are only 48 images: give at most 48"),
    (TRAIN + " --micro-batch 3", 2, "--micro-batch 3 does not divide --batch 8"),
    (TRAIN + " --lr 0", 2, "--lr 0: must be above 0"),
    (TRAIN + " --lr nan", 2, "--lr nan: must be a number"),
    (TRAIN + " --momentum 1", 2, "--momentum 1: must be below 1"),
    (TRAIN + " --beta2 0.9", 2, "--beta2 is only for --optimizer adamw"),
    (TRAIN + " --optimizer adamw --nesterov", 2, "--nesterov is only for --optimizer sgd"),
    (TRAIN + " --momentum 0 --nesterov", 2, "--nesterov needs --momentum above 0"),
    (TRAIN + " --optimizer adam", 2, "--optimizer adam: must be one of sgd, adamw"),
    (TRAIN + " --label-smoothing 1", 2, "--label-smoothing 1: must be below 1"),
    (TRAIN + " --epochs 2", 2, "--epochs and --steps: give one of them"),
    (TRAIN + " --warmup-steps 9", 2, "--warmup-steps 9: there are only 1 steps"),
    (TRAIN + " --corrupt rain:3", 2, "--corrupt rain:3:"),
    (TRAIN + " --corrupt fog:6", 2, "--corrupt fog:6:"),
    (TRAIN + " --range 40:60", 2, "the range 40:60 is outside the 48 images"),
    (TRAIN + " --range 9:4", 2, "--range 9:4: must be A:B"),
    (TRAIN + " --mean 0,0", 2, "mean"),
    (TRAIN + " --std 0", 2, "--std 0: must be above 0"),
    (TRAIN + " --normalize none --mean 0.5", 2, "--normalize none contradicts --mean"),
    (TRAIN + " --random-resized-crop 1:0.3", 2, "--random-resized-crop 1:0.3: must be LO:HI"),
    (TRAIN + " --random-resized-crop 0:1", 2, "--random-resized-crop 0:1: must be LO:HI"),
    (TRAIN + " --random-resized-crop 0.5", 2, "--random-resized-crop 0.5: must be LO:HI"),
    (TRAIN + " --random-resized-crop 0.5:1x", 2, "--random-resized-crop 0.5:1x: must be LO:HI"),
    (TRAIN + " --random-resized-crop 0.5:1 --augment crop-flip", 2, "and --augment crop-flip both crop at random"),
    (TRAIN + " --random-resized-crop 0.5:1 --crop-pad 2", 2, "and --crop-pad both crop at random"),
    (TRAIN + " --color-jitter 0.4", 2, "--color-jitter: must be three or four numbers"),
    (TRAIN + " --color-jitter 0.4,0.4,-1", 2, "--color-jitter 0.4,0.4,-1: must be at least 0"),
    (TRAIN + " --color-jitter 0.4,0.4,0.4,0.7", 2, "the hue is turned by 0.7 of a full turn"),
    (TRAIN + " --cutout 17", 2, "a cutout of 17 x 17 is larger than the image of 16 x 16"),
    (TRAIN + " --crop-pad 16", 2, "padding by 16 can miss the whole image of 16 x 16"),
    (TRAIN.replace("x.npy", "f.npy") + " --color-jitter 0.1,0,0", 2, "takes uint8 images, these are float32"),
    (TRAIN.replace("x.npy", "f.npy") + " --random-resized-crop 0.5:1", 2, "takes uint8 images, these are float32"),
    (TRAIN + " --threads 5000", 2, "--threads 5000: must be at most 1024"),
    (TRAIN + " --input-size 8x8", 2, "--input-size 8x8: the model takes 16x16"),
    (TRAIN + " --epoch", 2, "--epochs needs a value"),
    (TRAIN + " --lables y", 2, "unknown option --lables: did you mean --labels?"),
    ("train {f}/injected.onnx --data x --labels y", 2,
     "--output OUT.onnx is missing (where the trained model goes; not the input)"),
    (TRAIN + " -o second.onnx", 2, "--output is given twice"),
    (TRAIN + " --data {f}/x.npy", 2, "--data is given twice"),
    (TRAIN + " --epochs 1/2", 2, "--epochs 1/2: must be a whole number from 1 to 1000000"),
    ("train -o out.onnx --data x --labels y", 2, "give the injected model"),
    (EVAL + " second.onnx", 2, "unexpected argument 'second.onnx'"),
    (EVAL + " --per-class", 2, "--per-class needs --labels"),
    ("compare {f}/plain.onnx", 2, "give two models"),
    ("compare {f}/plain.onnx {f}/plain.onnx --range 0:4", 2, "--range needs --data"),
    ("compare {f}/plain.onnx {f}/plain.onnx --mean 0", 2, "need --data"),
    ("inject {f}/plain.onnx -o out.onnx --rank 0", 2, "--rank 0: must be at least 1"),
    ("inject {f}/plain.onnx -o out.onnx --alpha 0", 2, "--alpha 0: must be above 0"),
    ("inject {f}/plain.onnx -o out.onnx --layers (", 2, "not a POSIX extended regular expression"),
    ("inject {f}/plain.onnx -o out.onnx --train-all --rank 3", 2, "--train-all makes no adapters"),
    ("inject {f}/plain.onnx -o out.onnx --train-last --no-train-last", 2, "--train-last contradicts"),
    ("inject {f}/plain.onnx -o out.onnx --mean 1,2", 2, "mean"),
    ("inject {f}/folded.onnx -o out.onnx --bn train", 2, "BatchNormalization"),
    ("merge {f}/injected.onnx -o out.onnx --no-check --tolerance 1", 2, "--no-check contradicts --tolerance"),
    ("inject {f}/sine.onnx -o out.onnx", 2, "use --no-train-last"),
    ("inject {f}/sine.onnx -o out.onnx --no-train-last", 2, "nothing would be trainable"),
    ("inject {f}/sine.onnx -o out.onnx --no-train-last --train-first", 2, "--train-first: the model has no"),
    ("inject {f}/plain.onnx -o out.onnx --layers none", 2, "--layers 'none' leaves no convolution to adapt"),
    (EVAL.replace("x.npy", "none.npy"), 2, "holds no images"),
    ("injekt", 2, "unknown command 'injekt': did you mean 'inject'?"),
    ("--train", 2, "unknown option '--train': the command comes first"),
    ("help trian", 2, "unknown command or topic 'trian'"),
    # pixels
    ("eval {f}/silent.onnx --data {f}/x.npy", 2, "--normalize none"),
    ("train {f}/silent.onnx -o out.onnx --data {f}/x.npy --labels {f}/y.npy", 2, "--mean"),
    ("compare {f}/silent.onnx {f}/injected.onnx --data {f}/x.npy", 2, "silent.onnx': the images are uint8"),
    ("eval {f}/injected.onnx --data {f}/f.npy --corrupt fog:3", 2, "f.npy'"),
    # models
    ("inspect missing.onnx", 1, "'missing.onnx'"),
    ("inspect {f}", 1, ""),
    ("inspect {f}/empty", 1, "empty"),
    ("inspect {f}/cut.onnx", 1, "cut.onnx"),
    ("inspect {f}/text.onnx", 1, "text.onnx"),
    ("inject {f}/cut.onnx -o out.onnx", 1, "cut.onnx"),
    ("inject {f}/injected.onnx -o out.onnx", 1, "has adapters already"),
    ("train {f}/cut.onnx -o out.onnx --data {f}/x.npy --labels {f}/y.npy", 1, "cut.onnx"),
    ("train {f}/plain.onnx -o out.onnx --data {f}/x.npy --labels {f}/y.npy", 1, "run 'lorac-onnx inject' on it first"),
    ("eval missing.onnx --data {f}/x.npy", 1, "'missing.onnx'"),
    ("eval {f}/sine.onnx --data {f}/f.npy", 1, "node 'wave' (Sin)"),
    ("merge {f}/plain.onnx -o out.onnx", 1, "nothing to merge"),
    ("merge {f}/plain.onnx -o out.onnx --no-check", 1, "nothing to merge"),
    ("merge {f}/empty -o out.onnx", 1, "empty"),
    ("compare {f}/plain.onnx {f}/seven.onnx", 1, "has 7 classes, the first model 10"),
    ("compare {f}/plain.onnx {f}/taller.onnx", 1, "3x20x16, the first model 3x16x16"),
    ("compare {f}/plain.onnx missing.onnx", 1, "'missing.onnx'"),
    # data
    (EVAL.replace("x.npy", "missing.npy"), 1, "missing.npy"),
    (EVAL.replace("/x.npy", ""), 2, "holds no pictures"),
    (EVAL.replace("x.npy", "empty"), 1, "empty"),
    (EVAL.replace("x.npy", "cut.npy"), 1, "cut.npy"),
    (EVAL.replace("x.npy", "text.npy"), 1, "text.npy"),
    (EVAL.replace("x.npy", "wide.npy"), 1, "[48, 16, 20, 3]"),
    (EVAL.replace("x.npy", "first.npy"), 1, "transpose(0, 2, 3, 1)"),
    (EVAL.replace("x.npy", "double.npy"), 1, "float64"),
    (EVAL.replace("x.npy", "nan.npy"), 1, "5"),
    (EVAL + " --labels {f}/fewer.npy", 1, "47 labels for 48 images"),
    (EVAL + " --labels {f}/float_y.npy", 1, "float32"),
    (EVAL + " --labels {f}/matrix_y.npy", 1, "[48, 10]"),
    (EVAL + " --labels {f}/above_y.npy", 1, "label 10 at index 7"),
    (EVAL + " --labels {f}/below_y.npy", 1, "label -1 at index 3"),
    (TRAIN.replace("y.npy", "above_y.npy"), 1, "label 10 at index 7"),
    (TRAIN.replace("x.npy", "nan.npy"), 1, "nan.npy': image 5"),
    # outputs
    (TRAIN.replace("out.onnx", "{f}/injected.onnx"), 2, "is also an input"),
    (TRAIN.replace("out.onnx", "{f}/../{b}/injected.onnx"), 2, "is also an input"),
    (TRAIN.replace("out.onnx", "{f}/y.npy"), 2, "is also an input"),
    (TRAIN.replace("out.onnx", "."), 1, "is a folder"),
    (TRAIN.replace("out.onnx", "no/such/out.onnx"), 1, "cannot use the folder 'no/such'"),
    (TRAIN.replace("out.onnx", "/dev/null"), 1, "not an ordinary file"),
    (TRAIN + " --log out.onnx", 2, "--log 'out.onnx' is the output (-o): give another name"),
    (TRAIN + " --log {f}/x.npy", 2, "--log"),
    (TRAIN + " --log out.onnx.data", 2, "--log 'out.onnx.data' is a name of the output's own data file"),
    (TRAIN + " --log out.onnx.data.1", 2, "give another name"),
    (TRAIN + " --log no/log", 1, "--log 'no/log'"),
    ("inject {f}/plain.onnx -o {f}/plain.onnx", 2, "is also an input"),
    ("inject {f}/plain.onnx -o no/out.onnx", 1, "cannot use the folder 'no'"),
    ("merge {f}/injected.onnx -o {f}/injected.onnx", 2, "is also an input"),
    ("merge {f}/injected.onnx -o .", 1, "is a folder"),
    (EVAL + " --outputs {f}/x.npy", 2, "--outputs"),
    (EVAL + " --outputs no/out.npy", 1, "cannot use the folder 'no'"),
]


@pytest.mark.parametrize("line,code,message", BAD, ids=[f"{i}:{row[0][:60]}" for i, row in enumerate(BAD)])
def test_bad_input(files, tmp_path, line, code, message):
    before = {p.name: (p.stat().st_mtime_ns, p.stat().st_size) for p in files.iterdir()}
    words = [w.format(f=files, b=files.name) for w in line.split()]
    result = run(*words, cwd=tmp_path)
    assert result.returncode == code, result.stderr
    assert message in result.stderr
    lines = result.stderr.splitlines()
    errors = [text for text in lines if text.startswith("lorac-onnx")]
    assert len(lines) == 1 and errors == lines, "one line that says it, and no more"
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"
    assert {p.name: (p.stat().st_mtime_ns, p.stat().st_size) for p in files.iterdir()} == before


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


# ---- inject, train, merge

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


def test_bad_data_is_found_before_memory_is_taken(files, tmp_path):
    skip_with_address_checker()
    for command in (["train", files / "injected.onnx", "-o", tmp_path / "o.onnx", "--labels", files / "y.npy"],
                    ["eval", files / "injected.onnx"]):
        result = limited(*command, "--data", files / "wide.npy", "--batch", "65536", limit=400_000_000,
                         kind=resource.RLIMIT_AS)
        assert result.returncode == 1 and "wide.npy" in result.stderr and "memory" not in result.stderr


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


def test_train_says_what_it_does(trained):
    start, choices, *epochs = (trained / "stderr").read_text().splitlines()
    assert re.search(r"\d+ trainable parameters, 48 images .*batch 16, 1 thread, .*memory for training \S+ [kM]B",
                     start)
    assert re.search(r"convolutions: \d+ \w+(, \d+ \w+)*; input gradients: .*; adapters by form: ", choices)
    assert len(epochs) == 3
    for i, line in enumerate(epochs):
        assert re.match(rf"lorac-onnx train: epoch {i + 1}/3  step {3 * i + 3}/9  loss [\d.]+  accuracy [\d.]+ %  "
                        r"\d+ images/s  \d+:\d\d left$", line), line
    assert "trained 9 steps" in (trained / "stdout").read_text()


# Of the loss: nine steps of float32 sums in another order (5e-7 was measured).
MICRO_TOLERANCE = 5e-6


def test_micro_batches_train_the_same(files, trained, tmp_path):
    result = good("train", files / "injected.onnx", "-o", tmp_path / "o.onnx", "--data", files / "x.npy", "--labels",
                  files / "y.npy", "--epochs", "3", "--batch", "16", "--micro-batch", "4", "--lr", "0.05", "--threads",
                  "1", "--log", tmp_path / "log")
    assert "batch 16 (in micro-batches of 4), 1 thread" in result.stderr
    whole, parts = (losses_of(path) for path in (trained / "log", tmp_path / "log"))
    assert parts == pytest.approx(whole, rel=MICRO_TOLERANCE)


def test_log_has_a_line_per_step(trained):
    start, lines = lines_of(trained / "log")[0], lines_of(trained / "log", "step")
    assert [line["step"] for line in lines] == list(range(1, 10))
    assert [line["epoch"] for line in lines] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    members = {"event", "step", "epoch", "loss", "lr", "gradient_norm", "images_per_second"}
    assert all(set(line) == members for line in lines)
    rows = start["convolutions"]
    assert len(rows) == 9 and {row["chosen"] for row in rows} == {"rule"}
    assert all(set(row) == {"name", "forward", "gradient", "weight_gradient", "form", "chosen"} for row in rows)
    assert lines[0]["lr"] == pytest.approx(0.05) and lines[-1]["lr"] < 0.01
    assert all(line["loss"] > 0 and line["gradient_norm"] > 0 for line in lines)


def test_only_trained_tensors_differ(files, trained):
    before, after = onnx.load(files / "injected.onnx"), onnx.load(trained / "trained.onnx")
    meta = {p.key: p.value for p in before.metadata_props}
    trainable = set(json.loads(meta["lorac.trainable"]))
    changed = {a.name for a, b in zip(before.graph.initializer, after.graph.initializer)
               if a.SerializeToString() != b.SerializeToString()}
    assert changed and changed <= trainable
    for model in (before, after):
        del model.graph.initializer[:]
    assert before.SerializeToString() == after.SerializeToString()


def test_threads_do_not_change_the_file(files, trained, tmp_path):
    for threads in (2, 3):
        good("train", files / "injected.onnx", "-o", tmp_path / "o.onnx", "--data", files / "x.npy", "--labels",
             files / "y.npy", "--epochs", "3", "--batch", "16", "--lr", "0.05", "--threads", threads)
        assert (tmp_path / "o.onnx").read_bytes() == (trained / "trained.onnx").read_bytes()


def test_threads_do_not_change_how_images_are_changed(files, tmp_path):
    written = set()
    for threads in (1, 2, 3):
        good("train", files / "injected.onnx", "-o", tmp_path / "o.onnx", "--data", files / "x.npy", "--labels",
             files / "y.npy", "--epochs", "2", "--batch", "16", "--threads", threads, "--random-resized-crop", "0.35:1",
             "--flip", "--color-jitter", "0.4,0.4,0.4,0.1", "--cutout", "5")
        written.add((tmp_path / "o.onnx").read_bytes())
    assert len(written) == 1


@pytest.mark.parametrize("options", [
    "--optimizer adamw", "--nesterov", "--schedule constant --warmup-steps 2", "--schedule step", "--augment crop-flip",
    "--flip", "--crop-pad 2", "--random-resized-crop 0.3:1", "--color-jitter 0.4,0,0", "--color-jitter 0,0,0,0.2",
    "--cutout 6",
    "--no-shuffle", "--label-smoothing 0.1", "--clip-norm 0", "--decay-all --weight-decay 0.1",
    "--corrupt gaussian_noise:2", "--normalize none", "--range 8:40", "--seed 18446744073709551615"])
def test_options_change_the_result(files, tmp_path, options):
    base = ["train", files / "injected.onnx", "--data", files / "x.npy", "--labels", files / "y.npy", "--steps", "4",
            "--batch", "16", "--quiet"]
    plain = good(*base, "-o", tmp_path / "plain")
    good(*base, "-o", tmp_path / "with", *options.split())
    assert plain.stderr == ""
    if options == "--clip-norm 0" and (tmp_path / "plain").read_bytes() == (tmp_path / "with").read_bytes():
        pytest.skip("no gradient was above the norm")
    assert (tmp_path / "plain").read_bytes() != (tmp_path / "with").read_bytes()


def test_crop_flip_is_short_for_two(files, tmp_path):
    base = ["train", files / "injected.onnx", "--data", files / "x.npy", "--labels", files / "y.npy", "--steps", "4",
            "--batch", "16", "--quiet"]
    written = []
    for options in ("--augment crop-flip", "--crop-pad 4 --flip", "--augment crop-flip --crop-pad 3",
                    "--flip --crop-pad 3", "--flip"):
        good(*base, "-o", tmp_path / "o.onnx", *options.split())
        written.append((tmp_path / "o.onnx").read_bytes())
    assert written[0] == written[1] and written[2] == written[3]
    assert len(set(written)) == 3


def test_bn_train_moves_statistics(files, tmp_path):
    good("inject", files / "plain.onnx", "-o", tmp_path / "i.onnx", "--bn", "train", "--mean", "0.5")
    good("train", tmp_path / "i.onnx", "-o", tmp_path / "o.onnx", "--data", files / "x.npy", "--labels",
         files / "y.npy", "--steps", "2", "--batch", "16")
    before, after = onnx.load(tmp_path / "i.onnx"), onnx.load(tmp_path / "o.onnx")
    changed = {a.name for a, b in zip(before.graph.initializer, after.graph.initializer)
               if a.SerializeToString() != b.SerializeToString()}
    assert any("running_mean" in name for name in changed) and any("running_var" in name for name in changed)


def test_nan_keeps_the_last_good_values(files, tmp_path):
    wild = ["train", files / "injected.onnx", "--data", files / "x.npy", "--labels", files / "y.npy", "--batch", "8",
            "--lr", "1e18", "--clip-norm", "0", "--schedule", "constant", "--quiet"]
    result = run(*wild, "-o", tmp_path / "o.onnx", "--steps", "6")
    assert result.returncode == 1 and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    match = re.search(r"step (\d+): .*last good values \(after step (\d+)\) are in '(.*)'", result.stderr)
    assert match and int(match[1]) == int(match[2]) + 1 and match[3] == str(tmp_path / "o.onnx"), result.stderr
    good(*wild, "-o", tmp_path / "same.onnx", "--steps", match[2])
    assert (tmp_path / "o.onnx").read_bytes() == (tmp_path / "same.onnx").read_bytes()


def test_existing_output_is_replaced(files, tmp_path):
    (tmp_path / "o.onnx").write_text("old")
    good("inject", files / "plain.onnx", "-o", tmp_path / "o.onnx")
    onnx.load(tmp_path / "o.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["o.onnx"]


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


def skip_with_address_checker():
    with open(PROGRAM, "rb") as program:
        if b"__asan_init" in program.read():
            pytest.skip("the address checker's own memory counts too")


def test_memory_that_runs_out_keeps_the_last_good_values(large, files, tmp_path):
    skip_with_address_checker()
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


def test_a_batch_that_is_too_large_says_so(files, tmp_path):
    skip_with_address_checker()
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


# ---- eval

def test_eval_against_onnxruntime(files, trained, tmp_path):
    images, labels = np.load(files / "x.npy"), np.load(files / "y.npy")
    x = ((images.astype(np.float32) / 255 - 0.5) / 0.25).transpose(0, 3, 1, 2).copy()
    for model in [files / "injected.onnx", trained / "trained.onnx", trained / "merged.onnx"]:
        result = good("eval", model, "--data", files / "x.npy", "--labels", files / "y.npy", "--json", "--per-class",
                      "--outputs", tmp_path / "o.npy", "--batch", "10")
        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        expected = session.run(None, {"input": x})[0]
        outputs = np.load(tmp_path / "o.npy")
        assert outputs.dtype == np.float32 and outputs.shape == (COUNT, CLASSES)
        assert np.abs(outputs - expected).max() <= 1e-4 * np.abs(expected).max()
        data = json.loads(result.stdout)
        logp = expected - expected.max(1, keepdims=True)
        logp = logp - np.log(np.exp(logp).sum(1, keepdims=True))
        assert data["images"] == COUNT
        assert data["accuracy"] == pytest.approx((expected.argmax(1) == labels).mean())
        assert data["loss"] == pytest.approx(-logp[np.arange(COUNT), labels].mean(), rel=1e-4)
        assert data["images_per_second"] > 0
        assert sum(row["images"] for row in data["per_class"]) == COUNT
        for row in data["per_class"]:
            mine = labels == row["class"]
            assert (row["images"], row["correct"]) == (mine.sum(), (expected.argmax(1)[mine] == row["class"]).sum())


def test_eval_texts(files):
    labelled = good("eval", files / "injected.onnx", "--data", files / "x.npy", "--labels", files / "y.npy",
                    "--per-class").stdout
    assert re.search(r"^images +48\naccuracy +[\d.]+ % \(\d+\)\nmean loss +[\d.]+\nimages/s +\d+\n\nclass", labelled)
    assert len(labelled.splitlines()) == 6 + CLASSES
    bare = good("eval", files / "injected.onnx", "--data", files / "x.npy")
    assert re.fullmatch(r"images +48\nimages/s +\d+\n", bare.stdout) and bare.stderr == ""
    data = json.loads(good("eval", files / "injected.onnx", "--data", files / "x.npy", "--json").stdout)
    assert data["accuracy"] is None and data["loss"] is None


def test_more_threads_than_processors_are_noted(files):
    allowed = sorted(os.sched_getaffinity(0))
    for processors in {1, len(allowed)}:
        result = subprocess.run([PROGRAM, "eval", files / "injected.onnx", "--data", files / "x.npy", "--range", "0:1",
                                 "--batch", "1", "--threads", str(processors + 1)], capture_output=True, text=True,
                                preexec_fn=lambda: os.sched_setaffinity(0, allowed[:processors]))
        assert result.returncode == 0 and len(result.stderr.splitlines()) == 1
        assert f"--threads {processors + 1} on {processors} processor" in result.stderr


def test_eval_softmax_gives_probabilities(files, tmp_path):
    good("eval", files / "softmax.onnx", "--data", files / "f.npy", "--outputs", tmp_path / "o.npy")
    assert np.load(tmp_path / "o.npy").sum(1) == pytest.approx(np.ones(COUNT), abs=1e-5)


def outputs_of(files, tmp_path, *options, model="injected.onnx", data="x.npy"):
    good("eval", files / model, "--data", files / data, "--outputs", tmp_path / "o.npy", *options)
    return np.load(tmp_path / "o.npy")


def test_exact_takes_plain_sums(files, tmp_path):
    fast, exact = (outputs_of(files, tmp_path, *options, model="plain.onnx", data="f.npy")
                   for options in ([], ["--exact"]))
    assert not np.array_equal(fast, exact)  # else no convolution of the model runs by Winograd, and nothing was tested
    assert np.abs(fast - exact).max() < 1e-4 * np.abs(exact).max()
    good("compare", files / "plain.onnx", files / "plain.onnx", "--exact", "--tolerance", "0")


def test_flags_override_the_record(files, tmp_path):
    recorded = outputs_of(files, tmp_path)
    assert np.array_equal(recorded, outputs_of(files, tmp_path, "--mean", "0.5"))  # the rest comes from the record
    assert np.array_equal(recorded, outputs_of(files, tmp_path, "--mean", "0.5,0.5,0.5", "--std", "0.25", "--scale",
                                               "1/255", "--channel-order", "rgb"))
    assert np.array_equal(recorded, outputs_of(files, tmp_path, "--mean", "0.5", "--std", "0.25", model="silent.onnx"))
    for other in (["--mean", "0.4"], ["--std", "0.3"], ["--scale", "1"], ["--channel-order", "bgr"],
                  ["--normalize", "none"], ["--corrupt", "fog:5"]):
        assert not np.array_equal(recorded, outputs_of(files, tmp_path, *other)), other
    none = outputs_of(files, tmp_path, "--normalize", "none")
    assert np.array_equal(none, outputs_of(files, tmp_path, "--scale", "1", "--mean", "0", "--std", "1"))


def test_float_images_are_taken_as_they_are(files, tmp_path):
    result = good("eval", files / "injected.onnx", "--data", files / "f.npy", "--mean", "0.3", "--outputs",
                  tmp_path / "o.npy")
    assert "are not used" in result.stderr and len(result.stderr.splitlines()) == 1
    with_flag = np.load(tmp_path / "o.npy")
    assert np.array_equal(with_flag, outputs_of(files, tmp_path, data="f.npy"))
    assert good("eval", files / "injected.onnx", "--data", files / "f.npy", "--mean", "0.3", "--quiet").stderr == ""


def test_range_takes_the_same_images(files, tmp_path):
    everything = outputs_of(files, tmp_path, "--corrupt", "gaussian_noise:3", "--batch", "1")
    part = outputs_of(files, tmp_path, "--corrupt", "gaussian_noise:3", "--batch", "1", "--range", "10:20")
    assert np.array_equal(part, everything[10:20])


def test_gzipped_images(files, tmp_path):
    with gzip.open(tmp_path / "x.npy.gz", "wb") as out:
        out.write((files / "x.npy").read_bytes())
    good("eval", files / "injected.onnx", "--data", tmp_path / "x.npy.gz", "--outputs", tmp_path / "z.npy")
    assert np.array_equal(np.load(tmp_path / "z.npy"), outputs_of(files, tmp_path))


def test_free_input_size(files, tmp_path):
    model = onnx.load(files / "plain.onnx")
    for i in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[i].dim_param = f"side{i}"
    onnx.save(model, tmp_path / "free.onnx")
    refused = run("eval", tmp_path / "free.onnx", "--data", files / "f.npy")
    assert refused.returncode == 2 and "--input-size" in refused.stderr
    good("eval", tmp_path / "free.onnx", "--data", files / "f.npy", "--outputs", tmp_path / "a.npy", "--input-size",
         "16x16")
    assert np.array_equal(np.load(tmp_path / "a.npy"), outputs_of(files, tmp_path, model="plain.onnx", data="f.npy"))
    tried = json.loads(good("inspect", tmp_path / "free.onnx", "--json").stdout)
    assert tried["tried_size"] == [224, 224]
    sized = json.loads(good("inspect", tmp_path / "free.onnx", "--json", "--input-size", "16x16").stdout)
    assert 0 < sized["multiply_adds_per_image"] < tried["multiply_adds_per_image"] and sized["tried_size"] is None
    good("compare", tmp_path / "free.onnx", files / "plain.onnx", "--input-size", "16x16", "--tolerance", "0")


# ---- merge and compare

def test_merge_and_compare_agree(files, trained):
    result = good("compare", trained / "trained.onnx", trained / "merged.onnx", "--data", files / "x.npy")
    assert re.search(r"x\.npy +48 +\S+ +\S+ +\S+ +48 \(100\.00 %\)", result.stdout)
    meta = {p.key for p in onnx.load(trained / "merged.onnx").metadata_props}
    assert meta == {"lorac.input"}
    merged = good("merge", trained / "trained.onnx", "-o", trained / "again.onnx", "--data", files / "x.npy", "--range",
                  "0:20")
    assert re.search(r"random +32 ", merged.stdout) and re.search(r"x\.npy +20 ", merged.stdout)
    assert "merged 8 adapters" in merged.stdout
    assert (trained / "again.onnx").read_bytes() == (trained / "merged.onnx").read_bytes()
    good("merge", trained / "trained.onnx", "-o", trained / "again.onnx", "--no-check")
    assert (trained / "again.onnx").read_bytes() == (trained / "merged.onnx").read_bytes()


def test_compare_notes_unused_flags_once(files):
    flags = ["--mean", "0.1", "--data"]
    assert good("compare", files / "plain.onnx", files / "plain.onnx", *flags, files / "x.npy").stderr == ""
    result = good("compare", files / "plain.onnx", files / "plain.onnx", *flags, files / "f.npy")
    assert "are not used" in result.stderr and len(result.stderr.splitlines()) == 1


def test_merge_checks_with_flags(files, trained, tmp_path):
    result = good("merge", trained / "trained.onnx", "-o", tmp_path / "o.onnx", "--data", files / "x.npy", "--mean",
                  "0.1")
    assert result.stderr == "" and len(re.findall(r"^(?:random|\S*x\.npy) ", result.stdout, re.M)) == 2


def test_above_tolerance(files, trained, tmp_path):
    result = run("compare", files / "plain.onnx", files / "other.onnx")
    assert result.returncode == 3 and "above the tolerance 0.0001" in result.stderr
    assert re.search(r"random +32 ", result.stdout)
    good("compare", files / "plain.onnx", files / "other.onnx", "--tolerance", "1e6")
    good("compare", files / "plain.onnx", files / "plain.onnx", "--tolerance", "0")
    refused = run("merge", trained / "trained.onnx", "-o", tmp_path / "o.onnx", "--tolerance", "0")
    if refused.returncode == 0:
        pytest.skip("the merged model is the same to the last bit")
    assert refused.returncode == 3 and "nothing was written" in refused.stderr
    assert list(tmp_path.iterdir()) == []


# ---- streams

def test_a_closed_pipe_is_an_error(files):
    read_end, write_end = os.pipe()
    os.close(read_end)
    result = subprocess.run([PROGRAM, "inspect", files / "plain.onnx"], stdout=write_end, stderr=subprocess.PIPE,
                            text=True)
    os.close(write_end)
    assert result.returncode == 1 and "cannot write to standard output" in result.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_is_an_error(files):
    with open("/dev/full", "w") as full:
        result = subprocess.run([PROGRAM, "inspect", files / "plain.onnx"], stdout=full, stderr=subprocess.PIPE,
                                text=True)
    assert result.returncode == 1 and "cannot write to standard output" in result.stderr


def test_names_cannot_reach_the_terminal(files, tmp_path):
    model = onnx.load(files / "plain.onnx")
    model.graph.node[0].name = "evil\x1b[2J\nname"
    onnx.save(model, tmp_path / "evil.onnx")
    result = good("inspect", tmp_path / "evil.onnx")
    assert "\x1b" not in result.stdout and "evil?[2J?name" in result.stdout


def test_a_note_where_the_file_is_written_in_another_way(files, tmp_path):
    # Field 1 (ir_version) twice: legal, the last one counts, and no writer gives it back.
    (tmp_path / "odd.onnx").write_bytes(b"\x08\x07" + (files / "plain.onnx").read_bytes())
    result = good("inject", tmp_path / "odd.onnx", "-o", tmp_path / "o.onnx")
    assert "not the same bytes" in result.stderr
    assert good("inject", files / "plain.onnx", "-o", tmp_path / "o.onnx").stderr == ""
