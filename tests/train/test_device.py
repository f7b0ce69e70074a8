"""Cards as far as a host without one can tell: what npu-smi says of them, where ranks go, and a card that does not work."""

import pytest

from convert.errors import UserError
from tinydarknet import ascend, device, rank_share
from tinydarknet.config import DeviceConfig

NPU_SMI = """
+------------------------------------------------------------------------------------------------+
| npu-smi 25.5.2                   Version: 25.5.2                                               |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     910B3               | OK            | 91.3        36                0    / 0             |
| 0                         | 0000:C1:00.0  | 0           0    / 0          3161 / 65536         |
+===========================+===============+====================================================+
| 1     910B3               | Warning       | 92.9        45                0    / 0             |
| 0                         | 0000:81:00.0  | 0           0    / 0          3395 / 65536         |
+===========================+===============+====================================================+
| 2     910B3               | OK            | 89.3        46                0    / 0             |
| 0                         | 0000:C2:00.0  | 0           0    / 0          3391 / 65536         |
+===========================+===============+====================================================+
| 3     910B3               | OK            | 89.3        46                0    / 0             |
| 0                         | 0000:01:00.0  | 0           0    / 0          3391 / 65536         |
+===========================+===============+====================================================+
+---------------------------+---------------+----------------------------------------------------+
| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |
+===========================+===============+====================================================+
| No running processes found in NPU 0                                                            |
+===========================+===============+====================================================+
"""
"""As logs that people have published show it."""


@pytest.fixture
def four_cards(monkeypatch, tmp_path):
    """Cards 0 and 2 at node 1, cards 1 and 3 at node 0; returns where the kernel says so."""
    (tmp_path / "npu-smi.txt").write_text(NPU_SMI)
    program = tmp_path / "npu-smi"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/npu-smi.txt\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name, node in (("0000:c1:00.0", 1), ("0000:81:00.0", 0), ("0000:c2:00.0", 1), ("0000:01:00.0", 0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "numa_node").write_text(f"{node}\n")
    return tmp_path


def test_npu_smis_table_is_read(four_cards):
    cards = ascend.present_cards()
    assert [(card.name, card.health) for card in cards[:2]] == [("910B3", "OK"), ("910B3", "Warning")]
    assert [card.bus_id for card in cards] == ["0000:C1:00.0", "0000:81:00.0", "0000:C2:00.0", "0000:01:00.0"]


def test_ranks_go_where_their_cards_are(four_cards, monkeypatch):
    nodes = [frozenset(range(4)), frozenset(range(4, 8))]

    def nodes_of_ranks(ranks):
        card_nodes = ascend.visible_card_nodes(four_cards)
        return [rank_share.share_of_rank(frozenset(range(8)), nodes, rank, ranks, card_nodes) for rank in range(ranks)]

    shares = nodes_of_ranks(4)
    assert [share.nodes for share in shares] == [(1,), (0,), (1,), (0,)]
    assert [share.ranks for share in shares] == [2] * 4
    assert shares[0].processors == nodes[1]
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "3,0")
    assert [share.nodes for share in nodes_of_ranks(2)] == [(1,), (0,)]
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "0,2")  # both at node 1
    assert [(share.nodes, share.ranks) for share in nodes_of_ranks(2)] == [((1,), 2)] * 2


def test_without_the_kernels_word_ranks_go_in_order(four_cards):
    (four_cards / "0000:81:00.0" / "numa_node").write_text("-1\n")
    assert ascend.visible_card_nodes(four_cards) == []


def test_some_processors_are_left_to_what_feeds_the_card():
    share = rank_share.Share(frozenset(range(24)), 1)
    assert rank_share.feed_threads(share, float("inf"), 1, device.DISPATCH_THREADS) == 22
    assert rank_share.feed_threads(rank_share.Share(frozenset([0]), 1), float("inf"), 1, 2) == 1


def test_a_card_that_is_there_but_does_not_work_is_told(monkeypatch):
    """set_device only stores its setting: the first operator fails."""
    import mindspore as ms

    def broken(*_):
        raise RuntimeError("Call aclrtSetDevice failed, ret: 507033.\n\n----\n- C++ Call Stack")

    monkeypatch.setattr(device, "_has_ascend", lambda: True)
    monkeypatch.setattr(device, "visible_card_nodes", list, raising=False)
    for name in ("set_device", "set_context", "set_seed"):
        monkeypatch.setattr(ms, name, lambda *_, **__: None)
    monkeypatch.setattr(ms.ops, "add", broken)
    with pytest.raises(UserError, match=r"cannot use device Ascend 0 \(Call aclrtSetDevice failed, ret: 507033\)"):
        device.set_up(DeviceConfig(device_target="Ascend"))


def test_the_jit_level_reaches_mindspore():
    import mindspore as ms

    before = ms.get_context("jit_config")
    try:
        device.set_up(DeviceConfig(device_target="CPU", jit_level="O1"))
        assert ms.get_context("jit_level") == "O1"
    finally:
        ms.set_context(jit_config=before or {"jit_level": "O0"})  # what the CPU takes where nothing is said
