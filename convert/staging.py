"""The staging folder of a conversion: whose work lies in it, and who may go on with it.

OUT/.staging/plan.json          what is being made: options, source, versions
OUT/.staging/lock               held by the one run that works here; the system drops it with the process
OUT/.staging/shard-00007.parquet   commit mark of a finished shard (convert.record)
OUT/.staging/work-00009-...     a shard in the making; rubbish once no run is active
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convert.errors import UserError
from convert.files import leftovers, make_folder, sync_path, write_bytes
from convert.index import INDEX_NAME
from convert.manifest import MANIFEST_NAME, STAGING_NAME

PLAN_NAME = "plan.json"
LOCK_NAME = "lock"
WORK_PREFIX = "work-"
"""Of the folders where shards are being made."""
_PATH_BYTES_MAX = 384
"""Of the output's path: SQLite, which writes the shards' indexes, takes 512 bytes with the work folder's and the file's name."""


def differences(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """What distinguishes two plans, one phrase per field."""
    return [
        f"{name} was {found.get(name)!r}, now {wanted.get(name)!r}"
        for name in sorted({*wanted, *found})
        if wanted.get(name) != found.get(name)
    ]


def is_finished(output: Path) -> bool:
    """Whether a folder holds a dataset.

    Raises:
        UserError: that cannot be looked up.
    """
    try:
        return (output / MANIFEST_NAME).is_file()
    except OSError as error:
        raise UserError(f"cannot look into {output} ({error.strerror}): name a folder that can be written") from error


def check_output(output: Path) -> None:
    """Refuse a place where no conversion can begin or go on.

    Raises:
        UserError: it is a file or below one, its path is too long, or it is a folder that holds something else.
    """
    for place in (output, *output.absolute().parents):
        if place.exists() and not place.is_dir():
            raise UserError(f"{place} is a file: name a folder for the dataset")
    if len(os.fsencode(output.absolute())) > _PATH_BYTES_MAX:
        raise UserError(
            f"the path {output} is longer than the {_PATH_BYTES_MAX} bytes that MindRecord can work in: name another folder"
        )
    if output.is_dir() and not (output / STAGING_NAME).is_dir() and any(output.iterdir()):
        raise UserError(f"{output} is neither empty nor a conversion begun earlier: name an empty or a new folder")


@contextmanager
def opened(output: Path, plan: dict[str, Any]) -> Iterator[None]:
    """Hold the staging folder for this run; what an earlier run left of the same plan is kept.

    Args:
        output: the dataset directory; made if missing.
        plan: everything that the output is a function of; JSON values.

    Raises:
        UserError: another run is active, the output is not empty, or staged work is of another plan.
    """
    check_output(output)
    staging = output / STAGING_NAME
    try:
        make_folder(staging)
    except OSError as error:
        raise UserError(f"cannot make {staging} ({error.strerror}): name a folder that can be written") from error
    with _locked(output):
        if is_finished(output):
            raise UserError(f"another run has finished {output} meanwhile: run the command again to compare")
        with writing(output):
            _keep_plan(staging, plan)
            for rubbish in staging.glob(f"{WORK_PREFIX}*"):
                shutil.rmtree(rubbish)
            _remove_unpublished(output)
        yield
        if is_finished(output):
            with writing(output):
                _remove(output)


@contextmanager
def writing(output: Path) -> Iterator[None]:
    """Turn the system's refusals to write below `output` into a UserError; nothing else belongs in the block."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{output} cannot be written ({error}): put it right and run the same command again") from error


def clear(output: Path) -> None:
    """Remove what a run left that died between its manifest and its end; `output` is a finished dataset."""
    if (output / STAGING_NAME).is_dir():
        with _locked(output):
            _remove(output)
    _remove_unpublished(output)  # nobody is publishing: where there is a manifest, no run begins


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    with writing(output):
        lock = (output / STAGING_NAME / LOCK_NAME).open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"another run is converting into {output}: wait for it or stop it") from error
        except OSError as error:
            raise UserError(
                f"files in {output} cannot be locked ({error.strerror}): name a folder elsewhere"
            ) from error
        yield


def _remove(output: Path) -> None:
    shutil.rmtree(output / STAGING_NAME)
    sync_path(output)


def _remove_unpublished(output: Path) -> None:
    """Remove what is left of an index or a manifest whose writer was killed."""
    for name in (INDEX_NAME, MANIFEST_NAME):
        for path in leftovers(output / name):
            path.unlink()


def _keep_plan(staging: Path, plan: dict[str, Any]) -> None:
    path = staging / PLAN_NAME
    if not path.is_file():
        write_bytes(path, (json.dumps(plan, indent=1) + "\n").encode())
        return
    try:
        found = json.loads(path.read_bytes())
        if not isinstance(found, dict):
            raise ValueError("it holds no settings")
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): remove {staging.parent} and convert again") from error
    # through JSON, so that tuples compare equal to lists
    if changed := differences(json.loads(json.dumps(plan)), found):
        raise UserError(
            f"{staging.parent} holds an unfinished conversion with other settings ({'; '.join(changed)}): "
            "run it again with those, or name another folder"
        )
