# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Builds what the exporters at hand did not write: python make_helper.py [name ...] (needs tests/requirements.txt).

One function per model, registered by its name: helper_layers.py and helper_models.py have them.
"""

import pathlib
import sys

# They register their models, in this order: a model's seed is its place in the table.
import helper_layers  # noqa: F401
import helper_models  # noqa: F401
import onnx
from helper_graph import TABLE, Graph

MODELS = pathlib.Path(__file__).parent / "models"
# What the checker refuses and engines run: an operator that was deprecated in its own set; a sparse initialiser, which
# shape inference takes for a single number.
NOT_CHECKED = ("helper-group-norm-18", "helper-sparse-passed-through")


def build(name):
    make, options = TABLE[name]
    built = make(Graph([list(TABLE).index(name), 4], **options))
    if name not in NOT_CHECKED:
        onnx.checker.check_model(built, full_check=True)
    return built


def main():
    for name in sys.argv[1:] or TABLE:
        onnx.save(build(name), MODELS / f"{name}.onnx")


if __name__ == "__main__":
    main()
