"""What a real run leaves behind is enough for its page."""

import dataclasses
import json

import pytest

from convert.dataset import Dataset
from tinydarknet.report.page import run_page
from tinydarknet.report.run_record import read_run
from tinydarknet.report.summary import summarise
from tinydarknet.run_folder.dataset_card import dataset_card

pytestmark = pytest.mark.usefixtures("short_network")


def test_a_runs_folder_tells_all_that_its_page_shows(finished_run, planes_data):
    record = read_run(finished_run)
    events = [json.loads(line) for line in (finished_run / "log.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["event"] == "step"]
    assert record.log.steps.loss.tolist() == [event["loss"] for event in steps]
    assert [dataclasses.asdict(entry) for entry in record.log.evaluations] == [
        {name: event[name] for name in ("step", "top1", "top5", "total", "seconds")}
        for event in events
        if event["event"] == "evaluation"
    ]
    assert (record.log.superseded_steps, record.log.damaged_lines) == (0, ())
    assert record.log.sessions[0].global_batch == 8
    summary = summarise(record.log)
    assert (summary.state, summary.steps, summary.epochs) == ("finished", 9, 3.0)
    assert record.datasets == dict.fromkeys(("train", "val"), dataset_card(Dataset(planes_data)))
    assert record.datasets["train"].images_per_class == (9, 9.0, 9)
    page = run_page(record)
    assert "yuv420, short side at most 36 pixels" in page
    assert page.count("<svg") == 6
