# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""The program, run as a user runs it."""

import os
import pathlib
import subprocess

PROGRAM = os.environ["LORAC_ONNX"]
# Built with the address checker, whose own memory counts too where memory is measured or limited.
SANITIZED = b"__asan_init" in pathlib.Path(PROGRAM).read_bytes()


def run(*arguments, cwd=None, timeout=300):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, timeout=timeout)


def good(*arguments, **keywords):
    result = run(*arguments, **keywords)
    assert result.returncode == 0, result.stderr
    return result


def refused(*arguments, code=2):
    """In one line, which it gives."""
    result = run(*arguments)
    assert result.returncode == code, result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr
