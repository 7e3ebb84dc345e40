# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Reading what train writes to --log (docs/log.md)."""

import json
import pathlib


def lines_of(path, event=None):
    """The whole lines of the log, or those of one event; none where the file is not there yet."""
    path = pathlib.Path(path)
    text = path.read_text() if path.exists() else ""
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [line for line in lines if event in (None, line["event"])]


def losses_of(path):
    """Of each step."""
    return [line["loss"] for line in lines_of(path, "step")]
