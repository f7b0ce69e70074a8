"""Which precision and loss scale a run has, and that everything that scores its network has the same."""

import pytest
from train_making import scored_hits, tiny_config

from tinydarknet.ascend import CHIPS, reason_of
from tinydarknet.config import OptimizerConfig
from tinydarknet.device import Device
from tinydarknet.model import checkpoint
from tinydarknet.train import data
from tinydarknet.train.callback import RunCallback

pytestmark = pytest.mark.usefixtures("short_network")


@pytest.mark.parametrize(
    ("soc", "options", "dynamic"),
    [
        ("ascend910b", {}, True),
        ("ascend910_93", {}, True),
        ("ascend910", {}, False),  # it clamps; the reference's fixed scale is meant for it
        ("ascend910", {"is_dynamic_loss_scale": True}, True),
        ("ascend910b", {"fixed_loss_scale": True}, False),
        ("ascend910b", {"amp_dtype": "bfloat16"}, False),
        ("ascend910b", {"amp_level": "O0"}, False),
    ],
)
def test_float16_has_a_dynamic_scale_where_it_overflows_to_infinity(soc, options, dynamic):
    assert Device("Ascend", 0, 1, soc=soc).follows_overflows(OptimizerConfig(**options)) is dynamic


def test_the_cpu_keeps_the_scale():
    assert not Device("CPU", 0, 1).follows_overflows(OptimizerConfig(amp_level="O3"))


def test_a_910b_can_be_told_to_clamp(monkeypatch):
    assert not CHIPS["ascend910b"].hides_overflow
    monkeypatch.setenv("MS_ASCEND_CHECK_OVERFLOW_MODE", "SATURATION_MODE")
    assert CHIPS["ascend910b"].hides_overflow


def test_bfloat16_is_for_later_cards():
    chips = {soc: Device("Ascend", 0, 1, soc=soc).supports("bfloat16") for soc in CHIPS}
    assert chips == {"ascend910": False, "ascend910b": True, "ascend910_93": True}
    assert not Device("CPU", 0, 1).supports("bfloat16")
    assert Device("CPU", 0, 1).supports("float16")


def test_both_kinds_of_loss_scale_exclude_each_other():
    with pytest.raises(ValueError, match="exclude each other"):
        OptimizerConfig(is_dynamic_loss_scale=True, fixed_loss_scale=True)


PIPELINE_ERROR = """Exception thrown from dataset pipeline. Refer to 'Dataset Pipeline Error Message'.

------------------------------------------------------------------
- Dataset Pipeline Error Message:
------------------------------------------------------------------
[ERROR] Get Soc Version failed.

------------------------------------------------------------------
- C++ Call Stack: (For framework developers)
------------------------------------------------------------------
mindspore/ccsrc/minddata/dataset/engine/datasetops/map_op/map_op.cc(270).
"""


def test_the_reason_in_mindspores_message_is_found():
    assert reason_of(RuntimeError(PIPELINE_ERROR)) == "Get Soc Version failed"
    assert reason_of(RuntimeError("no device 3.\nmore")) == "no device 3"
    assert reason_of(RuntimeError()) == "RuntimeError"


def test_scores_are_of_the_precision_that_was_trained(original_data, tmp_path, monkeypatch):
    """As if in a sink, where MindSpore hands out an empty tuple of columns; validation decodes as training does."""
    from tinydarknet.train.training import train

    end, opened, wanted = RunCallback.on_train_step_end, data.open_eval_feed, []

    def end_in_a_sink(self, run_context):
        run_context.original_args().train_dataset_element = ()
        end(self, run_context)

    monkeypatch.setattr(RunCallback, "on_train_step_end", end_in_a_sink)
    monkeypatch.setattr(data, "open_eval_feed", lambda *a, **k: wanted.append(k["feed"]) or opened(*a, **k))
    run = tmp_path / "run"
    config = tiny_config(
        original_data, run, val_data_path=original_data, amp_level="O2", epoch_size=1, ema_decay=0.5, feed="host",
        deterministic=True,
    )  # fmt: skip
    assert train(config) == 0
    assert wanted == ["host"]
    (saved,) = (run / "checkpoints").glob("step-*.ckpt")
    assert checkpoint.load(saved).description.model.amp_level == "O2"
    logged = [line for line in (run / "log.jsonl").read_text().splitlines() if '"evaluation"' in line]
    assert len(logged) == 1
    top1, top5 = scored_hits(original_data, saved, tmp_path)
    assert f'"top1": {top1}' in logged[0]
    assert f'"top5": {top5}' in logged[0]
