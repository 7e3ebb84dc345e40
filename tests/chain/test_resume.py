# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""A run that is killed, again and again, ends with the bytes of one that nobody disturbed.

LORAC_KILLS: how many kills (10); tests/chain/kill_many.sh sets more. LORAC_KILL_SEED: the instants (0).
"""

import os
import random
import re
import resource
import shutil
import signal
import subprocess
import time

import numpy as np
import onnx
import pytest
from make_resnet import make_resnet
from support import PROGRAM, good, run
from training_log import lines_of

KILLS = int(os.environ.get("LORAC_KILLS", "10"))
SEED = int(os.environ.get("LORAC_KILL_SEED", "0"))
COUNT, CLASSES, SIDE, BATCH = 40, 10, 8, 8


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    onnx.save(make_resnet(depth=8, width=0.25, bn="kept", input_size=(SIDE, SIDE)), folder / "base.onnx")
    pixels = ["--mean", "0.5", "--std", "0.25"]
    for bn in ("frozen", "train"):
        good("inject", folder / "base.onnx", "-o", folder / f"{bn}.onnx", "--bn", bn, "--train-first", *pixels)
    good("inject", folder / "base.onnx", "-o", folder / "rank2.onnx", "--rank", "2", "--train-first", *pixels)
    onnx.save(make_resnet(depth=8, width=0.25, bn="kept", input_size=(SIDE, SIDE), seed=1), folder / "other.onnx")
    good("inject", folder / "other.onnx", "-o", folder / "other-injected.onnx", "--train-first", *pixels)
    generator = np.random.default_rng(1)
    np.save(folder / "x.npy", generator.integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8))
    np.save(folder / "y.npy", generator.integers(0, CLASSES, COUNT))
    np.save(folder / "y2.npy", generator.integers(0, CLASSES, COUNT))
    return folder


def train(files, output, *options, model="frozen", labels="y"):
    return ["train", files / f"{model}.onnx", "-o", output, "--data", files / "x.npy", "--labels",
            files / f"{labels}.npy", "--batch", str(BATCH), *options]


def log_lines(path):
    """What a log says of steps, epochs and the best, without what is measured."""
    lines = [line for line in lines_of(path) if line["event"] in ("step", "epoch", "best")]
    for line in lines:
        for part in (line, line.get("validation", {})):
            for key in ("images_per_second", "seconds"):
                part.pop(key, None)
    return lines


# ---- kills

CASES = {
    "sgd": ("frozen", ["--momentum", "0.9", "--nesterov", "--lr", "0.01"]),
    "adamw": ("frozen", ["--optimizer", "adamw", "--micro-batch", "4", "--recompute", "2", "--lr", "0.01"]),
    "bn-train": ("train", ["--optimizer", "adamw", "--warmup-steps", "5", "--lr", "0.01"]),
    "validation": ("train", ["--val", "0.2", "--schedule", "step", "--lr", "0.1"]),  # the best comes early
}
COMMON = ["--augment", "crop-flip", "--epochs", "12", "--seed", "5"]


def is_writing(folder):
    try:
        return any(name.endswith(".tmp") for name in os.listdir(folder))
    except FileNotFoundError:
        return False


def wait_for_writing(process, folder):
    """Until a checkpoint is being written, if that comes soon."""
    end = time.monotonic() + 0.5
    while time.monotonic() < end and process.poll() is None and not is_writing(folder):
        pass


def kill_until_done(command, folder, generator, longest):
    """Starts the command until it ends by itself, and kills it after some time; every other time when it writes a
    checkpoint. (kills, of these while writing)"""
    kills = writing = 0
    for i in range(10000):
        process = subprocess.Popen([PROGRAM, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            process.wait(timeout=generator.uniform(0.005, longest))
        except subprocess.TimeoutExpired:
            if i % 2:
                wait_for_writing(process, folder)
            process.kill()
        error = process.communicate()[1].decode()
        if process.returncode == 0:
            return kills, writing
        assert process.returncode == -signal.SIGKILL, error
        kills += 1
        writing += is_writing(folder)
    raise AssertionError("it never ends")


@pytest.mark.parametrize("case", CASES)
def test_killed_at_random(files, tmp_path, case):
    model, options = CASES[case]
    command = [*COMMON, *options, "--quiet", "--log"]
    started = time.monotonic()
    good(*train(files, tmp_path / "whole.onnx", *command, tmp_path / "whole.log", "--checkpoint", tmp_path / "whole",
                "--checkpoint-steps", "1", model=model))
    seconds = time.monotonic() - started
    expected, expected_log = (tmp_path / "whole.onnx").read_bytes(), log_lines(tmp_path / "whole.log")
    good(*train(files, tmp_path / "without.onnx", *command, tmp_path / "without.log", model=model))
    assert (tmp_path / "without.onnx").read_bytes() == expected, "checkpoints change the result"

    generator = random.Random(f"{SEED} {case}")
    wanted, kills, writing, runs = -(-KILLS // len(CASES)), 0, 0, 0
    while kills < wanted:
        folder, output, log = (tmp_path / f"{runs}{end}" for end in ("", ".onnx", ".log"))
        # Another number of threads each time; killed from before the first step to about half of a run.
        more = train(files, output, *command, log, "--checkpoint", folder, "--checkpoint-steps", "1", "--resume",
                     "--threads", str(1 + runs % 2), model=model)
        more_kills, more_writing = kill_until_done(more, folder, generator, seconds / 2)
        assert output.read_bytes() == expected, f"other bytes after {more_kills} kills (run {runs})"
        assert log_lines(log) == expected_log, f"another log after {more_kills} kills (run {runs})"
        assert sorted(path.name[:5] for path in folder.iterdir()) == ["lock", "step-", "step-"]
        kills, writing, runs = kills + more_kills, writing + more_writing, runs + 1
    print(f"{case}: {kills} kills in {runs} runs, {writing} of them while a checkpoint was written")


# ---- stopping

@pytest.mark.parametrize("number,code", [(signal.SIGTERM, 130), (signal.SIGINT, 130), (signal.SIGHUP, 130)])
def test_a_signal_leaves_a_checkpoint(files, tmp_path, number, code):
    options = ["--augment", "crop-flip", "--steps", "4000", "--checkpoint", tmp_path / "ck", "--log", tmp_path / "log"]
    command = train(files, tmp_path / "out.onnx", *options)
    process = subprocess.Popen([PROGRAM, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while time.monotonic() < end and not (len(lines_of(tmp_path / "log", "step")) > 1):
        time.sleep(0.01)
    process.send_signal(number)
    _, error = process.communicate(timeout=120)
    assert process.returncode == code, error
    step = int(re.search(r"interrupted after step (\d+) of 4000; .*; --resume goes on after step \1", error)[1])
    assert (tmp_path / "ck" / f"step-{step:012}.safetensors").exists()
    before = (tmp_path / "out.onnx").read_bytes()
    result = run(*command, "--resume", "--max-minutes", "0.00001")
    assert result.returncode == 4, result.stderr
    assert f"the time is up after step {step + 1} of 4000" in result.stderr.splitlines()[-1]
    assert (tmp_path / "out.onnx").read_bytes() != before
    assert [line["step"] for line in lines_of(tmp_path / "log", "step")] == list(range(1, step + 2))
    assert [line["reason"] for line in lines_of(tmp_path / "log", "end")] == ["time"]


def test_windows_of_time(files, tmp_path):
    """One step each time: as all in one."""
    options = ["--epochs", "2", "--augment", "crop-flip", "--quiet"]
    good(*train(files, tmp_path / "whole.onnx", *options))
    command = train(files, tmp_path / "out.onnx", *options, "--checkpoint", tmp_path / "ck", "--resume",
                    "--max-minutes", "0.00001")
    codes = [run(*command).returncode for _ in range(11)]
    assert codes == [4] * 9 + [0, 0]
    assert (tmp_path / "out.onnx").read_bytes() == (tmp_path / "whole.onnx").read_bytes()


# ---- stopping in a validation

@pytest.fixture(scope="module")
def validated(files, tmp_path_factory):
    """Options of a run whose validation takes much longer than its epochs; its output; and its log."""
    folder = tmp_path_factory.mktemp("validated")
    generator = np.random.default_rng(2)
    np.save(folder / "x.npy", generator.integers(0, 256, (60000, SIDE, SIDE, 3), dtype=np.uint8))
    np.save(folder / "y.npy", generator.integers(0, CLASSES, 60000))
    options = ["--augment", "crop-flip", "--epochs", "2", "--lr", "0.1", "--val", folder / "x.npy", "--val-labels",
               folder / "y.npy"]
    good(*train(files, folder / "out.onnx", *options, "--log", folder / "log", model="train"))
    return options, folder / "out.onnx", folder / "log"


def ends_as(validated, command, tmp_path, epoch):
    """Goes on, and has the output and the log of the run that nobody disturbed."""
    result = good(*command, "--resume")
    assert f"validation after epoch {epoch} " in result.stderr
    assert (tmp_path / "out.onnx").read_bytes() == validated[1].read_bytes()
    assert log_lines(tmp_path / "log") == log_lines(validated[2])


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_signal_in_a_validation(files, validated, tmp_path, epoch):
    command = train(files, tmp_path / "out.onnx", *validated[0], "--checkpoint", tmp_path / "ck", "--log",
                    tmp_path / "log", model="train")
    process = subprocess.Popen([PROGRAM, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (line := process.stderr.readline()).startswith(f"lorac-onnx train: epoch {epoch}/2 "):
        assert line
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130, error
    assert f"interrupted after step {5 * epoch} of 10; " in error
    assert f"--resume goes on after step {5 * epoch}" in error and f"validation after epoch {epoch}" not in error
    ends_as(validated, command, tmp_path, epoch)


def test_the_time_is_up_in_a_validation(files, validated, tmp_path):
    command = train(files, tmp_path / "out.onnx", *validated[0], "--checkpoint", tmp_path / "ck", "--log",
                    tmp_path / "log", model="train")
    seconds = lines_of(validated[2], "epoch")[0]["validation"]["seconds"]
    for share in (0.5, 0.3, 0.7, 0.2, 0.9) * 2: # until the end falls into it: the machine may be busy now, or was then
        shutil.rmtree(tmp_path / "ck", ignore_errors=True)
        (tmp_path / "log").unlink(missing_ok=True)
        result = run(*command, "--max-minutes", str((0.15 + share * seconds) / 60))
        if "the time is up after step 5 of 10" in result.stderr:
            break
    assert result.returncode == 4 and "the time is up after step 5 of 10" in result.stderr
    assert "validation after epoch 1" not in result.stderr
    again = run(*command, "--resume", "--max-minutes", "0.00001") # this one begins with it, and ends it
    assert again.returncode == 4 and "validation after epoch 1 " in again.stderr, again.stderr
    assert "the time is up after step 6 of 10" in again.stderr
    ends_as(validated, command, tmp_path, 2)


def test_a_finished_run_is_finished(files, tmp_path):
    command = train(files, tmp_path / "out.onnx", "--epochs", "1", "--checkpoint", tmp_path / "ck")
    first = good(*command)
    bytes_ = (tmp_path / "out.onnx").read_bytes()
    (tmp_path / "out.onnx").unlink()
    again = good(*command, "--resume")
    assert "at its end already, after 5 steps" in again.stderr
    assert re.sub(r" in \S+:", "", again.stdout) == re.sub(r" in \S+:", "", first.stdout)
    assert (tmp_path / "out.onnx").read_bytes() == bytes_


@pytest.mark.parametrize("keep, every", [("best", []), ("last", []), ("best", ["--checkpoint-steps", "1"])])
def test_a_run_that_patience_ends_is_finished(files, tmp_path, keep, every):
    out, log, folder = tmp_path / "out.onnx", tmp_path / "log", tmp_path / "ck"
    command = train(files, out, "--val", "0.25", "--epochs", "200", "--lr", "0.1", "--patience", "2", "--keep", keep,
                    "--checkpoint", folder, "--resume", "--log", log, *every, model="train")
    first = good(*command)
    step = int(re.search(r"trained (\d+) steps", first.stdout)[1])
    assert step < 600 and (folder / f"step-{step:012}.safetensors").exists()
    bytes_, lines = out.read_bytes(), log_lines(log)
    for _ in range(2):
        out.unlink()
        again = good(*command)
        if not every: # else it is the one of the step, before the validation that ends it
            assert f"at its end already, after {step} steps (--patience)" in again.stderr
        assert again.stderr.count("validation after epoch") == 1 and "images/s" not in again.stderr
        assert re.sub(r" in \S+:", "", again.stdout) == re.sub(r" in \S+:", "", first.stdout)
        assert out.read_bytes() == bytes_ and log_lines(log) == lines
        assert [line["reason"] for line in lines_of(log, "end")] == ["patience"]


# ---- what is refused

@pytest.fixture(scope="module")
def interrupted(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("interrupted")
    assert run(*train(files, folder / "out.onnx", "--epochs", "2", "--checkpoint", folder / "ck", "--checkpoint-steps",
                      "1", "--max-minutes", "0.00001")).returncode == 4
    return folder


OTHERS = [
    (["--lr", "0.5"], {}, "--lr is 0.5, and was 0.005"),
    (["--seed", "9"], {}, "--seed is 9, and was 0"),
    (["--epochs", "3"], {}, "the number of steps in all is 15, and was 10"),
    (["--optimizer", "adamw"], {}, "--optimizer is adamw, and was sgd"),
    (["--augment", "crop-flip"], {}, "--crop-pad is 4, and was 0; --flip is on, and was off"),
    (["--random-resized-crop", "0.3:0.9"], {}, "--random-resized-crop is 0.3:0.9, and was not given"),
    (["--no-shuffle"], {}, "--no-shuffle is on, and was off"),
    (["--mean", "0.1"], {}, "the set of images is"),
    (["--range", "0:32"], {}, "the set of images is 32 of"),
    (["--val", "0.2"], {}, "the set of images to train on is 32 of"),
    ([], {"labels": "y2"}, "the set of labels of the images is"),
    ([], {"model": "other-injected"}, "the base model is"),
    ([], {"model": "rank2"}, "the injected model is"),
    (["--micro-batch", "2"], {}, "2 images are run at once here, and were 8"),
]


@pytest.mark.parametrize("options,more,message", OTHERS, ids=[" ".join(row[0]) or str(row[1]) for row in OTHERS])
def test_another_run_is_refused(files, interrupted, tmp_path, options, more, message):
    if "--epochs" not in options:
        options = ["--epochs", "2", *options]
    result = run(*train(files, tmp_path / "out.onnx", *options, "--checkpoint", interrupted / "ck", "--resume", "--quiet",
                        **more))
    assert result.returncode == 1 and message in result.stderr, result.stderr
    assert "step-000000000001.safetensors'" in result.stderr
    assert not (tmp_path / "out.onnx").exists()


def test_a_trained_model_of_the_same_base_is_refused(files, tmp_path):
    """The hash of its base is another, as the last layer was trained: that is said, and not said of the fresh one."""
    command = train(files, tmp_path / "trained.onnx", "--epochs", "1", "--checkpoint", tmp_path / "ck")
    good(*command)
    fresh = command[1]
    command[1], command[3] = tmp_path / "trained.onnx", tmp_path / "other.onnx"
    assert command[1] != fresh
    result = run(*command, "--resume")
    assert result.returncode == 1
    assert re.search(r"the base model is \w{32} \(layers of it were trained since\), and was \w{32};", result.stderr)


def test_the_same_run_in_other_words(files, tmp_path):
    """Each pair of command lines is one run, which goes on either way."""
    base = ["--epochs", "2", "--quiet"]
    output = onnx.load(files / "frozen.onnx").graph.output[0].name
    pairs = [
        (["--val", "0.2"], ["--val", "0.2", "--keep", "best"]),
        ([], ["--keep", "last"]),
        (["--augment", "crop-flip"], ["--flip", "--crop-pad", "4"]),
        ([], ["--crop-pad", "0", "--range", f"0:{COUNT}", "--channel-order", "rgb"]),
        (["--random-resized-crop", "0.5:1"], ["--random-resized-crop", "0.50:1.0"]),
        ([], ["--mean", "0.5", "--std", "0.25"]),
        ([], ["--output-name", output]),
        (["--lr", "0.005"], ["--optimizer", "sgd"]),
    ]
    for i, (one, other) in enumerate(pairs):
        good(*train(files, tmp_path / "whole.onnx", *base, *one))
        for then, now in ((one, other), (other, one)):
            options = ["--checkpoint", tmp_path / f"{i}{now is one}", "--resume"]
            first = run(*train(files, tmp_path / "out.onnx", *base, *then, *options, "--max-minutes", "0.00001"))
            assert first.returncode == 4, first.stderr
            good(*train(files, tmp_path / "out.onnx", *base, *now, *options))
            assert (tmp_path / "out.onnx").read_bytes() == (tmp_path / "whole.onnx").read_bytes(), (then, now)


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A model of which a memory budget takes one algorithm after the other, and images for it."""
    folder = tmp_path_factory.mktemp("wide")
    onnx.save(make_resnet(depth=8, width=2, bn="kept", input_size=(32, 32)), folder / "base.onnx")
    good("inject", folder / "base.onnx", "-o", folder / "injected.onnx", "--mean", "0.5", "--std", "0.25")
    generator = np.random.default_rng(4)
    np.save(folder / "x.npy", generator.integers(0, 256, (32, 32, 32, 3), dtype=np.uint8))
    np.save(folder / "y.npy", generator.integers(0, CLASSES, 32))
    return folder


