# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""A new job for an old model: other classes, small images, another size, another output; and local functions."""

import json

import numpy as np
import onnx
import pytest
from make_resnet import make_resnet
from onnx import TensorProto, helper, numpy_helper
from support import SOURCE, good, initializers, is_valid, metadata, relative_error, run, session_of
from training_log import losses_of

OUTPUTS_RELATIVE = 1e-4  # two engines, float32, a dozen layers

INTAKE = SOURCE / "tests" / "intake" / "models"
CLASSES, HEIGHT, WIDTH = 4, 24, 20
PIXELS = ["--mean", "0.5", "--std", "0.25"]
NEW_JOB = ["--classes", CLASSES, "--small-image-stem", "--input-size", f"{HEIGHT}x{WIDTH}"]


def net(**others):
    return dict(depth=18, form="imagenet", width=0.125, input_size=(64, 64), **others)


# Heads by Gemm, MatMul with and without a bias, 1x1 Conv; stems with and without BatchNorm; other exporters' own.
MODELS = {
    "gemm, BatchNorm": net(bn="kept", head="gemm"),
    "gemm, folded, Softmax": net(bn="folded", head="gemm", softmax=True),
    "matmul, opset 9, IR 3": net(bn="kept", head="matmul", opset=9, ir=3),
    "conv": net(bn="folded", head="conv"),
    "batch of 1": net(bn="kept", batch=1),
    "1 channel": net(bn="kept", channels=1),
    "4 channels": net(bn="folded", channels=4),
    "free size": net(bn="kept") | dict(input_size=("height", "width")),
    "tf2onnx, channels last": "tf2onnx-op15-resnet.onnx",
    "mxnet": "mxnet-gluon-v2.onnx",
    "paddle, deep stem": "paddle-op13-resnetd.onnx",
    "timm, deep stem": "timm-trace-op17-resnet10t.onnx",
    "dynamo": "torchvision-dynamo-op18-resnet50.onnx",
    "traced": "torchvision-trace-op11-resnet18-bn.onnx",
}


def make_model(form, path):
    if isinstance(form, str):
        return INTAKE / form
    onnx.save(make_resnet(**form), path)
    return path


def image_layout(path):
    """The shape of the first input, and whether its channels are last."""
    shape = session_of(path).get_inputs()[0].shape
    return shape, shape[3] in (1, 3, 4) and shape[1] not in (1, 3, 4)


def labelled_images(folder, channels):
    """uint8 images of four kinds that a few steps tell apart: each has another bright quarter."""
    random = np.random.default_rng(5)
    labels = np.arange(64) % CLASSES
    images = random.integers(0, 160, (64, HEIGHT, WIDTH, channels))
    for image, label in zip(images, labels):
        image[label // 2 * HEIGHT // 2:][:HEIGHT // 2, label % 2 * WIDTH // 2:][:, :WIDTH // 2] += 95
    np.save(folder / "x.npy", images.astype(np.uint8))
    np.save(folder / "y.npy", labels.astype(np.int64))
    return images


def theirs(path, images, output=0):
    """onnxruntime's output for uint8 images [N, H, W, C], batch by batch as the model wants them."""
    session = session_of(path)
    shape, last = image_layout(path)
    x = ((images / 255 - 0.5) / 0.25).astype(np.float32)
    x = x if last else x.transpose(0, 3, 1, 2)
    batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else len(x)
    names = [session.get_outputs()[output].name]
    return np.concatenate([session.run(names, {session.get_inputs()[0].name: x[i:i + batch]})[0]
                           for i in range(0, len(x), batch)])


def ours(path, folder, *options):
    good("eval", path, "--data", folder / "x.npy", "--outputs", folder / "out.npy", "--quiet", *options)
    return np.load(folder / "out.npy")


def train(source, target, folder, *options):
    good("train", source, "-o", target, "--data", folder / "x.npy", "--labels", folder / "y.npy", "--batch", 16,
         "--threads", 1, "--log", folder / "log.jsonl", *options)
    return losses_of(folder / "log.jsonl")


@pytest.mark.parametrize("form", MODELS.values(), ids=MODELS)
def test_new_job(form, tmp_path):
    plain = make_model(form, tmp_path / "plain.onnx")
    injected, trained, merged = (tmp_path / f"{step}.onnx" for step in ("injected", "trained", "merged"))
    report = good("inject", plain, "-o", injected, *NEW_JOB, *PIXELS, "--seed", 3).stdout
    assert f"new last layer for {CLASSES} classes" in report
    pools = [sum(node.op_type == "MaxPool" for node in onnx.load(path).graph.node) for path in (plain, injected)]
    assert ("took the max-pooling behind it out" in report) == (pools[0] > pools[1])
    assert pools[0] > pools[1] or form == "tf2onnx-op15-resnet.onnx"
    assert "first weight" in report and "last weight" in report
    shape, last = image_layout(injected)
    images = labelled_images(tmp_path, shape[3 if last else 1])
    assert shape[1:] == [HEIGHT, WIDTH, images.shape[3]] if last else [images.shape[3], HEIGHT, WIDTH]
    assert session_of(injected).get_outputs()[0].shape[-1] == CLASSES
    assert is_valid(injected)

    before = theirs(injected, images)
    assert before.reshape(64, -1).shape == (64, CLASSES)
    assert relative_error(ours(injected, tmp_path), before.reshape(64, -1)) <= OUTPUTS_RELATIVE
    losses = train(injected, trained, tmp_path, "--epochs", 12, "--optimizer", "adamw", "--lr", "0.01")
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4]), losses

    good("merge", trained, "-o", merged, "--random", 8)
    assert is_valid(trained) and is_valid(merged)
    after = theirs(merged, images)
    assert relative_error(after, theirs(trained, images)) <= OUTPUTS_RELATIVE
    assert relative_error(ours(trained, tmp_path), after.reshape(64, -1)) <= OUTPUTS_RELATIVE
    assert [key for key in metadata(onnx.load(merged)) if key.startswith("lorac.")] == ["lorac.input"]


