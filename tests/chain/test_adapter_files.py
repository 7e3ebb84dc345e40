# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Adapters as files: extract, apply, and what other programs read in them."""

import json
import re
import struct
import subprocess
import sys

import numpy as np
import onnx
import onnx.numpy_helper
import onnxruntime
import pytest
import safetensors
import safetensors.numpy

from support import (SOURCE, good, initializers, is_valid, metadata, onnxruntime_outputs, random_images,
                     relative_error, run, session_of)

# Of the largest output: onnxruntime adds in another order than the check of merge, and W is rounded once either way.
BY_HAND_RELATIVE = 1e-5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("files")
    for name, bn, seed in (("plain", "kept", 1), ("other", "kept", 2)):
        subprocess.run([sys.executable, SOURCE / "models" / "make_resnet.py", "--depth", "8", "--bn", bn, "--form",
                        "cifar", "--width", "2", "--seed", str(seed), "-o", where / f"{name}.onnx"], check=True)
    rng = np.random.default_rng(3)
    np.save(where / "x.npy", rng.standard_normal((32, 3, 32, 32)).astype(np.float32))
    np.save(where / "y.npy", (np.arange(32) % 10).astype(np.int64))
    return where


def train(folder, base, target, *options, train=()):
    """injected.onnx, trained.onnx and adapter.safetensors in the folder [target]."""
    target.mkdir(exist_ok=True)
    good("inject", base, "-o", target / "injected.onnx", "--quiet", *options)
    good("train", target / "injected.onnx", "-o", target / "trained.onnx", "--data", folder / "x.npy", "--labels",
         folder / "y.npy", "--epochs", "1", "--batch", "8", "--threads", "1", "--quiet", *train)
    good("extract", target / "trained.onnx", "-o", target / "adapter.safetensors")
    return target


@pytest.fixture(scope="module")
def trained(folder):
    return train(folder, folder / "plain.onnx", folder / "trained")


@pytest.mark.parametrize("options", [
    (),
    ("--freeze-a", "--form", "branch", "--seed", "7"),
    ("--branch-layers", "layer2", "--rank", "2", "--alpha", "3", "--rank-setting", "plain"),
    ("--bn", "train", "--train-first", "--mean", "0.5", "--std", "0.25"),
    ("--train-all",),
    ("--train-all", "--bn", "train"),
    ("--no-train-last", "--layers", "layer1", "--output-name", "logits"),
], ids=" ".join)
def test_round_trip(folder, tmp_path, options):
    """The trained model again, to the byte, from the injected base and from the plain one."""
    if "logits" in options:
        name = onnx.load(folder / "plain.onnx").graph.output[0].name
        options = tuple(name if word == "logits" else word for word in options)
    train(folder, folder / "plain.onnx", tmp_path, *options)
    expected = (tmp_path / "trained.onnx").read_bytes()
    for base in (tmp_path / "injected.onnx", folder / "plain.onnx", tmp_path / "trained.onnx"):
        good("apply", base, tmp_path / "adapter.safetensors", "-o", tmp_path / "out.onnx")
        assert (tmp_path / "out.onnx").read_bytes() == expected


@pytest.mark.parametrize("name, options", [
    ("helper-shared-weights", ("--train-all",)),
    ("helper-shared-weights", ()),
    ("half-inside-float-ends", ("--train-all",)),
    ("helper-typed-fields", ()),
    ("helper-functions", ()),
    ("helper-groups", ("--form", "branch")),
])
def test_any_intake(tmp_path, name, options):
    """Copies, 16-bit weights, numbers in typed fields, local functions: no training needed to change the numbers."""
    plain = SOURCE / "tests" / "intake" / "models" / f"{name}.onnx"
    good("inject", plain, "-o", tmp_path / "injected.onnx", "--quiet", *options)
    model = onnx.load(tmp_path / "injected.onnx")
    tensors = initializers(model)
    for name in json.loads(metadata(model)["lorac.trainable"]):
        if name in tensors and tensors[name].raw_data:
            old = onnx.numpy_helper.to_array(tensors[name])
            new = (old.astype(np.float32) + np.arange(old.size).reshape(old.shape) % 7 / 64).astype(old.dtype)
            tensors[name].raw_data = new.tobytes()
    onnx.save(model, tmp_path / "trained.onnx")
    good("extract", tmp_path / "trained.onnx", "-o", tmp_path / "adapter.safetensors")
    good("apply", tmp_path / "injected.onnx", tmp_path / "adapter.safetensors", "-o", tmp_path / "out.onnx")
    assert onnx.load(tmp_path / "out.onnx") == model
    good("apply", plain, tmp_path / "adapter.safetensors", "-o", tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "out.onnx").read_bytes()


