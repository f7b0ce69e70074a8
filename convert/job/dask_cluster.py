"""A Dask cluster as an executor: the same tasks on other machines, over a file system that all of them share.

Dask notices dead workers and gives their tasks to others; a task that is done twice makes the same bytes twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convert.dataset.manifest import STAGING_NAME
from convert.errors import UserError
from convert.job import worker_pool
from convert.job.plan import versions_used
from convert.job.staging import PLAN_NAME

SCHEME = "dask://"
_CONNECT_SECONDS = 20


@contextmanager
def dask_executor(
    address: str, source: Path, output: Path, advice: str, tasks_in_progress: worker_pool.TasksInProgress = dict
) -> Iterator[Executor]:
    """Connect to the scheduler at `dask://host:port`; what has not begun is cancelled when the block ends.

    Args:
        address: of the scheduler.
        source: that every worker must see.
        output: that every worker must see.
        advice: what to do when workers have died, see `worker_pool.process_pool`.
        tasks_in_progress: what the workers are making.

    Raises:
        UserError: Dask is not installed, no scheduler answers, there are no workers, a worker sees other files or
            has other versions than this machine, or the scheduler gave up a task because its workers died.
    """
    try:
        from distributed import Client, KilledWorker  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(f"--executor {address} needs Dask: pip install 'tinydarknet[dask]'") from error
    try:
        client: Any = Client(address.replace(SCHEME, "tcp://"), timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise UserError(f"no Dask scheduler answers at {address}: start 'dask scheduler' there") from error
    with client:
        _check_workers(client, address, source, output)
        executor = client.get_executor(pure=False)
        try:
            yield executor
        except (KilledWorker, CancelledError) as error:
            raise UserError(
                f"Dask at {address} gave up: {worker_pool.explain_deaths({}, tasks_in_progress(), advice)}"
            ) from error
        finally:
            executor.shutdown(wait=False)


def _check_workers(client: Any, address: str, source: Path, output: Path) -> None:
    here = look_around(source, output)
    seen = client.run(look_around, source, output)
    if not seen:
        raise UserError(
            f"the Dask scheduler at {address} has no workers: start 'dask worker --nthreads 1' on your machines"
        )
    for worker, view in seen.items():
        for name, value in here.items():
            if view[name] != value:
                raise UserError(
                    f"the Dask worker {worker} differs in {name} ({view[name]!r}, here {value!r}): all must share files and versions"
                )


def look_around(source: Path, output: Path) -> dict[str, Any]:
    """What a machine sees of a conversion; equal on all of them when they share a file system and versions."""
    plan = output / STAGING_NAME / PLAN_NAME
    return {
        "source": source.exists(),
        "plan": hashlib.sha256(plan.read_bytes()).hexdigest() if plan.is_file() else None,
        "versions": versions_used(),
    }
