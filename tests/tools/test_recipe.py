# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Recipes as a user meets them: the whole job against the separate commands, overrides, presets, template, reference."""

import os
import pathlib
import re
import shlex
import struct
import subprocess
import zlib

import numpy as np
import onnx
import pytest
from make_resnet import make_resnet
from program import PROGRAM, good, run

DOCS = pathlib.Path(os.environ.get("LORAC_SOURCE_DIR", pathlib.Path(__file__).parents[2])) / "docs" / "recipe.md"
COUNT, SIDE = 48, 16

RECIPE = """
model:
  file: plain.onnx
adapter:
  rank: 2
  freeze_a: true
  train_last: true
  overrides:
    - {layers: layer2, rank: 4, alpha: 16}
data:
  images: x.npy
  labels: y.npy
  range: [0, 40]
  mean: 0.5
  std: [0.25, 0.25, 0.5]
  seed: 3
train:
  epochs: 2
  batch: 8
  lr: 0.02
  shuffle: false
  nesterov: true
augment:
  kind: crop-flip
eval:
  images: x.npy
  labels: y.npy
  range: 40:48
output:
  merged: out/merged.onnx
  adapter: out/adapter.safetensors
  log: out/log.json
"""


@pytest.fixture
def job(tmp_path):
    random = np.random.default_rng(1)
    folder = tmp_path / "job"
    (folder / "out").mkdir(parents=True)
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(SIDE, SIDE)), folder / "plain.onnx")
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(SIDE, SIDE), bn="folded"), folder / "folded.onnx")
    np.save(folder / "x.npy", random.integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8))
    np.save(folder / "y.npy", random.integers(0, 10, COUNT))
    (folder / "job.yaml").write_text(RECIPE)
    return folder


def files_of(folder):
    return {path.name: path.read_bytes() for path in (folder / "out").iterdir() if path.suffix != ".json"}


INJECT = "inject plain.onnx -o out/merged.injected.onnx --rank 2 --freeze-a --train-last " \
         "--override layer2:rank=4,alpha=16 --mean 0.5 --std 0.25,0.25,0.5 --seed 3"
TRAIN = "train out/merged.injected.onnx -o out/merged.trained.onnx --data x.npy --labels y.npy --range 0:40 --seed 3 " \
        "--epochs 2 --batch 8 --lr 0.02 --no-shuffle --nesterov --augment crop-flip --log out/log.json"
EXTRACT = "extract out/merged.trained.onnx -o out/adapter.safetensors"
MERGE = "merge out/merged.trained.onnx -o out/merged.onnx"
COMPARE = "compare out/merged.trained.onnx out/merged.onnx --data x.npy --range 40:48 --seed 3"


def by_hand(folder):
    for line in (INJECT, TRAIN, EXTRACT, MERGE, COMPARE):
        good(*line.split(), cwd=folder)
    files = files_of(folder)
    for path in (folder / "out").iterdir():
        path.unlink()
    return files


# ---- the whole job

def test_run_is_the_separate_commands(job, tmp_path):
    expected = by_hand(job)
    assert len(expected) == 4
    result = good("run", "job/job.yaml", cwd=tmp_path)
    assert files_of(job) == expected
    steps = [line.split()[2] for line in result.stdout.splitlines() if line.startswith("$ ")]
    assert steps == ["inject", "eval", "train", "extract", "merge", "compare", "eval"]
    assert len(re.findall(r"^accuracy ", result.stdout, re.M)) == 2


def test_each_command_takes_its_part(job):
    expected = by_hand(job)
    for command in ("inject", "train", "extract", "merge", "compare"):
        good(command, "--recipe", "job.yaml", cwd=job)
    assert files_of(job) == expected
    assert "images      8\n" in good("eval", "out/merged.onnx", "--recipe", "job.yaml", cwd=job).stdout


def test_dry_run_prints_commands_that_do_the_same(job, tmp_path):
    expected = by_hand(job)
    lines = good("run", "job/job.yaml", "--dry-run", cwd=tmp_path).stdout.splitlines()
    assert files_of(job) == {}
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "lorac-onnx"
        good(*words[1:], cwd=tmp_path)
    assert files_of(job) == expected


