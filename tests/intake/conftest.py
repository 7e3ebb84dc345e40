# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""How many of how many, printed after the run."""

outcomes = {}


def pytest_runtest_logreport(report):
    if "test_intake.py" in report.nodeid and "[" in report.nodeid and (report.when == "call" or report.failed):
        name = report.nodeid.split("[", 1)[1].rstrip("]")
        outcomes[name] = outcomes.get(name, True) and report.passed


def pytest_terminal_summary(terminalreporter):
    if outcomes:
        terminalreporter.write_line(f"intake: {sum(outcomes.values())} of {len(outcomes)} models pass")
