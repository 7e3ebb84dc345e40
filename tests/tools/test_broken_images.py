# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Image files that cannot be read: how many may be, what is said of them, and when."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from image_files import BATCH, COUNT, WAYS, save_images, train
from program import good, run


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    return save_images(tmp_path_factory.mktemp("images"))


@pytest.fixture
def broken(files, tmp_path):
    """The folder with every tenth file cut off; gives the folder and the paths of the broken files."""
    folder = tmp_path / "png"
    shutil.copytree(files / "png", folder)
    paths = sorted(folder.glob("*/*.png"))[3::10]
    for path in paths:
        path.write_bytes(path.read_bytes()[:300])
    return folder, paths


def skipped_names(stderr):
    return re.findall(r"skipped: '?([^':]+)", stderr)


@pytest.mark.parametrize("way", WAYS[:4], ids=" ".join)
def test_broken_files_in_training(files, broken, tmp_path, way):
    folder, paths = broken
    result = train(files, tmp_path / "a.onnx", folder, "--broken-share", "0.1", *way)
    assert sorted(skipped_names(result.stderr)) == list(map(str, paths)) # each once
    assert f"{len(paths)} of the {COUNT} images cannot be read and were skipped" in result.stderr
    train(files, tmp_path / "b.onnx", folder, "--broken-share", "0.1", "--quiet")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_too_many_broken_files(files, broken, tmp_path):
    folder, paths = broken
    result = run("train", files / "named.onnx", "-o", tmp_path / "out.onnx", "--data", folder, "--batch", BATCH,
                 "--broken-share", "0.05")
    assert result.returncode == 1
    assert f"4 of the {COUNT} images cannot be read, more than a share of 0.05" in result.stderr
    assert all(str(path) in result.stderr for path in skipped_names(result.stderr)[:3])
    result = run("eval", files / "named.onnx", "--data", folder)
    assert result.returncode == 1
    assert f"1 of the {COUNT} images cannot be read, more than a share of 0.01" in result.stderr
    assert str(paths[0]) in result.stderr


def test_broken_files_in_evaluation(files, broken, tmp_path):
    folder, paths = broken
    good_rows = [i for i in range(COUNT) if i % 10 != 3]
    np.save(tmp_path / "x.npy", np.load(files / "x.npy")[good_rows])
    np.save(tmp_path / "y.npy", np.load(files / "y.npy")[good_rows])
    arguments = ["eval", files / "named.onnx", "--json", "--per-class", "--outputs"]
    expected = json.loads(good(*arguments, tmp_path / "e.npy", "--data", tmp_path / "x.npy", "--labels",
                               tmp_path / "y.npy").stdout)
    result = good(*arguments, tmp_path / "g.npy", "--data", folder, "--broken-share", "0.1")
    got = json.loads(result.stdout)
    assert got["skipped"] == len(paths) and skipped_names(result.stderr) == list(map(str, paths))
    for key in ["images", "accuracy", "per_class"]:
        assert got[key] == expected[key]
    assert got["loss"] == pytest.approx(expected["loss"], rel=1e-6) # other batches
    outputs = np.load(tmp_path / "g.npy")
    assert np.isnan(outputs[3::10]).all()
    np.testing.assert_allclose(outputs[good_rows], np.load(tmp_path / "e.npy"), rtol=1e-4, atol=1e-5)
    text = good("eval", files / "named.onnx", "--data", folder, "--broken-share", "1").stdout
    assert f"images      {COUNT - len(paths)}\nskipped     {len(paths)} (cannot be read)\n" in text


def test_broken_files_in_comparing(files, broken):
    folder, paths = broken
    out = good("compare", files / "named.onnx", files / "named.onnx", "--data", folder, "--broken-share", "0.1").stdout
    row = next(line for line in out.splitlines() if str(folder) in line).split()
    assert row[1] == str(COUNT - len(paths)) and row[2] == "0"


