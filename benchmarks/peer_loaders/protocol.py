"""What a peer's loader is: images in class folders in, endless training batches out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Request:
    """What a loader is asked for."""

    images: tuple[Path, ...]
    """JPEG files, each in a folder that is its class."""
    folder: Path
    """For the loader's own format, if it has one."""
    batch_size: int
    """Images per batch."""
    image_size: int
    """Pixels, height and width of what comes out."""
    workers: int
    """Threads, or processes where the toolkit works with processes."""

    def label(self, image: Path) -> int:
        """Number of an image's class, in [0, classes)."""
        return sorted({path.parent.name for path in self.images}).index(image.parent.name)


class Loader(Protocol):
    """Random resized crops (area 0.08 to 1, ratio 3/4 to 4/3) of the images, mirrored half of the time, without end."""

    reads: str
    """What it reads: files as they are, or its own format."""
    gives: str
    """Type and layout of a batch."""

    def prepare(self, request: Request) -> None:
        """Write the loader's own format into `request.folder`, which is empty; not timed."""
        ...

    def batches(self, request: Request) -> Iterator[Any]:
        """Batches as the toolkit's own arrays, [B, 3, S, S] or [B, S, S, 3]."""
        ...


class ReadsFiles:
    """Base of the loaders that read the JPEG files as they are."""

    reads = "JPEG files"

    def prepare(self, request: Request) -> None:
        """Nothing to do."""


EPOCH_IMAGES_MIN = 20_000
"""Few images are listed again and again up to this many, so that no turn measures the start of epochs."""


def long_list(images: tuple[Path, ...]) -> list[Path]:
    """The images, listed as often as a long epoch takes."""
    return list(images) * -(-EPOCH_IMAGES_MIN // len(images))
