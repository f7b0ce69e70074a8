"""The page's figures are the log's; nothing from a file becomes markup; long runs stay small; errors are one sentence."""

import itertools
import json
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from report_making import (
    HOSTILE,
    PER_EPOCH,
    PNG,
    TOTAL,
    card,
    finished,
    lines,
    report,
    resumed_log,
    start,
    steps,
    write_run,
)

from convert.errors import UserError
from tinydarknet.report.__main__ import ReportOptions


class Page(HTMLParser):
    """Tags with their attributes, and the rows of all tables as lists of texts."""

    def __init__(self, text):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.rows: list[list[str]] = []
        self.figures = None
        self._inside: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data):
        if "td" in self._inside or "th" in self._inside:
            self.rows[-1][-1] += data
        if self._inside[-1:] == ["script"]:
            self.figures = json.loads(data)

    def count(self, tag):
        return sum(name == tag for name, _ in self.tags)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("report") / "run-one", lines(finished()))


@pytest.fixture(scope="module")
def page(run_folder):
    return Page(report(run_folder))


def test_the_figures_are_the_logs(page):
    logged = [event for event in finished() if event["event"] == "step"]
    for name in ("step", "loss", "learning_rate", "images_per_s", "waiting_share"):
        assert page.figures["steps"][name] == [event[name] for event in logged]
    names = ("step", "top1", "top5", "total", "seconds")
    evaluations = [event for event in finished() if event["event"] == "evaluation"]
    assert page.figures["evaluations"] == [{name: event[name] for name in names} for event in evaluations]
    summary = page.figures["summary"]
    rates = np.array([event["images_per_s"] for event in logged])[1:]  # the first step compiles
    assert summary["images_per_s"] == pytest.approx(np.median(rates))
    assert summary["step_time"]["p95_ms"] == pytest.approx(np.percentile(32_000 / rates, 95))
    assert summary["last_loss"] == logged[-1]["loss"]
    assert summary["waiting_share"] == logged[-1]["waiting_share"]
    assert (summary["state"], summary["steps"], summary["total_epochs"]) == ("finished", TOTAL, TOTAL / PER_EPOCH)
    assert (summary["best"]["step"], summary["trained_s"]) == (60, 99)


def test_the_tables_say_the_same(page):
    assert ["60", "3.00", "70.00", "90.00", "70", "90", "100", "1.5"] in page.rows
    assert ["2001-09-09 01:46", "0", "60", "60", "1", "32", "00:01:39", "exit status 0"] in page.rows
    for row in (
        ["Encoding", "yuv420, short side at most 256 pixels"], ["Images", "654"], ["650", "encoded"], ["4", "encoded: CMYK"],
        ["Stored", "87.7 MB, from 98.8 MB of source files"], ["2", "truncated file"], ["n1/a.JPEG", "truncated file"],
        ["lr_init", "0.05"], ["seed", "1"], ["versions.mindspore", "2.8.0"], ["git_revision", "c0ffee"],
    ):  # fmt: skip
        assert row in page.rows


def test_every_plot_is_there_once_and_ids_are_unique(page):
    plots = [attributes["data-plot"] for name, attributes in page.tags if name == "svg"]
    assert plots == ["loss", "accuracy", "rate", "throughput", "waiting", "step-time"]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        for target in re.findall(r"#([\w.-]+)", attributes.get("href", "") + attributes.get("clip-path", "")):
            assert target in ids


def test_nothing_leads_outside(run_folder):
    text = report(run_folder)
    assert not re.search(r"""(?:src|href|action)=["'](?!data:|#)""", text)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert Page(text).count("script") == 1


def test_the_same_logs_give_the_same_bytes(run_folder):
    before = {path.name for path in run_folder.iterdir()} | {"report.html"}
    assert report(run_folder) == report(run_folder)
    assert {path.name for path in run_folder.iterdir()} == before


