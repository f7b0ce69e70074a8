"""Threads that hand work to one another stay on one CPU while they do, and only then."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from convert.dataset.mindrecord import one_cpu


def cpus() -> set[int]:
    return os.sched_getaffinity(0)


def test_threads_started_meanwhile_share_the_cpu_and_others_are_left_alone():
    before = cpus()
    with ThreadPoolExecutor(1) as older:
        assert older.submit(cpus).result() == before
        with one_cpu():
            assert len(cpus()) == 1
            assert cpus() <= before
            with ThreadPoolExecutor(1) as younger:
                assert younger.submit(cpus).result() == cpus()
            assert older.submit(cpus).result() == before
    assert cpus() == before


def test_the_cpus_come_back_after_an_error():
    before = cpus()
    with pytest.raises(RuntimeError), one_cpu():
        raise RuntimeError
    assert cpus() == before


def test_the_work_is_done_where_the_system_does_not_let_a_thread_choose(monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    with one_cpu():
        pass