def test_flags_override(job):
    good("run", "job.yaml", "--set", "output.merged=out/a.onnx", cwd=job)
    dry = good("run", "job.yaml", "-n", "-s", "train.steps=3", "-s", "train.nesterov=false", "-s",
               "data.mean=[0.1, 0.2, 0.3]", "-s", "adapter.exclude=a b", cwd=job).stdout
    assert " --steps 3" in dry and "--epochs" not in dry and "--nesterov" not in dry
    assert " --mean '0.1, 0.2, 0.3'" in dry or " --mean 0.1,0.2,0.3" in dry
    assert " --exclude 'a b'" in dry
    first = good("train", "out/a.injected.onnx", "-o", "out/t.onnx", "--recipe", "job.yaml", "--steps", "2", cwd=job)
    assert "trained 2 steps" in first.stdout
    assert "note: train.epochs in job.yaml:18:3 is left out: --steps is given" in first.stderr
    other = good("train", "out/a.injected.onnx", "-o", "out/t.onnx", "--recipe", "job.yaml", "--optimizer", "adamw",
                 cwd=job)
    assert "train.lr in job.yaml:20:3 is left out" in other.stderr
    assert "train.nesterov in job.yaml:22:3 is left out" in other.stderr
    same = good("train", "out/a.injected.onnx", "-o", "out/t.onnx", "--recipe", "job.yaml", "--optimizer", "sgd",
                cwd=job)
    assert "left out" not in same.stderr
    np.save(job / "z.npy", np.zeros((5, SIDE, SIDE, 3), np.uint8))
    scored = good("eval", "out/a.onnx", "--recipe", "job.yaml", "--data", "z.npy", cwd=job)
    assert "images      5\n" in scored.stdout and "accuracy" not in scored.stdout


def test_a_folder_has_its_labels(job):
    for index, (pixels, label) in enumerate(zip(np.load(job / "x.npy"), np.load(job / "y.npy"))):
        folder = job / "photos" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        write_png(folder / f"{index}.png", pixels)
    text = RECIPE.replace("  images: x.npy\n  labels: y.npy\n", "  images: photos\n")
    (job / "job.yaml").write_text(text)
    steps = [line.split()[1] for line in good("run", "job.yaml", "-n", cwd=job).stdout.splitlines()]
    assert steps == ["inject", "eval", "train", "extract", "merge", "compare", "eval"]
    result = good("run", "job.yaml", cwd=job)
    assert len(re.findall(r"^accuracy ", result.stdout, re.M)) == 2


def test_other_sets_with_labels(job):
    folder, pictures = job / "photos", np.load(job / "x.npy")
    folder.mkdir()
    for index, pixels in enumerate(pictures):
        write_png(folder / f"{index}.png", pixels)
    (job / "set.csv").write_text("".join(f"photos/{i}.png,{i % 10}\n" for i in range(COUNT)))
    (job / "test_batch.bin").write_bytes(bytes(3073 * 4))
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(32, 32)), job / "larger.onnx")
    np.save(job / "larger.npy", np.zeros((COUNT, 32, 32, 3), np.uint8))
    larger = ["-s", "model.file=larger.onnx", "-s", "data.images=larger.npy", "-s", "data.labels=y.npy"]
    for name, more in (("set.csv", []), ("test_batch.bin", larger)):
        (job / "job.yaml").write_text(RECIPE.split("eval:\n")[0] + f"eval:\n  images: {name}\n  confusion: true\n"
                                      "  wrong: 2\noutput:\n  merged: out/merged.onnx\n")
        steps = [line.split()[1] for line in good("run", "job.yaml", "-n", *more, cwd=job).stdout.splitlines()]
        assert steps == ["inject", "eval", "train", "merge", "compare", "eval"]
    (job / "job.yaml").write_text(RECIPE.split("eval:\n")[0] + "eval:\n  images: set.csv\n  confusion: true\n"
                                  "  wrong: 2\noutput:\n  merged: out/merged.onnx\n")
    result = good("run", "job.yaml", cwd=job)
    assert len(re.findall(r"^accuracy ", result.stdout, re.M)) == 2
    assert result.stdout.count("photos/") >= 4  # of --wrong 2, twice


def test_images_without_labels(job):
    (job / "flat").mkdir()
    write_png(job / "flat" / "a.png", np.load(job / "x.npy")[0])
    for name in ("x.npy", "flat"):
        text = RECIPE.split("eval:\n")[0] + f"eval:\n  images: {name}\noutput:\n  merged: out/merged.onnx\n"
        (job / "job.yaml").write_text(text)
        result = good("run", "job.yaml", "-n", cwd=job)
        assert [line.split()[1] for line in result.stdout.splitlines()] == ["inject", "train", "merge", "compare"]
        assert "note: eval.images has no labels: models are compared on it, and not scored" in result.stderr
        for key in ("confusion: true", "wrong: 3", "per_class: true"):
            (job / "job.yaml").write_text(text.replace("output:\n", f"  {key}\noutput:\n"))
            assert f"eval.{key.split(':')[0]} needs labels: eval.images '{name}'" in refused(job)
    (job / "job.yaml").write_text(text)
    assert "data.images 'flat' does not say of which class its images are" in \
        refused(job, "--set", "data.images=flat", "--set", "train.batch=1")
    assert "data.val 'x.npy' does not say of which class" in refused(job, "--set", "data.val=x.npy")


