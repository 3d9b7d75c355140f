"""Several blobs at once, where the registry can do with it."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tuneguard.oci.client import Registry

T = TypeVar("T")


def all_of(jobs: Sequence[tuple[int, Callable[[], T]]], registry: Registry) -> list[T]:
    """What the jobs return, in their order; `concurrency` of them run at once, the largest first.

    A job comes with its bytes. The first error (or Ctrl-C) ends it: what has not begun never does, the
    registry is abandoned so that what is under way ends too, and the error is raised. With a concurrency
    of 1 they run here, in their order.
    """
    concurrency = registry.concurrency
    if concurrency < 2 or len(jobs) < 2:
        return [job() for _, job in jobs]
    with ThreadPoolExecutor(min(concurrency, len(jobs)), thread_name_prefix="transfer") as pool:
        order = sorted(range(len(jobs)), key=lambda number: -jobs[number][0])
        futures = {number: pool.submit(jobs[number][1]) for number in order}
        try:
            done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
            failed = next((future for future in done if future.exception() is not None), None)
            if failed is not None:
                failed.result()
        except BaseException:
            for future in futures.values():
                future.cancel()
            registry.abandon()
            raise
        return [futures[number].result() for number in range(len(jobs))]
