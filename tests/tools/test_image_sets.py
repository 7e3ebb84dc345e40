# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Sets of image files in train, eval, compare and merge: as from memory, their classes, sizes and memory."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
from image_files import BATCH, COUNT, NAMES, SIDE, WAYS, save_images, train, write_folder
from make_resnet import make_resnet
from program import PROGRAM, SANITIZED, good, refused, run

from bench import streaming


def classes_of(path):
    return next((json.loads(p.value) for p in onnx.load(path).metadata_props if p.key == "lorac.classes"), None)


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    return save_images(tmp_path_factory.mktemp("images"))


# ---- as from memory

@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_trained_as_from_memory(files, tmp_path, way):
    micro = ["--micro-batch", "2"] if "--micro-batch" in way else []
    train(files, tmp_path / "array.onnx", files / "x.npy", "--labels", files / "y.npy", *micro)
    train(files, tmp_path / "folder.onnx", files / "png", *way)
    assert (tmp_path / "array.onnx").read_bytes() == (tmp_path / "folder.onnx").read_bytes()


@pytest.mark.parametrize("options", [["--range", "7:41"], ["--corrupt", "fog:3"], ["--val", "0.25"], ["--steps", "11"],
                                     ["--corrupt", "gaussian_noise:2", "--range", "5:60", "--seed", "9"]], ids=" ".join)
def test_options_as_from_memory(files, tmp_path, options):
    def short(output, data, *more):
        good("train", files / "named.onnx", "-o", tmp_path / output, "--data", data, "--batch", BATCH, "--lr", "0.02",
             *(options if "--steps" in options else ["--epochs", "2", *options]), *more)
    short("array.onnx", files / "x.npy", "--labels", files / "y.npy")
    short("folder.onnx", files / "png")
    assert (tmp_path / "array.onnx").read_bytes() == (tmp_path / "folder.onnx").read_bytes()


def test_evaluated_as_from_memory(files, tmp_path):
    arguments = ["eval", files / "named.onnx", "--json", "--per-class", "--batch", "7"]
    array = json.loads(good(*arguments, "--data", files / "x.npy", "--labels", files / "y.npy", "--outputs",
                            tmp_path / "array.npy").stdout)
    folder = json.loads(good(*arguments, "--data", files / "png", "--outputs", tmp_path / "folder.npy").stdout)
    assert folder.pop("skipped") == 0
    assert {**array, "images_per_second": 0} == {**folder, "images_per_second": 0}
    assert [row["name"] for row in folder["per_class"]] == NAMES
    assert (tmp_path / "array.npy").read_bytes() == (tmp_path / "folder.npy").read_bytes()


def test_compared_as_from_memory(files, tmp_path):
    train(files, tmp_path / "trained.onnx", files / "png")

    def rows(command, *arguments):
        lines = good(command, *arguments).stdout.splitlines()
        return [line.replace(str(files / "png"), "D").replace(str(files / "x.npy"), "D").split() for line in lines
                if "%" in line]
    merge = ["merge", tmp_path / "trained.onnx", "-o", tmp_path / "merged.onnx", "--data"]
    assert rows(*merge, files / "png") == rows(*merge, files / "x.npy")
    compare = ["compare", tmp_path / "trained.onnx", files / "named.onnx", "--tolerance", "10", "--data"]
    assert rows(*compare, files / "png") == rows(*compare, files / "x.npy")
    assert rows(*compare, files / "png")[0][1] == str(COUNT)


# ---- classes

def test_names_of_classes(files, tmp_path):
    assert classes_of(files / "injected.onnx") is None
    train(files, tmp_path / "trained.onnx", files / "png", model="injected.onnx")
    assert classes_of(tmp_path / "trained.onnx") == NAMES
    table = good("eval", tmp_path / "trained.onnx", "--data", files / "png", "--per-class").stdout
    assert [line.split()[1] for line in table.splitlines()[-len(NAMES):]] == NAMES
    # With the names of the model a part of its classes is enough.
    part = tmp_path / "part"
    shutil.copytree(files / "png" / "cat", part / "cat")
    rows = json.loads(good("eval", tmp_path / "trained.onnx", "--data", part, "--per-class", "--json").stdout)["per_class"]
    assert [row["images"] for row in rows] == [0, 0, len(list((part / "cat").iterdir())), 0, 0]


