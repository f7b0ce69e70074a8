"""Which peers there are, what to install for each, and where its loader stands."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.peer_loaders.protocol import Loader


@dataclass(frozen=True)
class Peer:
    """One way to load images with another toolkit."""

    requirements: tuple[str, ...]
    """For pip; the first is the package whose version is reported."""
    module: str
    """In this folder, with a function `loader(variant)`."""
    variant: str = ""

    @property
    def package(self) -> str:
        """Name of the distribution."""
        return self.requirements[0].partition(">")[0]

    def loader(self) -> Loader:
        """The loader; imports no toolkit yet."""
        return importlib.import_module(f"benchmarks.peer_loaders.{self.module}").loader(self.variant)


PEERS: dict[str, Peer] = {
    "torchvision": Peer(("torchvision>=0.20",), "torchvision_loader"),
    "webdataset": Peer(("webdataset>=1.0", "torchvision>=0.20"), "webdataset_loader"),
    "spdl": Peer(("spdl-io>=0.8", "spdl-core>=0.8"), "spdl_loader"),
    "tf.data": Peer(("tensorflow-cpu>=2.16",), "tfdata_loader"),
    "dali": Peer(("nvidia-dali-cuda120>=1.40",), "dali_loader"),
    "ffcv-jpeg": Peer(("ffcv>=1.0.2", "torchvision>=0.20"), "ffcv_loader", "jpg"),
    "ffcv-raw": Peer(("ffcv>=1.0.2", "torchvision>=0.20"), "ffcv_loader", "raw"),
}
"""By the name that results carry."""
