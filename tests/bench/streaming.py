#!/usr/bin/env python3
# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""What training on image files takes beside the training: memory while a large set goes through, and time.

    streaming.py --program build/lorac-onnx memory [--images 20000]
        resident memory after each tenth of an epoch: it must not grow with the images
    streaming.py --program build/lorac-onnx time [--model r18.onnx] [--steps 10] [--rounds 3]
        seconds per step on a folder of 224x224 JPEGs beside the same images as one .npy, in turns

The pictures are made (noise over gradients, so that they compress as photographs do) and reused where they are there.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

import numpy as np
import onnx
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "models"))
from make_resnet import make_resnet  # noqa: E402

CLASSES = 10
PIXELS = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]


def make_picture(random, height, width):
    """Smooth colours, some edges, a little noise: about 30 kB as a JPEG of 256 x 341."""
    small = random.integers(0, 256, (random.integers(3, 9), random.integers(3, 9), 3), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(small).resize((width, height), Image.BICUBIC), np.float32)
    y, x = random.integers(0, height // 2), random.integers(0, width // 2)
    picture[y:y + height // 3, x:x + width // 3] = random.integers(0, 256, 3)
    return np.clip(picture + random.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)


def make_folder(folder, count, height, width, quality=90, distinct=200):
    """[count] JPEG files in class folders; beyond [distinct] they are links to files that are there already."""
    folder = pathlib.Path(folder)
    if len(list(folder.glob("*/*.jpg"))) == count:
        return folder
    random = np.random.default_rng(5)
    for i in range(count):
        path = folder / f"class{i % CLASSES}" / f"{i:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i >= distinct:
            first = i % distinct
            os.link(folder / f"class{first % CLASSES}" / f"{first:06}.jpg", path)
        else:
            Image.fromarray(make_picture(random, height, width)).save(path, quality=quality)
    return folder


def resident(pid):
    """(now, peak) in bytes."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return tuple(int(re.search(rf"^{key}:\s+(\d+) kB", text, re.M)[1]) * 1024 for key in ("VmRSS", "VmHWM"))


def follow(command, log, marks, batch):
    """Runs a training; gives [(images, bytes now, peak)] at the first step after each of [marks] images."""
    pathlib.Path(log).unlink(missing_ok=True)
    process = subprocess.Popen([*map(str, command), "--log", str(log)], stdout=subprocess.DEVNULL)
    rows, left = [], list(marks)
    while process.poll() is None and left:
        time.sleep(0.02)
        steps = pathlib.Path(log).read_bytes().count(b'"event":"step"') if pathlib.Path(log).exists() else 0
        if steps * batch >= left[0]:
            try:
                rows.append((steps * batch, *resident(process.pid)))
            except (TypeError, FileNotFoundError): # it has ended
                break
            left = [mark for mark in left if mark > steps * batch]
    if process.wait() != 0:
        raise SystemExit(f"the training failed: {' '.join(map(str, command))}")
    return rows


def inject(program, model, output, *options):
    subprocess.run([program, "inject", model, "-o", output, *PIXELS, *options], check=True, capture_output=True)


def run_memory(arguments):
    work = pathlib.Path(arguments.work)
    folder = make_folder(work / f"memory{arguments.images}", arguments.images, 256, 341)
    onnx.save(make_resnet(depth=8, width=0.25, input_size=(112, 112), classes=CLASSES), work / "small.onnx")
    inject(arguments.program, work / "small.onnx", work / "small_injected.onnx")
    batch = 32
    command = [arguments.program, "train", work / "small_injected.onnx", "-o", work / "out.onnx", "--data", folder,
               "--epochs", "1", "--batch", batch, "--quiet", "--cache-memory", "0", "--resize", "128"]
    marks = [arguments.images * i // 10 for i in range(1, 10)] + [arguments.images - 2 * batch]
    rows = follow(command, work / "log.jsonl", marks, batch)
    print("images   resident MB   peak MB")
    for images, now, peak in rows:
        print(f"{images:6}   {now / 1e6:11.2f}   {peak / 1e6:7.2f}")
    grown = rows[-1][2] - rows[0][2]
    print(f"peak grew by {grown / 1e6:.2f} MB from image {rows[0][0]} to {rows[-1][0]}")


def seconds_per_step(program, model, data, steps, batch, work):
    command = [program, "train", model, "-o", work / "out.onnx", "--steps", steps, "--batch", batch, "--threads", "2",
               "--quiet", "--log", work / "log.jsonl", *data]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    lines = map(json.loads, (work / "log.jsonl").read_text().splitlines())
    *_, last = (line for line in lines if line["event"] == "step")
    return batch / last["images_per_second"] # over all steps, with the wait for the first images


def run_time(arguments):
    work = pathlib.Path(arguments.work)
    batch = arguments.batch
    count = max(arguments.steps * batch, CLASSES)
    folder = make_folder(work / f"time{count}", count, 224, 224, distinct=count)
    paths = sorted(folder.glob("*/*.jpg"))
    np.save(work / "x.npy", np.stack([np.asarray(Image.open(path)) for path in paths]))
    np.save(work / "y.npy", np.array([int(path.parent.name[5:]) for path in paths]))
    model = arguments.model
    if not model:
        model = work / "r18.onnx"
        onnx.save(make_resnet(depth=18, input_size=(224, 224), classes=CLASSES, form="imagenet", bn="folded"), model)
    inject(arguments.program, model, work / "r18_injected.onnx")
    ways = {"npy": ["--data", work / "x.npy", "--labels", work / "y.npy"],
            "folder": ["--data", folder, "--cache-memory", "0"]}
    seconds = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, data in ways.items():
            seconds[name].append(seconds_per_step(arguments.program, work / "r18_injected.onnx", data, arguments.steps,
                                                  batch, work))
    for name, times in seconds.items():
        print(f"{name:7} {statistics.median(times):.4f} s per step of {batch} ({', '.join(f'{t:.4f}' for t in times)})")
    print(f"ratio   {statistics.median(seconds['folder']) / statistics.median(seconds['npy']):.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="lorac-onnx")
    parser.add_argument("--work", default="/tmp/lorac-streaming", help="folder for pictures and models")
    commands = parser.add_subparsers(dest="command", required=True)
    memory = commands.add_parser("memory")
    memory.add_argument("--images", type=int, default=20000)
    timing = commands.add_parser("time")
    timing.add_argument("--model", help="a plain model of 3x224x224 with 10 classes; default: ResNet-18")
    timing.add_argument("--steps", type=int, default=10)
    timing.add_argument("--batch", type=int, default=32)
    timing.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    pathlib.Path(arguments.work).mkdir(parents=True, exist_ok=True)
    {"memory": run_memory, "time": run_time}[arguments.command](arguments)


if __name__ == "__main__":
    main()
