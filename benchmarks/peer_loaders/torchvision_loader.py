"""torchvision's transforms behind PyTorch's DataLoader."""
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.peer_loaders.protocol import Loader, ReadsFiles, Request, long_list


def loader(variant: str) -> Loader:  # noqa: ARG001
    """The loader."""
    return _Torchvision()


def transforms(image_size: int) -> Any:
    """A PIL image in, uint8 [3, S, S] out."""
    from torchvision.transforms import v2

    return v2.Compose([v2.RandomResizedCrop(image_size), v2.RandomHorizontalFlip(), v2.PILToTensor()])


def augmented(image_size: int, draws: Mapping[str, float], mean: Sequence[float], std: Sequence[float]) -> Any:
    """A PIL image in, float32 [3, S, S] out; `draws` by the names of `tinydarknet.feed.Augmentation`."""
    from torchvision.transforms import v2

    scale, ratio = (draws["scale_min"], draws["scale_max"]), (draws["ratio_min"], draws["ratio_max"])
    return v2.Compose([
        v2.RandomResizedCrop(image_size, scale, ratio),
        v2.RandomHorizontalFlip(draws["flip"]),
        v2.ColorJitter(draws["brightness"], draws["contrast"], draws["saturation"], draws["hue"]),
        *normalized(mean, std),
    ])  # fmt: skip


def normalized(mean: Sequence[float], std: Sequence[float]) -> list[Any]:
    """A PIL image -> float32 [3, H, W]; both in grey levels."""
    import torch
    from torchvision.transforms import v2

    return [v2.PILToTensor(), v2.ToDtype(torch.float32), v2.Normalize(mean, std)]


def import_torchvision() -> None:
    """Import it also where its compiled part does not fit this build of PyTorch: nothing here uses that part."""
    import torch

    for name in ("nms", "qnms", ""):
        try:
            import torchvision  # noqa: F401
        except RuntimeError:
            if not name:
                raise
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


class _Torchvision(ReadsFiles):
    gives = "uint8 [B, 3, S, S]"

    def batches(self, request: Request) -> Iterator[Any]:
        from torch.utils.data import DataLoader

        data = _Files(request)
        loading = DataLoader(
            data, request.batch_size, shuffle=True, num_workers=request.workers, drop_last=True, persistent_workers=True
        )
        while True:
            for images, _ in loading:
                yield images


class _Files:
    """Map-style, as torchvision's ImageFolder."""

    def __init__(self, request: Request) -> None:
        self._images = [(path, request.label(path)) for path in long_list(request.images)]
        self._transform = transforms(request.image_size)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        from PIL import Image

        path, label = self._images[index]
        with path.open("rb") as stream:
            return self._transform(Image.open(stream).convert("RGB")), label
