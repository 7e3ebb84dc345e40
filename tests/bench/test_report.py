# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of the benchmark's tables, and its page."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import report  # noqa: E402


def turn(name, way, number, milliseconds, megabytes=100, **more):
    return dict(name=name, way=way, round=number, median=milliseconds / 1e3, peak_bytes=megabytes * 1e6, stolen=0.01,
                busy=2.0, **more)


SETTING = {
    "setting": "r18-b32", "title": "Net, batch 1", "threads": 2, "rounds": 3, "elapsed": 60,
    "first": [{"name": "peer", "way": way, "median": ms / 1e3, "peak_bytes": 1} for way, ms in
              (("a", 40), ("b", 41), ("c", 90))],
    "turns": [turn("lorac-onnx, LoRA-C", "", 0, 10), turn("peer", "a", 0, 40, 200), turn("peer", "b", 0, 30, 400),
              # the machine drifts: everything takes twice as long
              turn("lorac-onnx, LoRA-C", "", 1, 20), turn("peer", "a", 1, 80, 200), turn("peer", "b", 1, 50, 400),
              turn("lorac-onnx, LoRA-C", "", 2, 12), turn("peer", "a", 2, 40, 200), turn("peer", "b", 2, 40, 400)],
}

RESULTS = {"settings": [SETTING], "machine": report.machine(), "versions": {"x": "1"}, "busy_before": 0.001,
           "commands": ["tests/bench/run.sh --write"], "build": "b", "library_bytes": 400000}


def test_the_best_way_of_a_system_is_its_row():
    own, peer = report.rows_of(SETTING)
    assert (own["name"], peer["way"]) == ("lorac-onnx, LoRA-C", "a")  # both ways have median 40: the first stays
    assert (own["median"], own["low"], own["high"]) == (0.012, 0.010, 0.020)
    faster = dict(SETTING, turns=SETTING["turns"] + [turn("peer", "c", n, 39) for n in range(3)])
    assert report.rows_of(faster)[1]["way"] == "c"


def test_ratios_are_of_one_round():
    own, peer = report.rows_of(SETTING)
    assert report.ratios(own, peer, "median") == pytest.approx((0.25, 0.25, 0.3))
    assert report.ratios(own, peer, "peak_bytes") == pytest.approx((0.5, 0.5, 0.5))


def test_table():
    text = report.table_of(SETTING)
    assert "### Net, batch 1, 2 threads" in text
    assert "| lorac-onnx, LoRA-C | 12.0 | 10.0 - 20.0 | 100 |  |" in text
    assert "| peer (a) | 40.0 | 40.0 - 80.0 | 200 | 0.25 (0.25 - 0.30); 0.50 |" in text
    assert "peer (b) 41.0 ms; peer (c) 90.0 ms" in text


def test_targets():
    peer = [dict(turn, name=report.PYTORCH) if turn["name"] == "peer" else dict(turn, start_seconds=0.1)
            for turn in SETTING["turns"]]
    text = report.targets(dict(RESULTS, settings=[dict(SETTING, turns=peer)]))
    assert "| ResNet-18, batch 32: time of PyTorch's LoRA-C | 0.40 | 0.25 |" in text
    assert "| ResNet-18, batch 32: memory of PyTorch's LoRA-C | 0.45 | 0.50 |" in text
    assert "| the same, of PEFT's LoRA | 0.45 | not measured |" in text
    assert "first step, seconds | 0.4 | 0.10 |" in text and "kB | 600 | 400 |" in text


def test_inference_is_held_against_the_faster_engine():
    turns = [turn("lorac-onnx", "", 0, 10), turn("ONNX Runtime", "", 0, 40), turn("MNN", "", 0, 20)]
    setting = dict(SETTING, setting="r18-infer-b1", turns=turns)
    assert "| inference, batch 1: time of the faster engine | 1.00 | 0.50 |" in \
        report.targets(dict(RESULTS, settings=[setting]))