def test_other_classes_are_refused(files, tmp_path):
    part = tmp_path / "part"
    for name in NAMES[1:4]:
        shutil.copytree(files / "png" / name, part / name)
    for command in [["eval"], ["train", "-o", tmp_path / "out.onnx"]]:
        result = run(command[0], files / "injected.onnx", "--data", part, *command[1:])
        assert result.returncode == 1
        assert "the images are of 3 classes (car, cat, dog), but the model gives 5 and has no names" in result.stderr
    (part / "cat").rename(part / "lion")
    result = run("eval", files / "named.onnx", "--data", part)
    assert result.returncode == 1 and "lion" in result.stderr
    # Comparing looks at no label.
    good("compare", files / "named.onnx", files / "named.onnx", "--data", part)


def test_what_is_left_out_is_said(files, tmp_path):
    shutil.copytree(files / "png", tmp_path / "png")
    (tmp_path / "png" / "cat" / "notes.txt").write_text("x")
    for path in (tmp_path / "png" / "ship").iterdir():
        path.unlink()
    result = good("eval", files / "injected.onnx", "--data", tmp_path / "png")
    assert re.search(r"note: 1 other file is not taken: '.*notes\.txt'\n", result.stderr)
    assert re.search(r"note: 1 class has no pictures: '.*ship'\n", result.stderr)


def test_labels_where_images_have_theirs(files, tmp_path):
    result = run("train", files / "named.onnx", "-o", tmp_path / "out.onnx", "--data", files / "png", "--labels",
                 files / "y.npy")
    assert result.returncode == 2 and "leave the labels" in result.stderr
    result = run("train", files / "named.onnx", "-o", tmp_path / "out.onnx", "--data", files / "x.npy")
    assert result.returncode == 2 and "--labels FILE is missing" in result.stderr


def test_a_folder_without_classes_takes_labels(files, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in (files / "png").glob("*/*.png"):
        shutil.copy(path, flat / path.name)
    train(files, tmp_path / "array.onnx", files / "x.npy", "--labels", files / "y.npy")
    train(files, tmp_path / "flat.onnx", flat, "--labels", files / "y.npy")
    assert (tmp_path / "array.onnx").read_bytes() == (tmp_path / "flat.onnx").read_bytes()
    result = run("train", files / "named.onnx", "-o", tmp_path / "out.onnx", "--data", flat)
    assert result.returncode == 2 and "--labels FILE is missing" in result.stderr
    assert "accuracy" not in good("eval", files / "named.onnx", "--data", flat).stdout


def test_a_table_of_paths(files, tmp_path):
    paths = sorted((files / "png").glob("*/*.png"))
    table = tmp_path / "images.csv"
    table.write_text("".join(f"{path},{path.parent.name}\n" for path in paths))
    train(files, tmp_path / "folder.onnx", files / "png")
    train(files, tmp_path / "table.onnx", table)
    assert (tmp_path / "folder.onnx").read_bytes() == (tmp_path / "table.onnx").read_bytes()


def test_cifar(files, tmp_path):
    """CIFAR's binary files are a set in memory, with labels and names."""
    random = np.random.default_rng(8)
    labels = random.integers(0, 10, 40, dtype=np.uint8)
    images = random.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    names = "airplane automobile bird cat deer dog frog horse ship truck".split()
    records = np.concatenate([labels[:, None], images.transpose(0, 3, 1, 2).reshape(40, -1)], axis=1)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    (folder / "data_batch_1.bin").write_bytes(records[:24].tobytes())
    (folder / "data_batch_2.bin").write_bytes(records[24:].tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(names) + "\n")
    np.save(tmp_path / "x.npy", images)
    np.save(tmp_path / "y.npy", labels)
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(32, 32)), tmp_path / "plain.onnx")
    for output, options in [("silent", []), ("named", ["--class-names", tmp_path / "names.txt"])]:
        good("inject", tmp_path / "plain.onnx", "-o", tmp_path / f"{output}.onnx", "--mean", "0.5", *options)

    def short(output, model, *options):
        good("train", tmp_path / model, "-o", tmp_path / output, "--epochs", "2", "--batch", BATCH, *options)
    for part in [[], ["--range", "20:36", "--corrupt", "fog:2"]]:
        short("array.onnx", "named.onnx", "--data", tmp_path / "x.npy", "--labels", tmp_path / "y.npy", *part)
        short("cifar.onnx", "named.onnx", "--data", folder, *part)
        assert (tmp_path / "array.onnx").read_bytes() == (tmp_path / "cifar.onnx").read_bytes()
    short("names.onnx", "silent.onnx", "--data", folder / "data_batch_1.bin")
    assert classes_of(tmp_path / "names.onnx") == names
    assert "there is no 'data_batch_3.bin'" in good("eval", tmp_path / "named.onnx", "--data", folder).stderr
    result = run("eval", tmp_path / "named.onnx", "--data", folder, "--labels", tmp_path / "y.npy")
    assert result.returncode == 2 and "leave the labels" in result.stderr