def test_a_base_that_merge_gave_back(folder, tmp_path):
    """What was recorded stays in it, before what inject adds: only the order of the metadata is another."""
    (tmp_path / "names").write_text("".join(f"c{i}\n" for i in range(10)))
    target = train(folder, folder / "plain.onnx", tmp_path / "t", "--mean", "0.5", "--std", "0.25", "--label-names",
                   tmp_path / "names", "--output-name", "logits")
    good("merge", target / "injected.onnx", "-o", tmp_path / "base.onnx")
    assert {"lorac.input", "lorac.classes", "lorac.output"} == {key for key in metadata(onnx.load(tmp_path / "base.onnx"))
                                                                 if key.startswith("lorac.")}
    good("apply", tmp_path / "base.onnx", target / "adapter.safetensors", "-o", tmp_path / "back.onnx")
    back, expected = onnx.load(tmp_path / "back.onnx"), onnx.load(target / "trained.onnx")
    assert metadata(back) == metadata(expected)
    for model in (back, expected):
        model.metadata_props.sort(key=lambda entry: entry.key)
    assert back == expected


def test_package_reads_it(trained, tmp_path):
    """The safetensors package opens the file; W0 + s * view(B @ A) with its numbers is the merged model."""
    path = trained / "adapter.safetensors"
    header = struct.unpack("<Q", path.read_bytes()[:8])[0]
    assert (8 + header) % 8 == 0
    tensors = safetensors.numpy.load_file(path)
    with safetensors.safe_open(path, "np") as file:
        texts = file.metadata()
    model = onnx.load(trained / "trained.onnx")
    assert texts == {key: value for key, value in metadata(model).items() if key.startswith("lorac.")}
    assert re.fullmatch("[0-9a-f]{32}", texts["lorac.base_hash"]) and texts["lorac.tool"].startswith("lorac-onnx ")
    assert set(tensors) == set(json.loads(texts["lorac.trainable"]))
    assert path.stat().st_size < 0.6 * (trained / "trained.onnx").stat().st_size

    plain = onnx.load(trained.parent / "plain.onnx")
    base = initializers(plain)
    for entry in json.loads(texts["lorac.adapters"]):
        a, b = (tensors.pop(entry[part]).astype(np.float64) for part in "AB")
        old = onnx.numpy_helper.to_array(base[entry["weight"]])
        new = old + entry["alpha"] / entry["rank"] * (b @ a).reshape(old.shape)
        base[entry["weight"]].CopyFrom(onnx.numpy_helper.from_array(new.astype(old.dtype), entry["weight"]))
    for name, values in tensors.items():
        base[name].CopyFrom(onnx.numpy_helper.from_array(values, name))
    onnx.save(plain, tmp_path / "by-hand.onnx")
    good("merge", trained / "trained.onnx", "-o", tmp_path / "merged.onnx", "--threads", "1")
    images = random_images(8, (3, 32, 32))
    by_hand, merged = (onnxruntime_outputs(tmp_path / f"{name}.onnx", images) for name in ("by-hand", "merged"))
    assert relative_error(by_hand, merged) <= BY_HAND_RELATIVE
    untrained = onnxruntime_outputs(trained.parent / "plain.onnx", images)
    assert relative_error(untrained, merged) > 100 * BY_HAND_RELATIVE