def test_is_the_base_from_then_on(tmp_path):
    """The hash is that of the changed model: injecting what merge gives back at once makes the same file."""
    plain = make_model(net(bn="kept"), tmp_path / "plain.onnx")
    good("inject", plain, "-o", tmp_path / "a.onnx", *NEW_JOB, "--seed", 3)
    good("merge", tmp_path / "a.onnx", "-o", tmp_path / "b.onnx", "--random", 4)
    good("inject", tmp_path / "b.onnx", "-o", tmp_path / "c.onnx", "--train-first", "--seed", 3)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "c.onnx").read_bytes()
    good("inject", plain, "-o", tmp_path / "d.onnx", *NEW_JOB, "--seed", 4)
    first, other = (initializers(onnx.load(tmp_path / f"{name}.onnx")) for name in "ad")
    assert first.keys() == other.keys()
    changed = {name for name in first if first[name] != other[name] and not name.endswith("lora_A")}
    assert len(changed) == 3, changed  # the head's weight and bias and the stem's weight
    # What was extracted fits the model that inject wrote, and the plain one is told from it.
    good("extract", tmp_path / "a.onnx", "-o", tmp_path / "adapter.safetensors")
    good("apply", tmp_path / "a.onnx", tmp_path / "adapter.safetensors", "-o", tmp_path / "e.onnx")
    result = run("apply", plain, tmp_path / "adapter.safetensors", "-o", tmp_path / "f.onnx")
    assert result.returncode == 1 and "where inject changed the base (--classes" in result.stderr
    assert "give the model that inject wrote" in result.stderr


def test_the_paper_starts_it_so(tmp_path):
    """Uniform within 1/sqrt(fan_in), as torch's Linear and Conv2d; a folded BatchNorm's bias becomes zero."""
    plain = make_model(net(bn="folded"), tmp_path / "plain.onnx")
    good("inject", plain, "-o", tmp_path / "injected.onnx", *NEW_JOB)
    model = onnx.load(tmp_path / "injected.onnx")
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    last = next(node for node in model.graph.node if node.op_type == "Gemm")
    values = {name: numpy_helper.to_array(tensor) for name, tensor in initializers(model).items()}
    stem, head, bias = values[first.input[1]], values[last.input[1]], values[last.input[2]]
    attributes = {a.name: list(a.ints) for a in first.attribute}
    assert attributes | {"strides": [1, 1], "pads": [1] * 4, "kernel_shape": [3, 3], "dilations": [1, 1]} == attributes
    for weight, fan_in in ((stem, 27), (head, head.shape[1]), (bias, head.shape[1])):
        bound = fan_in ** -0.5
        assert np.abs(weight).max() <= bound
        assert weight.size < 50 or np.abs(weight).max() > 0.9 * bound
    assert not values[first.input[2]].any()


