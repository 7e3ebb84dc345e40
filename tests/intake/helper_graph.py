# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""A small builder over onnx.helper: nodes, seeded weights, and the parts that every model of make_helper.py has."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES, SIDE = 5, 16
TABLE = {}  # of a model's name: the function that builds it and the options of its Graph


def model(**options):
    """Registers a model by the name of its function."""
    def register(build):
        TABLE["helper-" + build.__name__.replace("_", "-")] = (build, options)
        return build
    return register


class Graph:
    """Values are their names. Node names count up; [named] False leaves them empty."""

    def __init__(self, seed, opset=17, channels=3, ir=None, named=True, batch="N", side=SIDE, kind=np.float32):
        self.numbers = np.random.default_rng(seed)
        self.opset, self.ir, self.named, self.kind = opset, ir, named, kind
        self.nodes, self.tensors, self.sparse, self.functions, self.domains = [], [], [], [], {}
        self.count, self.channels, self.side, self.batch = 0, channels, side, batch
        self.input_shape = [batch, channels, side, side]

    # ---- parts

    def fresh(self, text):
        self.count += 1
        return f"{text}_{self.count}"

    def tensor(self, values, name=None):
        """An initialiser."""
        name = name or self.fresh("t")
        self.tensors.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def ints(self, *values):
        return self.tensor(np.array(values, np.int64))

    def floats(self, values):
        return self.tensor(np.asarray(values, self.kind))

    def node(self, op, *inputs, outputs=1, name=None, domain=None, **attributes):
        names = [self.fresh(op.lower()) for _ in range(outputs)]
        node = helper.make_node(op, inputs, names, name if name is not None else
                                (self.fresh(op) if self.named else ""), domain=domain, **attributes)
        self.nodes.append(node)
        return names[0] if outputs == 1 else names

    def constant(self, values):
        """A Constant node."""
        return self.node("Constant", value=numpy_helper.from_array(np.asarray(values)))

    def weight_values(self, m, c, kh, kw=None):
        shape = (m, c, kh, kw or kh)
        return (self.numbers.standard_normal(shape) * (2 / np.prod(shape[1:])) ** 0.5).astype(self.kind)

    def weight(self, m, c, k):
        return self.tensor(self.weight_values(m, c, k))

    def vector(self, n, low=-0.2, high=0.2):
        return self.numbers.uniform(low, high, n).astype(self.kind)

    # ---- layers

    def conv(self, x, c, m, k=3, stride=1, bias=True, group=1, kernel_shape=True, **attributes):
        inputs = [x, self.weight(m, c // group, k)] + ([self.tensor(self.vector(m))] if bias else [])
        if "pads" not in attributes and "auto_pad" not in attributes:
            attributes["pads"] = [k // 2] * 4
        if kernel_shape:
            attributes["kernel_shape"] = [k, k]
        if group > 1:
            attributes["group"] = group
        return self.node("Conv", *inputs, strides=[stride, stride], **attributes)

    def batch_norm(self, x, c, **attributes):
        return self.node("BatchNormalization", x, *(self.tensor(self.vector(c, low, high)) for low, high in
                                                    ((0.6, 1.2), (-0.2, 0.2), (-0.3, 0.3), (0.5, 1.5))), **attributes)

    def relu(self, x):
        return self.node("Relu", x)

    def stem(self, width=4):
        return self.relu(self.conv("input", self.channels, width))

    def block(self, x, c, m, stride=1):
        y = self.conv(self.relu(self.conv(x, c, m, 3, stride)), m, m)
        side = x if stride == 1 and c == m else self.conv(x, c, m, 1, stride)
        return self.relu(self.node("Add", y, side))

    def pool(self, x):
        return self.node("Flatten", self.node("GlobalAveragePool", x))

    def gemm(self, x, k, m=CLASSES, **attributes):
        values = self.numbers.standard_normal((m, k) if attributes.get("transB", 1) else (k, m)) * (1 / k) ** 0.5
        attributes.setdefault("transB", 1)
        return self.node("Gemm", x, self.floats(values), self.tensor(self.vector(m)), **attributes)

    def tail(self, x, c, m=8):
        """A strided block and the head: what follows the special part of most models."""
        return self.gemm(self.pool(self.block(x, c, m, 2)), m)

    # ---- the model

    def model(self, output, *others, inputs=None):
        """[others]: (name, element type, shape) of further outputs."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self.kind))
        self.nodes.append(helper.make_node("Identity", [output], ["logits"], "last" if self.named else ""))
        given = inputs or [helper.make_tensor_value_info("input", kind, self.input_shape)]
        outputs = [helper.make_tensor_value_info("logits", kind, [self.batch, CLASSES])]
        outputs += [helper.make_tensor_value_info(*other) for other in others]
        if self.ir == 3:
            given = given + [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in self.tensors]
        graph = helper.make_graph(self.nodes, "resnet", given, outputs, self.tensors, sparse_initializer=self.sparse)
        imports = [helper.make_opsetid("", self.opset)] + [helper.make_opsetid(*each) for each in self.domains.items()]
        model = helper.make_model(graph, opset_imports=imports, functions=self.functions, producer_name="onnx.helper")
        model.ir_version = self.ir or onnx.helper.find_min_ir_version_for(imports, ignore_unknown=True)
        if self.functions:
            model.ir_version = max(model.ir_version, 8)
        return model


FLOAT = TensorProto.FLOAT