def test_growth():
    turns = [turn("lorac-onnx, batch 8", "", 0, 10), turn("lorac-onnx, batch 128", "", 0, 176, 900)]
    setting = dict(SETTING, setting="r18-growth", turns=turns)
    assert "| 128 | 176.0 | 1.38 | 1.10 | 900 |" in report.growth_table(setting)
    assert "| time an image at batch 128, of that at batch 8 | 1.1 | 1.10 |" in \
        report.targets(dict(RESULTS, settings=[setting]))


def test_earlier_settings_are_kept(tmp_path):
    sys.argv = ["bench.py"]
    import bench
    path = tmp_path / "results.json"
    path.write_text(json.dumps(dict(RESULTS, settings=[SETTING, dict(SETTING, threads=1)], versions={"y": "2"})))
    now = dict(RESULTS, settings=[dict(SETTING, title="new"), dict(SETTING, setting="r20-b64")])
    bench.add_earlier(now, path)
    assert [(s["setting"], s["threads"], s["title"]) for s in now["settings"]] == [
        ("r18-b32", 2, "new"), ("r18-b32", 1, "Net, batch 1"), ("r20-b64", 2, "Net, batch 1")]
    assert now["versions"] == {"x": "1", "y": "2"} and len(now["commands"]) == 2
    with pytest.raises(SystemExit, match="another build"):
        bench.add_earlier(dict(RESULTS, build="c"), path)


def test_page_is_replaced_behind_the_mark(tmp_path):
    turns = [dict(turn, start_seconds=0.1) for turn in SETTING["turns"]]
    results = dict(RESULTS, settings=[dict(SETTING, turns=turns)])
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\nhow\n\n{report.MARK}\n\nold\n")
    report.write(results, page)
    text = page.read_text()
    assert text.startswith(f"# Title\n\nhow\n\n{report.MARK}\n\n## Results\n") and "old" not in text
    assert "x 1" in text and "tests/bench/run.sh --write" in text and "took at most 1.0 %" in text
    page.write_text("# Title\n")
    with pytest.raises(SystemExit):
        report.write(results, page)


def test_the_page_of_the_project_has_the_mark():
    assert report.MARK in (HERE.parents[1] / "docs" / "benchmarks.md").read_text()


# Every version that the page names is the one that is installed.
def test_versions_of_the_page():
    page = (HERE.parents[1] / "docs" / "benchmarks.md").read_text()
    pins = dict(line.split("==") for path in (HERE / "requirements").iterdir() for line in path.read_text().split())
    for package, row in (("torch", "PyTorch"), ("peft", "PEFT"), ("onnxruntime-training", "onnxruntime-training"),
                         ("MNN", "MNN")):
        assert f"| {row} | {pins[package]} |" in page


def test_systems_are_left_out(monkeypatch):
    sys.argv = ["bench.py"]
    import bench
    run = bench.Run(bench.parse(["--leave-out", "PEFT", "--leave-out", "compiled"]))
    seen = []

    def first_turns(self, setting, systems, *rest):
        seen.extend(systems)
        return [], []

    monkeypatch.setattr(bench.Run, "first_turns", first_turns)
    there = [("a", ""), ("a PEFT", ""), ("b", "compiled"), ("b", "eager")]
    run.measure("s", "title", [bench.System(name, None, way) for name, way in there], 1, {})
    assert [system.title for system in seen] == ["a", "b (eager)"]


@pytest.mark.parametrize("arguments, text", [
    (["--quick", "--write"], "--quick measures nothing"),
    (["--busy", "--write"], "is not written"),
    (["--only", "none"], "no setting 'none'")])
def test_refusals(arguments, text):
    result = subprocess.run([sys.executable, HERE / "bench.py", *arguments], capture_output=True, text=True,
                            env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
    assert result.returncode != 0 and text in result.stderr


def test_answers_have_one_form():
    sys.argv = ["bench.py"]
    import bench
    own = json.dumps({"step_seconds": {"all": [1, 2]}, "memory_bytes": {"resident_peak": 5},
                      "start_seconds": {"ready": 0.1}, "flops": 1, "peak_flops": 2}, indent=1)
    peer = json.dumps({"seconds": [1, 2], "losses": [], "peak_bytes": 5, "versions": {}})
    assert {name: bench.answer_of(own)[name] for name in json.loads(peer)} == bench.answer_of(peer)
