"""Results into documents and side by side: every figure comes from a result, a second time changes nothing."""

import json
import re
from pathlib import Path

import pytest
from test_benchmarks import run
from test_learning import ENVIRONMENT, FINALS, lines

from benchmarks.compare import compare, other_machine
from benchmarks.report import TABLES
from benchmarks.reporting.learning_page import learning_page
from benchmarks.reporting.markers import replace_between
from benchmarks.reporting.results import load_results, of_benchmark
from convert.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def rates(median: float) -> dict[str, float]:
    return {
        f"{name}{end}": median * factor
        for name in ("images_per_core_s", "images_per_s")
        for end, factor in (("", 1), ("_min", 0.9), ("_max", 1.1))
    }


def feed_rate(feed: str, rate: float, **changes) -> dict:
    common = {"batch_size": 128, "image_size": 224, "threads": 1, "stored_bytes_per_image": 130_000}
    return {"benchmark": "feed_rate", "feed": feed, **rates(rate), **common, "environment": ENVIRONMENT, **changes}


def peer(loader: str, rate: float | None, ours: bool = False) -> dict:
    shared = {
        "benchmark": "peers", "loader": loader, "ours": ours, "images": 250, "source_bytes_per_image": 108_000,
        "batch_size": 128, "image_size": 224, "workers": 1, "repeats": 3, "environment": ENVIRONMENT,
    }  # fmt: skip
    if rate is None:
        return {**shared, "not_run": "not installed: RuntimeError: Could not find required package: opencv."}
    facts = {"reads": "JPEG files", "gives": "uint8 [B, 3, S, S]", "stored_bytes_per_image": 108_000}
    return {**shared, **rates(rate), **facts}


def client(framework: str, loader: str, rate: float) -> dict:
    sizes = {"batch_size": 128, "image_size": 224, "images": 250, "repeats": 3, "photographs": True}
    named = {"benchmark": "clients", "framework": framework, "loader": loader}
    return {**named, **rates(rate), **sizes, "environment": ENVIRONMENT}


def scaling(axis: str, value: int) -> dict:
    measured = {"images_per_s": 10.0, "images_per_core_s": 9.0, "open_s": 0.5, "added_peak_rss_mb": 20.0}
    return {"benchmark": "scaling", "axis": axis, "value": value, **measured, "environment": ENVIRONMENT}


CONVERT_SCALING = {
    "benchmark": "convert_scaling", "encoding": "original", "check": "decode", "copies": 8, "workers": 2,
    "images_per_s": 1600.0, "images_per_s_one_worker": 800.0, "speedup": 2.0, "loop_speedup": 1.25,
    "speedup_over_loop": 1.6, "speedup_over_loop_min": 1.5, "speedup_over_loop_max": 1.7, "environment": ENVIRONMENT,
}  # fmt: skip


RESULTS = [
    feed_rate("planes", 8000.0),
    feed_rate("reference", 200.0),
    peer("planes", 8000.0, ours=True),
    peer("torchvision", 300.0),
    peer("reference", 200.0, ours=True),
    peer("ffcv-raw", None),
    client("PyTorch", "planes", 9000.0),
    client("PyTorch", "ImageFolder, 1 worker", 100.0),
    client("MindSpore", "ImageFolderDataset, 1 worker", 150.0),
    CONVERT_SCALING,
    *lines(FINALS),
    *(scaling(axis, value) for axis in ("threads", "ranks", "batch", "shards", "rows") for value in (1, 1000)),
]


def write(path: Path, results: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(result) + "\n" for result in results))
    return path


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> tuple[Path, Path]:
    """A source tree's documents, rendered once, and the results they show."""
    root = tmp_path_factory.mktemp("tree")
    (root / "docs").mkdir()
    for name, (marker, *_) in TABLES.items():
        (root / name).write_text(f"before\n<!-- {marker} -->\nold\n<!-- /{marker} -->\nafter\n")
    results = write(root / "published" / "all.jsonl", RESULTS).parent
    done = run("report", "--results", results, "--root", root)
    assert done.returncode == 0, done.stderr
    return root, results


def files(root: Path) -> dict[Path, bytes]:
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_rendering_twice_changes_nothing(rendered):
    root, results = rendered
    before = files(root)
    done = run("report", "--results", results, "--root", root)
    assert files(root) == before
    assert all(line.startswith("unchanged: ") for line in done.stdout.splitlines())
    assert len(done.stdout.splitlines()) == 12


def test_the_readmes_hold_the_measured_figures(rendered):
    root, _ = rendered
    for name, row in (("README.md", "| this project, feed planes |"), ("README_CN.md", "| 本项目，数据供给 planes |")):
        text = (root / name).read_text()
        assert text.startswith("before\n")
        assert text.endswith("after\n")
        assert "old" not in text
        (line,) = (line for line in text.splitlines() if line.startswith(row))
        assert line.split(" | ")[-3:] == ["8,000", "40", "1.2 |"]
        assert "Could not find required package: opencv" in text


def test_the_librarys_pages_hold_loaders_against_the_frameworks_own(rendered):
    for name, row in (
        (
            "library.md",
            "| PyTorch | this project, feed planes | uint8 planes, one matrix an image | 9,000 (8,100 to 9,900) | 90 |",
        ),
        (
            "library_CN.md",
            "| PyTorch | 本项目，数据供给 planes | uint8 平面，每张图像一个矩阵 | 9,000（8,100 至 9,900） | 90 |",
        ),
    ):
        text = (rendered[0] / "docs" / name).read_text()
        assert row in text.splitlines()
        assert "| MindSpore | ImageFolderDataset, 1 worker |" in text
        assert "\nold\n" not in text


