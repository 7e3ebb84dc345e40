# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""The program as a user meets it: messages, exit codes, what is left on disk, and its streams."""

import os
import subprocess

import onnx
import pytest
from program import PROGRAM, good, run


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
    (TRAIN + " --lr nan", 2, "--lr nan: must be a finite number"),
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
    (TRAIN + " --cutout 16", 2, "a cutout of 16 x 16 is not smaller than the image of 16 x 16: give at most 15"),
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
