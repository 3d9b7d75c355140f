"""Several blobs at once: their order, their errors, and that nothing begins after one failed."""

from __future__ import annotations

import threading

import pytest

from tuneguard.oci.transfer import all_of


class Lanes:
    """What `all_of` needs of a registry."""

    def __init__(self, concurrency):
        self.concurrency, self.abandoned = concurrency, threading.Event()

    def abandon(self):
        self.abandoned.set()


@pytest.mark.parametrize("concurrency", [1, 2, 8])
def test_results_come_in_the_order_of_the_jobs(concurrency):
    assert all_of([(size, lambda size=size: size * 2) for size in (3, 1, 2)], Lanes(concurrency)) == [6, 2, 4]
    assert all_of([], Lanes(concurrency)) == []


def test_as_many_run_at_once_as_the_registry_allows():
    together = threading.Barrier(3)

    assert len(all_of([(1, together.wait)] * 3, Lanes(3))) == 3


def test_the_largest_begins_first():
    begun = []
    lock = threading.Lock()

    def job(size):
        with lock:
            begun.append(size)

    all_of([(size, lambda size=size: job(size)) for size in (1, 5, 3)], Lanes(2))
    assert begun[0] == 5


def test_the_first_error_is_raised_and_what_has_not_begun_never_does():
    begun = []
    concurrency = Lanes(2)

    def bad():
        raise ValueError("the disk is full")

    def good():
        begun.append(1)
        concurrency.abandoned.wait()

    with pytest.raises(ValueError, match="disk is full"):
        all_of([(99, bad), *[(1, good)] * 200], concurrency)
    assert len(begun) <= 2


def test_with_one_lane_everything_runs_in_this_thread():
    assert all_of([(1, threading.current_thread)] * 3, Lanes(1)) == [threading.current_thread()] * 3


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_ends_what_is_under_way_in_other_threads(error):
    registry = Lanes(2)
    waiting = threading.Event()

    def long():
        waiting.set()
        registry.abandoned.wait()

    def bad():
        waiting.wait()
        raise error

    with pytest.raises(error):
        all_of([(9, long), (1, bad)], registry)
