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


def table_of(setting):
    rows = rows_of(setting)
    own = [row for row in rows if row["name"].startswith(OWN)]
    threads = "1 thread" if setting["threads"] == 1 else f"{setting['threads']} threads"
    lines = [f"### {setting['title']}, {threads}", ""]
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


def tables(results):
    return "\n\n".join(table_of(setting) for setting in results["settings"]) + "\n\n" + conditions(results) + "\n"


def conditions(results):
    m = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(results["versions"].items()))
    turns = [turn for setting in results["settings"] for turn in setting["turns"]]
    stolen = max((turn["stolen"] for turn in turns), default=0)
    busy = max((turn["busy"] - setting["threads"] for setting in results["settings"] for turn in setting["turns"]),
               default=0)
    return (f"{m['processor']}, {m['processors']} processors ({m['vectors']}), {m['memory_gb']} GB, {m['system']}, "
            f"kernel {m['kernel']}; {m['date']}. {versions}. {results['rounds']} rounds, "
            f"{results['elapsed'] / 60:.0f} minutes. Other programs used {100 * results['busy_before']:.1f} % of the "
            f"processors before; at most {max(busy, 0):.2f} processors more than the threads asked for were busy "
            f"during a turn; the machine below took at most {100 * stolen:.1f} %.\n\n    {results['command']}")


def write(results, path):
    """Replaces what follows the mark on the page."""
    page = path.read_text()
    head, mark, _ = page.partition(MARK)
    if not mark:
        raise SystemExit(f"bench: {path} has no line '{MARK}'")
    path.write_text(f"{head}{MARK}\n\n## Results\n\n{tables(results)}")
