"""The one place that touches device, rank and environment.

Nothing here was run on Ascend; it follows the installed package and its documentation.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.errors import UserError
from convert.processors import allowed_processors, cgroup_processors
from tinydarknet.ascend import CHIPS, DRIVER, Chip, present_chip, reason_of, visible_card_nodes
from tinydarknet.config import AmpLevel, DeviceConfig, OptimizerConfig
from tinydarknet.model.description import AmpDtype
from tinydarknet.rank_share import Share, bind, feed_threads, memory_nodes, share_of_rank

ISA_VARIABLE = "ONEDNN_MAX_CPU_ISA"
ISA_CAP = "AVX2"
ISA_CAP_SINCE = (2, 9)
"""First MindSpore release whose oneDNN (3.10.1) sends 3x3 float32 convolutions to its reference kernel on AVX-512."""

RANKS_VARIABLE = "MS_WORKER_NUM"
"""Ranks of a run; set by msrun in every worker it starts, like the next."""
LOCAL_RANK_VARIABLE = "DEVICE_ID"
LOCAL_RANKS_VARIABLE = "TINYDARKNET_LOCAL_RANKS"
"""Ranks on this host; set by tinydarknet.launch. Without it all ranks are taken to be on this host."""

DISPATCH_THREADS = 2
"""Processors of a rank on a card that make no batches: they launch its kernels and hand its batches over."""

LOST_CONNECTION = re.compile(
    r"The state of the cluster is error|Launch kernel failed: \S*All(Reduce|Gather)|Kill this process with SIGTERM"
    r"|connection to the other ranks is lost"
)
"""What a rank says, and MindSpore in its name, when it misses the others."""

EXIT_TERMINATED = 75
"""A run that was told to stop, saved, and stopped: EX_TEMPFAIL of sysexits.h, 'try again later'."""


@dataclass(frozen=True)
class Device:
    """Where this process runs, and as which of how many."""

    target: str
    """Ascend, GPU or CPU."""
    rank: int
    world_size: int
    feed_threads: int = 1
    """Threads that make this rank's batches."""
    soc: str = ""
    """The Ascend's generation as MindSpore names it; empty where it is none, or one that is not known here."""

    @property
    def is_first(self) -> bool:
        """Whether this rank writes the files and speaks for all."""
        return self.rank == 0

    def amp_level(self, wanted: AmpLevel) -> str:
        """The mixed precision level: the reference's per device unless one is wanted."""
        return {"Ascend": "O3", "GPU": "O2"}.get(self.target, "O0") if wanted == "auto" else wanted

    @property
    def chip(self) -> Chip | None:
        """What this generation of the Ascend can do."""
        return CHIPS.get(self.soc)

    def follows_overflows(self, config: OptimizerConfig) -> bool:
        """Whether the loss scale is dynamic: as wanted, else where float16 overflows to infinity."""
        lowers = self.amp_level(config.amp_level) != "O0" and config.amp_dtype == "float16"
        overflows = self.chip is not None and not self.chip.hides_overflow
        return config.is_dynamic_loss_scale or (lowers and overflows and not config.fixed_loss_scale)

    def supports(self, dtype: AmpDtype) -> bool:
        """Whether networks can be lowered to this type here."""
        return dtype == "float16" or (self.target == "Ascend" and (self.chip is None or self.chip.has_bfloat16))


def set_up(config: DeviceConfig, seed: int = 0) -> tuple[Device, list[str]]:
    """Choose the device, keep to the rank's processors, join the other ranks, switch to graph mode.

    Returns:
        The device, and the sentences that the user should read about what was chosen.

    Raises:
        UserError: the device is not there, or the other ranks cannot be reached.
    """
    notes = cap_cpu_isa()
    import mindspore as ms

    target = config.device_target
    if target == "auto":
        target = "Ascend" if _has_ascend() else "CPU"
        notes.append(f"running on {target} (device_target auto)")
    elif target == "Ascend" and not _has_ascend():
        raise UserError("no Ascend device, or its driver and CANN are not installed: use --device-target CPU, or auto")
    ranks = int(os.environ.get(RANKS_VARIABLE, "1"))
    threads, binding = _keep_to_share(ranks, target)
    notes += binding
    try:
        if target == "CPU" and ms.get_context("device_target") == "CPU":
            pass  # MindSpore refuses to be told again once an operator has run
        elif target == "CPU" or ranks > 1:
            ms.set_device(target)
        else:
            ms.set_device(target, config.device_id)
        ms.set_context(mode=ms.GRAPH_MODE)
        if config.jit_level != "auto":
            ms.set_context(jit_config={"jit_level": config.jit_level})
        if config.deterministic and target != "CPU":  # before the ranks meet, for their collectives too
            ms.set_deterministic(True)
        ms.set_seed(seed)
        rank, world_size = (0, 1) if ranks == 1 else _join_ranks(ranks)
        if target != "CPU":
            _try_device()
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"cannot use device {target} {config.device_id} ({reason_of(error)}): see whether npu-smi info lists it as "
            "free and healthy; choose another --device-id, or --device-target CPU"
        ) from error
    chip = present_chip() if target == "Ascend" else None
    return Device(target, rank, world_size, threads, chip.name if chip else ""), notes


def _try_device() -> None:
    """One addition: set_device only stores its setting, a busy or broken card fails at the first operator."""
    import mindspore as ms

    ms.ops.add(ms.Tensor([1.0]), ms.Tensor([1.0])).asnumpy()


