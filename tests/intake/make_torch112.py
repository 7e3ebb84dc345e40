# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Exports with the PyTorch of 2022: python make_torch112.py [name ...] (needs requirements-torch112.txt, Python 3.10).

It could write modules as local functions, and still does not name nodes by modules.
"""

import pathlib
import sys
import warnings

import torch
import torch.onnx.utils as torch_onnx_utils
import torch_nets
from torch_nets import ResNet, SqueezeExcite, set_up

MODELS = pathlib.Path(__file__).parent / "models"

# file: (set, modules that become functions, other options, network)
TABLE = {
    "torch112-op15-functions": (15, {torch_nets.Basic}, {}, lambda: ResNet(depths=(1, 1))),
    "torch112-op16-nested-functions": (16, {torch_nets.Bottleneck, SqueezeExcite, torch.nn.BatchNorm2d},
                                       dict(do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE),
                                       lambda: ResNet("bottleneck", depths=(1, 1), se={})),
    "torch112-op13-resnetd": (13, None, {}, lambda: ResNet("bottleneck", depths=(1, 1), stem="deep", shortcut="D")),
    "torch112-op10-bn": (10, None, dict(training=torch.onnx.TrainingMode.PRESERVE),
                         lambda: ResNet("preact", depths=(1, 1), pool="view")),
}


def export(name, path):
    opset, functions, options, make = TABLE[name]
    seed = 2000 + list(TABLE).index(name)
    torch.manual_seed(seed)
    network = set_up(make(), seed, (3, 32, 32))
    if functions:
        # The exporter records what a class annotates as attributes of the function, and stumbles over a None there.
        torch_onnx_utils._get_module_attributes = lambda module: {}
        options = dict(options, export_modules_as_functions=functions)
    torch.onnx.export(network, torch.randn(2, 3, 32, 32), str(path), opset_version=opset, input_names=["input"],
                      output_names=["logits"], dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}}, **options)


def main():
    warnings.filterwarnings("ignore")
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