def test_class_names(tmp_path):
    plain = make_model(net(bn="folded"), tmp_path / "plain.onnx")
    model = onnx.load(plain)
    helper.set_model_props(model, {"lorac.classes": json.dumps(["old"])})
    onnx.save(model, plain)
    names = tmp_path / "names.txt"
    names.write_text("Kätzchen\r\nHund\nfish\n", encoding="utf-8")
    good("inject", plain, "-o", tmp_path / "named.onnx", "--class-names", names)
    assert json.loads(metadata(onnx.load(tmp_path / "named.onnx"))["lorac.classes"]) == ["Kätzchen", "Hund", "fish"]
    good("merge", tmp_path / "named.onnx", "-o", tmp_path / "merged.onnx", "--no-check")
    merged = onnx.load(tmp_path / "merged.onnx")
    assert list(metadata(merged)) == ["lorac.classes"]
    assert merged.graph.output[0].type.tensor_type.shape.dim[1].dim_value == 3
    good("inject", plain, "-o", tmp_path / "unnamed.onnx", "--classes", 3)
    assert "lorac.classes" not in metadata(onnx.load(tmp_path / "unnamed.onnx"))


def reshape_head(model):
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1, 1000]), "thousand"))
    model.graph.node.append(helper.make_node("Reshape", ["logits", "thousand"], ["shaped"], "shaped"))
    model.graph.output[0].name = "shaped"


def fixed_pool(model):
    pool = next(node for node in model.graph.node if node.op_type == "GlobalAveragePool")
    pool.op_type = "AveragePool"
    pool.attribute.append(helper.make_attribute("kernel_shape", [2, 2]))


REFUSED = {
    "no-train-last": (None, ["--classes", 4, "--no-train-last"], "--no-train-last contradicts --classes", 2),
    "names against number": (None, ["--classes", 4, "--class-names", "NAMES"],
                             "names 2 classes, and --classes says 4", 2),
    "no names": (None, ["--class-names", "MISSING"], "cannot open", 1),
    "Reshape": (reshape_head, ["--classes", 4], "node 'shaped' (Reshape) behind the last layer", 1),
    "fixed pooling": (fixed_pool, ["--input-size", "32x32"], "the changed model would not run: node", 1),
    "fixed pooling, small stem": (fixed_pool, ["--small-image-stem"], "the changed model would not run: node", 1),
    "no such output": (None, ["--output-name", "features"], "the model has no output 'features'; it has 'logits'", 2),
}


@pytest.mark.parametrize("change, options, message, code", REFUSED.values(), ids=REFUSED)
def test_refused(change, options, message, code, tmp_path):
    plain = make_model(net(bn="folded"), tmp_path / "plain.onnx")
    if change:
        model = onnx.load(plain)
        change(model)
        onnx.save(model, plain)
    (tmp_path / "names.txt").write_text("a\nb\n")
    files = {"NAMES": tmp_path / "names.txt", "MISSING": tmp_path / "missing.txt"}
    result = run("inject", plain, "-o", tmp_path / "out.onnx", *(files.get(option, option) for option in options))
    assert result.returncode == code and message in result.stderr, result.stderr
    assert result.stderr.count("\n") == 1 and not (tmp_path / "out.onnx").exists()


# ---- several outputs

def two_outputs(path):
    """A ResNet whose last stage has a second head: 'logits' of 6 and 'other' of 3 classes."""
    model = make_resnet(depth=18, width=0.125, classes=6, bn="folded")
    features = next(node for node in model.graph.node if node.op_type == "Gemm").input[0]
    wide = numpy_helper.to_array(initializers(model)["fc.weight" if "fc.weight" in initializers(model)
                                                    else "linear.weight"]).shape[1]
    random = np.random.default_rng(3)
    model.graph.initializer.append(
        numpy_helper.from_array(random.standard_normal((3, wide)).astype(np.float32), "other.weight"))
    model.graph.node.append(helper.make_node("Gemm", [features, "other.weight"], ["other"], "other_head", transB=1))
    model.graph.output.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, ["N", 3]))
    onnx.save(model, path)
    return path


