# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Figures that tests measure, printed after the run: the largest of each name, and tables."""

import pytest

largest = {}
tables = {}


class Figures:
    def largest(self, name, value):
        largest[name] = max(value, largest.get(name, value))
        return value

    def row(self, title, **cells):
        tables.setdefault(title, []).append(cells)


@pytest.fixture(scope="session")
def figures():
    return Figures()


def pytest_terminal_summary(terminalreporter):
    for name, value in largest.items():
        terminalreporter.write_line(f"largest {name}: {value:.2g}")
    for title, rows in tables.items():
        terminalreporter.write_line(f"\n{title}\n")
        terminalreporter.write_line("| " + " | ".join(rows[0]) + " |")
        terminalreporter.write_line("|---" * len(rows[0]) + "|")
        for row in rows:
            terminalreporter.write_line("| " + " | ".join(row.values()) + " |")
