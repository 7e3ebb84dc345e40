# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""lorac-onnx beside its peers: one machine, one run, A B A B. Started by run.sh, which makes the environments.

How it is measured
- Every turn is a process of its own that opens the model, warms up for three steps (a compiler compiles then), runs its
  steps, and says how long each took and what its peak resident memory was (VmHWM: all of the process). Nothing else
  runs meanwhile: no other system waits beside it, keeps its threads spinning or its pages in memory.
- PyTorch's ways (eager or compiled, channels first or last) run once each beforehand; the fastest of each method, and
  those within 5 % of it, go on.
- Then rounds: in each, every system has its turn, in the same order. A ratio is that of two medians of one round; the
  table has the median of the rounds and their range. So slow drifts of the machine cancel.
- Before a turn counts, its first losses are compared with those of lorac-onnx's training on the same images and the
  same weights: what is timed is the same computation (PEFT's LoRA is another function; only its first loss agrees).
- The processors' time that others had during a turn is taken from /proc/stat and told with the results.

Peers get the benefit of the doubt: no clipping, no weight decay, no check for numbers that are not finite, the fused
optimiser; ONNX Runtime's SGD has no momentum. lorac-onnx runs as it is: with all of these.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time

import numpy as np

import models
import report

ROOT = models.ROOT
FOLDER = ROOT / "build" / "bench-files"
WARM_UP = 3
CLOSE = 1.05  # ways within this of the fastest go on
OUTPUT_TOLERANCE = 1e-4  # of the largest output: float32, other algorithms
LOSS_TOLERANCE = 2e-4  # relative: float32 in another order, three steps (seen: 2e-5)

# PyTorch's: compiled or eager, channels first or last.
WAYS = [(False, "first"), (False, "last"), (True, "first"), (True, "last")]

# name: the network, rank setting, batch, title
TRAINING = {
    "r18-b32": (dict(depth=18), "kernel", 32, "ResNet-18, CIFAR form, 32x32, batch 32"),
    "r18-b8": (dict(depth=18), "kernel", 8, "ResNet-18, CIFAR form, 32x32, batch 8"),
    "r50-b8": (dict(depth=50, form="imagenet"), "plain", 8, "ResNet-50, 224x224, batch 8"),
    "r20-b64": (dict(depth=20), "kernel", 64, "ResNet-20, 32x32, batch 64"),
}
INFERENCE = {
    "r18-infer-b1": (dict(depth=18), "kernel", 1, "merged ResNet-18, CIFAR form, 32x32, batch 1"),
    "r18-infer-b32": (dict(depth=18), "kernel", 32, "merged ResNet-18, CIFAR form, 32x32, batch 32"),
}
# Rows of lorac-onnx with a memory budget, as --own would add them.
SMALL = {
    "r18-b32": ["LoRA-C, small=adapters:--memory-budget 120M", "B alone, small=alone:--memory-budget 60M"],
}
# lorac-onnx alone at several batches: does a step's time per image, or its memory, grow faster than the batch?
GROWTH = {"r18-growth": (dict(depth=18), "kernel", (8, 32, 128), "ResNet-18, CIFAR form, 32x32, growing batch")}
QUICK_TRAINING = {
    "quick-basic": (dict(depth=8, width=0.5, input_size=(16, 16)), "kernel", 4, "ResNet-8, narrow, 16x16, batch 4"),
    "quick-bottleneck": (dict(depth=50, form="imagenet", width=0.125, input_size=(64, 64)), "plain", 2,
                         "ResNet-50, narrow, 64x64, batch 2"),
}
QUICK_INFERENCE = {
    "quick-infer": (dict(depth=8, width=0.5, input_size=(16, 16)), "kernel", 4, "ResNet-8, narrow, 16x16, batch 4"),
}


def kinds(**settings):
    """{name: (method of Run, its other arguments)}"""
    return {name: (kind, setting) for kind, table in settings.items() for name, setting in table.items()}


KINDS = kinds(training=TRAINING, growth=GROWTH, inference=INFERENCE)
QUICK_KINDS = kinds(training=QUICK_TRAINING, inference=QUICK_INFERENCE)


# ---- what can have a turn

class System:
    """Something to be timed: [name] is the row of the table, [way] tells PyTorch's ways apart."""

    def __init__(self, name, make_command, way="", losses=None, reference=None):
        self.name, self.way, self.make_command = name, way, make_command
        self.losses = losses        # how many first losses must agree
        self.reference = reference  # with those of which lorac-onnx training

    @property
    def title(self):
        return f"{self.name} ({self.way})" if self.way else self.name


def peer_system(name, peer, request, way="", losses=None, reference=None):
    program = ROOT / "tests" / "bench" / f"peer_{peer}.py"

    def command(steps, threads):
        asked = dict(request, steps=steps, threads=threads, warm_up=WARM_UP)
        return [models.python_of(peer), program, json.dumps(asked)]

    return System(name, command, way, losses, reference)


def own_system(name, model, batch, options=()):
    def command(steps, threads):
        return [models.LORAC, "bench", model, "--batch", batch, "--threads", threads, "--steps", steps, "--warm-up",
                WARM_UP, "--json", "-q", *options]

    return System(name, command)


def own_rows(folder, batch, texts):
    """Those of --own."""
    for text in texts:
        name, _, rest = text.partition("=")
        model, _, options = rest.partition(":")
        if model not in ("adapters", "alone", "all") or not (folder / f"{model}.onnx").exists():
            raise SystemExit(f"bench: --own '{text}': no model '{model}'; write NAME=MODEL:OPTIONS with adapters, "
                             "alone (where inject has --freeze-a) or all")
        yield own_system(f"lorac-onnx, {name}", folder / f"{model}.onnx", batch, shlex.split(options))


def training_systems(folder, batch, own, ways):
    """Ours first: ratios are taken against the others."""
    shared = {"data": str(folder / f"batch{batch}.npz")}
    systems = [own_system("lorac-onnx, LoRA-C", folder / "adapters.onnx", batch)]
    if (folder / "alone.onnx").exists():
        systems.append(own_system("lorac-onnx, B alone", folder / "alone.onnx", batch))
    systems.append(own_system("lorac-onnx, all weights", folder / "all.onnx", batch))
    systems += own_rows(folder, batch, [*own, *SMALL.get(folder.name, [])])
    for method, name, losses, reference in (("lora_c", "PyTorch, LoRA-C", 3, "adapters"),
                                            ("peft", "PyTorch, PEFT's LoRA", 1, "adapters"),
                                            ("full", "PyTorch, all weights", 3, "all")):
        for compiled, layout in ways:
            request = dict(shared, weights=str(folder / "weights.npz"), method=method, layout=layout,
                           compiled=compiled, lr=models.LR[reference])
            way = f"{'compiled' if compiled else 'eager'}, channels {layout}"
            systems.append(peer_system(name, "torch", request, way, losses, reference))
    for what, name, reference in (("adapters", "ONNX Runtime training, LoRA-C", "adapters"),
                                  ("all", "ONNX Runtime training, all weights", "all")):
        request = dict(shared, artifacts=str(folder / f"training-{what}"), lr=models.LR[reference])
        # Its SGD has no momentum: the second loss is the last that agrees.
        systems.append(peer_system(name, "training", request, losses=2, reference=reference))
    return systems


def growth_systems(folder, batches):
    return [own_system(f"lorac-onnx, batch {batch}", folder / "adapters.onnx", batch) for batch in batches]


def inference_systems(folder, batch):
    shared = {"data": str(folder / f"batch{batch}.npz")}
    return [own_system("lorac-onnx", folder / "merged.onnx", batch),
            peer_system("ONNX Runtime", "onnxruntime",
                        dict(shared, model=str(folder / "merged.onnx"), outputs=str(folder / "onnxruntime.npy"))),
            peer_system("MNN", "mnn",
                        dict(shared, model=str(folder / "merged.mnn"), outputs=str(folder / "mnn.npy")))]


# ---- a turn

def processor_seconds():
    """(seconds of all processors that were busy, seconds that the machine below took away) since the start."""
    with open("/proc/stat") as stat:
        fields = [int(field) for field in stat.readline().split()[1:9]]
    tick = os.sysconf("SC_CLK_TCK")
    user, nice, system, _, _, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq) / tick, steal / tick


