# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""What run finds out of a recipe before its first step: files that meet, values, and each step's rehearsal."""

import os
import re
import subprocess

import numpy as np
import onnx
import pytest
from program import PROGRAM, good, run
from recipe_job import RECIPE, SIDE, job, refused, write_png  # noqa: F401

# ---- files of the whole job

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
