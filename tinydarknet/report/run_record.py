"""A run's folder -> everything that a page shows; reads no dataset and no checkpoint."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from convert.errors import UserError
from convert.json_fields import from_json, parse_object
from tinydarknet.run_folder.dataset_card import DatasetCard
from tinydarknet.run_folder.log_reader import RunLog, read_log
from tinydarknet.run_folder.paths import CONFIG_NAME, ENVIRONMENT_NAME

PICTURE_BYTES_MAX = 4 << 20
"""A larger picture is linked, not embedded."""
PICTURES_MAX = 24
"""So many are shown; the rest is counted."""
SHEET_PREFIX = "sheet"
"""Pictures whose names start with it belong to the dataset: `tinydarknet.preview DIR --out RUN/sheet-train.png`."""

_MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg"}
_WIDE_PIXELS = 1200


@dataclass(frozen=True)
class Picture:
    """A picture file of the run."""

    name: str
    """Path below the run's folder, with /."""
    address: str
    """What an <img> or a link takes: a data: URI, or for a large file its path below the run's folder."""
    width: int
    """Pixels."""
    height: int
    embedded: bool

    @property
    def is_wide(self) -> bool:
        """Whether half a page is too narrow for it."""
        return self.width >= _WIDE_PIXELS or self.width > 1.5 * self.height


@dataclass(frozen=True)
class RunRecord:
    """All that a run's folder tells."""

    path: Path
    log: RunLog
    config: Mapping[str, Any]
    """The resolved options, nested ones joined by a dot."""
    environment: Mapping[str, Any]
    datasets: Mapping[str, DatasetCard]
    """By their part in the run, train and val; none if the run did not note them."""
    sheets: tuple[Picture, ...]
    """Contact sheets of the datasets."""
    pictures: tuple[Picture, ...]
    """Other pictures, such as evaluation's."""
    more_pictures: int
    """Pictures found but not listed."""

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.resolve().name


def read_run(path: Path) -> RunRecord:
    """Read the folder of one run.

    Raises:
        UserError: it is not there, or is no run's.
    """
    if not path.is_dir():
        raise UserError(f"{path} is not a folder: name the folder of a training run")
    log = read_log(path)
    environment = _object(path / ENVIRONMENT_NAME)
    try:
        datasets = from_json(dict[str, DatasetCard], environment.pop("datasets", {}), "datasets")
    except ValueError as error:
        raise UserError(
            f"{path / ENVIRONMENT_NAME} is damaged, its datasets are no cards ({error}): restore it"
        ) from error
    found = sorted(
        (file for pattern in ("*", "*/*") for file in path.glob(pattern) if file.suffix.lower() in (".png", ".jpg")),
        key=lambda file: file.relative_to(path).as_posix(),
    )
    pictures = [picture for file in found[:PICTURES_MAX] if (picture := _picture(path, file)) is not None]
    return RunRecord(
        path,
        log,
        flat(_object(path / CONFIG_NAME)),
        environment,
        datasets,
        tuple(entry for entry in pictures if Path(entry.name).name.startswith(SHEET_PREFIX)),
        tuple(entry for entry in pictures if not Path(entry.name).name.startswith(SHEET_PREFIX)),
        max(0, len(found) - PICTURES_MAX),
    )


def flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as one, their names joined by a dot, as the command line writes them."""
    result: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            result |= flat(value, f"{prefix}{name}.")
        else:
            result[f"{prefix}{name}"] = value
    return result


def default_options() -> dict[str, Any]:
    """The training options as they are when nobody sets them, in the form of `RunRecord.config`."""
    from tinydarknet.config import TrainConfig
    from tinydarknet.run_folder.paths import plain

    return flat(plain(TrainConfig(data_path=Path())))


def _object(path: Path) -> dict[str, Any]:
    try:
        return parse_object(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: name the folder of a training run") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}): restore it") from error


def _picture(folder: Path, path: Path) -> Picture | None:
    """The picture in `path`; None if it is no file, or no picture whatever its name says."""
    from PIL import Image

    if not path.is_file():
        return None
    try:
        with Image.open(path, formats=tuple(_MEDIA_TYPES)) as image:  # reads no more than its header
            # a JPEG that holds several images calls itself MPO
            media_type = _MEDIA_TYPES.get(str(image.format), "image/jpeg")
            width, height = image.width, image.height
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    name = path.relative_to(folder).as_posix()
    if path.stat().st_size > PICTURE_BYTES_MAX:
        return Picture(name, quote(name), width, height, embedded=False)
    content = base64.b64encode(path.read_bytes()).decode()
    return Picture(name, f"data:{media_type};base64,{content}", width, height, embedded=True)
