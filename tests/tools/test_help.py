# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Help against docs/commands.md: every command, every option, its value, default and meaning, both ways."""

import os
import pathlib
import re

import pytest
from program import run

DOCS = pathlib.Path(os.environ.get("LORAC_SOURCE_DIR", pathlib.Path(__file__).parents[2])) / "docs" / "commands.md"


def commands_of_help():
    listing = run("-h").stdout.split("Commands:\n")[1].split("\n\n")[0]
    return re.findall(r"^  (\w+) ", listing, re.M)


COMMANDS = commands_of_help()


def rows_of_help(text):
    """[(letter, name, value, default, meaning)] from the text of -h."""
    rows = []
    for line in text.split("\nExamples:\n")[0].splitlines():
        match = re.match(r"  (?:(-\w), |    )--(\S+)(?: (\S+))?(?:\s{2,}(.*))?$", line)
        if match:
            rows.append([match[1] or "", match[2], match[3] or "", match[4] or ""])
        elif line.startswith(" " * 30):
            rows[-1][3] = (rows[-1][3] + " " + line.strip()).strip()
    result = []
    for letter, name, value, meaning in rows:
        default = ""
        if meaning.endswith(" (required)"):
            meaning, default = meaning[:-len(" (required)")], "required"
        match = re.match(r"(.*) \(default (.*)\)$", meaning)
        if match:
            meaning, default = match[1], match[2]
        result.append((letter, name, value, default, meaning))
    return result


def section_of_docs(command):
    sections = re.split(r"^## ", DOCS.read_text(), flags=re.M)
    found = [s for s in sections if s.split("\n", 1)[0] == command]
    assert len(found) == 1, f"docs/commands.md has {len(found)} sections '{command}'"
    return found[0]


def rows_of_docs(section):
    rows = []
    for line in section.splitlines():
        match = re.match(r"\| (?:`(-\w)`, )?`--(\S+?)(?: (\S+))?` \| (.*?) ?\| (.*) \|$", line)
        if match:
            rows.append((match[1] or "", match[2], (match[3] or "").replace("\\|", "|"), match[4], match[5]))
    return rows


def test_commands_are_documented():
    documented = re.findall(r"^## (\w+)$", DOCS.read_text(), re.M)
    assert COMMANDS == ["inspect", "inject", "train", "eval", "merge", "extract", "apply", "compare", "bench", "run", "recipe", "man",
                        "completion"]
    assert documented == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_options_agree(command):
    shown = rows_of_help(run(command, "-h").stdout)
    assert len(shown) >= 2
    assert rows_of_docs(section_of_docs(command)) == shown


@pytest.mark.parametrize("command", COMMANDS)
def test_synopsis_and_examples_agree(command):
    text, section = run(command, "-h").stdout, section_of_docs(command)
    assert text.splitlines()[0].removeprefix("Usage: ") in section
    for line in text.split("\nExamples:\n")[1].splitlines():
        assert line.strip() in section


@pytest.mark.parametrize("command", COMMANDS)
def test_help_goes_to_stdout(command):
    shown = [run(command, "-h"), run(command, "--help"), run("help", command), run(command, "x.onnx", "-h")]
    for result in shown:
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout == shown[0].stdout
    assert all(len(line) <= 120 for line in shown[0].stdout.splitlines())


def test_examples_use_known_options():
    for command in COMMANDS:
        known = {row[1] for row in rows_of_help(run(command, "-h").stdout)}
        for line in re.findall(rf"^    lorac-onnx {command} .*(?:\\\n.*)*", section_of_docs(command), re.M)[1:]:
            assert set(re.findall(r"--([\w-]+)", line)) <= known


def test_general_help():
    assert run("-h").stdout == run("--help").stdout == run("help").stdout
    assert run("-h").returncode == 0
    assert run("--version").stdout.startswith("lorac-onnx ")
    nothing = run()
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert nothing.stderr == run("-h").stdout
