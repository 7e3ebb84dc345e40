# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Exports with the PyTorch of 2020: python make_torch14.py [name ...] (needs requirements-torch14.txt, Python 3.7).

Its files are what the older model zoos hold: names that are numbers, sets 7 to 11, IR 4 and, asked for, initialisers
that are inputs as well.
"""

import pathlib
import sys

import torch
from torch_nets14 import ResNet, set_up

MODELS = pathlib.Path(__file__).parent / "models"
FREE = dict(dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}})

# file: (set, options of the export, network)
TABLE = {
    "torch14-op7-resnet": (7, dict(FREE, keep_initializers_as_inputs=True), lambda: ResNet()),
    "torch14-op8-folded-batch1": (8, {}, lambda: ResNet(view=True)),
    "torch14-op9-bn-nofold": (9, dict(FREE, do_constant_folding=False, keep_initializers_as_inputs=True),
                              lambda: ResNet(view=True)),
    "torch14-op10-bottleneck": (10, FREE, lambda: ResNet(bottleneck=True)),
    "torch14-op11-relu6": (11, FREE, lambda: ResNet(relu6=True, view=True)),
    "torch14-op9-optionA-dropout": (9, dict(FREE, training=True), lambda: ResNet(option_a=True, dropout=True)),
}


def export(name, path):
    opset, options, make = TABLE[name]
    torch.manual_seed(list(TABLE).index(name))
    network = set_up(make())
    torch.onnx.export(network, torch.randn(1, 3, 32, 32), str(path), opset_version=opset, input_names=["input"],
                      output_names=["logits"], **options)


def main():
    torch.set_num_threads(1)
    failed = 0
    for name in sys.argv[1:] or TABLE:
        path = MODELS / f"{name}.onnx"
        try:
            export(name, path)
            print(f"{name}: {path.stat().st_size} bytes", flush=True)
        except Exception as error:
            failed += 1
            print(f"{name}: FAILED: {type(error).__name__}: {str(error)[:300]}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
