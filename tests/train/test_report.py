"""What people and programs are told: a bar on a terminal, plain lines elsewhere, logs that go on."""

import csv
import io
import json
import sys

import pytest

from tinydarknet.run_folder.log_writer import STEP_COLUMNS, Reporter, duration, epoch_time_line, loss_line

FIELDS = {"step": 1, "epoch": 1, "loss": 2.5, "learning_rate": 0.1, "images_per_s": 9.0, "waiting_share": 0.25}
FIELDS |= {"image_size": 32, "ids_crc32": 7}
POSTFIX = {"loss": "2.5000", "waiting": "25.0%", "left": "0:00:09"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar(tmp_path, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    reporter = Reporter(tmp_path, speaks=True, first_step=4, total_steps=10)
    assert reporter.on_terminal
    reporter.advance(1, POSTFIX)
    reporter.close()
    shown = terminal.getvalue()
    assert "5/10" in shown
    assert "loss=2.5000, waiting=25.0%, left=0:00:09" in shown


def test_elsewhere_there_are_plain_lines(tmp_path, capsys):
    reporter = Reporter(tmp_path, speaks=True, first_step=0, total_steps=10)
    assert not reporter.on_terminal
    reporter.say("a line")
    reporter.advance(1, POSTFIX)
    reporter.close()
    captured = capsys.readouterr()
    assert captured.out == "a line\n"
    assert captured.err == ""


def test_logs_are_whole_after_every_event_and_go_on_after_a_restart(tmp_path):
    for step in (1, 2):
        reporter = Reporter(tmp_path, speaks=True, first_step=step - 1, total_steps=2)
        reporter.event("step", {**FIELDS, "step": step})
        lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == list(range(1, step + 1))
        assert lines[-1].items() >= {**FIELDS, "step": step, "event": "step"}.items()
        reporter.close()
    table = (tmp_path / "log.csv").read_text()
    assert table.splitlines()[0] == ",".join(STEP_COLUMNS)
    assert [row["step"] for row in csv.DictReader(table.splitlines())] == ["1", "2"]


def test_other_ranks_write_nothing_and_say_only_what_is_their_own(tmp_path, capsys):
    reporter = Reporter(tmp_path, speaks=False, first_step=0, total_steps=10)
    reporter.say("for all ranks")
    reporter.event("step", FIELDS)
    reporter.warn("of this rank")
    reporter.close()
    assert capsys.readouterr().out == "of this rank\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00:00"), (59.6, "0:01:00"), (3723, "1:02:03"), (90000, "25:00:00")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_the_references_forms():
    assert loss_line(498, 1251, 2.7798953) == "epoch: 498 step: 1251, loss is 2.7798953"
    assert epoch_time_line(130690.544, 1251) == "Epoch time: 130690.544, per step time: 104.469"