def train_wide(wide, output, budget, *options):
    return ["train", wide / "injected.onnx", "-o", output, "--data", wide / "x.npy", "--labels", wide / "y.npy", "--batch",
            "16", "--micro-batch", "16", "--form-policy", "definition", "--steps", "3", "--quiet", "--memory-budget",
            budget, *options]


def test_another_budget(wide, tmp_path):
    """Only algorithms of then: the same bits, or none."""
    ended = {}
    for then, here in [("120M", "40M"), ("40M", "120M"), ("40M", "39.9M"), ("40M", "32M")]:
        good(*train_wide(wide, tmp_path / "whole.onnx", then))
        folder = tmp_path / f"{then}-{here}"
        assert run(*train_wide(wide, tmp_path / "out.onnx", then, "--checkpoint", folder, "--max-minutes",
                               "0.00001")).returncode == 4
        result = run(*train_wide(wide, tmp_path / "out.onnx", here, "--checkpoint", folder, "--resume"))
        ended[then, here] = result.returncode
        if result.returncode == 0:
            assert (tmp_path / "out.onnx").read_bytes() == (tmp_path / "whole.onnx").read_bytes(), (then, here)
        else:
            assert result.returncode == 1 and "would be rounded otherwise" in result.stderr, result.stderr
    assert set(ended.values()) == {0, 1}, ended