def write_png(path, pixels):
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks))


# ---- what is refused

def test_a_step_that_fails_ends_the_run(job):
    result = run("run", "job.yaml", "--set", "eval.tolerance=1e-12", cwd=job)
    assert result.returncode == 3 and "nothing was written" in result.stderr
    assert sorted(files_of(job)) == ["adapter.safetensors", "merged.injected.onnx", "merged.trained.onnx"]


def test_everything_is_checked_before_the_first_step(job):
    text = RECIPE.replace("  images: x.npy\n  labels: y.npy\n  range: [0", "  labels: y.npy\n  range: [0")
    (job / "job.yaml").write_text(text)
    result = run("run", "job.yaml", cwd=job)
    assert result.returncode == 2 and "--data FILE is missing" in result.stderr
    assert "in the recipe: data.images" in result.stderr
    assert files_of(job) == {}


@pytest.mark.parametrize("line, message", [
    ("  merged: out/merged.onnx\n", "'job.yaml' has no output.merged"),
    ("  file: plain.onnx\n", "'job.yaml' has no model.file"),
])
def test_what_run_needs(job, line, message):
    (job / "job.yaml").write_text(RECIPE.replace(line, ""))
    result = run("run", "job.yaml", cwd=job)
    assert result.returncode == 2 and message in result.stderr


def test_later_checks_name_the_place(job):
    (job / "job.yaml").write_text(RECIPE.replace("  batch: 8\n", "  batch: 8\n  micro_batch: 3\n"))
    good("inject", "--recipe", "job.yaml", cwd=job)
    result = run("train", "--recipe", "job.yaml", cwd=job)
    assert result.returncode == 2
    assert "--batch is train.batch in job.yaml:19:3" in result.stderr
    assert "--micro-batch is train.micro_batch in job.yaml:20:3" in result.stderr
    (job / "job.yaml").write_text(RECIPE.replace("  nesterov: true\n", "  nesterov: true\n  memory_budget: 1\n"))
    given = run("train", "--recipe", "job.yaml", "--memory-budget", "2", cwd=job)
    assert "--memory-budget 2 is 2 bytes" in given.stderr and "train.memory_budget" not in given.stderr


def test_epochs_and_steps_of_one_recipe(job):
    (job / "job.yaml").write_text(RECIPE.replace("  batch: 8\n", "  batch: 8\n  steps: 3\n"))
    result = run("train", "out/merged.injected.onnx", "--recipe", "job.yaml", cwd=job)
    assert result.returncode == 2 and "--epochs and --steps: give one of them" in result.stderr


def test_files_that_are_no_recipe(job):
    assert run("run", "none.yaml", cwd=job).returncode == 1
    assert run("run", "plain.onnx", cwd=job).returncode == 2
    assert run("train", "--recipe", "out", cwd=job).returncode == 1
    assert run("train", "--preset", "papre", cwd=job).returncode == 2
    assert run("run", cwd=job).returncode == 2


# ---- files of the whole job

def refused(job, *words, code=2, command="run"):
    """The message of a run that is refused before its first step; nothing is written."""
    before = {path: path.read_bytes() for path in job.rglob("*") if path.is_file()}
    message = None
    for dry in (["-n"], []):
        result = run(command, "job.yaml", *words, *dry, cwd=job)
        assert result.returncode == code, result.stdout + result.stderr
        assert result.stdout == "" and result.stderr.count("\n") == 1
        assert message in (None, result.stderr)
        message = result.stderr
    assert {path: path.read_bytes() for path in job.rglob("*") if path.is_file()} == before
    return message


@pytest.mark.parametrize("setting, other", [
    ("output.injected=plain.onnx", "model.file in job.yaml:3:3"),
    ("output.trained=plain.onnx", "model.file in job.yaml:3:3"),
    ("output.trained=./out/../plain.onnx", "model.file in job.yaml:3:3"),
    ("output.trained=link.onnx", "model.file in job.yaml:3:3"),
    ("output.merged=plain.onnx", "model.file in job.yaml:3:3"),
    ("output.adapter=plain.onnx", "model.file in job.yaml:3:3"),
    ("output.log=plain.onnx", "model.file in job.yaml:3:3"),
    ("output.log=x.npy", "data.images in job.yaml:"),
    ("output.adapter=y.npy", "data.labels in job.yaml:"),
    ("output.trained=job.yaml", "the recipe"),
    ("output.log=out/merged.onnx", "output.merged in job.yaml:"),
    ("output.adapter=out/merged.onnx", "output.merged in job.yaml:"),
    ("output.adapter=out/log.json", "output.log in job.yaml:"),
    ("output.log=out/../out/merged.injected.onnx", "output.injected (by output.merged of the recipe)"),
    ("output.checkpoint=out/log.json", "output.log in job.yaml:"),
    ("train.tune_cache=plain.onnx", "model.file in job.yaml:3:3"),
    ("output.log=out/merged.onnx.data", "output.merged in job.yaml:"),
    ("output.adapter=out/merged.trained.onnx.data.1", "output.trained (by output.merged of the recipe)"),
])
def test_no_output_is_another_file_of_the_job(job, setting, other):
    os.link(job / "plain.onnx", job / "link.onnx")
    tuning = ["--set", "train.tune=true"] if "tune" in setting else []
    message = refused(job, "--set", setting, *tuning)
    assert setting.split("=")[0] + " of --set" in message and other in message, message


