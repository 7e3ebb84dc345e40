# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""What the peers' programs share: one process, one request (JSON, the first argument), one answer (the last line).

A request has at least: data (.npz with x [batch, C, H, W] and y [batch]), threads, warm_up, steps. The answer has the
seconds of each measured step, the losses of the first steps (warm-up included), the process's peak resident memory,
and the versions of what it used.
"""

import json
import re
import sys
import time

import numpy as np

KEPT_LOSSES = 3


def request():
    return json.loads(sys.argv[1])


def data(asked):
    arrays = np.load(asked["data"])
    return arrays["x"], arrays["y"].astype(np.int64)


def peak_bytes():
    """VmHWM: of this program alone, where getrusage starts with the peak of the one that started it."""
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1]) * 1024


def measure(asked, step, versions):
    """Runs step() as often as asked and answers. It returns the loss, or None."""
    losses, seconds = [], []
    for i in range(asked["warm_up"] + asked["steps"]):
        begin = time.perf_counter()
        loss = step()
        end = time.perf_counter()
        if loss is not None and i < KEPT_LOSSES:
            losses.append(float(loss))
        if i >= asked["warm_up"]:
            seconds.append(end - begin)
    print(json.dumps({"seconds": seconds, "losses": losses, "peak_bytes": peak_bytes(), "versions": versions}))