def test_the_same_run_elsewhere(files, interrupted, tmp_path):
    """Other names, another folder, another number of threads: the same run."""
    for name in ("x.npy", "y.npy", "frozen.onnx"):
        (tmp_path / name).write_bytes((files / name).read_bytes())
    subprocess.run(["cp", "-r", interrupted / "ck", tmp_path / "copy"], check=True)
    good(*train(tmp_path, tmp_path / "out.onnx", "--epochs", "2", "--checkpoint", tmp_path / "copy", "--resume",
                "--threads", "1", "--log", tmp_path / "log"))
    good(*train(files, tmp_path / "whole.onnx", "--epochs", "2"))
    assert (tmp_path / "out.onnx").read_bytes() == (tmp_path / "whole.onnx").read_bytes()
    assert [line["step"] for line in lines_of(tmp_path / "log", "step")] == list(range(2, 11))


def test_folders_of_pictures(files, tmp_path):
    """Killed between any two steps; the folder may be copied, but must be the same."""
    image = pytest.importorskip("PIL.Image")
    generator = np.random.default_rng(3)
    for i in range(COUNT):
        path = tmp_path / "pictures" / f"class{i % CLASSES}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(generator.integers(0, 256, (SIDE + i % 3, SIDE + 1, 3), dtype=np.uint8)).save(path)
    shutil.copytree(tmp_path / "pictures", tmp_path / "copied" / "pictures")

    def command(folder, output, *options):
        return ["train", files / "frozen.onnx", "-o", tmp_path / output, "--data", tmp_path / folder, "--batch",
                str(BATCH), "--epochs", "2", "--flip", "--quiet", *options]

    more = ["--checkpoint", tmp_path / "ck", "--resume"]
    good(*command("pictures", "whole.onnx"))
    for _ in range(9):
        assert run(*command("pictures", "out.onnx", *more, "--max-minutes", "0.00001")).returncode == 4
    good(*command("copied/pictures", "out.onnx", *more))
    assert (tmp_path / "out.onnx").read_bytes() == (tmp_path / "whole.onnx").read_bytes()
    (tmp_path / "copied" / "pictures" / "class3" / "3.png").rename(tmp_path / "copied" / "pictures" / "class3" / "4.png")
    result = run(*command("copied/pictures", "out.onnx", *more))
    assert result.returncode == 1 and "the set of images is" in result.stderr