def test_all_inputs_are_kept(job):
    for name in ("v.npy", "w.npy"):
        (job / name).write_bytes((job / ("x.npy" if name == "v.npy" else "y.npy")).read_bytes())
    (job / "names.txt").write_text("".join(f"c{i}\n" for i in range(10)))
    (job / "job.yaml").write_text(RECIPE.replace("  seed: 3\n", "  seed: 3\n  val: v.npy\n  val_labels: w.npy\n")
                                  .replace("train:\n", "head:\n  class_names: names.txt\ntrain:\n"))
    for name, key in (("v.npy", "data.val"), ("w.npy", "data.val_labels"), ("names.txt", "head.class_names")):
        assert f"and also {key} in job.yaml:" in refused(job, "--set", f"output.log={name}")


@pytest.mark.parametrize("line, option", [
    ("inject plain.onnx -o {}", "-o"),
    ("train injected.onnx -o {}", "-o"),
    ("train injected.onnx -o out/z.onnx --log {}", "--log"),
    ("train injected.onnx -o out/z.onnx --tune --tune-cache {}", "--tune-cache"),
    ("merge injected.onnx -o {}", "-o"),
    ("extract injected.onnx -o {}", "-o"),
    ("apply plain.onnx injected.onnx -o {}", "-o"),
    ("eval plain.onnx --outputs {}", "--outputs"),
    ("bench plain.onnx --trace {}", "--trace"),
])
def test_the_recipe_itself_is_kept(job, line, option):
    good("inject", "plain.onnx", "-o", "injected.onnx", cwd=job)
    os.link(job / "job.yaml", job / "link.yaml")
    for name in ("job.yaml", "../job/job.yaml", "link.yaml"):
        result = run(*line.format(name).split(), "--recipe", "job.yaml", cwd=job)
        assert result.returncode == 2, result.stderr
        assert f"{option} '{name}' is also an input, the recipe: give another name" in result.stderr
        assert (job / "job.yaml").read_text() == RECIPE
    # The recipe's own words are no better.
    (job / "own.yaml").write_text(RECIPE.replace("out/log.json", "own.yaml"))
    result = run("train", "injected.onnx", "--recipe", "own.yaml", cwd=job)
    assert result.returncode == 2 and "--log 'own.yaml' is also an input, the recipe" in result.stderr


def test_outputs_beside_checkpoints(job):
    (job / "keep").mkdir()
    message = refused(job, "--set", "output.checkpoint=keep", "--set", "output.merged=keep/m.onnx")
    assert "'keep/m.onnx', output.merged of --set, lies in the folder of output.checkpoint of --set" in message \
        or "'keep/m.injected.onnx'" in message


def test_images_of_a_pipe_are_left_to_train(job):
    result = subprocess.run([PROGRAM, "run", "job.yaml", "-s", "data.images=/dev/stdin", "-s", "data.labels=y.npy"],
                            input=(job / "x.npy").read_bytes(), capture_output=True, cwd=job, timeout=300)
    assert result.returncode == 0 and b"trained 12 steps" in result.stdout, result.stderr


def test_a_run_that_is_kept(job):
    settings = ["-s", "output.checkpoint=keep"]
    good("run", "job.yaml", *settings, "-n", cwd=job)
    assert not (job / "keep").exists()
    good("run", "job.yaml", *settings, cwd=job)
    assert "output.checkpoint 'keep' holds a run, after step 10: set train.resume" in refused(job, *settings)
    assert "nothing is left to train" in good("run", "job.yaml", *settings, "-s", "train.resume=true", cwd=job).stderr


def test_pictures_are_kept(job):
    (job / "photos" / "cat").mkdir(parents=True)
    write_png(job / "photos" / "cat" / "1.PNG", np.load(job / "x.npy")[0])
    (job / "cifar").mkdir()
    (job / "cifar" / "data_batch_1.bin").write_bytes(bytes(3073 * 16))
    assert "has the name of a picture" in refused(job, "-s", "data.images=photos", "-s", "output.log=photos/cat/1.PNG")
    assert "lies among the images of data.images of --set" in \
        refused(job, "-s", "data.images=cifar", "-s", "output.log=cifar/data_batch_1.bin")