def environment(threads):
    found = dict(os.environ, OMP_NUM_THREADS=str(threads), TORCHINDUCTOR_CACHE_DIR=str(ROOT / "build" / "bench-cache"))
    # Some machines set these for old programs; they would slow a current one.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        found.pop(name, None)
    return found


def answer_of(text):
    """The common form of a peer's answer and of lorac-onnx bench --json."""
    start = text.index("{")
    answer = json.loads(text[start:])
    if "step_seconds" not in answer:
        return answer
    return {"seconds": answer["step_seconds"]["all"], "losses": [], "versions": {},
            "peak_bytes": answer["memory_bytes"]["resident_peak"], "start_seconds": answer["start_seconds"]["ready"],
            "flops": answer["flops"], "peak_flops": answer["peak_flops"]}


def take_turn(system, steps, threads, limit=1800):
    """Runs one process and returns what it found, with what the rest of the machine did meanwhile."""
    command = [str(word) for word in system.make_command(steps, threads)]
    busy, steal = processor_seconds()
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=environment(threads))
    try:
        out, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise SystemExit(f"bench: {system.title}: no end after {limit} seconds")
    if process.returncode != 0:
        raise SystemExit(f"bench: {system.title} failed: {' '.join(command)}\n{errors[-4000:]}")
    elapsed = time.monotonic() - begin
    answer = answer_of(out.strip().splitlines()[-1] if "step_seconds" not in out else out)
    busy_now, steal_now = processor_seconds()
    answer["median"] = statistics.median(answer["seconds"])
    answer["elapsed"] = elapsed
    answer["stolen"] = (steal_now - steal) / elapsed / os.cpu_count()
    answer["busy"] = (busy_now - busy) / elapsed
    return answer


