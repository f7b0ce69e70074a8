"""Milestones and event files: tables."""

import struct

import pytest

from tinydarknet.training.milestones import Milestones
from tinydarknet.training.tensorboard import EventWriter, masked_crc32c


@pytest.mark.parametrize(
    ("first", "every", "evaluate", "expected"),
    [(0, 10, 10, 10), (0, 4, 10, 2), (0, 10, 0, 10), (10, 10, 20, 10), (4, 4, 10, 2), (7, 10, 10, 1), (0, 5, 10, 5)],
)
def test_stretch_meets_every_milestone(first, every, evaluate, expected):
    marks = Milestones(10, 40, every, evaluate)
    assert marks.stretch(first) == expected
    visited = set(range(first, 41, expected))
    assert {
        s for s in range(first + 1, 41) if marks.saves_after(s) or marks.evaluates_after(s) or s % 10 == 0
    } <= visited


def test_the_last_step_saves_and_evaluates():
    marks = Milestones(10, 45, 20, 20)
    assert [s for s in range(46) if s and marks.saves_after(s)] == [20, 40, 45]
    assert [s for s in range(46) if s and marks.evaluates_after(s)] == [20, 40, 45]
    assert not Milestones(10, 45, 20, 0).evaluates_after(45)


def test_tensorboard_checksums_and_records(tmp_path):
    """CRC-32C of 32 zero bytes is 8A9136AA (RFC 3720, B.4); TensorBoard's mask is applied on top."""
    crc = 0x8A9136AA
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert masked_crc32c(bytes(32)) == masked.to_bytes(4, "little")
    path = tmp_path / "events.out.tfevents.1"
    with EventWriter(path, 1.0) as writer:
        writer.scalars(300, 2.0, {"loss": 0.5})
    data, records = path.read_bytes(), []
    while data:
        length = int.from_bytes(data[:8], "little")
        assert data[8:12] == masked_crc32c(data[:8])
        records.append(data[12 : 12 + length])
        assert data[12 + length : 16 + length] == masked_crc32c(records[-1])
        data = data[16 + length :]
    assert records[0] == b"\x09" + struct.pack("<d", 1.0) + b"\x1a\x0dbrain.Event:2"
    value = b"\x0a\x04loss\x15" + struct.pack("<f", 0.5)
    summary = b"\x0a" + bytes([len(value)]) + value
    assert records[1] == b"\x09" + struct.pack("<d", 2.0) + b"\x10\xac\x02\x2a" + bytes([len(summary)]) + summary