def test_nothing_can_be_read(files, broken, tmp_path):
    folder, _ = broken
    for path in folder.glob("*/*.png"):
        path.write_bytes(path.read_bytes()[:300])
    arguments = ["--data", folder, "--broken-share", "1"]
    for command in (["eval", files / "named.onnx", "--json"], ["eval", files / "named.onnx", "--outputs", tmp_path / "x.npy"],
                    ["compare", files / "named.onnx", files / "named.onnx"]):
        result = run(*command, *arguments)
        assert (result.returncode, result.stdout) == (1, "")
        assert f"none of the {COUNT} images can be read" in result.stderr
    assert not (tmp_path / "x.npy").exists()
    result = run("train", files / "named.onnx", "-o", tmp_path / "o.onnx", "--data", files / "png", "--batch", BATCH,
                 "--val", folder, "--broken-share", "1")
    assert result.returncode == 1 and "best after epoch" not in result.stdout + result.stderr
    assert f"--val {folder}: none of the {COUNT} images can be read" in result.stderr
    assert "epoch 1/" not in result.stderr and not (tmp_path / "o.onnx").exists()


def test_broken_files_in_validation(files, broken, tmp_path):
    folder, paths = broken
    result = train(files, tmp_path / "o.onnx", files / "png", "--val", folder, "--broken-share", "0.1")
    assert f"{len(paths)} of the {COUNT} validation images cannot be read and were skipped" in result.stderr
    assert f"of the {COUNT} images cannot be read" not in result.stderr


def refused_before_training(files, tmp_path, *options):
    result = run("train", files / "named.onnx", "-o", tmp_path / "o.onnx", "--batch", BATCH, "--epochs", 1, "--log",
                 tmp_path / "log", *options)
    assert result.returncode == 1 and not (tmp_path / "o.onnx").exists() and not (tmp_path / "log").exists()
    assert len(result.stderr.splitlines()) == 1 # nothing had begun
    return result.stderr


def cut_off(path):
    path.write_bytes(path.read_bytes()[:300])


def empty(path):
    path.write_bytes(b"")


def replace(path):
    path.write_bytes(b"GIF89a" + path.read_bytes())


@pytest.mark.parametrize("spoil", [cut_off, empty, replace, os.unlink], ids=lambda spoil: spoil.__name__)
def test_a_bad_validation_set_is_refused_before_training(files, tmp_path, spoil):
    shutil.copytree(files / "png", tmp_path / "val")
    paths = sorted((tmp_path / "val").glob("*/*.png"))
    table = tmp_path / "val.csv"
    table.write_text("path,label\n" + "".join(f"{path},{path.parent.name}\n" for path in paths))
    options = "--data", files / "png", "--val", table
    for path in paths[-2:]: # the first ones can be read
        spoil(path)
    stderr = refused_before_training(files, tmp_path, *options, "--broken-share", 1.5 / COUNT)
    assert f"--val {table}: 2 of the {COUNT} images cannot be read, more than a share of" in stderr
    assert all(str(path) in stderr for path in paths[-2:])
    result = train(files, tmp_path / "o.onnx", files / "png", "--val", table, "--broken-share", 2 / COUNT)
    assert f"2 of the {COUNT} validation images cannot be read and were skipped" in result.stderr
    assert skipped_names(result.stderr) == list(map(str, paths[-2:]))


def test_what_is_held_out_is_looked_at_before_training(files, tmp_path):
    refused = 0
    shutil.copytree(files / "png", tmp_path / "png")
    for path in sorted((tmp_path / "png").glob("*/*.png"))[:10]:
        whole = path.read_bytes()
        cut_off(path)
        result = run("train", files / "named.onnx", "-o", tmp_path / "o.onnx", "--batch", BATCH, "--data",
                     tmp_path / "png", "--val", "0.25", "--epochs", 1)
        assert "validation after epoch 1" not in result.stderr or result.returncode == 0
        if result.stderr.startswith("lorac-onnx train: --val 0.25: "):
            refused += 1
            assert f"1 of the {COUNT} images cannot be read" in result.stderr and str(path) in result.stderr
        path.write_bytes(whole)
    assert 0 < refused < 10


def test_bytes_behind_a_picture_are_no_damage(files, tmp_path):
    """Some cameras write something there."""
    shutil.copytree(files / "png", tmp_path / "val")
    for path in (tmp_path / "val").glob("*/*.png"):
        path.write_bytes(path.read_bytes() + b"more")
    for name in "val", "png":
        train(files, tmp_path / f"{name}.onnx", files / "png", "--val", tmp_path / "val" if name == "val" else
              files / "png", "--broken-share", 0)
    assert (tmp_path / "val.onnx").read_bytes() == (tmp_path / "png.onnx").read_bytes()