def test_checkpoints_are_not_among_the_images(job):
    for name in ("photos", "own", "scored"):
        (job / name / "cat").mkdir(parents=True)
        write_png(job / name / "cat" / "1.png", np.load(job / "x.npy")[0])
    settings = ["-s", "data.images=photos", "-s", "data.val=own", "-s", "eval.images=scored"]
    for folder, key in [("photos/ck", "data.images"), ("own/ck/", "data.val"), ("scored/cat/ck", "eval.images"),
                        ("scored", "eval.images"), ("photos/../own", "data.val")]:
        message = refused(job, "-n", *settings, "-s", f"output.checkpoint={folder}")
        assert folder in message and f"{key} of --set" in message, message
    assert "output.checkpoint of --set 'photos/ck' would put checkpoints among the images of 'photos' (data.images of " \
        "--set): give another folder" in refused(job, "-n", *settings, "-s", "output.checkpoint=photos/ck")
    assert not (job / "photos" / "ck").exists()


def test_the_models_own_data_is_kept(job):
    model = onnx.load(job / "plain.onnx")
    onnx.save(model, job / "large.onnx", save_as_external_data=True, location="weights.bin", size_threshold=16)
    message = refused(job, "--set", "model.file=large.onnx", "--set", "output.log=weights.bin")
    assert "output.log of --set 'weights.bin' is also an input, the model's own data" in message


@pytest.mark.parametrize("setting", ["model.file=nosuch", "data.images=nosuch", "data.labels=nosuch", "data.val=nosuch",
                                     "eval.images=nosuch", "eval.labels=nosuch", "head.class_names=nosuch",
                                     "head.label_names=nosuch"])
def test_inputs_must_be_there(job, setting):
    assert f"cannot open 'nosuch', {setting.split('=')[0]} of --set: No such file" in \
        refused(job, "--set", setting, code=1)


def test_folders_of_outputs_must_be_there(job):
    assert "output.log of --set 'none/log': cannot use the folder 'none'" in \
        refused(job, "--set", "output.log=none/log", code=1)


@pytest.mark.parametrize("setting, message", [
    ("data.val=1.5", "--val 1.5: a share must be above 0 and below 1"),
    ("train.memory_budget=12Q", "--memory-budget 12Q: must be a size"),
    ("augment.random_resized_crop=0.35", "must be LO:HI"),
    ("augment.color_jitter=0.4", "must be three or four numbers"),
    ("train.batch=1000", "train.batch 1000: there are only 40 images: give at most 40"),
    ("data.range=0:49", "data.range 0:49: there are only 48 images"),
    ("train.patience=3", "--patience needs --val; --patience is train.patience of --set"),
    ("train.resume=true", "--resume needs the folder"),
    ("train.micro_batch=3", "--micro-batch 3 does not divide --batch 8"),
    ("adapter.layers='['", "--layers '[' is not a POSIX extended regular expression"),
    ("adapter.exclude='('", "--exclude '(' is not a POSIX extended regular expression"),
    ("data.corrupt=fgo:3", "--corrupt fgo:3"),
])
def test_values_are_checked_before_the_first_step(job, setting, message):
    assert message in refused(job, "--set", setting)


def test_the_format_of_adapters_is_checked_before_the_first_step(job):
    (job / "job.yaml").write_text(RECIPE + "  adapter_format: onnx_adapter\n")
    message = refused(job)
    assert "output.adapter_format in job.yaml:33:3 is onnx_adapter" in message
    assert "set adapter.as_inputs to true" in message
    good("run", "job.yaml", "--set", "adapter.as_inputs=true", "--set", "train.steps=1", cwd=job)
    (job / "job.yaml").write_text(RECIPE)
    good("run", "job.yaml", "-n", "--set", "output.adapter_format=safetensors", cwd=job)


