# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Results of bench.py as tables."""

import datetime
import os
import platform
import re
import statistics

MARK = "<!-- results: written by tests/bench/run.sh --write -->"
OWN = "lorac-onnx"


# ---- the machine

def first_match(path, pattern):
    try:
        with open(path) as file:
            found = re.search(pattern, file.read(), re.M)
    except OSError:
        return ""
    return found[1].strip() if found else ""


def machine():
    flags = first_match("/proc/cpuinfo", r"^flags\s*:(.*)$").split()
    return {
        "processor": first_match("/proc/cpuinfo", r"^model name\s*:(.*)$") or platform.machine(),
        "processors": os.cpu_count(),
        "vectors": next((name for name in ("avx512f", "avx2", "avx", "sse2") if name in flags), ""),
        "memory_gb": round(int(first_match("/proc/meminfo", r"^MemTotal:\s*(\d+)") or 0) / 1e6),
        "system": first_match("/etc/os-release", r'^PRETTY_NAME="(.*)"') or platform.system(),
        "kernel": platform.release(),
        "date": datetime.date.today().isoformat(),
    }


# ---- numbers

def rows_of(setting):
    """One row for each system: of the ways of one system, the one with the smallest median over the rounds."""
    ways = {}
    for turn in setting["turns"]:
        ways.setdefault((turn["name"], turn["way"]), []).append(turn)
    rows = {}
    for (name, way), turns in ways.items():
        median = statistics.median(turn["median"] for turn in turns)
        if name not in rows or median < rows[name]["median"]:
            rows[name] = {"name": name, "way": way, "median": median, "turns": sorted(turns, key=lambda t: t["round"]),
                          "low": min(turn["median"] for turn in turns), "high": max(turn["median"] for turn in turns),
                          "peak_bytes": statistics.median(turn["peak_bytes"] for turn in turns)}
    return list(rows.values())


def ratios(own, other, key):
    """(median, smallest, largest) over the rounds of own/other, both of one round."""
    pairs = [a[key] / b[key] for a, b in zip(own["turns"], other["turns"])]
    return statistics.median(pairs), min(pairs), max(pairs)


def heading(setting):
    count = setting["threads"]
    return f"### {setting['title']}, {count} thread{'' if count == 1 else 's'}"


