"""A run's folder holds one run, of one process at a time."""

from __future__ import annotations

import pytest

from convert.errors import UserError
from tinydarknet.run_folder.paths import CONFIG_NAME, open_run_folder


def test_two_processes_cannot_train_in_one_folder(tmp_path):
    """A lock is held by an open file, so that one process will do to show it."""
    first = open_run_folder(tmp_path / "run", resume=False)
    (tmp_path / "run" / CONFIG_NAME).write_text("{}")
    with pytest.raises(UserError, match="another run is training in"):
        open_run_folder(tmp_path / "run", resume=True)
    first.unlock()
    open_run_folder(tmp_path / "run", resume=True).unlock()


@pytest.mark.parametrize("name", ["log.jsonl", "log.csv", "checkpoints/step-000000004.ckpt", "checkpoints/best.ckpt"])
def test_what_a_run_has_left_is_no_new_folder(name, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=f"{name.rpartition('/')[2]} of a run without its config.json: choose another"):
        open_run_folder(tmp_path, resume=False)
    with pytest.raises(UserError, match=r"check --run-dir$"):
        open_run_folder(tmp_path, resume=True)