def test_package_writes_it(trained, tmp_path):
    """A file that the package wrote with the same content is taken."""
    path = trained / "adapter.safetensors"
    with safetensors.safe_open(path, "np") as file:
        texts = file.metadata()
    safetensors.numpy.save_file(safetensors.numpy.load_file(path), tmp_path / "again.safetensors",
                                {**texts, "format": "pt"})
    good("apply", trained / "injected.onnx", tmp_path / "again.safetensors", "-o", tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").read_bytes() == (trained / "trained.onnx").read_bytes()


# ---- what is refused: one line that says why, and nothing is written


def refuse(tmp_path, code, *arguments):
    output = tmp_path / "refused"
    result = run(*arguments, "-o", output)
    assert result.returncode == code and not output.exists(), result.stderr
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


def test_wrong_base(folder, trained, tmp_path):
    """Another base is refused, plain or injected, and both hashes are named."""
    good("inject", folder / "other.onnx", "-o", tmp_path / "other.onnx", "--quiet")
    hashes = [metadata(onnx.load(path))["lorac.base_hash"] for path in (tmp_path / "other.onnx",
                                                                       trained / "injected.onnx")]
    assert hashes[0] != hashes[1]
    for base in (folder / "other.onnx", tmp_path / "other.onnx"):
        message = refuse(tmp_path, 1, "apply", base, trained / "adapter.safetensors")
        assert hashes[0] in message and hashes[1] in message


@pytest.mark.parametrize("options, key", [
    (("--rank", "2"), "lorac.adapters"),
    (("--form", "branch"), "lorac.adapters"),
    (("--no-train-last",), "lorac.trainable"),
    (("--bn", "train"), "lorac.bn"),
])
def test_other_injection(folder, trained, tmp_path, options, key):
    good("inject", folder / "plain.onnx", "-o", tmp_path / "injected.onnx", "--quiet", *options)
    message = refuse(tmp_path, 1, "apply", tmp_path / "injected.onnx", trained / "adapter.safetensors")
    assert f"its '{key}' is not the file's" in message


def test_frozen_a_needs_its_seed(folder, tmp_path):
    """A frozen A is not in the file: it follows from the seed, which must be the same."""
    train(folder, folder / "plain.onnx", tmp_path, "--freeze-a")
    good("inject", folder / "plain.onnx", "-o", tmp_path / "seed.onnx", "--quiet", "--freeze-a", "--seed", "1")
    assert "its 'lorac.seed' is not the file's" in refuse(tmp_path, 1, "apply", tmp_path / "seed.onnx",
                                                          tmp_path / "adapter.safetensors")


def test_nothing_to_extract(folder, trained, tmp_path):
    assert "there is nothing to extract" in refuse(tmp_path, 1, "extract", folder / "plain.onnx")
    assert "not a safetensors file" in refuse(tmp_path, 1, "apply", folder / "plain.onnx", folder / "plain.onnx")
    for arguments in (("extract", trained / "trained.onnx"), ("apply", folder / "plain.onnx",
                                                              trained / "adapter.safetensors")):
        for path in arguments[1:]:
            result = run(*arguments, "-o", path)
            assert result.returncode == 2 and "-o" in result.stderr


def change(path, target, tensors=lambda tensors: None, texts=lambda texts: None):
    """A copy of an adapter file, changed, written by the package."""
    with safetensors.safe_open(path, "np") as file:
        new_texts = file.metadata()
    new_tensors = safetensors.numpy.load_file(path)
    tensors(new_tensors)
    texts(new_texts)
    safetensors.numpy.save_file(new_tensors, target, new_texts)


FIRST = "/layer1/layer1.0/conv1/Conv/lora_A"


@pytest.mark.parametrize("change_tensors, change_texts, message", [
    (lambda t: t.pop(FIRST), None, "is no tensor of the file"),
    (lambda t: t.update(extra=np.zeros(1, np.float32)), None, "others are there only with 'lorac.bn' train"),
    (lambda t: t.update({FIRST: t[FIRST].T.copy()}), None, "another type or shape"),
    (lambda t: t.update({FIRST: t[FIRST].astype(np.float64)}), None, "another type or shape"),
    (lambda t: t.update({FIRST: t[FIRST].astype(np.int32)}), None, "what is trained is floating"),
    (lambda t: t[FIRST].__setitem__((0, 1), np.nan), None, "element 1 is nan"),
    (lambda t: t[FIRST].__setitem__((0, 2), np.inf), None, "element 2 is inf"),
    (None, lambda t: t.pop("lorac.format"), "no metadata 'lorac.format'"),
    (None, lambda t: t.update({"lorac.format": "3"}), "knows versions up to 2"),
    (None, lambda t: t.pop("lorac.seed"), "'lorac.seed' is missing"),
    (None, lambda t: t.update({"lorac.base_hash": "x"}), "32 lower-case hex digits"),
    (None, lambda t: t.update({"lorac.adapters": "["}), "'lorac.adapters' is not valid JSON"),
    (None, lambda t: t.update({"lorac.adapters": t["lorac.adapters"].replace('"rank":4', '"rank":0', 1)}),
     "'rank' must be an integer"),
    (None, lambda t: t.update({"lorac.adapters": t["lorac.adapters"].replace('"rank":4', '"rank":5', 1)}),
     "numbers, and its tensors have"),
    (None, lambda t: t.update({"lorac.adapters": t["lorac.adapters"].replace('"rank":4', '"rank":3', 1)}),
     "another type or shape"),
    (None, lambda t: t.update({"lorac.adapters": t["lorac.adapters"].replace('"rank":4', '"rank":65536')}),
     "choose a smaller rank"),
    (None, lambda t: t.update({"lorac.adapters": t["lorac.adapters"].replace('"alpha":8.0', '"alpha":1e-50', 1)}),
     "is no float32"),
    (None, lambda t: t.update({"lorac.adapters": t["lorac.adapters"].replace("layer1.0/conv1", "no/where")}),
     "'lorac.trainable' lacks"),
    (None, lambda t: t.update({"lorac.copies": '[{"copy":"a","of":"b"}]'}), "apply it to the injected model"),
    (None, lambda t: t.update({"lorac.bn": "train"}), "which training changes"),
    (None, lambda t: t.update({"lorac.output": "nowhere"}), "'lorac.output' is 'nowhere'"),
    (None, lambda t: t.update({"lorac.input": "{}x"}), "lorac.input"),
])
def test_changed_content(folder, trained, tmp_path, change_tensors, change_texts, message):
    nothing = lambda _: None  # noqa: E731
    change(trained / "adapter.safetensors", tmp_path / "a", change_tensors or nothing, change_texts or nothing)
    assert message in refuse(tmp_path, 1, "apply", folder / "plain.onnx", tmp_path / "a")


# ---- several adapters at once

# Of each term's size: every factor of B is rounded once to float32 before the product, and W once after it.
SUM_RELATIVE = 2**-23


@pytest.fixture(scope="module")
def adapters(folder, trained):
    """Adapter files of one base, injected and trained in ways as different as can be."""
    ways = {
        "second": ("--rank", "2", "--alpha", "3", "--rank-setting", "plain", "--form", "branch", "--seed", "5"),
        "frozen": ("--freeze-a", "--seed", "9", "--layers", "layer[23]", "--train-first"),
        "moved": ("--bn", "train", "--no-train-last"),
        "moved2": ("--bn", "train", "--seed", "2"),
        "whole": ("--train-all",),
    }
    paths = {name: train(folder, folder / "plain.onnx", folder / name, *options) for name, options in ways.items()}
    return {"first": trained, **paths}


def values(path):
    return {name: onnx.numpy_helper.to_array(tensor).astype(np.float64)
            for name, tensor in initializers(onnx.load(path)).items()}


def changes(target):
    """{name: W - W0} of a folder that train() filled, and how large the terms are of which that is the sum."""
    model = onnx.load(target / "trained.onnx")
    arrays, base = values(target / "trained.onnx"), values(target.parent / "plain.onnx")
    result = {}
    for entry in json.loads(metadata(model)["lorac.adapters"]):
        a, b = arrays[entry["A"]], arrays[entry["B"]]
        scale, shape = entry["alpha"] / entry["rank"], base[entry["weight"]].shape
        result[entry["weight"]] = (scale * (b @ a).reshape(shape), scale * (abs(b) @ abs(a)).reshape(shape))
    for name in arrays.keys() & base.keys() - result.keys():
        difference = arrays[name] - base[name]
        if difference.any():
            result[name] = difference, abs(arrays[name]) + abs(base[name])
    return result


@pytest.mark.parametrize("weights", [
    {"first": 0.7, "second": 0.3},
    {"first": 1, "second": 1, "frozen": -0.5},
    {"moved": 0.25, "second": 2},
    {"first": 0.5},
    {"whole": 0.5},
], ids=str)
def test_sum(folder, adapters, tmp_path, weights):
    """W = W0 + sum of w_i * (W_i - W0), element by element, and the same bytes from the injected base."""
    options = [word for name, weight in weights.items()
               for word in ("--adapter", f"{adapters[name] / 'adapter.safetensors'}={weight}")]
    said = good("merge", folder / "plain.onnx", *options, "-o", tmp_path / "sum.onnx", "--threads", "1").stdout
    assert f"of {len(weights)} file" in said
    good("merge", adapters["first"] / "injected.onnx", *options, "-o", tmp_path / "again.onnx", "--no-check")
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "sum.onnx").read_bytes()

    base, merged = values(folder / "plain.onnx"), values(tmp_path / "sum.onnx")
    assert base.keys() == merged.keys()
    expected, sizes = {**base}, {name: abs(array) for name, array in base.items()}
    for name, weight in weights.items():
        for tensor, (change_, size) in changes(adapters[name]).items():
            expected[tensor] = expected[tensor] + weight * change_
            sizes[tensor] = sizes[tensor] + abs(weight) * size
    for name in base:
        assert (abs(merged[name] - expected[name]) <= SUM_RELATIVE * sizes[name]).all(), name
    assert any((merged[name] != base[name]).any() for name in base)
    assert not any(key.startswith("lorac.") for key in metadata(onnx.load(tmp_path / "sum.onnx")))