def test_each_step_is_rehearsed_before_the_first(job):
    """What a step would find out of the model that inject is to write, and of its images."""
    good("inject", "plain.onnx", "-o", "adapted.onnx", cwd=job)
    pictures = job / "pictures"
    for place in ("train/a", "train/b", "val/a", "val/b", "odd/a", "odd/zebra"):
        (pictures / place).mkdir(parents=True)
        for i in range(8):
            write_png(pictures / place / f"{i}.png", np.full((SIDE, SIDE, 3), 9 * i, np.uint8))
    (job / "names.txt").write_text("".join(f"{name}\n" for name in "abcdefghij"))
    names = "head.label_names=names.txt"
    of_folders = re.sub(r"  range: .*\n", "", RECIPE)
    for place in ("train", "val"):
        of_folders = of_folders.replace("images: x.npy\n  labels: y.npy", f"images: pictures/{place}", 1)
    np.save(job / "short.npy", np.load(job / "y.npy")[:-1])
    cases = [
        (2, "adapter.layers=foo", "inject: ", "foo", "adapter.layers of --set"),
        (2, "adapter.bn=train model.file=folded.onnx", "inject: ", "BatchNorm", "adapter.bn of --set"),
        (1, "model.file=adapted.onnx", "inject: ", "'adapted.onnx' has adapters already"),
        (2, "data.mean=0.1,0.2 data.std=1", "inject: ", "mean has 2 values", "3 channels"),
        (2, "augment.cutout=100", "train: ", "a cutout of 100 x 100 is not smaller than the image"),
        (2, "train.memory_budget=1M", "train: ", "a memory budget of 1.0 MB is too small"),
        (2, "eval.range=0:10000", "eval: ", "0:10000", "48 images"),
        (2, "train.warmup_steps=1000", "train: ", "--warmup-steps 1000: there are only 10 steps"),
        (1, "eval.labels=short.npy", "eval: ", "47 labels for 48 images"),
    ]
    folders = [
        (2, names + " data.labels=y.npy", "train: ", "y.npy"),
        (1, names + " data.images=pictures", "train: ", "pictures"),
        (1, names + " eval.images=pictures/odd", "eval: ", "zebra"),
    ]
    for text, rows in ((RECIPE, cases), (of_folders, folders)):
        (job / "job.yaml").write_text(text)
        for code, settings, command, *words in rows:
            message = refused(job, *(word for setting in settings.split() for word in ("--set", setting)), code=code)
            assert message.startswith("lorac-onnx " + command) and all(word in message for word in words), message
    good("run", "job.yaml", "-n", "--set", names, cwd=job)


def test_a_rehearsal_touches_nothing(job):
    """Neither checkpoints nor the cache of what is the fastest; and the run after it gives the same bits."""
    more = ["--set", "output.checkpoint=keep", "--set", "train.tune=true", "--set", "train.tune_cache=tune.json"]
    before = {path: path.read_bytes() for path in job.rglob("*") if path.is_file()}
    dry = good("run", "job.yaml", "-n", *more, cwd=job)
    assert dry.stderr == "" and len(dry.stdout.splitlines()) == 7
    assert {path: path.read_bytes() for path in job.rglob("*") if path.is_file()} == before
    assert not (job / "keep").exists()


def test_what_is_left_out_is_not_checked(job):
    """Other images of --set leave out the range and the labels of the recipe's."""
    for name in ("x.npy", "y.npy"):
        np.save(job / f"other_{name}", np.load(job / name)[:12])
    settings = ["-s", "data.images=other_x.npy", "-s", "data.labels=other_y.npy"]
    assert " --range 0:40" not in good("run", "job.yaml", *settings, "-n", cwd=job).stdout.split("lorac-onnx train")[1] \
        .splitlines()[0]
    assert "train.batch 13: there are only 12 images" in refused(job, *settings, "-s", "train.batch=13")
    (job / "y.npy").rename(job / "z.npy")
    good("run", "job.yaml", *settings, "-s", "eval.labels=z.npy", "-n", cwd=job)
    assert "data.images 'other_x.npy' does not say of which class" in refused(job, *settings[:2], "-s",
                                                                              "eval.labels=z.npy")


@pytest.mark.parametrize("lines, message", [
    ("train:\n  epochs: 2\n  steps: 3\n", "--epochs and --steps: give one of them"),
    ("data:\n  images: x.npy\n  val: 0\n", "--val 0: a share must be above 0"),
    ("train:\n  patience: 2\n", "--patience needs --val"),
    ("train:\n  optimizer: adamw\n  momentum: 0.9\n", "--momentum is only for --optimizer sgd"),
    ("adapter:\n  layers: '['\n", "is not a POSIX extended regular expression"),
    ("eval:\n  check: false\n  tolerance: 1\n", "--no-check contradicts --tolerance"),
])
def test_recipe_checks_what_commands_refuse(job, lines, message):
    (job / "r.yaml").write_text(lines)
    result = run("recipe", "r.yaml", cwd=job)
    assert result.returncode == 2 and message in result.stderr and " in r.yaml:" in result.stderr, result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("value, message", [
    *((value, f"--val {value}: a share must be above 0 and below 1 (a file of that name is ./{value}); --val is data.val in "
              "job/r.yaml:3:3") for value in ("0", "0.0", "-1", "1", "2/2", "1/0", "-1/5")),
    ("none", "job/r.yaml:3:8: 'val' in 'data' takes a share, or the name of a file, not none: leave the key out"),
    ("false", "job/r.yaml:3:8: 'val' in 'data' takes a share, or the name of a file, not false"),
    ("./0", "--val: 'job/./0': cannot open: No such file or directory; --val is data.val in job/r.yaml:3:3"),
    ("'none'", "--val: 'job/none': cannot open: No such file or directory; --val is data.val in job/r.yaml:3:3"),
])
def test_what_is_no_share(job, value, message):
    """A number is no file beside the recipe, in whatever folder that is."""
    good("inject", "plain.onnx", "-o", "injected.onnx", "--mean", "0.5", "--std", "0.25", cwd=job)
    (job / "r.yaml").write_text(f"data:\n  images: x.npy\n  val: {value}\n  labels: y.npy\n")
    result = run("train", "job/injected.onnx", "-o", "out.onnx", "--recipe", "job/r.yaml", cwd=job.parent)
    assert result.returncode in (1, 2) and result.stderr == f"lorac-onnx train: {message}\n"


