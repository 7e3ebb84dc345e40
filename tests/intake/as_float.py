# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""A model of bfloat16 or double numbers as the same model of float32 ones, for engines without kernels for those."""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

WIDE = (TensorProto.BFLOAT16, TensorProto.DOUBLE)


def tensor_as_float(tensor):
    if tensor.data_type in WIDE:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def graph_as_float(graph):
    for tensor in graph.initializer:
        tensor_as_float(tensor)
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type in WIDE:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                tensor_as_float(attribute.t)
            elif attribute.type == onnx.AttributeProto.GRAPH:
                graph_as_float(attribute.g)
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i in WIDE:
                attribute.i = TensorProto.FLOAT


def as_float(model):
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph_as_float(copy.graph)
    return copy