def test_one_adapter(folder, adapters, tmp_path):
    """One file of weight 1 is the trained model, merged, to the byte; half and half of one file too, nearly."""
    file = adapters["moved"] / "adapter.safetensors"
    good("merge", adapters["moved"] / "trained.onnx", "-o", tmp_path / "merged.onnx", "--no-check")
    for options in (("--adapter", file), ("--adapter", f"{file}=2/2")):
        good("merge", folder / "plain.onnx", *options, "-o", tmp_path / "out.onnx", "--no-check")
        assert (tmp_path / "out.onnx").read_bytes() == (tmp_path / "merged.onnx").read_bytes()
    file = adapters["first"] / "adapter.safetensors"
    good("merge", folder / "plain.onnx", "--adapter", f"{file}=1/2", "--adapter", f"{file}=.5", "-o",
         tmp_path / "halves.onnx", "--no-check")
    good("merge", adapters["first"] / "trained.onnx", "-o", tmp_path / "merged.onnx", "--no-check")
    merged, halves = values(tmp_path / "merged.onnx"), values(tmp_path / "halves.onnx")
    for name in merged:
        assert np.allclose(halves[name], merged[name], rtol=0, atol=SUM_RELATIVE * abs(merged[name]).max())


def test_sum_refused(folder, adapters, tmp_path):
    plain = folder / "plain.onnx"
    files = {name: adapters[name] / "adapter.safetensors" for name in adapters}
    for code, base, options, message in (
            (1, plain, (f"{files['moved']}=.5", f"{files['moved2']}=.5"), "both have BatchNorm statistics"),
            (1, plain, (files["first"], files["whole"]), "and another trains its weight whole"),
            (1, plain, (f"{files['moved']}=-1000",), "weights from 0 to 1 keep it above 0"),
            (1, plain, (f"{files['first']}=1e200",), "FLOAT cannot hold: choose smaller weights"),
            (1, folder / "other.onnx", (f"{files['first']}=.5",), "belongs to the base model with hash"),
            (1, adapters["second"] / "trained.onnx", (files["first"],), "belongs to the base model with hash"),
            (2, plain, (f"{files['first']}=x",), "must be a number"),
            (2, plain, (f"{files['first']}=",), "must be a number"),
            (2, plain, (f"{files['first']}=nan",), "must be a number"),
            (2, plain, ("=1",), "must begin with the name of a file"),
            (2, plain, (files["first"],) * 17, "at most 16"),
            (1, plain, (tmp_path / "none",), "cannot open")):
        adapters_ = [word for option in options for word in ("--adapter", option)]
        said = refuse(tmp_path, code, "merge", base, *adapters_)
        assert message in said, said
    result = run("merge", plain, "--adapter", f"{files['first']}=.5", "-o", files["first"])
    assert result.returncode == 2


