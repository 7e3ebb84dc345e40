# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""The operator tests of the onnx wheel, made runnable by a program that takes images and gives a row for each.

A case becomes up to three models:
  image      its first floating input is the image (through a 1x1 MaxPool, which says that channels come first, and a
             Reshape where its rank is not 4), the other inputs are initialisers;
  images     where all its inputs have one shape: they are slices of one image;
  constants  all inputs are initialisers, and the result is the weight of a MatMul that multiplies it by one.
The output is flattened to a row for each image.
"""

import pathlib
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, version_converter
from onnx.backend.test.case import node as node_cases

SHIPPED = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data"
SHIPPED_OPSET, OLD_PYTORCH = 13, "(old PyTorch)"
FLOATING = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)


@dataclass
class Case:
    name: str
    operator: str  # what is tested: the operator of the node, or the function that was expanded
    model: onnx.ModelProto
    inputs: list   # numpy, in the order of the graph's inputs that are no initialisers
    outputs: list
    rtol: float
    atol: float


@dataclass
class Trial:
    case: Case
    variant: str
    model: onnx.ModelProto
    image: np.ndarray    # [N, C, H, W], float32
    expected: np.ndarray  # [N, values]
    batch: int = field(init=False)

    def __post_init__(self):
        self.batch = self.image.shape[0]


def real_inputs(graph):
    tensors = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in tensors]


def is_plain(values):
    return all(isinstance(value, (np.ndarray, np.generic)) for value in values)


def generated_cases():
    """With "expanded" ones: the same test with the body of a function in place of the operator."""
    operators = {}
    for case in node_cases.collect_testcases(None):
        if case.model is None or not case.data_sets or case.kind != "node":
            continue
        name, _, expanded = case.name.partition("_expanded")
        if not expanded and name == case.name:
            operators[name] = case.model.graph.node[0].op_type
        inputs, outputs = case.data_sets[0]
        if name in operators and is_plain(inputs) and is_plain(outputs):
            yield Case(case.name, operators[name], case.model, list(inputs), list(outputs), case.rtol, case.atol)


def read_data(folder, kind):
    return [numpy_helper.to_array(onnx.load_tensor(str(folder / f"{kind}_{i}.pb")))
            for i in range(len(list(folder.glob(f"{kind}_*.pb"))))]


def shipped_cases():
    """Networks of a node or a few by PyTorch's first exporter, set 6: converted to a set that is read."""
    folders = [path for kind in ("pytorch-operator", "pytorch-converted") for path in (SHIPPED / kind).iterdir()]
    for folder in sorted(folders):
        data = folder / "test_data_set_0"
        if not data.exists():
            continue
        try:
            model = version_converter.convert_version(onnx.load(folder / "model.onnx"), SHIPPED_OPSET)
        except (RuntimeError, ValueError, onnx.checker.ValidationError):
            continue  # the converter cannot
        yield Case(folder.name, OLD_PYTORCH, model, read_data(data, "input"), read_data(data, "output"), 1e-3, 1e-6)


def collect():
    unique = {}
    for case in (*generated_cases(), *shipped_cases()):
        unique.setdefault(case.name, case)
    return list(unique.values())


# ---- making a case runnable

class Frame:
    """The model of a case with other inputs: a copy of its nodes, with room before and behind."""

    def __init__(self, case):
        self.graph = onnx.GraphProto()
        self.graph.CopyFrom(case.model.graph)
        self.case = case
        self.opset = next(o.version for o in case.model.opset_import if o.domain in ("", "ai.onnx"))
        self.nodes = list(self.graph.node)
        self.first = []

    def tensor(self, values, name):
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def constants(self, which):
        """Makes initialisers of the inputs that [which] names."""
        for value, number in zip(real_inputs(self.case.model.graph), self.case.inputs):
            if value.name in which:
                self.tensor(number, value.name)

    def input(self, shape, kind):
        value = helper.make_tensor_value_info("framed_image", kind, shape)
        self.first.append(helper.make_node("MaxPool", ["framed_image"], ["framed_same"], "framed_pool",
                                           kernel_shape=[1, 1]))
        return value

    def slice(self, source, start, end, name):
        """Channels start to end of [source]."""
        if self.opset < 10:
            self.first.append(helper.make_node("Slice", [source], [name], f"framed_slice_{start}", axes=[1],
                                               starts=[start], ends=[end]))
            return
        numbers = [self.tensor(np.array([n], np.int64), f"framed_{start}_{k}") for k, n in enumerate((start, end, 1))]
        self.first.append(helper.make_node("Slice", [source, *numbers], [name], f"framed_slice_{start}"))

    def reshape(self, source, dims, name):
        if self.opset < 5:
            self.first.append(helper.make_node("Reshape", [source], [name], f"framed_{name}", shape=dims))
        else:
            target = self.tensor(np.array(dims, np.int64), f"framed_dims_of_{name}")
            self.first.append(helper.make_node("Reshape", [source, target], [name], f"framed_{name}"))

    def finish(self, image, *last):
        graph = self.graph
        del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
        graph.node.extend([*self.first, *self.nodes, *last])
        graph.input.append(image)
        graph.output.append(helper.make_tensor_value_info(last[-1].output[0], TensorProto.FLOAT, None))
        model = onnx.ModelProto()
        model.CopyFrom(self.case.model)
        model.graph.CopyFrom(graph)
        return model