def _keep_to_share(ranks: int, target: str) -> tuple[int, list[str]]:
    """Bind this rank to its memory node where the host has several; its feed's threads, and a sentence if it is bound."""
    on_card = target == "Ascend"
    local_ranks = int(os.environ.get(LOCAL_RANKS_VARIABLE, str(ranks))) if ranks > 1 else 1
    local_rank = int(os.environ.get(LOCAL_RANK_VARIABLE, "0")) if ranks > 1 else 0
    cards = visible_card_nodes() if on_card and local_ranks > 1 else []
    share: Share = share_of_rank(allowed_processors(), memory_nodes(), local_rank, local_ranks, cards)
    bind(share)
    threads = feed_threads(share, cgroup_processors(), local_ranks, DISPATCH_THREADS if on_card else 0)
    if not share.nodes:
        return threads, []
    nodes = " and ".join(map(str, share.nodes))
    return threads, [
        f"rank {local_rank} of this host keeps to memory node {nodes}: {len(share.processors)} processors among "
        f"{share.ranks} ranks, {threads} threads make batches"
    ]


def _join_ranks(ranks: int) -> tuple[int, int]:
    """Find the other ranks; this one's number, and how many there are."""
    import mindspore as ms
    from mindspore.communication import get_group_size, get_rank, init

    try:
        init()
    except RuntimeError as error:
        if "timed out node" in str(error):  # the scheduler's, after a rank was lost
            raise UserError(f"ranks do not answer any longer ({reason_of(error)})") from error
        raise UserError(
            f"{ranks} ranks could not find each other ({reason_of(error)}): choose another --master-port, "
            "or check that every host reaches --master-addr"
        ) from error
    world_size = get_group_size()
    ms.set_auto_parallel_context(
        parallel_mode=ms.ParallelMode.DATA_PARALLEL, gradients_mean=True, device_num=world_size
    )
    return get_rank(), world_size


def sum_over_ranks(device: Device, counts: np.ndarray) -> np.ndarray:
    """Add up integer counts [n] of all ranks, int64 [n]; a float32 sum, exact below 2**24 (the CPU knows no other).

    Raises:
        ValueError: a sum is too large to be exact.
    """
    if device.world_size == 1:
        return counts.astype(np.int64)
    from mindspore import Tensor, ops

    total = ops.AllReduce()(Tensor(counts.astype(np.float32))).asnumpy()
    if total.max() >= 2**24:
        raise ValueError(f"counts over ranks must stay below 2**24 to be exact, got {int(total.max())}")
    return np.rint(total).astype(np.int64)


def mean_over_ranks(device: Device, values: np.ndarray) -> np.ndarray:
    """The mean of all ranks' float32 values [n], float32 [n]; the same bits on every rank."""
    if device.world_size == 1:
        return values
    from mindspore import Tensor, ops

    return ops.AllReduce()(Tensor(values)).asnumpy() / np.float32(device.world_size)


def gather_over_ranks(device: Device, rows: np.ndarray) -> np.ndarray:
    """All ranks' rows, one rank after the other, bit by bit: [n, ...] of any dtype to [world_size * n, ...].

    They travel as float32 numbers of 16 bits each, which every backend gathers exactly. Each rank gives as many rows.

    Raises:
        ValueError: the bytes of a row are no multiple of 2.
    """
    if rows.nbytes % 2:
        raise ValueError(f"rows must take an even number of bytes, got {rows.nbytes}")
    if device.world_size == 1:
        return rows
    from mindspore import Tensor, ops

    pieces = np.frombuffer(np.ascontiguousarray(rows).tobytes(), np.uint16).astype(np.float32)
    gathered = ops.AllGather()(Tensor(pieces)).asnumpy().astype(np.uint16)
    return np.frombuffer(gathered.tobytes(), rows.dtype).reshape(-1, *rows.shape[1:])


def cap_cpu_isa() -> list[str]:
    """Keep oneDNN off AVX-512 where that is far slower; takes effect until the first convolution.

    Measured on 2 cores with MindSpore 2.10: a training step of batch 4 takes 25 s uncapped,
    one of batch 32 takes 5.3 s with the cap.
    """
    import mindspore as ms

    version = tuple(int(part) for part in ms.__version__.split(".")[:2])
    if version < ISA_CAP_SINCE or ISA_VARIABLE in os.environ or not _has_avx512():
        return []
    os.environ[ISA_VARIABLE] = ISA_CAP
    return [
        f"set {ISA_VARIABLE}={ISA_CAP}: on this processor MindSpore {ms.__version__} is several times faster with it"
    ]


def _has_avx512() -> bool:
    flags = Path("/proc/cpuinfo")
    return flags.is_file() and "avx512f" in flags.read_text()


def _has_ascend() -> bool:
    """Whether MindSpore finds CANN and a card; it logs warnings where it does not, so look for the driver first."""
    if not DRIVER.exists():
        return False
    import mindspore as ms

    return bool(ms.device_context.ascend.is_available())


def versions() -> dict[str, str]:
    """What a result depends on: interpreter, libraries, machine."""
    import mindspore as ms

    return {
        "python": platform.python_version(),
        "mindspore": ms.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "system": platform.platform(),
        "cpu_count": str(os.cpu_count()),
        "cpu_isa_cap": os.environ.get(ISA_VARIABLE, ""),
    }
