# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""docs/operators.md against the code: what it claims is there, and what is there is claimed."""

import os
import pathlib
import re
import subprocess

import onnx

PAGE = (pathlib.Path(os.environ["LORAC_SOURCE_DIR"]) / "docs" / "operators.md").read_text()
# Every operator that any version of the default domain has, Upsample and the other retired ones too.
ALL = sorted({schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""})


def section(title):
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def table_rows():
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in section("With forward and gradient").splitlines() if line.startswith("| ")]
    header, *body = rows
    assert header == ["operator", "conditions", "forward", "gradient"]
    return body


def claimed_by_code():
    """{"kernel": ..., "gradient": ..., "constant": ...}: names of operators."""
    found = {"kernel": set(), "gradient": set(), "constant": set()}
    for line in subprocess.run([os.environ["LORAC_CLAIMED"], *ALL], capture_output=True, text=True,
                               check=True).stdout.splitlines():
        kind, name = line.split()
        found[kind].add(name)
    assert len(found["kernel"]) > 60 and len(found["constant"]) > 40
    return found


def test_the_table_has_what_the_runtime_runs():
    names = [name for row in table_rows() for name in row[0].split(", ")]
    assert all(name in ALL for name in names), [name for name in names if name not in ALL]
    assert set(names) == claimed_by_code()["kernel"]


def test_what_the_table_gives_a_gradient_has_one():
    code = claimed_by_code()
    for operators, _, forward, gradient in table_rows():
        assert forward and gradient, operators
    assert code["gradient"] == code["kernel"]


def test_the_list_has_what_is_evaluated():
    text = re.sub(r"\([^)]*\)", "", section("Evaluated when the model is read"))
    names = [name.strip() for line in text.splitlines() if line.startswith("- ")
             for name in line[2:].split(": ")[-1].split(",")]
    assert all(name in ALL for name in names), [name for name in names if name not in ALL]
    assert len(names) == len(set(names)) and set(names) == claimed_by_code()["constant"]


def test_the_page_names_the_operator_sets_that_are_read():
    source = (pathlib.Path(os.environ["LORAC_SOURCE_DIR"]) / "proto" / "model_check.c").read_text()
    oldest, newest = (re.search(rf"{name} = (\d+)", source).group(1) for name in ("OLDEST_OPSET", "NEWEST_OPSET"))
    assert f"operator sets {oldest} to {newest} " in PAGE
