# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""What a command writes replaces no picture, no file of a set, and no checkpoint."""

import shutil

import numpy as np
import onnx
import pytest
from image_files import BATCH, save_images
from make_resnet import make_resnet
from program import good, refused


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    return save_images(tmp_path_factory.mktemp("images"))


def test_an_output_is_no_picture_of_the_set(files, tmp_path):
    pictures, own = tmp_path / "png", tmp_path / "own"
    shutil.copytree(files / "png", pictures)
    shutil.copytree(files / "png", own)
    table = tmp_path / "set.csv"
    table.write_text("".join(f"png/{p.parent.name}/{p.name},{p.parent.name}\n" for p in sorted(pictures.glob("*/*.png"))))
    picture, other = sorted(pictures.glob("cat/*.png"))[0], sorted(own.glob("dog/*.png"))[-1]
    link = tmp_path / "link.onnx"
    link.symlink_to(picture)
    model, out = files / "named.onnx", tmp_path / "out.onnx"
    for option, path, arguments in [
            ("-o", picture, ["train", model, "-o", picture, "--data", pictures]),
            ("-o", link, ["train", model, "-o", link, "--data", pictures]),
            ("-o", picture, ["train", model, "-o", picture, "--data", pictures, "--range", "0:16", "--batch", 8]),
            ("-o", picture, ["train", model, "-o", picture, "--data", table]),
            ("--log", picture, ["train", model, "-o", out, "--log", picture, "--data", pictures]),
            ("-o", other, ["train", model, "-o", other, "--data", pictures, "--val", own]),
            ("--outputs", picture, ["eval", model, "--outputs", picture, "--data", pictures]),
            ("-o", picture, ["merge", model, "-o", picture, "--data", pictures])]:
        before = path.read_bytes()
        message = refused(*arguments)
        assert f"{option} '{path}' is a picture that is there already: give another name" in message
        assert path.read_bytes() == before and not out.exists()
    new = pictures / "cat" / "new.JPG"
    assert "would be a picture of the set" in refused("train", model, "-o", new, "--data", pictures)
    # An old output elsewhere is replaced, and another file beside the pictures is none of them.
    for path in [out, pictures / "out.onnx"]:
        path.write_text("old")
        good("train", model, "-o", path, "--data", pictures, "--steps", 1, "--batch", BATCH)


def test_an_output_is_no_picture_of_any_set(files, tmp_path):
    shutil.copytree(files / "png", tmp_path / "png")
    pictures = sorted((tmp_path / "png").glob("*/*.png"))
    picture, named = pictures[0], pictures[1:]
    table, out = tmp_path / "set.csv", tmp_path / "out.onnx"
    table.write_text("".join(f"png/{p.parent.name}/{p.name},{p.parent.name}\n" for p in named))
    nameless, jpeg, wrong = tmp_path / "0591", tmp_path / "old.log", tmp_path / "empty.JPEG"
    shutil.copyfile(picture, nameless)
    jpeg.write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    wrong.touch()
    model = files / "named.onnx"
    for path in [picture, nameless, jpeg, wrong]:
        before = path.read_bytes()
        for option, arguments in [("--log", ["train", model, "-o", out, "--data", table, "--log", path]),
                                  ("-o", ["train", model, "-o", path, "--data", table]),
                                  ("--outputs", ["eval", model, "--data", table, "--outputs", path]),
                                  ("-o", ["merge", model, "-o", path]),
                                  ("-o", ["extract", model, "-o", path])]:
            assert f"{option} '{path}' is a picture that is there already: give another name" in refused(*arguments)
        assert path.read_bytes() == before and not out.exists()
    jpeg.write_bytes(b"\xff\xd8")  # an old log that was cut short, say
    good("train", model, "-o", out, "--data", table, "--steps", 1, "--batch", BATCH, "--log", jpeg)


def test_an_output_is_no_file_of_cifar(files, tmp_path):
    folder = tmp_path / "cifar"
    folder.mkdir()
    random = np.random.default_rng(5)
    for i in (1, 2):
        (folder / f"data_batch_{i}.bin").write_bytes(
            b"".join(bytes([c]) + random.bytes(3072) for c in range(10)))
    (folder / "batches.meta.txt").write_text("".join(f"c{i}\n" for i in range(10)))
    onnx.save(make_resnet(depth=8, width=0.25, input_size=(32, 32), classes=10), tmp_path / "plain.onnx")
    good("inject", tmp_path / "plain.onnx", "-o", tmp_path / "model.onnx", "--mean", "0.5", "--std", "0.25")
    for name in ["data_batch_2.bin", "batches.meta.txt"]:
        before = (folder / name).read_bytes()
        message = refused("train", tmp_path / "model.onnx", "-o", folder / name, "--data", folder)
        assert "one of the files of" in message and name in message
        assert (folder / name).read_bytes() == before


def test_checkpoints_are_not_among_the_images(files, tmp_path):
    pictures, own, out = tmp_path / "png", tmp_path / "own", tmp_path / "out.onnx"
    shutil.copytree(files / "png", pictures)
    shutil.copytree(files / "png", own)
    (tmp_path / "link").symlink_to(pictures)
    before = sorted(tmp_path.rglob("*"))
    options = ["--data", pictures, "--val", own, "--steps", 1, "--batch", BATCH]
    for option, folder in [("--data", pictures), ("--data", f"{pictures}/"), ("--data", pictures / "ck"),
                           ("--data", f"{pictures}/ck//"), ("--data", pictures / "cat"), ("--data", tmp_path / "link/ck"),
                           ("--data", pictures / "cat/ck"), ("--val", own), ("--val", own / "ck")]:
        message = refused("train", files / "named.onnx", "-o", out, *options, "--checkpoint", folder, "--resume")
        images = pictures if option == "--data" else own
        assert f"--checkpoint '{folder}' would put checkpoints among the images of '{images}' ({option})" in message
        assert sorted(tmp_path.rglob("*")) == before
    for folder in (tmp_path / "pngx", tmp_path / "png.ck"):
        good("train", files / "named.onnx", "-o", out, *options, "--checkpoint", folder)


def test_an_output_is_no_checkpoint(files, tmp_path):
    folder, out = tmp_path / "ck", tmp_path / "out.onnx"
    options = ["--data", files / "png", "--steps", 2, "--batch", BATCH, "--checkpoint", folder]
    good("train", files / "named.onnx", "-o", out, *options)
    checkpoint = max(folder.glob("step-*.safetensors"))
    before = checkpoint.read_bytes()
    link = tmp_path / "link"
    link.symlink_to(folder)
    for path in [checkpoint, folder / "new.onnx", link / checkpoint.name]:
        message = refused("train", files / "named.onnx", "-o", path, *options, "--resume")
        assert f"-o '{path}' is in the folder of the checkpoints" in message
        message = refused("train", files / "named.onnx", "-o", out, "--log", path, *options, "--resume")
        assert f"--log '{path}' is in the folder of the checkpoints" in message
    message = refused("train", files / "named.onnx", "-o", out, "--tune", "--tune-cache", checkpoint, *options, "--resume")
    assert "'" in message
    assert checkpoint.read_bytes() == before
    good("train", files / "named.onnx", "-o", tmp_path / "ckx.onnx", *options, "--resume")
