"""What a checkpoint says about itself, so that evaluating, exporting and predicting need nothing but the file."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from convert.dataset.manifest import ClassEntry, Manifest
from convert.errors import UserError
from convert.json_fields import from_json, parse_object
from tinydarknet.colour import Normalization
from tinydarknet.model.architecture import VARIANTS, VariantName

AmpDtype = Literal["float16", "bfloat16"]

DESCRIPTION_VERSION = 1


@dataclass(frozen=True)
class ModelDescription:
    """The network, the classes behind its logits, and what its input must look like."""

    variant: VariantName
    classes: tuple[ClassEntry, ...]
    """In the order of the logits."""
    normalization: Normalization
    image_size: int
    """Side of the square image it was trained on, pixels."""
    source: str
    """Where the weights come from, in words."""
    amp_level: str = "O0"
    """The mixed precision that it was trained with, and is evaluated with."""
    amp_dtype: AmpDtype = "float16"
    """What that lowers to."""

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ValueError(f"variant must be one of {tuple(VARIANTS)}, got {self.variant!r}")
        if len(self.classes) < 2:
            raise ValueError(f"a network has at least 2 classes, got {len(self.classes)}")

    @property
    def num_classes(self) -> int:
        """How many logits there are."""
        return len(self.classes)


@dataclass(frozen=True)
class RunState:
    """Where a training run stands."""

    step: int
    """Updates done; also the next step's number."""
    steps_per_epoch: int
    global_batch: int
    """Images in an update over all ranks: with `seed` it fixes which image comes when."""
    seed: int
    dataset_digest: str
    """Of the training set's manifest (logical_digest)."""
    best_top1: float = -1.0
    """Best evaluation so far, as a fraction; -1 before the first."""


@dataclass(frozen=True)
class Description:
    """The JSON text inside a checkpoint."""

    model: ModelDescription
    run: RunState | None = None
    """None where the weights are not one of our runs'."""

    def to_json(self) -> str:
        """Write as JSON."""
        return json.dumps({"version": DESCRIPTION_VERSION, **dataclasses.asdict(self)}, ensure_ascii=False)

    @staticmethod
    def from_json(text: str) -> Description:
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is something else, or of another version.
        """
        fields = parse_object(text)
        version = fields.pop("version", None)
        if version != DESCRIPTION_VERSION:
            raise ValueError(f"description version must be {DESCRIPTION_VERSION}, got {version!r}")
        if isinstance(model := fields.get("model"), dict):  # a checkpoint from before either was kept
            fields["model"] = {"amp_level": "O0", "amp_dtype": "float16", **model}
        return from_json(Description, fields)


def plain_classes(count: int) -> tuple[ClassEntry, ...]:
    """Stand-ins for classes that a foreign checkpoint does not name."""
    return tuple(ClassEntry(wnid="", name=f"class {label}") for label in range(count))


def check_classes(classes: tuple[ClassEntry, ...], manifest: Manifest, file: Path, dataset: Path) -> None:
    """Refuse a network whose logits mean other classes than a dataset's labels.

    Raises:
        UserError: other numbers of classes, or other classes; classes without wnid (foreign files) are not compared.
    """
    if len(classes) != len(manifest.classes):
        raise UserError(
            f"{file} tells {len(classes)} classes apart, the dataset {dataset} has {len(manifest.classes)}: "
            "use a checkpoint trained on these classes, or convert with --classes imagenet1k to keep all 1,000 labels"
        )
    for label, (ours, theirs) in enumerate(zip(classes, manifest.classes, strict=True)):
        if ours.wnid and ours.wnid != theirs.wnid:
            raise UserError(
                f"class {label} is {ours.wnid} in {file} and {theirs.wnid} in the dataset {dataset}: "
                "use a checkpoint trained on these classes"
            )
