# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""What inject promises of any model: valid, the same outputs, undone to the byte by merge, as docs/format.md says.

The hash and the start values are computed here anew, from docs/format.md alone.
"""

import json
import struct

import numpy as np
import onnx
import pytest
import xxhash
from make_resnet import make_resnet
from onnx import numpy_helper
from support import (FASHION_MODEL, SHARED, good, image_shape, initializers, is_valid, metadata, onnxruntime_outputs,
                     random_images, relative_error, session_of)

# B is zero, so W0 + s*0 is W0; an engine that folds the subgraph has nothing to round.
OUTPUTS_RELATIVE = 1e-6

SMALL = {"cifar": (32, 32), "imagenet": (64, 64)}


def net(depth, form, bn, opset, **others):
    return dict(depth=depth, form=form, bn=bn, opset=opset, width=0.25, input_size=SMALL[form], **others)


MODELS = {
    "r20-folded": "resnet20-cifar10.onnx",
    "r20-bn": "resnet20-cifar10-bn.onnx",
    "r56-folded": "resnet56-cifar10.onnx",
    "r56-bn": "resnet56-cifar10-bn.onnx",
    "fashion": FASHION_MODEL,
    # Every depth, form, BatchNorm; opsets, IR 3, heads and the Softmax at the end dealt out over them.
    "18-cifar-kept": net(18, "cifar", "kept", 17),
    "18-cifar-folded": net(18, "cifar", "folded", 9, ir=3),
    "18-imagenet-kept": net(18, "imagenet", "kept", 9, ir=3, head="conv"),
    "18-imagenet-folded": net(18, "imagenet", "folded", 21),
    "34-cifar-kept": net(34, "cifar", "kept", 11, head="conv", softmax=True),
    "34-cifar-folded": net(34, "cifar", "folded", 13),
    "34-imagenet-kept": net(34, "imagenet", "kept", 21, softmax=True),
    "34-imagenet-folded": net(34, "imagenet", "folded", 17, ir=3, head="matmul"),
    "50-cifar-kept": net(50, "cifar", "kept", 13, batch=1),
    "50-cifar-folded": net(50, "cifar", "folded", 21, head="conv"),
    "50-imagenet-kept": net(50, "imagenet", "kept", 9, ir=3, softmax=True),
    "50-imagenet-folded": net(50, "imagenet", "folded", 11),
    "101-cifar-kept": net(101, "cifar", "kept", 21, head="matmul", head_bias=False),
    "101-cifar-folded": net(101, "cifar", "folded", 17, softmax=True),
    "101-imagenet-kept": net(101, "imagenet", "kept", 13, head="conv"),
    "101-imagenet-folded": net(101, "imagenet", "folded", 9, head="conv", softmax=True),
    # Plain opsets on one network, IR 3 with each way to end.
    **{f"18-opset{opset}": net(18, "cifar", "kept", opset) for opset in (9, 11, 13, 21)},
    **{f"18-ir3-{head}": net(18, "cifar", "kept", 9, ir=3, head=head) for head in ("gemm", "conv", "matmul")},
}


@pytest.fixture(scope="module", params=MODELS)
def case(request, tmp_path_factory):
    """(plain, injected, seed, setting): files, and what inject was told."""
    folder = tmp_path_factory.mktemp(request.param)
    model = MODELS[request.param]
    plain = folder / "plain.onnx"
    if isinstance(model, dict):
        onnx.save(make_resnet(**model), plain)
    else:
        plain = SHARED / "models" / model
        if not plain.exists():
            pytest.skip(f"{plain} is not there")
    number = list(MODELS).index(request.param)
    seed, rank, setting = 2 ** 63 + number if number % 2 else number, 1 + number % 5, ["kernel", "plain"][number % 2]
    good("inject", plain, "-o", folder / "injected.onnx", "--seed", seed, "--rank", rank, "--rank-setting", setting)
    return plain, folder / "injected.onnx", seed, rank, setting


def test_valid(case):
    plain, injected, *_ = case
    assert is_valid(plain), "a model of these tests is itself invalid"
    onnx.checker.check_model(str(injected), full_check=True)


def test_same_outputs(case, figures):
    plain, injected, *_ = case
    images = random_images(4, image_shape(session_of(plain)))
    error = relative_error(onnxruntime_outputs(injected, images), onnxruntime_outputs(plain, images))
    assert figures.largest("relative difference, injected to plain in onnxruntime", error) <= OUTPUTS_RELATIVE


def test_merge_gives_the_file_back(case, tmp_path):
    plain, injected, *_ = case
    good("merge", injected, "-o", tmp_path / "merged.onnx", "--no-check")
    assert (tmp_path / "merged.onnx").read_bytes() == plain.read_bytes()


def test_only_adds(case):
    """Without what was added, and with the Convs' weights put back, the graph is the original's."""
    plain, injected = onnx.load(case[0]), onnx.load(case[1])
    graph = injected.graph
    added = {f"{entry['conv']}/lora_{part}" for entry in json.loads(metadata(injected)["lorac.adapters"])
             for part in ("A", "B", "shape", "scale", "MatMul", "Reshape", "Mul", "Add")}
    weight_of = {node.output[0]: node.input[0] for node in graph.node if node.name.endswith("/lora_Add")}
    for field in (graph.node, graph.initializer, graph.input):
        kept = [element for element in field if element.name not in added]
        del field[:]
        field.extend(kept)
    for node in graph.node:
        if node.op_type == "Conv" and node.input[1] in weight_of:
            node.input[1] = weight_of[node.input[1]]
    del injected.metadata_props[:]
    injected.metadata_props.extend(plain.metadata_props)
    assert injected.SerializeToString(deterministic=True) == plain.SerializeToString(deterministic=True)


# ---- docs/format.md, sections 1 to 3

def test_subgraph(case):
    _, path, _, rank, setting = case
    model = onnx.load(path)
    tensors, nodes = initializers(model), list(model.graph.node)
    place = {node.name or node.output[0]: i for i, node in enumerate(nodes)}
    inputs = {value.name for value in model.graph.input}
    adapters = json.loads(metadata(model)["lorac.adapters"])
    assert adapters == sorted(adapters, key=lambda entry: place[entry["conv"]])
    for entry in adapters:
        name, i = entry["conv"], place[entry["conv"]]
        assert set(entry) == {"conv", "weight", "A", "B", "rank", "alpha", "setting", "form", "freeze_a"}
        assert (entry["A"], entry["B"]) == (f"{name}/lora_A", f"{name}/lora_B")
        assert (entry["rank"], entry["alpha"], entry["setting"]) == (rank, 8, setting)
        assert (entry["form"], entry["freeze_a"]) == ("weight", False)

        product, view, scaled, total, conv = nodes[i - 4:i + 1]
        for node, kind in ((product, "MatMul"), (view, "Reshape"), (scaled, "Mul"), (total, "Add")):
            assert (node.op_type, node.name, list(node.output)) == (kind, f"{name}/lora_{kind}",
                                                                   [f"{name}/lora_{kind}_output"])
        assert list(product.input) == [entry["B"], entry["A"]]
        assert list(view.input) == [product.output[0], f"{name}/lora_shape"]
        assert list(scaled.input) == [view.output[0], f"{name}/lora_scale"]
        assert list(total.input) == [entry["weight"], scaled.output[0]]
        assert conv.op_type == "Conv" and conv.input[1] == total.output[0]

        shape = numpy_helper.to_array(tensors[f"{name}/lora_shape"])
        assert shape.dtype == np.int64 and shape.tolist() == list(tensors[entry["weight"]].dims)
        m, c, kh, kw = shape.tolist()
        inner = rank * max(kh, kw) if setting == "kernel" else rank
        assert list(tensors[entry["A"]].dims) == [inner, c * kw]
        assert list(tensors[entry["B"]].dims) == [m * kh, inner]
        scale = numpy_helper.to_array(tensors[f"{name}/lora_scale"])
        assert scale.dtype == np.float32 and scale.shape == () and scale == np.float32(8 / rank)
        for part in ("A", "B", "shape", "scale"):
            assert (f"{name}/lora_{part}" in inputs) == (model.ir_version < 4)


def last_layer(model):
    """Names of the weight and bias nearest before the output."""
    tensors = initializers(model)
    node = next(n for n in reversed(model.graph.node) if n.op_type in ("Gemm", "MatMul", "Conv"))
    names = list(node.input[1:])
    if node.op_type == "MatMul":
        names += [name for n in model.graph.node if n.op_type == "Add" and node.output[0] in n.input
                  for name in n.input if name in tensors]
    return names


def test_which_convolutions_and_what_is_trained(case):
    plain, injected = onnx.load(case[0]), onnx.load(case[1])
    tensors = initializers(plain)
    record = metadata(injected)
    adapters = json.loads(record["lorac.adapters"])
    head = last_layer(plain)
    convs = [node for node in plain.graph.node if node.op_type == "Conv" and node.input[1] in tensors]
    expected = [node.name or node.output[0] for node in convs[1:] if node.input[1] != head[0]]
    assert [entry["conv"] for entry in adapters] == expected
    parts = [entry[part] for entry in adapters for part in ("A", "B")]
    assert json.loads(record["lorac.trainable"]) == parts + head
    assert record["lorac.format"] == "1" and record["lorac.bn"] == "frozen" and record["lorac.seed"] == str(case[2])
    assert record["lorac.tool"].startswith("lorac-onnx ")
    assert "lorac.input" not in record and "lorac.classes" not in record


# ---- start values: section 2

def start_values(seed, conv, shape):
    """A, from the seed and the convolution's name."""
    fan_in = shape[1]
    state = xxhash.xxh3_64_intdigest(b"lora_A", seed=seed)
    state = xxhash.xxh3_64_intdigest(struct.pack("<Q", xxhash.xxh3_64_intdigest(conv.encode(), seed=0)), seed=state)
    state = xxhash.xxh3_64_intdigest(bytes(8), seed=state)
    with np.errstate(over="ignore"):
        steps = np.arange(1, shape[0] * shape[1] + 1, dtype=np.uint64)
        z = np.uint64(state) + steps * np.uint64(0x9e3779b97f4a7c15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xbf58476d1ce4e5b9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94d049bb133111eb)
        z = z ^ (z >> np.uint64(31))
    u = (z >> np.uint64(11)).astype(np.float64) * 2.0 ** -53
    return ((2 * u - 1) * (1 / np.sqrt(np.float64(fan_in)))).astype(np.float32).reshape(shape)