def check_losses(system, answer, references):
    """What was timed must be the same computation."""
    if not system.losses:
        return
    expected = references[system.reference][:system.losses]
    got = answer["losses"][:system.losses]
    if len(got) < len(expected) or any(abs(a - b) > LOSS_TOLERANCE * abs(b) for a, b in zip(got, expected)):
        raise SystemExit(f"bench: {system.title}: first losses {got}, lorac-onnx has {expected}")


# ---- a setting

def steps_for(answer, seconds):
    return max(5, min(400, round(seconds / max(answer["median"], 1e-6))))


class Run:
    """What the options say, and what was found so far."""

    def __init__(self, options):
        self.options = options
        self.results = {"machine": report.machine(), "settings": [], "versions": {}, "build": models.build(),
                        "library_bytes": models.library_bytes()}

    def note(self, text):
        print(f"bench: {text}", file=sys.stderr, flush=True)

    def turn(self, setting, system, steps, threads):
        answer = take_turn(system, steps, threads)
        self.results["versions"].update(answer.pop("versions"))
        self.note(f"{setting}, {threads} thread(s): {system.title}: {1e3 * answer['median']:.2f} ms, "
                  f"{answer['peak_bytes'] / 1e6:.0f} MB")
        return answer

    def first_turns(self, setting, systems, threads, references):
        """One turn each. Returns those that go on, with their numbers of steps, and the times of all."""
        found = []
        for system in systems:
            answer = self.turn(setting, system, self.options.first_steps, threads)
            check_losses(system, answer, references)
            found.append((system, answer))
        best = {}
        for system, answer in found:
            best[system.name] = min(best.get(system.name, answer["median"]), answer["median"])
        going = [(system, steps_for(answer, self.options.seconds)) for system, answer in found
                 if answer["median"] <= CLOSE * best[system.name]]
        return going, [{"name": s.name, "way": s.way, "median": a["median"], "peak_bytes": a["peak_bytes"]}
                       for s, a in found]

    def measure(self, setting, title, systems, threads, references):
        begin = time.monotonic()
        systems = [s for s in systems if not any(text in s.title for text in self.options.leave_out)]
        going, first = self.first_turns(setting, systems, threads, references)
        turns = []
        for number in range(self.options.rounds):
            for system, steps in going:
                answer = self.turn(setting, system, steps, threads)
                check_losses(system, answer, references)
                turns.append(dict(answer, name=system.name, way=system.way, round=number))
        self.results["settings"].append({"setting": setting, "title": title, "threads": threads, "first": first,
                                         "turns": turns, "rounds": self.options.rounds,
                                         "elapsed": time.monotonic() - begin})

    def training(self, setting, network, rank_setting, batch, title):
        folder = FOLDER / setting
        models.make_network(folder, network, rank_setting)
        models.save_batch(folder, network, batch)
        models.make_training_artifacts(folder)
        references = {what: models.train(folder, what, batch, 3) for what in ("adapters", "all")}
        # Compiling fifty layers takes minutes and shows nothing that eight do not.
        ways = WAYS[:2] if setting == "quick-bottleneck" else WAYS
        for threads in self.options.threads:
            self.measure(setting, title, training_systems(folder, batch, self.options.own, ways), threads, references)

    def growth(self, setting, network, rank_setting, batches, title):
        folder = FOLDER / setting
        models.make_network(folder, network, rank_setting)
        for threads in self.options.threads:
            self.measure(setting, title, growth_systems(folder, batches), threads, {})

    def inference(self, setting, network, rank_setting, batch, title):
        folder = FOLDER / setting
        models.make_network(folder, network, rank_setting)
        models.save_batch(folder, network, batch)
        models.make_merged(folder, batch)
        for threads in self.options.threads:
            self.measure(setting, title, inference_systems(folder, batch), threads, {})
        models.run(models.LORAC, "eval", folder / "merged.onnx", "--data", folder / f"x{batch}.npy", "--outputs",
                   folder / "lorac.npy", "--threads", 1, "-q")
        # All ran the same network on the same images.
        own = np.load(folder / "lorac.npy")
        for other in ("onnxruntime", "mnn"):
            outputs = np.load(folder / f"{other}.npy")
            if outputs.shape != own.shape or abs(outputs - own).max() > OUTPUT_TOLERANCE * abs(own).max():
                raise SystemExit(f"bench: {setting}: the outputs of lorac-onnx and of {other} disagree")