def table_of(setting):
    rows = rows_of(setting)
    own = [row for row in rows if row["name"].startswith(OWN)]
    lines = [heading(setting), ""]
    header = ["system", "step, ms", "range", "peak, MB"]
    for row in own:
        short = row["name"].removeprefix(OWN).removeprefix(", ") or OWN
        header.append(f"{short}: time; memory")
    lines += ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        name = f"{row['name']} ({row['way']})" if row["way"] else row["name"]
        cells = [name, f"{1e3 * row['median']:.1f}", f"{1e3 * row['low']:.1f} - {1e3 * row['high']:.1f}",
                 f"{row['peak_bytes'] / 1e6:.0f}"]
        for mine in own:
            time, low, high = ratios(mine, row, "median")
            memory = ratios(mine, row, "peak_bytes")[0]
            cells.append("" if mine is row else f"{time:.2f} ({low:.2f} - {high:.2f}); {memory:.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines + left_out(setting, rows))


def left_out(setting, rows):
    """The ways that had a first turn only."""
    shown = {(row["name"], row["way"]) for row in rows}
    others = [first for first in setting["first"] if (first["name"], first["way"]) not in shown]
    if not others:
        return []
    listed = "; ".join(f"{first['name']} ({first['way']}) {1e3 * first['median']:.1f} ms" for first in others)
    return ["", f"Slower ways, one turn or beaten in the rounds: {listed}."]


def growth_table(setting):
    """Batches of lorac-onnx beside the first."""
    rows = rows_of(setting)
    batches = [int(row["name"].split()[-1]) for row in rows]
    lines = [heading(setting), "",
             f"| batch | step, ms | ms an image | beside batch {batches[0]} | peak, MB |", "|---|---|---|---|---|"]
    for batch, row in zip(batches, rows):
        ratio = ratios(row, rows[0], "median")[0] * batches[0] / batch
        lines.append(f"| {batch} | {1e3 * row['median']:.1f} | {1e3 * row['median'] / batch:.2f} | {ratio:.2f} | "
                     f"{row['peak_bytes'] / 1e6:.0f} |")
    return "\n".join(lines)


# ---- what the project holds itself to

LORA_C, ALONE = "lorac-onnx, LoRA-C", "lorac-onnx, B alone"
PYTORCH, PEFT, ORT = "PyTorch, LoRA-C", "PyTorch, PEFT's LoRA", "ONNX Runtime training, LoRA-C"
# what, setting, threads, row, key, the rows it is held against (the best of them), at most
TARGETS = [
    ("ResNet-18, batch 32: time of PyTorch's LoRA-C", "r18-b32", 2, LORA_C, "median", [PYTORCH], 0.40),
    ("the same, of PEFT's LoRA", "r18-b32", 2, LORA_C, "median", [PEFT], 0.45),
    ("the same with 1 thread, of PyTorch's with 1 thread", "r18-b32", 1, LORA_C, "median", [PYTORCH], 0.40),
    ("ResNet-50 at 224, batch 8: time of PyTorch's LoRA-C", "r50-b8", 2, LORA_C, "median", [PYTORCH], 0.55),
    ("ResNet-20, batch 64: time of PyTorch's LoRA-C", "r20-b64", 2, LORA_C, "median", [PYTORCH], 0.5),
    ("ResNet-18, batch 32: memory of PyTorch's LoRA-C", "r18-b32", 2, LORA_C, "peak_bytes", [PYTORCH], 0.45),
    ("the same with a small budget: time of PyTorch's", "r18-b32", 2, LORA_C + ", small", "median", [PYTORCH], 1.0),
    ("the same: memory of ONNX Runtime training's", "r18-b32", 2, LORA_C + ", small", "peak_bytes", [ORT], 0.5),
    ("B alone, ResNet-18, batch 32: time of PyTorch's LoRA-C", "r18-b32", 2, ALONE, "median", [PYTORCH], 0.35),
    ("B alone, small: memory of ONNX Runtime training's", "r18-b32", 2, ALONE + ", small", "peak_bytes", [ORT], 0.3),
    ("inference, batch 1: time of the faster engine", "r18-infer-b1", 2, OWN, "median", ["ONNX Runtime", "MNN"], 1.0),
    ("inference, batch 32: the same", "r18-infer-b32", 2, OWN, "median", ["ONNX Runtime", "MNN"], 1.0),
]
START_LIMIT, LIBRARY_LIMIT, GROWTH_LIMIT = 0.4, 600e3, 1.1


def measured_setting(results, name, threads):
    return next((s for s in results["settings"] if s["setting"] == name and s["threads"] == threads), None)


def target_ratio(results, name, threads, mine, key, others):
    """The ratio to the smallest of [others]; None where something was not measured."""
    setting = measured_setting(results, name, threads)
    rows = {row["name"]: row for row in rows_of(setting)} if setting else {}
    there = [rows[other] for other in others if other in rows]
    if mine not in rows or not there:
        return None
    best = min(there, key=lambda row: row["median" if key == "median" else "peak_bytes"])
    return ratios(rows[mine], best, key)[0]


def targets(results):
    lines = ["| what | at most | measured |", "|---|---|---|"]
    for what, *place, limit in TARGETS:
        ratio = target_ratio(results, *place)
        lines.append(f"| {what} | {limit:.2f} | {'not measured' if ratio is None else f'{ratio:.2f}'} |")
    setting = measured_setting(results, "r18-b32", 2)
    starts = [turn["start_seconds"] for turn in setting["turns"] if turn["name"] == LORA_C] if setting else []
    if starts:
        lines.append(f"| start of ResNet-18 until its first step, seconds | {START_LIMIT} | "
                     f"{statistics.median(starts):.2f} |")
    lines.append(f"| runtime library, stripped, without XNNPACK, kB | {LIBRARY_LIMIT / 1e3:.0f} | "
                 f"{results['library_bytes'] / 1e3:.0f} |")
    setting = measured_setting(results, "r18-growth", 2)
    if setting:
        rows = rows_of(setting)
        first, last = (int(row["name"].split()[-1]) for row in (rows[0], rows[-1]))
        ratio = ratios(rows[-1], rows[0], "median")[0] * first / last
        lines.append(f"| time an image at batch {last}, of that at batch {first} | {GROWTH_LIMIT} | {ratio:.2f} |")
    return "\n".join(lines)


def tables(results):
    parts = [targets(results)]
    for setting in results["settings"]:
        parts.append(growth_table(setting) if setting["setting"].endswith("growth") else table_of(setting))
    return "\n\n".join([*parts, conditions(results)]) + "\n"


def conditions(results):
    m = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(results["versions"].items()))
    turns = [turn for setting in results["settings"] for turn in setting["turns"]]
    stolen = max((turn["stolen"] for turn in turns), default=0)
    busy = max((turn["busy"] - setting["threads"] for setting in results["settings"] for turn in setting["turns"]),
               default=0)
    rounds = " or ".join(sorted({str(setting["rounds"]) for setting in results["settings"]}))
    minutes = sum(setting["elapsed"] for setting in results["settings"]) / 60
    return (f"{m['processor']}, {m['processors']} processors ({m['vectors']}), {m['memory_gb']} GB, {m['system']}, "
            f"kernel {m['kernel']}; {m['date']}. {versions}. {rounds} rounds, {minutes:.0f} minutes. Other programs used "
            f"{100 * results['busy_before']:.1f} % of the processors before; at most {max(busy, 0):.2f} processors more "
            f"than the threads asked for were busy during a turn; the machine below took at most {100 * stolen:.1f} %."
            "\n\n" + "\n".join(f"    {command}" for command in results["commands"]))


def write(results, path):
    """Replaces what follows the mark on the page."""
    page = path.read_text()
    head, mark, _ = page.partition(MARK)
    if not mark:
        raise SystemExit(f"bench: {path} has no line '{MARK}'")
    path.write_text(f"{head}{MARK}\n\n## Results\n\n{tables(results)}")