# ---- ONNX Runtime's adapter file


@pytest.mark.parametrize("options", [
    (),
    ("--form", "branch", "--freeze-a", "--train-first"),
    ("--bn", "train"),
    ("--train-all", "--bn", "train"),
], ids=" ".join)
def test_onnx_adapter(folder, tmp_path, options):
    """onnxruntime's loader reads the file, and the injected model with it has the merged model's outputs."""
    train(folder, folder / "plain.onnx", tmp_path, "--adapters-as-inputs", *options)
    injected, file = tmp_path / "injected.onnx", tmp_path / "a.onnx_adapter"
    good("extract", tmp_path / "trained.onnx", "-o", file, "--format", "onnx_adapter")
    assert is_valid(injected) and is_valid(tmp_path / "trained.onnx")

    tensors = safetensors.numpy.load_file(tmp_path / "adapter.safetensors")
    model = onnx.load(injected)
    assert {value.name for value in model.graph.input[1:]} == tensors.keys()
    read = onnxruntime.AdapterFormat.read_adapter(str(file))
    assert (read.get_format_version(), read.get_adapter_version(), read.get_model_version()) == (1, 0, 0)
    parameters = {name: value.numpy() for name, value in read.get_parameters().items()}
    assert parameters.keys() == tensors.keys()
    for name, array in parameters.items():
        assert array.dtype == tensors[name].dtype and np.array_equal(array, tensors[name])

    images = random_images(8, (3, 32, 32))
    plain, merged = (onnxruntime_outputs(path, images) for path in (folder / "plain.onnx", merge(tmp_path)))
    session = session_of(injected)
    name = session.get_inputs()[0].name
    assert [value.name for value in session.get_inputs()] == [name]
    assert relative_error(session.run(None, {name: images})[0], plain) <= BY_HAND_RELATIVE
    adapter = onnxruntime.LoraAdapter()
    adapter.Load(str(file))
    run_options = onnxruntime.RunOptions()
    run_options.add_active_adapter(adapter)
    outputs = session.run(None, {name: images}, run_options)[0]
    assert relative_error(outputs, merged) <= BY_HAND_RELATIVE < relative_error(plain, merged) / 100


