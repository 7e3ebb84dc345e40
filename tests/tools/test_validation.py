# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""train --val: the written file is that of the best epoch, nothing of the training changes, and what is refused."""

import re
import signal
import subprocess

import numpy as np
import onnx
import pytest
from make_resnet import make_resnet
from program import PROGRAM, good, run

SIDE, CLASSES, COUNT, HELD = 8, 10, 120, 50
BATCH, STEPS = 16, 5  # an epoch of what --val 0.25 leaves, 90 images


def images(random, count):
    """Noise around a pattern of each class, so that there is something to learn, and to learn too well."""
    labels = np.arange(count) % CLASSES
    patterns = np.random.default_rng(11).integers(60, 196, (CLASSES, SIDE, SIDE, 3))
    pixels = patterns[labels] + random.normal(0, 90, (count, SIDE, SIDE, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(3)
    onnx.save(make_resnet(depth=8, width=0.25, input_size=(SIDE, SIDE)), folder / "plain.onnx")
    for bn in ("frozen", "train"):
        good("inject", folder / "plain.onnx", "-o", folder / f"{bn}.onnx", "-q", "--mean", "0.5", "--std", "0.25",
             "--bn", bn)
    for name, count in (("train", COUNT), ("val", HELD)):
        x, y = images(random, count)
        np.save(folder / f"{name}_x.npy", x)
        np.save(folder / f"{name}_y.npy", y)
    np.save(folder / "val_high.npy", np.where(np.arange(HELD) == 7, CLASSES, y))
    np.save(folder / "val_large.npy", np.pad(x, ((0, 0), (0, 1), (0, 0), (0, 0))))
    return folder


def command(files, output, *options, model="train"):
    return ("train", files / f"{model}.onnx", "-o", output, "--data", files / "train_x.npy", "--labels",
            files / "train_y.npy", *(() if "--batch" in options else ("--batch", BATCH)), "--lr", "0.1", "--schedule",
            "constant", "--augment", "crop-flip", *options)


def own_set(files):
    return "--val", files / "val_x.npy", "--val-labels", files / "val_y.npy"


def validations(result):
    """[(epoch, loss, accuracy in percent, images, better)]"""
    rows = re.findall(r"validation after epoch (\d+)  loss ([\d.]+)  accuracy ([\d.]+) % of (\d+) images(  best so "
                      r"far)?$", result.stderr, re.M)
    return [(int(epoch), float(loss), float(accuracy), int(count), bool(better))
            for epoch, loss, accuracy, count, better in rows]


def best_of(result):
    epoch, accuracy, count = re.search(r"^best after epoch (\d+): accuracy ([\d.]+) % on (\d+) validation images",
                                       result.stdout, re.M).groups()
    return int(epoch), float(accuracy), int(count)


@pytest.mark.parametrize("model", ["frozen", "train"])
def test_the_file_is_that_of_the_best_epoch(files, tmp_path, model):
    result = good(*command(files, tmp_path / "best.onnx", "--epochs", 12, "--val", "0.25", model=model))
    rows = validations(result)
    assert [row[0] for row in rows] == list(range(1, 13))
    assert "validation: on 30 of the images, which leaves 90 to train on" in result.stderr
    best = max(rows, key=lambda row: (row[2], -row[1], -row[0]))
    assert best_of(result) == (best[0], best[2], 30)
    assert [row[0] for row in rows if row[4]][-1] == best[0]
    shorter = good(*command(files, tmp_path / "there.onnx", "--steps", best[0] * STEPS, "--val", "0.25", "--keep",
                            "last", model=model))
    assert validations(shorter) == rows[:best[0]]
    assert "; the last values are kept" in shorter.stdout
    assert (tmp_path / "best.onnx").read_bytes() == (tmp_path / "there.onnx").read_bytes()


def test_the_best_is_not_always_the_last(files, tmp_path):
    """Else the test above would not see whether the best is kept."""
    result = good(*command(files, tmp_path / "o.onnx", "--epochs", 12, "--val", "0.25"))
    assert best_of(result)[0] < 12
    good(*command(files, tmp_path / "last.onnx", "--epochs", 12, "--val", "0.25", "--keep", "last"))
    assert (tmp_path / "o.onnx").read_bytes() != (tmp_path / "last.onnx").read_bytes()


@pytest.mark.parametrize("model", ["frozen", "train"])
def test_validation_changes_nothing_of_the_training(files, tmp_path, model):
    good(*command(files, tmp_path / "with.onnx", "--epochs", 3, *own_set(files), "--keep", "last", model=model))
    good(*command(files, tmp_path / "without.onnx", "--epochs", 3, model=model))
    assert (tmp_path / "with.onnx").read_bytes() == (tmp_path / "without.onnx").read_bytes()


def test_eval_says_the_same_of_the_written_file(files, tmp_path):
    result = good(*command(files, tmp_path / "o.onnx", "--epochs", 4, *own_set(files), "--val-range", "10:45",
                           "--corrupt", "fog:1"))
    epoch, accuracy, count = best_of(result)
    assert count == 35
    loss = validations(result)[epoch - 1][1]
    said = good("eval", tmp_path / "o.onnx", "--data", files / "val_x.npy", "--labels", files / "val_y.npy", "--range",
                "10:45", "--corrupt", "fog:1", "--batch", BATCH).stdout
    assert f"{accuracy:.2f} %" in said
    assert float(re.search(r"mean loss +([\d.]+)", said)[1]) == pytest.approx(loss, abs=2e-4)


def test_threads_change_nothing(files, tmp_path):
    results = [good(*command(files, tmp_path / f"{threads}.onnx", "--epochs", 3, "--val", "0.25", "--threads",
                             threads)) for threads in (1, 2)]
    assert validations(results[0]) == validations(results[1])
    assert (tmp_path / "1.onnx").read_bytes() == (tmp_path / "2.onnx").read_bytes()


def test_micro_batches_validate_the_same(files, tmp_path):
    results = [good(*command(files, tmp_path / "o.onnx", "--epochs", 2, "--val", "0.25", *options, model="frozen"))
               for options in ((), ("--micro-batch", 4))]
    whole, parts = map(validations, results)
    assert [row[3:] for row in whole] == [row[3:] for row in parts]
    assert [row[1] for row in whole] == pytest.approx([row[1] for row in parts], abs=1e-3)


def test_patience_ends_the_training(files, tmp_path):
    result = good(*command(files, tmp_path / "o.onnx", "--epochs", 200, "--val", "0.25", "--patience", 3))
    rows, (epoch, _, _) = validations(result), best_of(result)
    assert rows[-1][0] == epoch + 3 < 200 and not any(row[4] for row in rows[-3:])
    assert f"stops after epoch {epoch + 3}: " in result.stderr
    assert f"trained {STEPS * (epoch + 3)} steps" in result.stdout


def test_a_fraction_is_a_share(files, tmp_path):
    results = [good(*command(files, tmp_path / f"{i}.onnx", "--epochs", 1, "--val", share))
               for i, share in enumerate(("0.25", "1/4"))]
    assert validations(results[0]) == validations(results[1]) and "1/4" not in results[1].stderr
    assert (tmp_path / "0.onnx").read_bytes() == (tmp_path / "1.onnx").read_bytes()


def test_every_second_epoch_and_the_end(files, tmp_path):
    result = good(*command(files, tmp_path / "o.onnx", "--steps", 4 * STEPS + 2, "--val", "0.25", "--val-every", 2))
    assert [row[0] for row in validations(result)] == [2, 4, 5]


def test_interrupted_the_best_is_written(files, tmp_path):
    process = subprocess.Popen([PROGRAM, *map(str, command(files, tmp_path / "o.onnx", "--epochs", 100000,
                                                           *own_set(files)))],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = []
    while not lines or "validation after epoch 3 " not in lines[-1]:
        lines.append(process.stderr.readline())
        assert lines[-1]
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    result = subprocess.CompletedProcess([], 130, "", "".join(lines) + rest)
    best = [row for row in validations(result) if row[4]][-1]
    assert f"the best values so far (after epoch {best[0]}) are in '{tmp_path / 'o.onnx'}'" in rest
    assert f"{best[2]:.2f} %" in good("eval", tmp_path / "o.onnx", "--data", files / "val_x.npy", "--labels",
                                      files / "val_y.npy").stdout


def test_its_memory_is_counted(files, tmp_path):
    """The smallest budget that is named grows by the images, their labels, and the copy of what is trained."""
    x, y = images(np.random.default_rng(1), 5000)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    least = []
    for options in ((), ("--val", tmp_path / "x.npy", "--val-labels", tmp_path / "y.npy")):
        result = run(*command(files, tmp_path / "o.onnx", "--memory-budget", "1M", *options))
        assert result.returncode == 2
        least.append(float(re.search(r"the smallest that would do is ([\d.]+) MB", result.stderr)[1]))
    trained = int(re.search(r"trainable (\d+) of", good("inject", files / "plain.onnx", "-o", tmp_path / "i.onnx")
                            .stdout)[1])
    expected = (x.nbytes + 4 * len(y) + 4 * trained) / 1e6
    assert least[1] - least[0] == pytest.approx(expected, abs=0.11)  # two numbers that were rounded up to 0.1


@pytest.mark.parametrize("options, code, message", [
    (("--val", "1"), 2, "--val 1: a share must be above 0 and below 1"),
    (("--val", "nan"), 2, "--val nan: a share must be"),
    (("--val", "5/4"), 2, "--val 5/4: a share must be above 0 and below 1 (a file of that name is ./5/4)"),
    (("--val", "5/"), 1, "--val: '5/': cannot open"),
    (("--val", "0.25", "--val-labels", "{f}/val_y.npy"), 2, "--val-labels is for a set of its own"),
    (("--val", "0.25", "--val-range", "0:5"), 2, "--val-range is for a set of its own"),
    (("--val", "0.9"), 2, "--val 0.9 leaves only 10 images to train on: give at most 10"),
    (("--val", "0.1", "--range", "0:16", "--batch", "17"), 2, "there are only 16 images"),
    (("--val", "0.1", "--range", "0:10", "--batch", "4"), 2, "no class has two of them"),
    (("--val", "{f}/val_x.npy"), 2, "has no labels: give --val-labels FILE"),
    (("--val", "{f}/none.npy", "--val-labels", "{f}/val_y.npy"), 1, "none.npy': cannot open"),
    (("--val", "{f}/val_x.npy", "--val-labels", "{f}/train_y.npy"), 1, "there are 120 labels for 50 images"),
    (("--val", "{f}/val_x.npy", "--val-labels", "{f}/val_high.npy"), 1, "label 10 at index 7 is outside 0 .. 9"),
    (("--val", "{f}/val_large.npy", "--val-labels", "{f}/val_y.npy"), 1, "the images have the shape [50, 9, 8, 3]"),
    (("--patience", "2"), 2, "--patience needs --val"),
    (("--val-every", "2"), 2, "--val-every needs --val"),
    (("--keep", "best"), 2, "--keep best needs --val"),
    (("--val", "0.1", "--val-every", "0"), 2, "--val-every"),
])
def test_refused(files, tmp_path, options, code, message):
    result = run(*command(files, tmp_path / "o.onnx", *(option.format(f=files) for option in options)))
    assert (result.returncode, not (tmp_path / "o.onnx").exists()) == (code, True), result.stderr
    assert message in result.stderr and len(result.stderr.splitlines()) == 1


def test_the_output_is_no_input(files):
    for name in ("val_x.npy", "val_y.npy"):
        result = run(*command(files, files / name, *own_set(files)))
        assert result.returncode == 2 and "is also an input" in result.stderr
