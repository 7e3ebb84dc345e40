#!/usr/bin/env python3
"""The accuracy table of docs/accuracy.md: ResNet-20 and ResNet-56 of ../shared, adapted to bad weather.

    accuracy.py LORAC_ONNX [ROW...]

For each row: inject, train on weather_train, merge (with its check), and accuracy before and after on all
corruption files and on the clean test images, measured with the merged model. Settings are those of the reference
(PyTorch, the method's own results): r 4, alpha 8, SGD with momentum 0.9, weight decay 5e-4 on all tensors, cosine,
clip 5, batch 64, 8 epochs, crop and flip. Prints the table, and says where a mean is more than 1.5 points below or
above the reference. Needs the standard library alone; takes about fifteen minutes on two idle cores. Any number of threads
gives the same table: LORAC_THREADS sets it.
"""

import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHARED = os.environ.get("LORAC_SHARED_DIR", os.path.join(ROOT, "..", "shared"))
DATA = os.path.join(SHARED, "data")
THREADS = ["--threads", os.environ.get("LORAC_THREADS", "0")]

SEVERITY_3 = ["brightness", "contrast", "defocus_blur", "elastic_transform", "fog", "frost", "gaussian_noise",
              "glass_blur", "impulse_noise", "jpeg_compression", "motion_blur", "pixelate", "shot_noise", "snow",
              "spatter", "zoom_blur"]
WEATHER = ["fog_3", "frost_3", "snow_3", "spatter_3", "fog_5", "frost_5", "snow_5", "spatter_5"]
FILES = [name + "_3" for name in SEVERITY_3] + [name for name in WEATHER if name.endswith("_5")]

# name, model, options of inject, learning rate, reference: severity 3, weather, clean (None: not measured there)
ROWS = [
    ("r20 folded", "resnet20-cifar10", [], "0.005", (78.2, 81.0, 89.1)),
    ("r20 frozen", "resnet20-cifar10-bn", [], "0.005", (77.5, 80.2, 89.5)),
    ("r20 train", "resnet20-cifar10-bn", ["--bn", "train"], "0.01", (78.0, 80.8, 88.8)),
    ("r20 plain rank", "resnet20-cifar10", ["--rank-setting", "plain"], "0.01", (77.8, 80.7, 89.6)),
    ("r20 first and last", "resnet20-cifar10", ["--train-first", "--train-last"], "0.005", (78.4, 81.2, 89.2)),
    ("r20 B alone", "resnet20-cifar10", ["--freeze-a"], "0.01", (78.5, 80.8, 88.5)),
    ("r20 B alone, train", "resnet20-cifar10-bn", ["--freeze-a", "--bn", "train"], "0.05", (78.0, 80.5, 89.2)),
    ("r56 folded", "resnet56-cifar10", [], "0.005", (81.4, 84.0, 91.4)),
    ("r56 frozen", "resnet56-cifar10-bn", [], "0.005", None),
    ("r56 B alone", "resnet56-cifar10", ["--freeze-a"], "0.01", None),
]
# The reference has no row for ResNet-56 with its BatchNorm frozen, nor with B alone; they are held against the folded one:
# the first is the same function, the second is what B alone is measured against.
NEAREST = {"r56 frozen": (81.4, 84.0, 91.4), "r56 B alone": (81.4, 84.0, 91.4)}
TOLERANCE_POINTS = 1.5


def run(tool, *arguments):
    """What the command printed."""
    done = subprocess.run([tool, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)}\n{done.stderr}")
    return done.stdout


def accuracy(tool, model, images, labels):
    out = run(tool, "eval", model, "--json", "--quiet", *THREADS, "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225",
              "--data", os.path.join(DATA, images), "--labels", os.path.join(DATA, labels))
    return 100.0 * json.loads(out)["accuracy"]


def all_accuracies(tool, model):
    result = {name: accuracy(tool, model, f"cifar10-c/{name}.npy", "cifar10-c/labels.npy") for name in FILES}
    result["clean"] = accuracy(tool, model, "cifar10/test_x.npy", "cifar10/test_y.npy")
    return result


def means(accuracies):
    def mean(names):
        return sum(accuracies[name] for name in names) / len(names)
    return mean([name + "_3" for name in SEVERITY_3]), mean(WEATHER), accuracies["clean"]


def adapt(tool, folder, model, options, rate):
    """Trains and merges; the merged model's path and the count of trained parameters."""
    base = os.path.join(SHARED, "models", model + ".onnx")
    injected, trained, merged = (os.path.join(folder, name + ".onnx") for name in ("injected", "trained", "merged"))
    last = [] if "--train-last" in options else ["--no-train-last"]
    run(tool, "inject", base, "-o", injected, "--rank", "4", "--alpha", "8", "--mean", "0.485,0.456,0.406", "--std",
        "0.229,0.224,0.225", *last, *options)
    trainable = json.loads(run(tool, "inspect", injected, "--json"))["trainable"]["total"]
    run(tool, "train", injected, "-o", trained, "--quiet", *THREADS, "--data", os.path.join(DATA, "cifar10-c/weather_train_x.npy"),
        "--labels", os.path.join(DATA, "cifar10-c/weather_train_y.npy"), "--epochs", "8", "--batch", "64", "--lr", rate,
        "--momentum", "0.9", "--weight-decay", "0.0005", "--decay-all", "--clip-norm", "5", "--schedule", "cosine",
        "--augment", "crop-flip")
    run(tool, "merge", trained, "-o", merged, *THREADS, "--data", os.path.join(DATA, "cifar10-c/fog_5.npy"))
    return merged, trainable


def main():
    tool, wanted = sys.argv[1], sys.argv[2:]
    before, details, failed = {}, {}, False
    print(f"{'':20} {'trained':>8}  {'severity 3':>22}  {'weather':>22}  {'clean':>22}")
    for name, model, options, rate, reference in ROWS:
        if wanted and name not in wanted:
            continue
        if model not in before:
            before[model] = all_accuracies(tool, os.path.join(SHARED, "models", model + ".onnx"))
        with tempfile.TemporaryDirectory() as folder:
            merged, trainable = adapt(tool, folder, model, options, rate)
            details[name] = before[model], all_accuracies(tool, merged)
        cells = []
        expected = reference or NEAREST[name]
        for old, new, goal in zip(means(before[model]), means(details[name][1]), expected):
            off = abs(new - goal) > TOLERANCE_POINTS
            failed |= off
            cells.append(f"{old:5.1f} -> {new:5.1f} ({goal:5.1f}){'!' if off else ' '}")
        print(f"{name:20} {trainable:>8}  " + "  ".join(f"{cell:>22}" for cell in cells), flush=True)
    print("\nbefore -> after (reference after)\n")
    print(f"{'':20} " + "  ".join(f"{name:>18}" for name in details))
    for file in FILES + ["clean"]:
        print(f"{file:20} " + "  ".join(f"{old[file]:7.1f} -> {new[file]:5.1f}  " for old, new in details.values()))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