def merge(folder):
    good("merge", folder / "trained.onnx", "-o", folder / "merged.onnx", "--threads", "1")
    return folder / "merged.onnx"


@pytest.mark.parametrize("options", [(), ("--bn", "train", "--train-all"), ("--form", "branch")], ids=" ".join)
def test_adapters_as_inputs(folder, tmp_path, options):
    """Only the declarations differ: merging a fresh injection gives the file back, training the same numbers."""
    ways = {"with": ("--adapters-as-inputs",), "without": ()}
    for name, way in ways.items():
        train(folder, folder / "plain.onnx", tmp_path / name, *options, *way)
        good("merge", tmp_path / name / "injected.onnx", "-o", tmp_path / "back.onnx", "--no-check")
        assert (tmp_path / "back.onnx").read_bytes() == (folder / "plain.onnx").read_bytes()
        merge(tmp_path / name)
    assert (tmp_path / "with" / "merged.onnx").read_bytes() == (tmp_path / "without" / "merged.onnx").read_bytes()
    model, other = (onnx.load(tmp_path / name / "trained.onnx") for name in ways)
    declared = json.loads(metadata(model)["lorac.graph_inputs"])
    assert [value.name for value in model.graph.input[1:]] == declared
    del model.graph.input[1:]
    assert model.graph == other.graph
    # The files serve the model that was injected in the same way, or the plain one.
    file = tmp_path / "with" / "adapter.safetensors"
    for base in (folder / "plain.onnx", tmp_path / "with" / "injected.onnx"):
        good("apply", base, file, "-o", tmp_path / "out.onnx")
        assert (tmp_path / "out.onnx").read_bytes() == (tmp_path / "with" / "trained.onnx").read_bytes()
    assert "its 'lorac.graph_inputs' is not" in refuse(tmp_path, 1, "apply", tmp_path / "without" / "injected.onnx",
                                                        file)


def test_constants_and_old_models(tmp_path):
    """A trained Constant gets a copy, which can be an input; in IR version 3 all initialisers are inputs already."""
    for name in ("helper-ir-3", "helper-typed-fields"):
        plain = SOURCE / "tests" / "intake" / "models" / f"{name}.onnx"
        model = onnx.load(plain)
        if name != "helper-ir-3":  # its weights become Constants
            for tensor in model.graph.initializer:
                model.graph.node.insert(0, onnx.helper.make_node("Constant", [], [tensor.name], value=tensor))
            del model.graph.initializer[:]
            plain = tmp_path / "plain.onnx"
            onnx.save(model, plain)
        good("inject", plain, "-o", tmp_path / "injected.onnx", "--adapters-as-inputs", "--train-all")
        injected = onnx.load(tmp_path / "injected.onnx")
        trainable = json.loads(metadata(injected)["lorac.trainable"])
        assert trainable and set(trainable) <= {value.name for value in injected.graph.input}
        assert is_valid(tmp_path / "injected.onnx")
        good("extract", tmp_path / "injected.onnx", "-o", tmp_path / "a", "--format", "onnx_adapter")
        read = onnxruntime.AdapterFormat.read_adapter(str(tmp_path / "a"))
        assert read.get_parameters().keys() == set(trainable)
        good("merge", tmp_path / "injected.onnx", "-o", tmp_path / "back.onnx", "--no-check")
        assert onnx.load(tmp_path / "back.onnx") == model


def test_onnx_adapter_needs_inputs(trained, tmp_path):
    assert "inject with --adapters-as-inputs" in refuse(tmp_path, 1, "extract", trained / "trained.onnx", "--format",
                                                        "onnx_adapter")