def test_a_resumed_run_shows_where_it_stands_and_says_so(tmp_path):
    text = report(write_run(tmp_path / "run", resumed_log()))
    page = Page(text)
    wanted = steps(0, 20, 1e9) + steps(20, 50, 3e9, "third")
    assert page.figures["steps"]["loss"] == [event["loss"] for event in wanted if event["event"] == "step"]
    assert "23 logged lines of steps do not count" in text
    assert "1 line of log.jsonl is no whole event (line 36)" in text
    assert "Stopped before its end" in text
    assert [row[-1] for row in page.rows if row[0].startswith("20")][-3:] == [
        "none logged", "none logged", "exit status 75",
    ]  # fmt: skip


def test_a_run_that_was_killed_says_so(tmp_path):
    text = report(write_run(tmp_path / "run", lines([start(0, 1e9), *steps(0, 7, 1e9)])[:-9]))
    assert "No end was logged: it is still running, or was killed." in text
    assert Page(text).figures["summary"]["steps"] == 6


@pytest.mark.parametrize("events", [[start(0, 1e9)], [start(0, 1e9), *steps(0, 1, 1e9)]])
def test_a_run_that_just_began_has_a_page(events, tmp_path):
    page = Page(report(write_run(tmp_path / "run", lines(events))))
    assert page.count("svg") == (5 - 1 if len(events) > 1 else 0)  # neither evaluations nor a steady step


def test_what_comes_from_files_stays_text(tmp_path):
    hostile = card(
        path=HOSTILE,
        logical_digest=HOSTILE,
        versions={HOSTILE: HOSTILE},
        left_out_reasons=((HOSTILE, 2),),
        split=HOSTILE,
    )
    fields = json.loads(json.dumps(hostile, default=vars))
    fields["treated"] = [{"action": HOSTILE, "reason": HOSTILE, "images": 1}]
    fields["left_out_named"] = [{"key": HOSTILE, "reason": HOSTILE}]
    folder = write_run(
        tmp_path / HOSTILE.replace("/", "∕"), lines(finished()), {HOSTILE: HOSTILE, "seed": [HOSTILE, {"a": HOSTILE}]},
        versions={HOSTILE: HOSTILE}, datasets={HOSTILE: fields},
    )  # fmt: skip
    (folder / 'sheet-"><script>.png').write_bytes(PNG)
    (folder / "<img src=x>.png").write_bytes(PNG + bytes(5 << 20))
    (folder / "page.png").write_text("<script>alert(3)</script>")
    for text in (report(folder), report(folder, folder, out=tmp_path / "both.html")):
        page = Page(text)
        assert page.count("script") == 1
        assert page.count("b") == 0
        assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
        assert all(attributes["src"].startswith("data:image/png;") for name, attributes in page.tags if name == "img")
        assert "{{ 7*7 }}" in text
        assert HOSTILE in json.dumps(page.figures, ensure_ascii=False).replace('\\"', '"').replace("\\\\", "\\")


@pytest.mark.parametrize("low", [True, False])
def test_the_extremes_of_numbers_are_drawn(low, tmp_path):
    events = [start(0, 0 if low else 1e11, total_steps=2**53 - 1, global_batch=2**53 - 1), *steps(0, 9, 1e9)]
    for number, event in enumerate(events[1:]):
        extremes = (-3.4e38, 1e-6) if low else (3.4e38, 3.4e38)
        if number % 2:
            event.update(dict.fromkeys(("loss", "learning_rate", "waiting_share"), extremes[0]))
        event["images_per_s"] = extremes[1]
    assert Page(report(write_run(tmp_path / "run", lines(events)))).count("svg") == 5


def test_names_that_are_no_utf8_have_a_page(tmp_path):
    folder = write_run(tmp_path / os.fsdecode(b"r\xff"), lines(finished()), {"seed": "\ud800"})
    assert "r\\udcff" in report(folder)


def test_pictures_of_the_run_are_embedded(tmp_path):
    folder = write_run(tmp_path / "run", lines(finished()))
    (folder / "evaluation").mkdir()
    for name in ("sheet-train.png", "evaluation/confusion.png", "evaluation/no picture.png"):
        (folder / name).write_bytes(PNG if "no" not in name else b"GIF")
    (folder / "evaluation" / "worst images.png").write_bytes(PNG + bytes(5 << 20))
    text = report(folder)
    assert [attributes["alt"] for name, attributes in Page(text).tags if name == "img"] == [
        "sheet-train.png",
        "evaluation/confusion.png",
    ]
    assert 'href="evaluation/worst%20images.png"' in text
    assert "no picture" not in text


