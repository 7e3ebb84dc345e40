#!/usr/bin/env python3
"""The table of presets in docs/accuracy.md: ResNet-20 of ../shared, adapted to bad weather with the plain settings (what
the commands do without any option) and with each preset.

    presets.py LORAC_ONNX

Accuracy as accuracy.py measures it; seconds and peak memory are of `train` alone. Three minutes on two idle cores.
"""

import os
import subprocess
import sys
import tempfile
import time

from accuracy import DATA, SHARED, THREADS, all_accuracies, means, run

# name, model, options of inject, options of train
ROWS = [
    ("plain settings", "resnet20-cifar10", [], []),
    ("`device`", "resnet20-cifar10", ["--preset", "device"], ["--preset", "device"]),
    ("plain settings, BatchNorm kept", "resnet20-cifar10-bn", [], []),
    ("`paper`, BatchNorm kept", "resnet20-cifar10-bn", ["--preset", "paper"], ["--preset", "paper"]),
    ("`paper` with `--lr 0.01`, BatchNorm kept", "resnet20-cifar10-bn", ["--preset", "paper"],
     ["--preset", "paper", "--lr", "0.01"]),
]


def measured(*arguments):
    """Seconds and peak bytes of a command."""
    started = time.monotonic()
    child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(arguments)}: status {status}")
    return time.monotonic() - started, usage.ru_maxrss * 1024


def main():
    tool = sys.argv[1]
    before = {}
    print("| settings | severity 3 | weather | clean | training | peak memory |\n|---|---|---|---|---|---|")
    for name, model, inject, train in ROWS:
        base = os.path.join(SHARED, "models", model + ".onnx")
        before.setdefault(model, means(all_accuracies(tool, base)))
        with tempfile.TemporaryDirectory() as folder:
            injected, trained, merged = (os.path.join(folder, f"{step}.onnx") for step in ("injected", "trained", "merged"))
            run(tool, "inject", base, "-o", injected, "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225", *inject)
            seconds, peak = measured(tool, "train", injected, "-o", trained, "--quiet", *THREADS, "--data",
                                     os.path.join(DATA, "cifar10-c/weather_train_x.npy"), "--labels",
                                     os.path.join(DATA, "cifar10-c/weather_train_y.npy"), *train)
            run(tool, "merge", trained, "-o", merged, *THREADS)
            after = means(all_accuracies(tool, merged))
        cells = " | ".join(f"{old:.1f} → **{new:.1f}**" for old, new in zip(before[model], after))
        print(f"| {name} | {cells} | {seconds:.0f} s | {peak / 1e6:.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
