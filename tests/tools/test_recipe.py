# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Recipes as a user meets them: the whole job against the separate commands, overrides, presets, template, reference."""

import os
import pathlib
import re
import shlex

import numpy as np
import onnx
import pytest
from make_resnet import make_resnet
from program import good, run
from recipe_job import COUNT, RECIPE, SIDE, files_of, job, refused, write_png  # noqa: F401

DOCS = pathlib.Path(os.environ.get("LORAC_SOURCE_DIR", pathlib.Path(__file__).parents[2])) / "docs" / "recipe.md"

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


# ---- presets

def test_presets(job):
    dry = good("run", "job.yaml", "-n", "--preset", "paper", cwd=job).stdout
    assert " --bn train" in dry and " --train-first" in dry and " --momentum 0.9" in dry
    assert " --lr 0.02" in dry and " --batch 8" in dry and " --rank 2" in dry  # the recipe's
    paper = good("inject", "plain.onnx", "-o", "out/p.onnx", "--preset", "paper", "--mean", "0.5", "--std", "1", cwd=job)
    assert "first weight" in paper.stdout
    good("train", "out/p.onnx", "-o", "out/t.onnx", "--preset", "paper", "--data", "x.npy", "--labels", "y.npy", "--batch",
         "8", "--epochs", "1", cwd=job)
    folded = run("inject", "folded.onnx", "-o", "out/f.onnx", "--preset", "paper", cwd=job)
    assert folded.returncode == 2 and "--bn is adapter.bn of preset 'paper'" in folded.stderr
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