# ---- sizes

def test_larger_files_are_made_smaller(files, tmp_path):
    """Of files whose middle is the images, --resize to their own size and a centre crop give the images again."""
    images, labels = np.load(files / "x.npy"), np.load(files / "y.npy")
    wide = np.zeros((COUNT, SIDE, SIDE + 6, 3), np.uint8)
    wide[:, :, 3:-3] = images
    write_folder(tmp_path / "wide", wide, labels)
    for name, data in [("narrow", files / "png"), ("wide", tmp_path / "wide")]:
        good("eval", files / "named.onnx", "--data", data, "--outputs", tmp_path / f"{name}.npy")
    assert np.array_equal(np.load(tmp_path / "narrow.npy"), np.load(tmp_path / "wide.npy"))
    good("eval", files / "named.onnx", "--data", files / "png", "--resize", SIDE + 4, "--outputs", tmp_path / "resized.npy")
    assert not np.allclose(np.load(tmp_path / "narrow.npy"), np.load(tmp_path / "resized.npy"))
    result = run("eval", files / "named.onnx", "--data", files / "png", "--resize", SIDE - 1)
    assert result.returncode == 2 and "resize" in result.stderr


# ---- memory

def peak(*arguments):
    """Of the program, in bytes; started by a small process, as what the starter holds counts for its child."""
    script = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
              "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    return 1024 * int(subprocess.run([sys.executable, "-S", "-c", script, PROGRAM, *map(str, arguments)], check=True,
                                     capture_output=True, text=True).stdout)


@pytest.mark.skipif(SANITIZED, reason="checkers keep what was freed")
@pytest.mark.parametrize("command", ["eval", "compare"])
def test_one_pass_keeps_nothing(files, tmp_path, command):
    """400 pictures of 128 x 128 would be 20 MB decoded."""
    folder = tmp_path / "flat"
    folder.mkdir()
    for path in streaming.make_folder(tmp_path / "jpeg", 400, 128, 128, distinct=20).glob("*/*"):
        path.rename(folder / f"{path.parent.name}_{path.name}")
    models = [files / "injected.onnx"] * (2 if command == "compare" else 1)
    arguments = [command, *models, "--data", folder, "--resize", "128", "--batch", "1", "--loader-threads", "1"]
    assert peak(*arguments) - peak(*arguments, "--range", "0:100") < 4e6


def test_what_is_kept(files, tmp_path):
    def kept(*options):
        return train(files, tmp_path / "out.onnx", files / "png", *options).stderr
    assert "60 images (JPEG and PNG files, decoded by 1 thread ahead of use and kept, in at most 92.2 kB)" in kept(
        "--loader-threads", "1")
    assert "decoded by 2 threads ahead of use)" in kept("--cache-memory", "0", "--loader-threads", "2")
    assert "ahead of use)" in kept("--cache-memory", f"{COUNT * SIDE * SIDE * 3 - 1}")
    assert "kept, in at most 92.2 kB)" in kept("--memory-budget", "200M")
    assert run("train", "x.onnx", "-o", tmp_path / "o", "--data", "d", "--cache-memory", "lots").returncode == 2
    validated = [line for line in kept("--val", files / "png", "--cache-memory", "130000").splitlines() if "kept" in line]
    assert len(validated) == 1 and not validated[0].startswith("validation")  # what is left is too little for both
    assert kept("--val", files / "png", "--cache-memory", "184320").count("kept, in at most 92.2 kB)") == 2


@pytest.mark.skipif(SANITIZED, reason="checkers keep what was freed")
def test_memory_does_not_grow_with_the_images(files, tmp_path):
    """The short form of tests/bench/streaming.py memory: 800 files of 96 x 128 would take 6 MB at 48 x 48."""
    folder = streaming.make_folder(tmp_path / "jpeg", 800, 96, 128, distinct=50)
    onnx.save(make_resnet(depth=8, width=0.25, input_size=(48, 48)), tmp_path / "plain.onnx")
    good("inject", tmp_path / "plain.onnx", "-o", tmp_path / "injected.onnx", "--mean", "0.5")
    rows = streaming.follow([PROGRAM, "train", tmp_path / "injected.onnx", "-o", tmp_path / "out.onnx", "--data", folder,
                             "--epochs", "1", "--batch", BATCH, "--quiet", "--cache-memory", "0"],
                            tmp_path / "log.jsonl", [200, 400, 600, 760], BATCH)
    assert len(rows) >= 2 and rows[0][0] < rows[-1][0]
    assert rows[-1][2] - rows[0][2] < 1e6