def test_output_name(tmp_path):
    plain = two_outputs(tmp_path / "plain.onnx")
    injected, trained, merged = (tmp_path / f"{step}.onnx" for step in ("injected", "trained", "merged"))
    good("inject", plain, "-o", injected, "--output-name", "other", *PIXELS)
    written = metadata(onnx.load(injected))
    assert written["lorac.output"] == "other" and "other.weight" in written["lorac.trainable"]
    images = np.random.default_rng(1).integers(0, 256, (32, 32, 32, 3))
    np.save(tmp_path / "x.npy", images.astype(np.uint8))
    np.save(tmp_path / "y.npy", np.arange(32) % 3)
    assert relative_error(ours(injected, tmp_path), theirs(injected, images, 1)) <= OUTPUTS_RELATIVE
    assert relative_error(ours(injected, tmp_path, "--output-name", "logits"),
                          theirs(injected, images)) <= OUTPUTS_RELATIVE
    losses = train(injected, trained, tmp_path, "--epochs", 12, "--optimizer", "adamw", "--lr", "0.01")
    assert np.mean(losses[-2:]) < 0.9 * np.mean(losses[:2]), losses
    good("merge", trained, "-o", merged, "--random", 8)
    assert metadata(onnx.load(merged))["lorac.output"] == "other"
    assert relative_error(theirs(merged, images, 1), ours(trained, tmp_path)) <= OUTPUTS_RELATIVE
    # The first output's own weight stays, but it is another network now.
    before, after = (initializers(onnx.load(path)) for path in (plain, merged))
    kept = [name for name in before if name.endswith(("fc.weight", "linear.weight"))]
    assert kept and all(before[name] == after[name] for name in kept)

    # Trained for another output than the record says, where what is trained lies before that too, and where not.
    good("inject", plain, "-o", injected, "--output-name", "other", "--no-train-last", *PIXELS)
    train(injected, trained, tmp_path, "--steps", 1, "--output-name", "logits")
    good("inject", plain, "-o", injected, "--output-name", "other", *PIXELS)
    result = run("train", injected, "-o", trained, "--data", tmp_path / "x.npy", "--labels", tmp_path / "y.npy",
                 "--output-name", "logits")
    assert result.returncode == 1 and "'other.weight' is listed in lorac.trainable" in result.stderr
    result = run("eval", injected, "--data", tmp_path / "x.npy", "--output-name", "none")
    assert result.returncode != 0 and "no output 'none'; it has 'logits', 'other'" in result.stderr


# ---- local functions

def with_functions():
    """Conv-BatchNorm-Relu and a residual block as functions: nested, attributes by reference, one with a default."""
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("blocks", 1)]

    def by_reference(node, name, kind):
        node.attribute.append(onnx.AttributeProto(name=name, ref_attr_name=name, type=kind))
        return node

    conv = by_reference(helper.make_node("Conv", ["x", "w"], ["c"], "conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
                        "strides", onnx.AttributeProto.INTS)
    norm = by_reference(helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], "norm"), "epsilon",
                        onnx.AttributeProto.FLOAT)
    step = helper.make_function("blocks", "Step", ["x", "w", "s", "b", "m", "v"], ["y"],
                                [conv, norm, helper.make_node("Relu", ["n"], ["y"])], imports, attributes=["strides"],
                                attribute_protos=[helper.make_attribute("epsilon", 1e-3)])
    block = helper.make_function(
        "blocks", "Block", ["x", "w1", "w2", "s", "b", "m", "v"], ["y"],
        [helper.make_node("Step", ["x", "w1", "s", "b", "m", "v"], ["h"], "first", domain="blocks", strides=[1, 1]),
         helper.make_node("Step", ["h", "w2", "s", "b", "m", "v"], ["g"], "second", domain="blocks", strides=[1, 1],
                          epsilon=0.5),
         helper.make_node("Add", ["g", "x"], ["y"], "add")], imports)
    random = np.random.default_rng(2)
    shapes = {"w0": (8, 3, 3, 3), "w1": (8, 8, 3, 3), "w2": (8, 8, 3, 3), "w3": (8, 8, 3, 3), "w4": (8, 8, 3, 3),
              "fc": (5, 8)}
    tensors = [numpy_helper.from_array((0.2 * random.standard_normal(shape)).astype(np.float32), name)
               for name, shape in shapes.items()]
    norms = {"s": (0.5, 1.5), "b": (-1, 1), "m": (-1, 1), "v": (0.5, 2)}
    tensors += [numpy_helper.from_array(random.uniform(*range_, 8).astype(np.float32), name)
                for name, range_ in norms.items()]
    nodes = [helper.make_node("Step", ["image", "w0", *"sbmv"], ["a"], "stem", domain="blocks", strides=[2, 2]),
             helper.make_node("Block", ["a", "w1", "w2", *"sbmv"], ["c"], "one", domain="blocks"),
             helper.make_node("Block", ["c", "w3", "w4", *"sbmv"], ["d"], "two", domain="blocks"),
             helper.make_node("GlobalAveragePool", ["d"], ["e"]), helper.make_node("Flatten", ["e"], ["f"]),
             helper.make_node("Gemm", ["f", "fc"], ["logits"], "fc", transB=1)]
    graph = helper.make_graph(nodes, "functions",
                              [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, HEIGHT, WIDTH])],
                              [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 5])], tensors)
    return helper.make_model(graph, functions=[block, step], opset_imports=imports, ir_version=9)