def test_both_of_one_recipe_are_refused_by_run(job):
    (job / "job.yaml").write_text(RECIPE.replace("  batch: 8\n", "  batch: 8\n  steps: 3\n"))
    assert "--epochs and --steps: give one of them; --epochs is train.epochs in job.yaml:" in refused(job)


# ---- presets

def test_presets(job):
    dry = good("run", "job.yaml", "-n", "--preset", "paper", cwd=job).stdout
    assert " --bn train" in dry and " --train-first" in dry and " --momentum 0.9" in dry
    assert " --lr 0.02" in dry and " --batch 8" in dry and " --rank 2" in dry  # the recipe's
    paper = good("inject", "plain.onnx", "-o", "out/p.onnx", "--preset", "paper", "--mean", "0.5", "--std", "1", cwd=job)
    assert "first weight" in paper.stdout
    good("train", "out/p.onnx", "-o", "out/t.onnx", "--preset", "paper", "--data", "x.npy", "--labels", "y.npy", "--batch",
         "8", "--epochs", "1", cwd=job)
    refused = run("inject", "folded.onnx", "-o", "out/f.onnx", "--preset", "paper", cwd=job)
    assert refused.returncode == 2 and "--bn is adapter.bn of preset 'paper'" in refused.stderr
    good("inject", "folded.onnx", "-o", "out/f.onnx", "--preset", "paper", "--bn", "frozen", cwd=job)
    onnx.save(make_resnet(depth=8, width=0.5, input_size=(224, 224)), job / "large.onnx")
    np.save(job / "x.npy", np.zeros((COUNT, 224, 224, 3), np.uint8))
    both = good("run", "job.yaml", "-n", "--preset", "device", "--preset", "imagenet", "--set", "model.file=large.onnx",
                cwd=job).stdout
    assert " --input-size 224x224" in both and " --micro-batch" in both and " --resize 256" in both


def test_micro_batches_of_a_preset(job):
    """They are left out where the batch is no multiple of them, and where BatchNorm needs all of the batch."""
    def train_of(*words):
        return good("run", "job.yaml", "-n", *words, cwd=job).stdout.split("lorac-onnx train")[1].splitlines()[0]

    (job / "job.yaml").write_text("preset: device\n" + RECIPE.replace("  batch: 8\n", "  batch: 20\n"))
    assert " --micro-batch" not in train_of() and " --batch 20" in train_of()
    assert " --micro-batch" not in train_of("--set", "train.batch=4")
    assert " --micro-batch 8" in train_of("--set", "train.batch=24")
    assert " --micro-batch" not in train_of("--set", "train.batch=24", "--set", "adapter.bn=train")
    assert "--micro-batch 8 does not divide --batch 20; --batch is" in \
        refused(job, "--set", "train.batch=20", "--set", "train.micro_batch=8")
    good("run", "job.yaml", "--set", "adapter.bn=train", cwd=job)  # which no micro-batch would do
    words = ["train", "out/merged.injected.onnx", "-o", "out/t.onnx", "--preset", "device", "--data", "x.npy", "--labels",
             "y.npy", "--epochs", "1"]
    given = good(*words, "--batch", "20", cwd=job)
    assert "note: train.micro_batch of preset 'device' is left out: --batch is given" in given.stderr


# ---- template and reference

