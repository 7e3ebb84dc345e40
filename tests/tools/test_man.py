# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Manual pages and completion against -h, from which they must not differ; and the topics of help."""

import re
import subprocess

import pytest
from program import PROGRAM, run
from test_help import COMMANDS, rows_of_help

ROWS = {command: rows_of_help(run(command, "-h").stdout) for command in COMMANDS}


def page(name):
    result = run("man", name)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def shown(name):
    """A page as man shows it: one line of words, and what groff complains of."""
    result = subprocess.run(["groff", "-man", "-Tascii", "-ww", "-P-c", "-rHY=0", "-rLL=1000n"], input=page(name),
                            capture_output=True, text=True, check=True)
    return " ".join(re.sub(".\x08", "", result.stdout).split()), result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_has_every_option(command):
    text, complaints = shown(command)
    assert complaints == ""
    for letter, name, value, default, meaning in ROWS[command]:
        option = f"{letter}, --{name}" if letter else f"--{name}"
        shown_default = " (required)" if default == "required" else f" (default {default})" if default else ""
        assert " ".join(f"{option} {value} {meaning}{shown_default}".split()) in text
    summary = re.search(rf"^  {command} +(.*)$", run("-h").stdout, re.M)[1]
    assert f"lorac-onnx-{command} - {summary}" in text
    for line in run(command, "-h").stdout.split("\nExamples:\n")[1].splitlines():
        assert " ".join(line.split()) in text


def test_the_main_page_has_every_command_and_topic():
    text, complaints = shown("lorac-onnx")
    assert complaints == ""
    for command in COMMANDS:
        assert f"lorac-onnx-{command}(1)" in text
    for topic in topics():
        assert " ".join(run("help", topic).stdout.split()) in text


def topics():
    listing = run("-h").stdout.split("Topics:\n")[1].split("\n\n")[0]
    return re.findall(r"^  ([\w-]+) ", listing, re.M)


def test_topics():
    assert len(topics()) >= 5
    for topic in topics():
        result = run("help", topic)
        assert (result.returncode, result.stderr) == (0, "")
        assert all(len(line) <= 120 for line in result.stdout.splitlines())
        known = {name for rows in ROWS.values() for _, name, *_ in rows}
        assert set(re.findall(r"(?<!\S)--([a-z][\w-]*)", result.stdout)) <= known


@pytest.mark.parametrize("word, message", [
    ("memroy", "unknown command or topic 'memroy': did you mean 'memory'?"),
    ("trian", "did you mean 'train'?"),
    ("zzzzzzzzzz", "unknown command or topic 'zzzzzzzzzz': see lorac-onnx -h"),
])
def test_an_unknown_topic(word, message):
    result = run("help", word)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr


@pytest.mark.parametrize("arguments, message", [
    (("man", "trian"), "no page 'trian'"), (("man",), "give the page"), (("completion", "zsh"), "the shell must be bash"),
])
def test_refused(arguments, message):
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr


PRESETS = {"paper", "device", "cifar10", "imagenet"}


def complete(*words):
    """What bash would offer at the last of [words]."""
    script = f"""
        source <({PROGRAM} completion bash)
        compopt() {{ offered_files=no; }}
        COMP_WORDS=("$@")
        COMP_CWORD=$(($# - 1))
        _lorac_onnx
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    result = subprocess.run(["bash", "-c", script, "bash", "lorac-onnx", *words], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.split()


def test_completion_of_commands():
    assert set(complete("")) == {*COMMANDS, "help", "-h", "--help", "--version"}
    assert complete("ins") == ["inspect"]
    assert set(complete("help", "")) == {*COMMANDS, *topics()}
    assert set(complete("man", "")) == {*COMMANDS, "lorac-onnx"}
    assert complete("completion", "") == ["bash"]


@pytest.mark.parametrize("command", COMMANDS)
def test_completion_of_options(command):
    assert set(complete(command, "--")) == {f"--{name}" for _, name, *_ in ROWS[command]}
    for _, name, value, *_ in ROWS[command]:
        if value.islower():  # choices; what stands for a value has capitals
            assert complete(command, f"--{name}", "") == value.split("|")
            first = value.split("|")[0]
            assert first in complete(command, f"--{name}", first[:1])
        elif name == "preset":
            assert set(complete(command, "--preset", "")) == PRESETS
        elif value:
            assert complete(command, f"--{name}", "") == []


def test_completion_of_what_recipes_have():
    explained = complete("recipe", "--explain", "")
    assert PRESETS | {"model", "train", "output", "train.lr", "data.val"} <= set(explained)
    for name in explained[::7]:
        assert run("recipe", "--explain", name).returncode == 0, name
    assert complete("recipe", "--explain", "train.memory") == ["train.memory_budget"]


def test_files_are_left_to_the_shell():
    assert complete("train", "") == []
    assert complete("train", "model.onnx", "-o", "") == []