def test_start_values(case):
    model = onnx.load(case[1])
    tensors = initializers(model)
    adapters = json.loads(metadata(model)["lorac.adapters"])
    assert adapters
    for entry in adapters:
        a, b = (numpy_helper.to_array(tensors[entry[part]]) for part in ("A", "B"))
        assert a.dtype == b.dtype == np.float32
        assert np.array_equal(a, start_values(case[2], entry["conv"], a.shape)), entry["conv"]
        assert b.tobytes() == bytes(b.nbytes), "B is zero, and no -0 either"


# ---- base hash: section 4

def base_hash(model):
    tensors = dict(initializers(model))
    for node in model.graph.node:
        if node.op_type == "Constant":
            tensors.update({node.output[0]: a.t for a in node.attribute if a.name == "value"})
    state = xxhash.xxh3_128()
    for name in sorted(tensors, key=lambda text: text.encode()):
        tensor = tensors[name]
        state.update(name.encode() + b"\0" + struct.pack("<iq", tensor.data_type, len(tensor.dims)))
        state.update(struct.pack(f"<{len(tensor.dims)}q", *tensor.dims))
        state.update(np.ascontiguousarray(numpy_helper.to_array(tensor)).tobytes())
    return state.hexdigest()


def test_base_hash(case):
    record = metadata(onnx.load(case[1]))
    plain = onnx.load(case[0])
    assert record["lorac.base_hash"] == base_hash(plain)
    plain.graph.initializer[-1].name += "x"
    assert record["lorac.base_hash"] != base_hash(plain)


def test_all_shared_models_are_in_the_table():
    folder = SHARED / "models"
    if not folder.exists():
        pytest.skip(f"{folder} is not there")
    listed = {model for model in MODELS.values() if isinstance(model, str)}
    assert {path.name for path in folder.glob("*.onnx")} == listed