# ---- with checkpoints, and the most wrong

def test_resumed(files, tmp_path):
    def short(output, *options):
        return run("train", files / "named.onnx", "-o", tmp_path / output, "--data", files / "png", "--batch", BATCH,
                   "--epochs", "4", "--checkpoint", tmp_path / "kept", "--checkpoint-steps", "1", *options)
    train_all = ["--checkpoint", tmp_path / "other", "--epochs", "4"]
    good("train", files / "named.onnx", "-o", tmp_path / "whole.onnx", "--data", files / "png", "--batch", BATCH,
         *train_all)
    assert short("part.onnx", "--max-minutes", "0.00001").returncode == 4
    result = short("resumed.onnx", "--resume", "--loader-threads", "3", "--cache-memory", "0")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "whole.onnx").read_bytes() == (tmp_path / "resumed.onnx").read_bytes()
    # Another set is another run.
    result = run("train", files / "named.onnx", "-o", tmp_path / "x.onnx", "--data", files / "png", "--batch", BATCH,
                 "--epochs", "4", "--checkpoint", tmp_path / "kept", "--resume", "--range", "0:50")
    assert result.returncode == 1 and "images" in result.stderr


def test_paths_of_the_most_wrong(files):
    rows = json.loads(good("eval", files / "injected.onnx", "--data", files / "png", "--json", "--wrong", "3",
                           "--range", "10:50").stdout)["wrong"]
    paths = sorted((files / "png").glob("*/*.png"))
    assert len(rows) == 3
    for row in rows: # the model has no names; the folders have
        assert row["path"] == str(paths[row["index"]]) and row["name"] == paths[row["index"]].parent.name


# ---- which class is which

def test_names_of_the_classes_that_there_are(files, tmp_path):
    """--label-names keeps the last layer, so that a part of the classes can be scored and trained on."""
    part, names = tmp_path / "part", tmp_path / "names.txt"
    for name in ["cat", "dog"]:
        shutil.copytree(files / "png" / name, part / name)
    message = refused("eval", files / "injected.onnx", "--data", part, code=1)
    assert "inject --label-names FILE" in message and "of all 5" in message and "new last layer" in message
    named = tmp_path / "labels.onnx"
    report = good("inject", files / "plain.onnx", "-o", named, "--label-names", files / "names.txt", "--mean", "0.5",
                  "--std", "0.25").stdout
    assert "recorded the names of 5 classes" in report and "new last layer" not in report
    assert classes_of(named) == NAMES
    weights = [{t.name: t.raw_data for t in onnx.load(path).graph.initializer}
               for path in (files / "injected.onnx", named)]
    assert weights[0] == weights[1]
    compared = good("compare", files / "plain.onnx", named, "--tolerance", 0).stdout
    assert "100.00 %" in compared
    rows = json.loads(good("eval", named, "--data", part, "--per-class", "--json").stdout)["per_class"]
    whole = json.loads(good("eval", named, "--data", files / "png", "--per-class", "--json").stdout)["per_class"]
    assert rows[2:4] == whole[2:4] and sum(row["images"] for row in rows) == rows[2]["images"] + rows[3]["images"]
    for text, code, fragment in [("a\nb\nc\n", 1, "names 3 classes, and the model has 5"),
                                 ("a\nb\nc\na\ne\n", 1, "the lines 1 and 4 both say 'a'")]:
        names.write_text(text)
        message = refused("inject", files / "plain.onnx", "-o", tmp_path / "out.onnx", "--label-names", names, code=code)
        assert fragment in message
    assert "the lines 1 and 4 both say 'a'" in refused("inject", files / "plain.onnx", "-o", tmp_path / "out.onnx",
                                                       "--class-names", names, code=1)
    for option in [["--classes", 5], ["--class-names", files / "names.txt"]]:
        assert "--label-names contradicts" in refused("inject", files / "plain.onnx", "-o", tmp_path / "out.onnx",
                                                      "--label-names", files / "names.txt", *option)
    assert not (tmp_path / "out.onnx").exists()


