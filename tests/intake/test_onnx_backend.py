# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""The operator tests of the onnx wheel, for every operator that the runtime claims.

A wrong number or a crash fails. What is refused is listed with its reason in docs/operator-tests.md, which this test
compares with what it found; `python test_onnx_backend.py --write` (LORAC_ONNX, LORAC_CLAIMED and PYTHONPATH as ctest
sets them) writes it.
"""

import collections
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from backend_case import collect, trials
from chain.support import SOURCE, run

CLAIMED = os.environ["LORAC_CLAIMED"]
PAGE = SOURCE / "docs" / "operator-tests.md"
HALF_RELATIVE = 1e-2


def claimed(operators):
    lines = subprocess.run([CLAIMED, *operators], capture_output=True, text=True, check=True).stdout.splitlines()
    found = collections.defaultdict(set)
    for line in lines:
        kind, operator = line.split()
        found[kind].add(operator)
    return found["kernel"], found["constant"]


def reason_of(text):
    """The message without what differs from run to run: the program, the file, the node's name."""
    text = text.strip().splitlines()[-1] if text.strip() else "no message"
    text = re.sub(r"^lorac-onnx eval: (error: )?('[^']*': )?", "", text)
    text = re.sub(r"node '[^']*' ", "", text)
    return re.sub(r"^\(MatMul\): (?=\([A-Z])", "", text).replace("|", "\\|")  # that of the constants' frame


def agrees(actual, trial):
    case = trial.case
    kind = case.model.graph.output[0].type.tensor_type.elem_type
    relative = HALF_RELATIVE if kind == onnx.TensorProto.FLOAT16 else case.rtol
    return actual.shape == trial.expected.shape and \
        np.allclose(actual, trial.expected, rtol=relative, atol=max(case.atol, 1e-5), equal_nan=True)


def outcome(trial, folder):
    """("passed", ""), ("refused", reason) or ("failed", what)."""
    model, image, output = (pathlib.Path(folder) / name for name in ("model.onnx", "image.npy", "output.npy"))
    onnx.save(trial.model, model)
    np.save(image, trial.image)
    output.unlink(missing_ok=True)
    result = run("eval", model, "--data", image, "--outputs", output, "--batch", trial.batch, "--threads", 1, "--quiet")
    if result.returncode == 0:
        actual = np.load(output)
        if agrees(actual, trial):
            return "passed", ""
        return "failed", f"shape {actual.shape} for {trial.expected.shape}, largest difference " + \
            (f"{np.nanmax(np.abs(actual - trial.expected)):g}" if actual.shape == trial.expected.shape else "none")
    if result.returncode == 1 and len(result.stderr.strip().splitlines()) == 1:
        return "refused", reason_of(result.stderr)
    return "failed", f"exit {result.returncode}: {result.stderr}"


def walk():
    """[(trial, outcome, text)] of every trial, in the order of the cases."""
    cases = collect()
    operators = {node.op_type for case in cases for node in case.model.graph.node}
    kernels, constants = claimed(sorted(operators | {case.operator for case in cases}))
    all_trials = [trial for case in cases for trial in trials(case, kernels, constants)]
    assert len(all_trials) > 200, "hardly anything was found to run"
    with tempfile.TemporaryDirectory() as folder:
        return [(trial, *outcome(trial, folder)) for trial in all_trials]


def table_of(results):
    by_operator = collections.defaultdict(collections.Counter)
    for trial, what, _ in results:
        by_operator[trial.case.operator][trial.variant, what] += 1
    lines = ["| operator | on an image | on several | on constants | refused |", "|---|---|---|---|---|"]
    for operator in sorted(by_operator):
        count = by_operator[operator]
        cells = []
        for variant in ("image", "images", "constants"):
            total = sum(n for (kind, _), n in count.items() if kind == variant)
            cells.append(f"{count[variant, 'passed']} of {total}" if total else "")
        refused = sum(n for (_, what), n in count.items() if what == "refused")
        lines.append(f"| {operator} | {' | '.join(cells)} | {refused or ''} |")
    return lines


def refusals_of(results):
    groups = collections.defaultdict(list)
    for trial, what, text in results:
        if what == "refused":
            groups[trial.case.operator, text].append(trial.case.name.removeprefix("test_") +
                                                     {"image": "", "images": " (several)",
                                                      "constants": " (constants)"}[trial.variant])
    lines = ["| operator | reason | tests |", "|---|---|---|"]
    for (operator, text), names in sorted(groups.items()):
        lines.append(f"| {operator} | {text} | {', '.join(names)} |")
    return lines


def page_of(results):
    passed = sum(what == "passed" for _, what, _ in results)
    refused = sum(what == "refused" for _, what, _ in results)
    return "\n".join([
        "# Operator tests",
        "",
        "The tests that the onnx wheel (%s) has for the operators that the runtime claims, run by `lorac-onnx eval`: "
        "%d of %d pass, %d are refused, each with its reason, none gives a wrong number." %
        (onnx.__version__, passed, len(results), refused),
        "",
        "A test is run up to three times: its first floating input as the image and the others as constants; where all "
        "inputs have one shape, all of them cut from one image; and, for operators that are evaluated when a model is "
        "read, with constants alone. Dimension 0 of the image is the batch; tests whose output has another are left "
        "out, and so are those of other types than numbers. `expanded` tests have the body of a function in place of "
        "the operator; (old PyTorch) are the networks that the wheel has from PyTorch's first exporter, converted from "
        "set 6 to set 13. Made by `tests/intake/test_onnx_backend.py --write`; a "
        "test compares this page with what it finds.",
        "",
        "## Passed",
        "",
        *table_of(results),
        "",
        "## Refused",
        "",
        *refusals_of(results),
        ""])


def test_operators(capsys):
    results = walk()
    failed = [f"{trial.case.name} ({trial.variant}): {text}" for trial, what, text in results if what == "failed"]
    with capsys.disabled():
        counts = collections.Counter(what for _, what, _ in results)
        print(f"\noperator tests: {counts['passed']} of {len(results)} pass, {counts['refused']} are refused, "
              f"{counts['failed']} fail")
    assert not failed, "\n".join(failed)
    assert PAGE.exists() and PAGE.read_text() == page_of(results), \
        f"{PAGE} is not current: run tests/intake/test_onnx_backend.py --write"


def main():
    results = walk()
    for trial, what, text in results:
        if what == "failed":
            print(f"{trial.case.name} ({trial.variant}): {text}")
    if any(what == "failed" for _, what, _ in results):
        return 1
    PAGE.write_text(page_of(results))
    print(f"wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main() if sys.argv[1:] == ["--write"] else "usage: test_onnx_backend.py --write")