def with_if_in_a_function():
    """A function that chooses between two subgraphs, which use its input and attribute."""
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("blocks", 1)]

    def branch(name, op_type, **attributes):
        node = helper.make_node(op_type, ["x"], ["t"], name, **attributes)
        return node, helper.make_graph([node], name, [], [helper.make_tensor_value_info("t", TensorProto.FLOAT, None)])

    leaky = helper.make_node("LeakyRelu", ["x"], ["t"], "leaky")
    leaky.attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT))
    output = helper.make_tensor_value_info("t", TensorProto.FLOAT, None)
    choose = helper.make_function(
        "blocks", "Choose", ["x"], ["y"],
        [helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
         helper.make_node("Constant", [], ["limit"], value_float=1.0),
         helper.make_node("Greater", ["top", "limit"], ["large"]),
         helper.make_node("If", ["large"], ["y"], "if", then_branch=helper.make_graph([leaky], "then", [], [output]),
                          else_branch=branch("else", "Neg")[1])], imports, attributes=["slope"])
    model = with_functions()
    model.functions.append(choose)
    model.graph.node.insert(0, helper.make_node("Choose", ["image"], ["chosen"], "choose", domain="blocks", slope=0.3))
    model.graph.node[1].input[0] = "chosen"
    return model


@pytest.mark.parametrize("make, calls", [(with_functions, 7), (with_if_in_a_function, 8)],
                         ids=["nested", "with a subgraph"])
def test_functions_are_written_out(make, calls, tmp_path):
    plain, injected, merged = (tmp_path / f"{name}.onnx" for name in ("plain", "injected", "merged"))
    onnx.save(make(), plain)
    onnx.checker.check_model(str(plain))
    report = good("inject", plain, "-o", injected).stdout
    assert f"wrote out {calls} calls of local functions" in report
    good("merge", injected, "-o", merged, "--no-check")
    for written in (injected, merged):
        model = onnx.load(written)
        assert not model.functions and [i.domain for i in model.opset_import] == [""]
        assert is_valid(written)
        for scale in (0.1, 5):  # one for each branch of the If
            images = (scale * np.random.default_rng(1).standard_normal((3, 3, HEIGHT, WIDTH))).astype(np.float32)
            expected, actual = (session_of(path).run(None, {"image": images})[0] for path in (plain, written))
            assert relative_error(actual, expected) <= 1e-6
    names = [node.name for node in onnx.load(merged).graph.node]
    assert "two/second/conv" in names and len(set(names) - {""}) == sum(name != "" for name in names)


def test_functions_run(tmp_path):
    steps = ("plain", "injected", "trained", "merged")
    plain, injected, trained, merged = (tmp_path / f"{step}.onnx" for step in steps)
    onnx.save(with_functions(), plain)
    images = labelled_images(tmp_path, 3)
    flags = ["--mean", "0.5", "--std", "0.25"]
    assert relative_error(ours(plain, tmp_path, *flags), theirs(plain, images)) <= OUTPUTS_RELATIVE
    assert "one/first/conv" in good("inspect", plain).stdout
    good("inject", plain, "-o", injected, *PIXELS, "--classes", CLASSES)
    losses = train(injected, trained, tmp_path, "--epochs", 8, "--optimizer", "adamw", "--lr", "0.01")
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    good("merge", trained, "-o", merged, "--random", 8)
    assert relative_error(theirs(merged, images), ours(trained, tmp_path)) <= OUTPUTS_RELATIVE