def step_by_step(command, code):
    """Starts the command, which makes one step each time, until it ends otherwise: with [code]."""
    for _ in range(40):
        result = run(*command, "--resume", "--max-minutes", "0.00001")
        if result.returncode != 4:
            break
    assert result.returncode == code, result.stderr
    return result


def test_broken_pictures(files, tmp_path):
    """Those of before an interruption count for --broken-share and in the report, and are named once."""
    image = pytest.importorskip("PIL.Image")
    generator = np.random.default_rng(5)
    for folder, broken in (("pictures", 6), ("validation", 2)):
        for i in range(COUNT):
            path = tmp_path / folder / f"class{i % CLASSES}" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.fromarray(generator.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(path)
            if i % 7 == 3 and i // 7 < broken:
                path.write_bytes(b"no picture")
    command = ["train", files / "frozen.onnx", "--data", tmp_path / "pictures", "--batch", str(BATCH), "--epochs", "2",
               "--flip", "--val", tmp_path / "validation"]
    for share, code in (("0.13", 1), ("0.2", 0)):
        options = [*command, "--broken-share", share]
        whole = run(*options, "-o", tmp_path / "whole.onnx")
        assert whole.returncode == code, whole.stderr
        folder = tmp_path / f"ck{share}"
        options += ["-o", tmp_path / "out.onnx", "--checkpoint", folder, "--log", tmp_path / f"log{share}"]
        result = step_by_step(options, code)
        if code == 1:
            assert "6 of the 40 images cannot be read, more than a share of 0.13" in whole.stderr
            assert "6 of the 40 images cannot be read, more than a share of 0.13" in result.stderr
            again = run(*options, "--resume")
            assert again.returncode == 1 and "more than a share of 0.13" in again.stderr
        else:
            assert (tmp_path / "out.onnx").read_bytes() == (tmp_path / "whole.onnx").read_bytes()
            assert "5 of the 40 images cannot be read" in whole.stderr or "6 of the 40" in whole.stderr
            said = [line for line in whole.stderr.splitlines() if "skipped" in line and "of the" in line]
            assert said and said == [line for line in result.stderr.splitlines() if "skipped" in line and "of the" in line]
            named = [line["message"] for line in lines_of(tmp_path / f"log{share}", "broken_image")]
            assert len(named) == len(set(named)) == 8, named


def test_threads_and_a_budget(wide, tmp_path):
    """Whatever the budget, any number of threads gives the same bits or is refused: of training, and of decoding."""
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(6).integers(0, 256, (20, 600, 800, 3), dtype=np.uint8)
    for i in range(20):
        path = tmp_path / "pictures" / f"class{i % CLASSES}" / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(pixels[i]).save(path, progressive=True)
    command = ["train", wide / "injected.onnx", "--data", tmp_path / "pictures", "--batch", "16", "--micro-batch", "16",
               "--form-policy", "definition", "--steps", "2", "--quiet", "--random-resized-crop", "0.35:1"]
    small = run(*command, "-o", tmp_path / "out.onnx", "--memory-budget", "1M")
    least = float(re.search(r"the smallest that would do is ([0-9.]+) MB", small.stderr)[1])
    differing, refused = set(), 0
    for budget in np.arange(least, least + 18, 1.5):
        outputs = []
        for threads, loader_threads in ((1, 1), (2, 4), (1, 8)):
            options = ["--threads", threads, "--loader-threads", loader_threads, "--memory-budget", f"{budget:.1f}M"]
            result = run(*command, "-o", tmp_path / "out.onnx", *options)
            if result.returncode == 0:
                outputs.append((tmp_path / "out.onnx").read_bytes())
            else:
                assert loader_threads == 8 and "use fewer --threads or --loader-threads" in result.stderr, result.stderr
                refused += 1
        assert len(outputs) >= 2 and len(set(outputs)) == 1, budget
        differing.add(outputs[0])
    assert len(differing) > 1 and refused > 0


def test_tuned_algorithms_are_kept(files, tmp_path):
    options = ["--epochs", "2", "--quiet"]
    cache = ["--tune", "--tune-cache", tmp_path / "tune.json"]
    good(*train(files, tmp_path / "whole.onnx", *options, *cache))
    command = train(files, tmp_path / "out.onnx", *options, "--checkpoint", tmp_path / "ck", "--resume")
    assert run(*command, *cache, "--max-minutes", "0.00001").returncode == 4
    good(*command)  # without --tune: those of then
    assert (tmp_path / "out.onnx").read_bytes() == (tmp_path / "whole.onnx").read_bytes()


@pytest.mark.parametrize("options,message", [
    (["--resume"], "--resume needs the folder: give --checkpoint FOLDER"),
    (["--checkpoint-steps", "3"], "--checkpoint-steps needs the folder"),
    (["--checkpoint", "FILES/x.npy"], "is no folder"),
    (["--checkpoint", "FILES/no/where"], "cannot be made"),
    (["--checkpoint", "INTERRUPTED/ck"], "holds a run, after step 1: give --resume"),
])
def test_usage(files, interrupted, tmp_path, options, message):
    options = [option.replace("FILES", str(files)).replace("INTERRUPTED", str(interrupted)) for option in options]
    result = run(*train(files, tmp_path / "out.onnx", *options))
    assert result.returncode in (1, 2) and message in result.stderr, result.stderr
    assert not (tmp_path / "out.onnx").exists()


def test_two_runs_in_one_folder(files, tmp_path):
    command = train(files, tmp_path / "out.onnx", "--epochs", "900000", "--checkpoint", tmp_path / "ck", "--resume")
    process = subprocess.Popen([PROGRAM, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while time.monotonic() < end and not list(tmp_path.glob("ck/step-*")):
        time.sleep(0.01)
    result = run(*train(files, tmp_path / "second.onnx", "--checkpoint", tmp_path / "ck", "--resume"))
    process.kill()
    process.wait()
    assert result.returncode == 1 and "in use by another run" in result.stderr
    assert not (tmp_path / "second.onnx").exists()


# ---- disks

def test_damaged_checkpoints(files, tmp_path):
    good(*train(files, tmp_path / "whole.onnx", "--epochs", "2"))
    command = train(files, tmp_path / "out.onnx", "--epochs", "2", "--checkpoint", tmp_path / "ck", "--checkpoint-steps",
                    "4")
    good(*command)
    newest, older = (tmp_path / "ck" / f"step-{step:012}.safetensors" for step in (10, 8))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    (tmp_path / "out.onnx").unlink()
    result = good(*command, "--resume")
    assert "step-000000000010.safetensors': the checksum is wrong" in result.stderr
    assert "going on after step 8 of 10" in result.stderr
    assert (tmp_path / "out.onnx").read_bytes() == (tmp_path / "whole.onnx").read_bytes()
    for path in (newest, older):
        path.write_bytes(path.read_bytes()[:-1])
    result = run(*command, "--resume")
    assert result.returncode == 1 and "damaged" in result.stderr


def test_a_disk_that_gets_full(files, tmp_path):
    """As far as a test can have one: from some step on no file may grow to the size of a checkpoint."""
    command = train(files, tmp_path / "out.onnx", "--epochs", "2", "--checkpoint", tmp_path / "ck", "--checkpoint-steps",
                    "1")
    good(*command)
    expected = (tmp_path / "out.onnx").read_bytes()
    size = max(path.stat().st_size for path in (tmp_path / "ck").iterdir())
    for path in (tmp_path / "ck").iterdir():
        path.unlink()
    limit = min(max(len(expected) + 1, size // 2), size - 200)

    def full():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    result = subprocess.run([PROGRAM, *map(str, command)], capture_output=True, text=True, preexec_fn=full)
    assert result.returncode == 1 and "File too large" in result.stderr, "the first checkpoint cannot be written"
    assert run(*command, "--max-minutes", "0.00001").returncode == 4
    result = subprocess.run([PROGRAM, *map(str, command), "--resume"], capture_output=True, text=True, preexec_fn=full)
    warnings = [line for line in result.stderr.splitlines() if "warning: no checkpoint after step" in line]
    assert len(warnings) == 9 and all("the last good one is of step 1" in line for line in warnings)
    assert (tmp_path / "ck" / "step-000000000001.safetensors").exists()
    if result.returncode == 0:  # the model itself fitted
        assert (tmp_path / "out.onnx").read_bytes() == expected
    good(*command, "--resume")
    assert (tmp_path / "out.onnx").read_bytes() == expected


def test_others_can_read_it(files, interrupted):
    safetensors = pytest.importorskip("safetensors")
    path = interrupted / "ck" / "step-000000000001.safetensors"
    with safetensors.safe_open(str(path), "numpy") as file:
        texts = file.metadata()
        assert texts["format"] == "lorac-checkpoint" and texts["step"] == "1" and texts["run.--lr"] == "0.005"
        names = set(file.keys())
        trained = {name.split(":", 1)[1] for name in names if name.startswith("trained:")}
        assert {f"optimizer.0:{name}" for name in trained} <= names and "xxh3_128" in names
        assert file.get_tensor("epoch_loss_sum").dtype == np.float64
