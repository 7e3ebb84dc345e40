# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""What train says, logs and writes, and what its options do to the result."""

import json
import re

import onnx
import pytest
from program import good, run
from training_log import lines_of, losses_of


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


def test_zeros_take_back_what_a_recipe_says(files, tmp_path):
    (tmp_path / "r.yaml").write_text("augment:\n  color_jitter: [0.4, 0.4, 0.4]\n  cutout: 6\n  crop_pad: 2\n")
    base = ["train", files / "injected.onnx", "--data", files / "x.npy", "--labels", files / "y.npy", "--steps", "4",
            "--batch", "16"]
    written = []
    for options in ((), ("--recipe", tmp_path / "r.yaml"),
                    ("--recipe", tmp_path / "r.yaml", "--color-jitter", "0,0,0", "--cutout", "0", "--crop-pad", "0")):
        good(*base, "-o", tmp_path / "o.onnx", *options)
        written.append((tmp_path / "o.onnx").read_bytes())
    assert written[0] == written[2] != written[1]


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