def test_template_says_nothing_until_filled_in(job):
    text = good("recipe", "--template").stdout
    (job / "t.yaml").write_text(text)
    assert good("recipe", "t.yaml", cwd=job).stdout == ""
    assert all(len(line) <= 104 for line in text.splitlines())
    # All at once they contradict each other: what needs another key, or is of another optimiser, stays out.
    left_out = "val_every|beta1|beta2|eps|epochs|crop_pad"
    filled = re.sub(rf"(?m)^  #(?!(?:{left_out}):)(\w+): (?! )", r"  \1: ", text)
    assert filled != text
    (job / "t.yaml").write_text(filled)
    values = {line.split()[0] for line in good("recipe", "t.yaml", cwd=job).stdout.splitlines()}
    assert len(values) > 30 and {"train.lr", "adapter.rank", "adapter.train_last"} <= values
    keys = re.findall(r"(?m)^  #(\w+):", text)
    assert sorted(keys) == sorted(row[0].split(":")[0] for rows in reference().values() for row in rows)


def reference():
    """{section: [(key, default, meaning, commands)]} from --explain."""
    sections, rows = {}, None
    for line in good("recipe", "--explain").stdout.splitlines():
        if re.match(r"\w+: ", line):
            rows = sections[line.split(":")[0]] = []
        elif line.startswith(" " * 30):
            rows[-1][1] = (rows[-1][1] + " " + line.strip()).strip()
        elif line.startswith("  "):
            match = re.match(r"  (\S+?: .*?)(?:\s{2,}(.*))?$", line) or re.match(r"  (\S+)(?:\s{2,}(.*))$", line)
            rows.append([match[1], match[2] or ""])
    del sections["preset"]
    result = {}
    for section, rows in sections.items():
        split = [(key, *re.match(r"(.*?)(?: \(default (.*)\))? \[([a-z, ]+)\]$", text).groups()) for key, text in rows]
        result[section] = [(key, default or "", meaning, commands) for key, meaning, default, commands in split]
    return result


def test_reference_is_documented():
    documented, rows = {}, None
    for line in DOCS.read_text().split("## Reference\n")[1].splitlines():
        if line.startswith("### "):
            rows = documented[line[4:]] = []
        match = re.match(r"\| `(.*?)` \| (.*?) ?\| (.*) \| (.*) \|$", line)
        if match:
            rows.append((match[1].replace("\\|", "|"), match[2], match[3], match[4]))
    del documented["preset"]
    expected = reference()
    for section, rows in expected.items():
        lines = ["| `%s` | %s | %s | %s |" % (row[0].replace("|", "\\|"), *row[1:]) for row in rows]
        assert documented[section] == rows, f"docs/recipe.md, {section}, should have:\n" + "\n".join(lines)
    assert documented.keys() == expected.keys()


def test_explain_knows_every_key():
    for section, rows in reference().items():
        assert good("recipe", "--explain", section).stdout.startswith(section + ": ")
        for row in rows:
            name = section + "." + row[0].split(":")[0]
            assert good("recipe", "--explain", name).stdout.startswith(name + "\n")
    assert good("recipe", "--explain", "batch").stdout.count("\n  takes ") == 2
    assert "  lr: 0.1\n" in good("recipe", "--explain", "paper").stdout
    assert "  takes    a share, or the name of a file\n" in good("recipe", "--explain", "data.val").stdout
    assert "  takes    the name of a file\n" in good("recipe", "--explain", "data.labels").stdout
    wrong = run("recipe", "--explain", "train.rl")
    assert wrong.returncode == 2 and "did you mean 'train.lr'?" in wrong.stderr


def test_values_have_their_places(job):
    (job / "job.yaml").write_text("preset: paper\n" + RECIPE)
    text = good("recipe", "job.yaml", cwd=job).stdout
    assert re.search(r"^train\.lr +0\.02 +in job\.yaml:21:3$", text, re.M)
    assert re.search(r"^train\.clip_norm +5 +of preset 'paper'$", text, re.M)
    assert re.search(r"^output\.trained +out/merged\.trained\.onnx +", text, re.M)
    assert good("recipe", "job/job.yaml", cwd=job.parent).stdout.count("job/x.npy") == 2


def test_values_that_are_left_out(job):
    (job / "r.yaml").write_text("preset: paper\ntrain:\n  optimizer: adamw\n")
    result = good("recipe", "r.yaml", cwd=job)
    assert re.search(r"^train\.optimizer +adamw +in r\.yaml:3:3$", result.stdout, re.M)
    assert re.search(r"^train\.weight_decay +0\.0005 +of preset 'paper'$", result.stdout, re.M)
    for name, value in (("lr", "0.1"), ("momentum", "0.9")):
        assert f"train.{name} " not in result.stdout
        assert f"note: train.{name} of preset 'paper' ({value}) is left out, because of train.optimizer in r.yaml:3:3\n" \
            in result.stderr
    assert result.stderr.count("note: ") == 2
    (job / "r.yaml").write_text("preset: device\nadapter:\n  bn: train\n")
    assert "train.micro_batch of preset 'device' (8) is left out, because of adapter.bn in r.yaml:3:3" in \
        good("recipe", "r.yaml", cwd=job).stderr
