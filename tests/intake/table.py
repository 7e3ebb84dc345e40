# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Reads the table of README.md: one row per model, what is known about it, and what must happen."""

import pathlib
import re
from dataclasses import dataclass

import onnx

FOLDER = pathlib.Path(__file__).parent
MODELS = FOLDER / "models"
IN_THE_WHEEL = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


@dataclass
class Row:
    name: str
    path: pathlib.Path
    made_by: str
    opset: int
    special: str
    refusal: str  # words of the refusal; empty: must pass


def rows():
    found = []
    for line in (FOLDER / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not re.match(r"\| [a-z0-9]", line) or len(cells) != 5 or cells[0] == "file":
            continue
        name, made_by, opset, special, expected = cells
        kind, _, words = expected.partition(": ")
        assert kind == "passes" and not words or kind == "refused" and words, line
        found.append(Row(name, path_of(name), made_by, int(opset), special, words.strip("`")))
    return found


def path_of(name):
    if name == "light_resnet50":
        return IN_THE_WHEEL / "light_resnet50.onnx"
    folder = MODELS / name
    return folder / "model.onnx" if folder.is_dir() else MODELS / f"{name}.onnx"