def test_the_order_of_the_classes_is_said(files, tmp_path):
    note = "in the order of the names here: 0 bird, 1 car, 2 cat, 3 dog, 4 ship\n"
    for command in [["eval"], ["train", "-o", tmp_path / "out.onnx", "--steps", 2, "--batch", BATCH, "--val", "0.3"]]:
        stderr = good(command[0], files / "injected.onnx", "--data", files / "png", *command[1:]).stderr
        assert stderr.count("order of the names") == 1 and note in stderr
        assert "order of the names" not in good(command[0], files / "named.onnx", "--data", files / "png",
                                                *command[1:]).stderr
    many = tmp_path / "many"
    for i in range(12):
        shutil.copytree(files / "png" / "cat", many / f"c{i:02}")
    onnx.save(make_resnet(depth=8, width=0.25, input_size=(SIDE, SIDE), classes=12), tmp_path / "plain.onnx")
    stderr = good("eval", tmp_path / "plain.onnx", "--data", many, "--mean", 0.5).stderr
    assert "here: 0 c00, 1 c01, 2 c02, ... 11 c11\n" in stderr


# ---- notes and refusals

def test_resize_of_arrays_is_noted(files):
    for option, noted in [([], False), (["--resize", 20], True)]:
        result = good("eval", files / "named.onnx", "--data", files / "x.npy", *option)
        assert ("note: --resize is for image files" in result.stderr) == noted


def test_pipes(files, tmp_path):
    pipe = tmp_path / "pipe.npy"
    os.mkfifo(pipe)
    for arguments in [["--data", pipe], ["--data", files / "x.npy", "--labels", pipe]]:
        result = run("eval", files / "named.onnx", *arguments, timeout=60)
        assert result.returncode == 1 and "is not an ordinary file" in result.stderr and "pipe.npy" in result.stderr
    with subprocess.Popen(["cat", files / "x.npy"], stdout=subprocess.PIPE) as cat:
        result = subprocess.run([PROGRAM, "eval", files / "named.onnx", "--data", "/dev/stdin", "--json"],
                                stdin=cat.stdout, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and json.loads(result.stdout)["images"] == COUNT, result.stderr


def test_an_output_that_cannot_be_written(files, tmp_path):
    """The folder goes while training runs; a checkpoint has all, and without one what is lost is said."""
    for checkpoint in [[], ["--checkpoint", tmp_path / "ck"]]:
        folder = tmp_path / "out"
        folder.mkdir()
        command = [PROGRAM, "train", files / "named.onnx", "-o", folder / "out.onnx", "--data", files / "png", "--batch",
                   BATCH, "--max-minutes", "0.05", "--steps", "100000000", "--log", tmp_path / "log", *checkpoint]
        process = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        while '"step"' not in ((tmp_path / "log").read_text() if (tmp_path / "log").exists() else ""):
            assert process.poll() is None, process.stderr.read()
        folder.rmdir()
        _, stderr = process.communicate(timeout=300)
        assert process.returncode == 1
        line = stderr.splitlines()[-1]
        assert "out.onnx" in line
        if not checkpoint:
            assert re.search(r"the values after step \d+ are lost: .*--checkpoint", line), line
            (tmp_path / "log").unlink()
        else:
            assert "nothing of the training is lost" in line and "another -o" in line, line
            step = int(re.search(r"step-0*(\d+)", str(max((tmp_path / "ck").glob("step-*")))).group(1))
            command[command.index(folder / "out.onnx")] = tmp_path / "other.onnx"
            command[command.index("0.05")] = "0.001"
            again = subprocess.run([*map(str, command), "--resume"], capture_output=True, text=True)
            assert again.returncode == 4 and f"going on after step {step} of" in again.stderr
            assert (tmp_path / "other.onnx").exists()


def test_what_is_no_set_of_images(files, tmp_path):
    """What can be read is said of files that cannot."""
    source = next((files).glob("x.npy"))
    (tmp_path / "one.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    (tmp_path / "list.txt").write_text("a.png\nb.png\n")
    (tmp_path / "short.bin").write_bytes(b"\3" + bytes([7]) * (3073 * 4 - 101))
    (tmp_path / "cut.npy").write_bytes(source.read_bytes()[:2000])
    for name, words in (("one.png", ("a PNG picture", "a folder of folders of pictures, a .csv or .tsv")),
                        ("list.txt", ("neither .npy nor IDX", "a folder of folders of pictures, a .csv or .tsv")),
                        ("short.bin", ("12192 bytes, no whole number of records of 3073 bytes (CIFAR-10)",))):
        message = run("eval", files / "plain.onnx", "--data", tmp_path / name)
        assert message.returncode == 1 and all(word in message.stderr for word in words), message.stderr
    cut = run("eval", files / "plain.onnx", "--data", tmp_path / "cut.npy")
    assert cut.returncode == 1 and "folders" not in cut.stderr