def image_dims(shape):
    """A shape of any rank as [N, C, H, W]."""
    dims = [*shape, 1, 1, 1, 1][:4]
    if len(shape) > 4:
        dims[3] = int(np.prod(shape[3:]))
    return dims


def back_dims(shape):
    return [-1] if len(shape) == 1 else [0, *shape[1:]]


def rows_of(case):
    output = case.model.graph.output[0].name
    return helper.make_node("Flatten", [output], ["framed_rows"], "framed_flatten", axis=1)


def expected_rows(case, batch):
    return np.asarray(case.outputs[0], np.float64).reshape(batch, -1)


def floating(case):
    """Positions of the floating inputs."""
    return [i for i, value in enumerate(real_inputs(case.model.graph))
            if value.type.tensor_type.elem_type in FLOATING and np.asarray(case.inputs[i]).ndim >= 1
            and np.asarray(case.inputs[i]).size]


def kind_of(case, i):
    return real_inputs(case.model.graph)[i].type.tensor_type.elem_type


def with_image(case):
    places = floating(case)
    if not places or not np.asarray(case.outputs[0]).ndim or \
            np.asarray(case.outputs[0]).shape[0] != np.asarray(case.inputs[places[0]]).shape[0]:
        return None
    values = real_inputs(case.model.graph)
    x = np.asarray(case.inputs[places[0]])
    frame = Frame(case)
    frame.constants([value.name for i, value in enumerate(values) if i != places[0]])
    image = frame.input(image_dims(x.shape), kind_of(case, places[0]))
    name = values[places[0]].name
    if x.ndim == 4:
        frame.first.append(helper.make_node("Identity", ["framed_same"], [name], "framed_x"))
    else:
        frame.reshape("framed_same", back_dims(x.shape), name)
    return Trial(case, "image", frame.finish(image, rows_of(case)), x.astype(np.float32).reshape(image_dims(x.shape)),
                 expected_rows(case, x.shape[0]))


def with_images(case):
    places = floating(case)
    inputs = [np.asarray(value) for value in case.inputs]
    if len(places) < 2 or len(places) != len(inputs) or inputs[0].ndim < 2 or \
            len({value.shape for value in inputs}) != 1 or not np.asarray(case.outputs[0]).ndim or \
            np.asarray(case.outputs[0]).shape[0] != inputs[0].shape[0]:
        return None
    x = np.concatenate(inputs, axis=1)
    frame = Frame(case)
    image = frame.input(image_dims(x.shape), kind_of(case, 0))
    source = "framed_same"
    if x.ndim != 4:
        source = "framed_joined"
        frame.reshape("framed_same", back_dims(x.shape), source)
    width = inputs[0].shape[1]
    for i, value in enumerate(real_inputs(case.model.graph)):
        frame.slice(source, i * width, (i + 1) * width, value.name)
    return Trial(case, "images", frame.finish(image, rows_of(case)), x.astype(np.float32).reshape(image_dims(x.shape)),
                 expected_rows(case, x.shape[0]))


def with_constants(case):
    result = np.asarray(case.outputs[0])
    if not result.size or result.dtype.kind not in "fiub":
        return None
    frame = Frame(case)
    frame.constants([value.name for value in real_inputs(case.model.graph)])
    image = frame.input([1, 1, 1, 1], TensorProto.FLOAT)
    frame.reshape("framed_same", [0, 1], "framed_one")
    row = frame.tensor(np.array([1, -1], np.int64), "framed_row")
    last = [helper.make_node("Cast", [case.model.graph.output[0].name], ["framed_float"], "framed_cast",
                             to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["framed_float", row], ["framed_weight"], "framed_reshape"),
            helper.make_node("MatMul", ["framed_one", "framed_weight"], ["framed_rows"], "framed_product")]
    return Trial(case, "constants", frame.finish(image, *last), np.ones((1, 1, 1, 1), np.float32),
                 result.astype(np.float32).astype(np.float64).reshape(1, -1))


def trials(case, kernels, constants):
    """Those whose operators are all claimed, and what is tested as well."""
    if case.operator not in kernels | constants | {OLD_PYTORCH}:
        return []
    operators = {node.op_type for node in case.model.graph.node}
    domains = {node.domain for node in case.model.graph.node}
    if not domains <= {"", "ai.onnx"} or case.model.functions:
        return []
    made = []
    if operators <= kernels | constants and operators & kernels:
        made += [with_image(case), with_images(case)]
    if operators <= constants:
        made.append(with_constants(case))
    return [trial for trial in made if trial]
