"""The hardware's pipeline, run by the processors, beside the host's feed; and when the hardware is chosen."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from convert_making import make

from convert.dataset import Dataset
from convert.errors import UserError
from convert.json_fields import parse_object, write_json
from tinydarknet.ascend import CHIPS
from tinydarknet.feed import Rank, dvpp, open_eval_feed, open_train_feed
from tinydarknet.feed.dvpp import (
    DecodingRates,
    decoding_problem,
    hardware_problem,
    hardware_spans,
    interpolates_chroma,
    measured_rates,
)
from tinydarknet.feed.loader import choose_feed

pytestmark = pytest.mark.usefixtures("must_not_hang")

LEVELS_APART = {"y": 1, "uv": 1, "image": 1.5}
"""Most grey levels to the host's, on an image's average: RGB between them is rounded, and ends at 0 and 255. A level of
chroma is up to 1.8 levels of RGB; a batch is within one."""


def train_feed(dataset, feed, **changes):
    options = {"batch_size": 7, "image_size": 64, "last_step": 6, "threads": 2, **changes}
    return open_train_feed(dataset, feed=feed, **options)


def assert_close(ours, hosts, equal=False):
    for one, other in zip(ours, hosts, strict=True):
        for name in ("label", "id"):
            np.testing.assert_array_equal(one[name], other[name])
        for name in one.keys() & LEVELS_APART.keys():
            distances = np.abs(one[name].astype(int) - other[name]).mean((1, 2, 3))
            assert distances.mean() <= (0 if equal else 1)
            assert distances.max() <= LEVELS_APART[name]


@pytest.mark.parametrize(
    "options",
    [{}, {"rank": Rank(1, 2), "first_step": 3}, {"images": "rgb_uint8"}, {"image_size": 224, "last_step": 2}],
    ids=["planes", "resumed rank", "rgb", "large"],
)
def test_batches_are_the_hosts(original_dataset, options):
    dataset = Dataset(original_dataset)
    assert_close(train_feed(dataset, "dvpp_on_cpu", **options), train_feed(dataset, "host", **options))


def test_batches_are_the_hosts_on_photographs(real_images, tmp_path):
    dataset = Dataset(make(real_images, tmp_path / "data", "original"))
    assert len({tuple(spans) for spans in hardware_spans(dataset, np.arange(len(dataset))).tolist()} - {(0, 0)}) > 1
    assert_close(train_feed(dataset, "dvpp_on_cpu"), train_feed(dataset, "host"))


def test_an_evaluation_pads_its_last_batch_as_the_host_does(original_dataset):
    dataset, options = Dataset(original_dataset), {"batch_size": 32, "image_size": 64, "threads": 1}
    feed = open_eval_feed(dataset, feed="dvpp_on_cpu", **options)
    assert_close(feed, open_eval_feed(dataset, feed="host", **options))
    assert_close(feed.reused(2), open_eval_feed(dataset, feed="host", **options).reused(2))


def test_what_the_hardware_does_not_take_is_decoded_on_the_host(original_dataset, monkeypatch):
    dataset = Dataset(original_dataset)
    rows = np.arange(len(dataset))
    fits = hardware_spans(dataset, rows).all(axis=1)
    smallest = np.minimum(dataset.heights, dataset.widths)
    assert fits.any()
    assert not fits[smallest < 32].any()
    monkeypatch.setattr(dvpp, "JPEGD_SIDE_MIN", int(smallest.max()) + 1)
    assert not hardware_spans(dataset, rows).any()
    assert_close(train_feed(dataset, "dvpp_on_cpu"), train_feed(dataset, "host"), equal=True)


@pytest.mark.parametrize("through_mindspore", [False, True])
def test_leaving_early_stops_the_pipeline(original_dataset, through_mindspore):
    feed = train_feed(original_dataset, "dvpp_on_cpu", last_step=1000)
    if through_mindspore:
        batches = feed.dataset().create_tuple_iterator(num_epochs=1, output_numpy=True)
        next(batches)
        batches.stop()
    else:
        batches = feed.reused()
        next(batches)
        batches.close()
    del batches
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("feed")]


def test_a_thread_that_mindspore_would_crash_on_is_refused(original_dataset):
    problems = []

    def read():
        try:
            next(iter(train_feed(original_dataset, "dvpp_on_cpu")))
        except UserError as error:
            problems.append(str(error))

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert "read it on the main one, or by dataset(), or take the feed host" in problems[0]


def test_the_devices_own_reason_is_told():
    """This MindSpore has no operators for Ascend; its message begins with "Exception thrown from dataset pipeline"."""
    reason = decoding_problem("Ascend")
    assert reason
    assert "Exception thrown" not in reason
    assert decoding_problem("CPU") is None
    assert interpolates_chroma("CPU")
    assert not interpolates_chroma("Ascend")


def test_the_first_910_is_told_that_mindspore_has_no_decoder_for_it(monkeypatch, tmp_path):
    assert hardware_problem() == "there is no Ascend driver"
    (tmp_path / "driver").touch()
    monkeypatch.setattr(dvpp, "DRIVER", tmp_path / "driver")
    assert hardware_problem() == "the device target is not Ascend"
    monkeypatch.setattr(ms, "get_context", lambda _name: "Ascend")
    monkeypatch.setattr(dvpp, "present_chip", lambda: CHIPS["ascend910"])
    assert "no decoder for the first Ascend 910, only for 910B" in hardware_problem()
    monkeypatch.setattr(dvpp, "present_chip", lambda: CHIPS["ascend910b"])
    assert hardware_problem() == decoding_problem("Ascend")


def choose(wanted, encoding, problem=None, rates=None):
    return choose_feed(wanted, encoding, "data", lambda: problem, lambda: rates)


def test_auto_takes_the_hardware_only_where_it_was_measured_faster():
    assert choose("auto", "yuv420").feed == "planes"
    faster = choose("auto", "original", rates=DecodingRates(1900, 1200))
    assert faster.feed == "dvpp"
    assert "1,900 images/s beside the host's 1,200 in a short measurement" in faster.sentence
    slower = choose("auto", "original", rates=DecodingRates(900, 1200))
    assert slower.feed == "host"
    assert "not the hardware: it decodes 900 images/s beside the host's 1,200" in slower.sentence
    absent = choose("auto", "jpeg", "there is no Ascend driver")
    assert absent.feed == "host"
    assert "there is no Ascend driver" in absent.sentence


def test_wishes_are_met_without_a_measurement_or_refused():
    for wanted in ("dvpp", "dvpp_on_cpu", "reference", "host"):
        assert choose(wanted, "jpeg").feed == wanted
    with pytest.raises(UserError, match=r"dvpp cannot be used, no driver: take the feed host"):
        choose("dvpp", "original", "no driver")
    with pytest.raises(UserError, match=r"stored as yuv420, which the host feed cannot read"):
        choose("host", "yuv420")


def test_a_measurement_is_kept_and_believed_until_it_is_damaged(original_dataset, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = tmp_path / "tinydarknet" / "decoding.json"
    feeds = [train_feed(original_dataset, feed, batch_size=2, threads=1) for feed in ("dvpp_on_cpu", "host")]
    rates = measured_rates(*feeds, "original", 1)
    assert min(rates.dvpp, rates.host) > 0
    (key,) = parse_object(file.read_bytes())
    assert ms.__version__ in key
    write_json(file, {key: {"dvpp": 2.0, "host": 1.0}, "another machine": 5})
    assert measured_rates(*feeds, "original", 1) == DecodingRates(2, 1)
    assert measured_rates(*feeds, "jpeg", 1) != DecodingRates(2, 1)
    write_json(file, {key: {"dvpp": "fast"}})
    assert replace(measured_rates(*feeds, "original", 1), host=0) != DecodingRates(2, 0)


class StandIn:
    """A feed that makes no batches, but notes who asked for some; it is as fast as the clock is fine."""

    where = "CPU"
    stream = SimpleNamespace(batch_size=2, world_size=8)

    def __init__(self, asked):
        self.asked = asked

    def reused(self):
        self.asked.add(threading.get_ident())
        yield from range(9)


def test_one_rank_of_a_host_measures_and_all_decide_alike(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked, together = set(), threading.Barrier(8)

    def rank(number):
        together.wait()
        return measured_rates(StandIn(asked), StandIn(asked), "original", 2 + number % 2)

    with ThreadPoolExecutor(8) as ranks:
        rates = set(ranks.map(rank, range(8)))
    assert len(asked) == len(rates) == 1


def test_where_no_measurement_can_be_kept_the_host_decodes(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    def measure():
        return measured_rates(StandIn(set()), StandIn(set()), "original", 1)

    choice = choose_feed("auto", "original", "data", lambda: None, measure)
    assert choice.feed == "host"
    assert "not the hardware: a measurement of it cannot be kept" in choice.sentence