# ---- the command

def parse(argv):
    p = argparse.ArgumentParser(prog="tests/bench/run.sh", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--quick", action="store_true", help="tiny networks, two steps: do all peers work?")
    p.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    p.add_argument("--only", help="settings, separated by commas: " + ", ".join(KINDS))
    p.add_argument("--add", action="store_true",
                   help="keep the other settings of the last run (build/bench-files/results.json) in the tables")
    p.add_argument("--leave-out", action="append", default=[], metavar="TEXT",
                   help="no turns for systems with TEXT in their names, as \"PEFT\": they take most of a run's time")
    p.add_argument("--threads", help="numbers of threads, separated by commas (default 2,1)")
    p.add_argument("--rounds", type=int, default=5, help="turns of each system (default 5)")
    p.add_argument("--seconds", type=float, default=4, help="measured seconds of a turn, about (default 4)")
    p.add_argument("--own", action="append", default=[], metavar="NAME=MODEL:OPTIONS",
                   help="another row of lorac-onnx, with options of its bench command; MODEL is adapters, alone or all")
    p.add_argument("--busy", action="store_true", help="measure though the machine is not idle; not with --write")
    options = p.parse_args(argv)
    if options.quick and options.write:
        p.error("--quick measures nothing: it cannot be written")
    if options.busy and options.write:
        p.error("--busy: what a busy machine gives is not written")
    options.first_steps = 2 if options.quick else 5
    options.rounds = 1 if options.quick else options.rounds
    options.seconds = 0 if options.quick else options.seconds
    options.threads = [int(n) for n in (options.threads or ("1" if options.quick else "2,1")).split(",")]
    return options


def chosen(options):
    """The names of settings in the order of the tables."""
    there = QUICK_KINDS if options.quick else KINDS
    names = options.only.split(",") if options.only else list(there)
    unknown = [name for name in names if name not in there]
    if unknown:
        sys.exit(f"bench: no setting '{unknown[0]}'; there are {', '.join(there)}")
    return [name for name in there if name in names]


def add_earlier(results, path):
    """Puts the settings that were not measured now, as an earlier run on this machine left them, among the results."""
    try:
        earlier = json.loads(path.read_text())
    except FileNotFoundError:
        return
    same = [key for key in earlier["machine"] if key != "date" and earlier["machine"][key] != results["machine"][key]]
    if same or earlier["build"] != results["build"]:
        sys.exit(f"bench: --add: {path} is of another {same[0] if same else 'build of lorac-onnx'}: remove it")
    now = {(setting["setting"], setting["threads"]) for setting in results["settings"]}
    results["settings"] += [setting for setting in earlier["settings"]
                            if (setting["setting"], setting["threads"]) not in now]
    order = list(KINDS)
    results["settings"].sort(key=lambda setting: (order.index(setting["setting"]), -setting["threads"]))
    results["versions"] = {**earlier["versions"], **results["versions"]}
    results["busy_before"] = max(results["busy_before"], earlier["busy_before"])
    results["commands"] = earlier["commands"] + results["commands"]


def check_idle(options):
    """The share of the processors that others use, over three seconds."""
    begin, _ = processor_seconds()
    time.sleep(3)
    share = (processor_seconds()[0] - begin) / 3 / os.cpu_count()
    if share > 0.03 and not options.quick and not options.busy:
        sys.exit(f"bench: other programs use {100 * share:.0f} % of the processors: end them, or give --busy")
    return share


def main(argv):
    options = parse(argv)
    settings = chosen(options)
    run = Run(options)
    run.results["busy_before"] = check_idle(options)
    run.results["commands"] = ["tests/bench/run.sh " + " ".join(argv)]
    begin = time.monotonic()
    for name in settings:
        kind, setting = (QUICK_KINDS if options.quick else KINDS)[name]
        getattr(run, kind)(name, *setting)
    if options.quick:
        print(f"all {sum(len(s['first']) for s in run.results['settings'])} systems ran and agree "
              f"({time.monotonic() - begin:.0f} s)")
        return
    os.makedirs(FOLDER, exist_ok=True)
    if options.add:
        add_earlier(run.results, FOLDER / "results.json")
    (FOLDER / "results.json").write_text(json.dumps(run.results, indent=1) + "\n")
    print(report.tables(run.results))
    if options.write:
        report.write(run.results, ROOT / "docs" / "benchmarks.md")


if __name__ == "__main__":
    main(sys.argv[1:])
