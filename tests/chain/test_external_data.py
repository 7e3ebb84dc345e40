# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""External data, written by onnx itself: read, injected, trained, merged, and read again by onnx and onnxruntime."""

import numpy as np
import onnx
import pytest
from onnx import external_data_helper

from make_resnet import make_resnet
from support import good, onnxruntime_outputs, run

# How onnx writes them: one file for all, one for each tensor, Constant attributes too, only the large ones.
LAYOUTS = {
    "one file": {"all_tensors_to_one_file": True, "location": "weights.bin", "size_threshold": 0},
    "one file each": {"all_tensors_to_one_file": False, "size_threshold": 0},
    "large ones": {"all_tensors_to_one_file": True, "location": "large.bin", "size_threshold": 1024},
    "attributes too": {"all_tensors_to_one_file": True, "location": "weights.bin", "size_threshold": 0,
                       "convert_attribute": True},
}
IMAGES = np.random.default_rng(0).standard_normal((4, 3, 32, 32)).astype(np.float32)


def with_constants(model):
    """The first ten initialisers as Constant nodes."""
    nodes = [onnx.helper.make_node("Constant", [], [tensor.name], value=tensor)
             for tensor in model.graph.initializer[:10]]
    del model.graph.initializer[:10]
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    return model


def small_resnet():
    return with_constants(make_resnet(depth=14, form="cifar", bn="folded", width=0.5))


def write(folder, layout):
    folder.mkdir()
    path = folder / "in.onnx"
    onnx.save_model(small_resnet(), path, save_as_external_data=True, **LAYOUTS[layout])
    assert len(list(folder.iterdir())) > 1
    return path


def external_names(path):
    model = onnx.load(path, load_external_data=False)
    return {tensor.name for tensor in external_data_helper._get_all_tensors(model)
            if external_data_helper.uses_external_data(tensor)}


def tensors_of(path):
    model = onnx.load(path)
    return [(tensor.name, onnx.numpy_helper.to_array(tensor).tobytes())
            for tensor in external_data_helper._get_all_tensors(model)]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_round_trip(tmp_path, layout):
    path = write(tmp_path / "in", layout)
    before = contents(path.parent)
    injected, merged = tmp_path / "injected.onnx", tmp_path / "merged.onnx"
    good("inject", path, "-o", injected)
    good("merge", injected, "-o", merged)
    assert contents(path.parent) == before
    for made in injected, merged:
        onnx.checker.check_model(str(made))
        assert np.array_equal(onnxruntime_outputs(made, IMAGES), onnxruntime_outputs(path, IMAGES))
    # Each tensor is where it was, with the bytes that it had.
    assert external_names(merged) == external_names(path)
    assert tensors_of(merged) == tensors_of(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "in", "injected.onnx", "injected.onnx.data", "merged.onnx", "merged.onnx.data"]


@pytest.mark.parametrize("place", ["inline", "external"])
def test_place_is_chosen(tmp_path, place):
    path = write(tmp_path / "in", "one file")
    injected, merged = tmp_path / "injected.onnx", tmp_path / "merged.onnx"
    good("inject", path, "-o", injected, "--external-data", place)
    good("merge", injected, "-o", merged, "--external-data", place)
    assert (tmp_path / "merged.onnx.data").exists() == (place == "external")
    assert bool(external_names(merged)) == (place == "external")
    assert tensors_of(merged) == tensors_of(path)
    onnx.checker.check_model(str(merged))


def base_hash(path):
    props = {entry.key: entry.value for entry in onnx.load(path, load_external_data=False).metadata_props}
    return props["lorac.base_hash"]


def test_base_hash_does_not_tell(tmp_path):
    inline = tmp_path / "inline.onnx"
    onnx.save_model(small_resnet(), inline)
    hashes = set()
    for name, path in [("a", inline)] + [(layout[-4:], write(tmp_path / layout, layout)) for layout in LAYOUTS]:
        good("inject", path, "-o", tmp_path / f"injected-{name}.onnx")
        hashes.add(base_hash(tmp_path / f"injected-{name}.onnx"))
    assert len(hashes) == 1


def test_training(tmp_path):
    """Trained with external data is trained without: the same values, in either place."""
    inline = tmp_path / "inline.onnx"
    onnx.save_model(small_resnet(), inline)
    path = write(tmp_path / "in", "one file")
    np.save(tmp_path / "x.npy", IMAGES)
    np.save(tmp_path / "y.npy", np.arange(4))
    for name, model in ("one", inline), ("two", path):
        good("inject", model, "-o", tmp_path / f"injected-{name}.onnx")
        good("train", tmp_path / f"injected-{name}.onnx", "-o", tmp_path / f"trained-{name}.onnx", "--data",
             tmp_path / "x.npy", "--labels", tmp_path / "y.npy", "--batch", 4, "--steps", 2, "--quiet")
    assert (tmp_path / "trained-two.onnx.data").exists() and not (tmp_path / "trained-one.onnx.data").exists()
    assert sorted(tensors_of(tmp_path / "trained-one.onnx")) == sorted(tensors_of(tmp_path / "trained-two.onnx"))
    good("merge", tmp_path / "trained-two.onnx", "-o", tmp_path / "merged.onnx")
    onnx.checker.check_model(str(tmp_path / "merged.onnx"))


@pytest.mark.parametrize("change, words", [
    (lambda folder: (folder / "weights.bin").unlink(), "weights.bin': cannot open: No such file"),
    (lambda folder: (folder / "weights.bin").write_bytes(b"short"), "cut short, or belongs to another model"),
    (lambda folder: (folder / "weights.bin").rename(folder / "b") and (folder / "weights.bin").symlink_to("b"),
     "is a symbolic link"),
])
def test_refused(tmp_path, change, words):
    path = write(tmp_path / "in", "one file")
    change(path.parent)
    result = run("inject", path, "-o", tmp_path / "out.onnx")
    assert result.returncode == 1 and words in result.stderr and "tensor '" in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out.onnx").exists()


def test_a_copy_of_the_old_model_keeps_its_data(tmp_path):
    path = write(tmp_path / "in", "one file")
    out, copy = tmp_path / "out.onnx", tmp_path / "copy.onnx"
    first = run("inject", path, "-o", out)
    assert first.returncode == 0 and "no longer used" not in first.stderr
    copy.write_bytes(out.read_bytes())
    before = tensors_of(copy)
    again = run("inject", path, "-o", out, "--seed", "1")
    assert again.returncode == 0 and again.stderr.count("'out.onnx.data', beside ") == 1
    assert tensors_of(copy) == before
    good("inspect", copy)
    good("inspect", out)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "copy.onnx", "in", "out.onnx", "out.onnx.data", "out.onnx.data.1"]


def test_output_is_not_the_data_file(tmp_path):
    path = write(tmp_path / "in", "one file")
    before = contents(path.parent)
    result = run("inject", path, "-o", path.parent / "weights.bin")
    assert result.returncode == 2 and "the model's own data" in result.stderr
    assert contents(path.parent) == before