def test_damaged_images_and_growing_sizes_are_shown(tmp_path):
    events = finished()
    for event in events:
        if event["event"] == "step" and event["step"] <= 30:
            event["image_size"] = 128
    events.insert(9, {"event": "replaced", "step": 9, "image": "row 7 (a/b.JPEG) is damaged", "unix_time_s": 1e9})
    text = report(write_run(tmp_path / "run", lines(events)))
    page = Page(text)
    assert "1 damaged training image was replaced" in text
    assert ["9", "row 7 (a/b.JPEG) is damaged"] in page.rows
    assert "image-size" in [attributes["data-plot"] for name, attributes in page.tags if name == "svg"]


def test_a_long_runs_page_is_small_and_keeps_the_extremes(tmp_path):
    events = [start(0, 1e9, total_steps=30_000, steps_per_epoch=1000), *steps(0, 30_000, 1e9)]
    events = [event for event in events if event["event"] in ("start", "step")]
    events[12_345]["loss"] = 77.0
    text = report(write_run(tmp_path / "run", lines(events)))
    assert len(text) < 500_000
    figures = Page(text).figures["steps"]
    losses = np.array([event["loss"] for event in events[1:]])
    assert max(figures["loss_high"]) == 77.0
    assert min(figures["loss_low"]) == losses.min()
    edges = [0, *figures["last_step_of_bucket"]]
    means = [losses[low:high].mean() for low, high in itertools.pairwise(edges)]
    assert figures["loss_mean"] == pytest.approx(means)


def test_several_runs_are_compared(tmp_path):
    one = write_run(tmp_path / "one", lines(finished()), {"lr_init": 0.05, "seed": 1})
    two = write_run(tmp_path / "two", resumed_log(), {"lr_init": 0.1, "seed": 1}, git_revision="beef")
    page = Page(report(one, two, out=tmp_path / "both.html"))
    assert [figures["run"] for figures in page.figures] == ["one", "two"]
    assert ["lr_init", "0.05", "0.1"] in page.rows
    assert ["git_revision", "c0ffee", "beef"] in page.rows
    assert not any(row[0] == "seed" for row in page.rows)
    outcome = {row[0].strip(): row[1:4] for row in page.rows if row and row[0].strip() in ("one", "two")}
    assert outcome == {"one": ["finished", "60", "70.00"], "two": ["stopped", "50", "50.00"]}
    assert page.count("svg") == 6


def test_runs_of_one_name_are_told_apart_by_their_paths(tmp_path):
    folders = [write_run(tmp_path / name / "run", lines(finished())) for name in ("a", "b")]
    text = report(*folders, out=tmp_path / "both.html")
    assert f"<h1>{folders[0]}, {folders[1]}</h1>" in text


def test_wrong_options_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one folder, got none"):
        ReportOptions(runs=())
    with pytest.raises(ValueError, match="needs out"):
        ReportOptions(runs=(tmp_path, tmp_path))


def test_damaged_folders_are_refused_in_one_sentence(tmp_path, run_folder):
    with pytest.raises(UserError, match="is not a folder"):
        report(tmp_path / "none")
    for number, (name, content, message) in enumerate(
        [
            ("config.json", None, "config.json is missing"),
            ("config.json", "{", "not valid JSON"),
            ("config.json", '{"lr_init": NaN}', "not valid JSON"),
            ("environment.json", "[]", "it must be an object"),
            ("environment.json", '{"datasets": {"train": {}}}', "its datasets are no cards"),
            ("environment.json", '{"datasets": 3}', "its datasets are no cards"),
        ]
    ):
        folder = write_run(tmp_path / str(number), lines(finished()))
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_text(content)
        with pytest.raises(UserError, match=message):
            report(folder)
        assert not (folder / "report.html").exists()
