"""The log of a run that was killed, resumed, torn or tampered with, read as it stands."""

import json

import numpy as np
import pytest
from report_making import TOTAL, finished, lines, resumed_log, start, steps

from convert.errors import UserError
from tinydarknet.run_folder.log_reader import read_log


def read(folder, text):
    (folder / "log.jsonl").write_text(text)
    return read_log(folder)


def test_a_finished_run_is_read_whole(tmp_path):
    log = read(tmp_path, lines(finished()))
    logged = [event for event in finished() if event["event"] == "step"]
    assert log.steps.step.tolist() == list(range(1, TOTAL + 1))
    for name in ("loss", "learning_rate", "images_per_s", "waiting_share", "image_size"):
        assert getattr(log.steps, name).tolist() == [event[name] for event in logged]
    assert [(entry.step, entry.top1, entry.top5, entry.total) for entry in log.evaluations] == [
        (20, 30, 50, 100), (40, 50, 70, 100), (60, 70, 90, 100),
    ]  # fmt: skip
    assert log.checkpoints == (20, 40, 60)
    assert (log.superseded_steps, log.damaged_lines) == (0, ())
    (session,) = log.sessions
    assert (session.status, session.last_step, session.last_unix_s - session.start_unix_s) == (0, TOTAL, 99)


def test_older_logs_have_no_share_of_the_last_steps(tmp_path):
    """They have one of the whole run, which stands for it; newer ones have both."""
    events = [event for event in finished() if event["event"] in ("start", "step")]
    events[1]["recent_waiting_share"] = 0.5
    read_steps = read(tmp_path, lines(events)).steps
    assert read_steps.recent_waiting_share[0] == 0.5
    assert read_steps.recent_waiting_share[1:].tolist() == read_steps.waiting_share[1:].tolist()


def test_what_was_logged_last_counts(tmp_path):
    log = read(tmp_path, resumed_log())
    first, last = steps(0, 20, 1e9), steps(20, 50, 3e9, "third")
    wanted = [event["loss"] for event in (*first, *last) if event["event"] == "step"]
    assert log.steps.step.tolist() == list(range(1, 51))
    assert log.steps.loss.tolist() == wanted
    assert [entry.step for entry in log.evaluations] == [20, 40]
    assert log.superseded_steps == 12 + 11
    assert log.damaged_lines == (len(lines([start(0, 1e9), *steps(0, 32, 1e9)]).splitlines()) + 1,)
    assert [(s.first_step, s.last_step, s.world_size, s.status) for s in log.sessions] == [
        (0, 32, 1, None), (20, 31, 2, None), (20, 50, 1, 75),
    ]  # fmt: skip


def test_steps_behind_a_resumed_runs_checkpoint_do_not_count_before_they_are_done_again(tmp_path):
    log = read(tmp_path, lines([start(0, 1e9), *steps(0, 32, 1e9), start(20, 2e9), *steps(20, 23, 2e9)]))
    assert log.steps.step.tolist() == list(range(1, 24))
    assert log.superseded_steps == 12


def test_a_log_may_end_anywhere(tmp_path):
    """Cut behind every byte of the last two events."""
    text = lines([start(0, 1e9), *steps(0, 3, 1e9)])
    whole = [len(text) - len(tail) for tail in ("", text.splitlines(keepends=True)[-1])]
    for end in range(whole[1], len(text)):
        log = read(tmp_path, text[:end])
        complete = end >= len(text) - 1  # the newline alone may be missing
        assert len(log.steps) == (3 if complete else 2)
        assert bool(log.damaged_lines) == (not complete and end > whole[1])


@pytest.mark.parametrize(
    "line",
    [
        "null", "[]", '"x"', "{", "\x00\x01", "[" * 100_000, '{"event": "step", "step": true, "unix_time_s": 1}',
        json.dumps({**steps(0, 1, 1e9)[0], "loss": float("nan")}),
        json.dumps({**steps(0, 1, 1e9)[0], "loss": "<b>"}),
        json.dumps({**steps(0, 1, 1e9)[0], "images_per_s": 0}),
        json.dumps({**steps(0, 1, 1e9)[0], "step": -1}),
        json.dumps({**steps(0, 1, 1e9)[0], "step": 10**400}),
        json.dumps({"event": "evaluation", "step": 1, "top1": 9, "top5": 3, "total": 10, "seconds": 1, "unix_time_s": 1}),
        json.dumps({"event": "evaluation", "step": 1, "top1": 0, "top5": 0, "total": 0, "seconds": 1, "unix_time_s": 1}),
    ],
)  # fmt: skip
def test_a_line_that_is_no_event_is_counted_and_passed_over(line, tmp_path):
    log = read(tmp_path, lines([start(0, 1e9), *steps(0, 1, 1e9)]) + line + "\n" + lines(steps(1, 2, 1e9)))
    assert log.damaged_lines == (3,)
    assert np.array_equal(log.steps.step, [1, 2])
    assert log.evaluations == ()


def test_events_that_this_program_does_not_know_are_no_damage(tmp_path):
    log = read(tmp_path, lines([start(0, 1e9), {"event": "later", "unix_time_s": 1e9}, *steps(0, 1, 1e9)]))
    assert (log.damaged_lines, len(log.steps)) == ((), 1)


def test_a_damaged_image_is_named_once(tmp_path):
    def told(step, name):
        return {"event": "replaced", "step": step, "image": name, "unix_time_s": 1e9}

    events = [start(0, 1e9), told(2, "a"), *steps(0, 3, 1e9), told(3, "b"), start(0, 2e9), told(2, "a")]
    assert [(entry.step, entry.sentence) for entry in read(tmp_path, lines(events)).replacements] == [
        (2, "a"),
        (3, "b"),
    ]


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_log(tmp_path)
    for text in ("", "hello\n", lines(steps(0, 2, 1e9))):
        with pytest.raises(UserError, match="no start of a training run"):
            read(tmp_path, text)