def test_the_page_says_what_is_predicted_and_how_close_it_comes(rendered):
    page = (rendered[0] / "docs" / "benchmarks.md").read_text()
    assert "91.4 (feed)" in page  # 1,024 images over 56 cores x 200 images/s
    assert "predicted at 91 ms, 88% of the published 104 ms" in page
    assert "Some CPU" in page
    assert "0123456789ab" in page


def test_the_page_holds_workers_against_loops(rendered):
    page = (rendered[0] / "docs" / "benchmarks.md").read_text()
    assert "--copies 8 --scaling --workers 2`" in page
    assert "| original, decode | 800 | 1,600 | 2.00 | 1.25 | 1.60 (1.50 to 1.70) |" in page


def test_plots_are_small_self_contained_and_linked(rendered):
    root, _ = rendered
    plots = sorted((root / "docs").glob("*/*.svg"))
    of_benchmarks = ["budget.svg", "jitter.svg", "peers.svg", "scaling.svg"]
    assert [plot.name for plot in plots] == [*of_benchmarks, "cpu_seconds.svg", "epochs.svg"]
    for plot in plots:
        text, page = plot.read_text(), plot.parent.with_suffix(".md").read_text()
        assert f"{plot.parent.name}/{plot.name})" in page
        assert len(text) < 60_000
        assert "<dc:date>" not in text
        assert not re.search(r'(href|src)="https?:', text)


def test_what_is_published_is_what_the_documents_show():
    """Whoever changes published results, or their rendering, renders again."""
    from benchmarks.reporting.documents import benchmarks_page

    results = load_results(ROOT / "benchmarks" / "results" / "published")
    if learning := of_benchmark(results, "learning"):
        assert (ROOT / "docs" / "learning.md").read_text("utf-8") == learning_page(learning)
    assert (ROOT / "docs" / "benchmarks.md").read_text("utf-8") == benchmarks_page(results)
    for name, (_, tabulate, language) in TABLES.items():
        assert tabulate(results, language) in (ROOT / name).read_text("utf-8")


def test_a_document_without_its_markers_is_named():
    with pytest.raises(
        UserError, match=r"^README\.md must hold the lines <!-- rates --> and <!-- /rates --> once each"
    ):
        replace_between("<!-- /rates -->\n<!-- rates -->\n", "rates", "new", "README.md")


def test_predict_prints_every_input(tmp_path):
    results = write(tmp_path / "feed_rate.jsonl", RESULTS[:2])
    done = run("predict_step", "--results", results, "--cores", 8, "--cards", 1, "--compute-ms", 20)
    assert done.returncode == 0, done.stderr
    assert "planes: predicted 20.0 ms a step, limited by compute = max(compute 20.0 ms, feed 2.0 ms" in done.stdout
    assert "reference: predicted 80.0 ms a step, limited by feed" in done.stdout
    assert "128 images / (8 cores x 200 images/s)" in done.stdout
    assert "simulated at" in done.stdout


def test_compare_tells_better_from_worse_from_spread():
    before = [feed_rate("planes", 8000.0), feed_rate("host", 400.0), feed_rate("reference", 200.0)]
    after = [feed_rate("planes", 9900.0), feed_rate("host", 410.0), feed_rate("reference", 150.0, image_size=96)]
    verdicts = {(d.what, d.metric): d.verdict for d in compare(before, after)}
    what = "feed_rate feed={} image_size=224 batch_size=128 threads=1"
    assert verdicts[what.format("planes"), "images_per_core_s"] == "better"
    assert verdicts[what.format("host"), "images_per_core_s"] == "within the spread"
    assert not any("reference" in name for name, _ in verdicts)  # measured at another size
    worse = next(compare(after, before))
    assert (worse.verdict, worse.ratio) == ("worse", pytest.approx(0.808, abs=1e-3))


def test_lower_times_are_better():
    steps = [
        {"benchmark": "step_time", "device": "CPU", "step_ms": {"p50": value, "p95": 9.0}, "environment": ENVIRONMENT}
        for value in (200.0, 100.0)
    ]
    (difference,) = compare(steps[:1], steps[1:])
    assert (difference.metric, difference.verdict) == ("step_ms", "better")


def test_compare_warns_of_another_machine(tmp_path):
    other = feed_rate("planes", 8000.0, environment={**ENVIRONMENT, "cpu": "Other CPU"})
    assert "4 cores of Other CPU after" in other_machine(RESULTS[:1], [other])
    assert other_machine(RESULTS[:1], RESULTS[:1]) == ""
    done = run("compare", write(tmp_path / "a.jsonl", RESULTS[:1]), write(tmp_path / "b.jsonl", [other]))
    assert done.returncode == 0
    assert "warning: measured on" in done.stdout
    assert "images_per_core_s" in done.stdout


def test_results_that_are_none_are_named_by_line(tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"benchmark": "peers"}\nnonsense\n')
    done = run("compare", tmp_path / "bad.jsonl", tmp_path / "bad.jsonl")
    assert done.returncode == 1
    assert "bad.jsonl, line 2 is no JSON" in done.stderr
    with pytest.raises(UserError, match="holds no results"):
        load_results(ROOT / "docs")


def test_results_are_found_by_their_benchmark():
    assert len(of_benchmark(RESULTS, "peers")) == 4
