"""What cannot be written: one sentence, and nothing half-written beside what was there."""

import contextlib
import resource

import pytest
from train_making import run_module

from convert.errors import UserError
from tinydarknet.colour import IMAGENET
from tinydarknet.export.export import export_all
from tinydarknet.export.options import ExportOptions
from tinydarknet.model import checkpoint
from tinydarknet.model.description import Description, ModelDescription, plain_classes
from tinydarknet.model.network import TinyDarkNet
from tinydarknet.run_folder.log_writer import Reporter
from tinydarknet.run_folder.paths import RunFolder

pytestmark = pytest.mark.usefixtures("short_network")


@contextlib.contextmanager
def files_of_at_most(size_bytes):
    """As on a full disk: what goes beyond is refused by the kernel."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_checkpoint_that_does_not_fit(tmp_path):
    description = Description(ModelDescription("darknet", plain_classes(10), IMAGENET, 32, "drawn"), None)
    network = TinyDarkNet(10)
    with files_of_at_most(10_000), pytest.raises(UserError, match=r"cannot write the checkpoint .*a\.ckpt \(File too"):
        checkpoint.save(tmp_path / "new" / "a.ckpt", network, description)
    assert not list((tmp_path / "new").iterdir())
    checkpoint.save(tmp_path / "new" / "a.ckpt", network, description)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.ckpt"]


def test_a_log_that_does_not_fit(tmp_path):
    reporter = Reporter(tmp_path, speaks=True, first_step=0, total_steps=3)
    with files_of_at_most(0), pytest.raises(UserError, match=r"cannot write the logs in .* \(File too large\)"):
        reporter.event("start", {"step": 0})
    with contextlib.suppress(UserError):
        reporter.close()


def test_logs_in_no_folder(tmp_path):
    with pytest.raises(UserError, match=r"cannot write the logs in .*none"):
        Reporter(tmp_path / "none", speaks=True, first_step=0, total_steps=3)


def test_an_export_into_a_file(finished_run, tmp_path):
    (tmp_path / "taken").touch()
    best = RunFolder(finished_run).best
    with pytest.raises(UserError, match=r"cannot write to .*taken .*choose another --out-dir"):
        export_all(ExportOptions(checkpoint_path=best, out_dir=tmp_path / "taken"))


def test_a_prediction_of_a_name_that_is_no_utf8_and_a_sheet_into_a_file(images, finished_run, tmp_path):
    picture = tmp_path / "caf\udce9.jpg"
    picture.write_bytes(next(images.rglob("*.JPEG")).read_bytes())
    (tmp_path / "taken").touch()
    shared = ("--checkpoint-path", RunFolder(finished_run).best, "--device-target", "CPU")
    result = run_module(
        "tinydarknet.predict", picture, *shared, "--json", "--sheet", tmp_path / "taken" / "sheet.png", cwd=tmp_path
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr, result.stderr
    assert f"error: cannot write {tmp_path}/taken/sheet.png (File exists): name another file" in result.stderr
    assert r"caf\\udce9.jpg" in result.stdout
