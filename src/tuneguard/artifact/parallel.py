"""Hashes many files at once: one lane a core, largest files first, while the survey still goes on.

A lane is a thread that takes one job after the other. A job is one large file, which the thread
reads and hashes itself, or a block of small ones, which it hands to a worker process of its own:
small files are mostly interpreter work, and threads take turns at that. Worker processes start
only where there are enough small files to earn it, and then as soon as that is known.

::

    with Lanes(root, name) as lanes:
        survey(root, name=name, found=lanes.offer)      a folder at a time
        files = lanes.finish(task)                      File(path, size, SHA-256), in no order
        manifest = lanes.rechecked(make)                nothing changed after its turn

Nothing is mapped into memory: a file that is cut short must refuse, not kill us with SIGBUS.
Memory is a buffer of `limits.HASH_BUFFER` bytes a lane and an entry a file.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import partial
from itertools import count
from pathlib import Path
from queue import PriorityQueue
from subprocess import DEVNULL, PIPE, Popen
from typing import TYPE_CHECKING, NoReturn, Self, TypeVar

from tuneguard.artifact.hasher import ANSWER_BYTES, CODE, HEADER, UNSTEADY, Hasher
from tuneguard.artifact.manifest import File
from tuneguard.artifact.safe_open import STAMP_BYTES, Stamp, sizes_of
from tuneguard.artifact.tree import changed, raise_opening
from tuneguard.errors import CannotLook
from tuneguard.limits import KIB, MIB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from tuneguard.progress import Task

SMALL = 256 * KIB
"""Bytes up to which a file is small: the interpreter's share of the work is worth a process."""
BLOCK_FILES = 512
"""Small files handed over at once: some milliseconds of work, and answers that fit into a pipe."""
WORTH_PROCESSES = 2 * BLOCK_FILES
"""Small files from which starting processes costs less time than it saves."""
MOST_LANES = 32
"""Lanes on machines with many cores: memory stays bounded, and its bandwidth is used up."""
REPORT_BYTES = 8 * MIB
"""Bytes between two reports of progress."""
_BOOT = "import sys; sys.path.append(sys.argv[2]); from tuneguard.artifact.hasher import serve; serve()"
_PACKAGES = str(Path(__file__).resolve().parents[2])
_LAST = 1
_Result = TypeVar("_Result")
MakeHasher = Callable[[Callable[[int], None]], Hasher]
"""Makes a lane's own hasher, given the callback for bytes that are done."""


def cores() -> int:
    """The cores that this process may use, as far as more of them still make hashing faster."""
    return min(len(os.sched_getaffinity(0)), MOST_LANES)


class _Stopped(Exception):
    """Another lane failed, or the person interrupted: this work is not wanted any more."""


class Lanes:
    """The hashing of the files below the directory `root`, as a context manager.

    `name` is what messages call the tree; `workers` is the number of lanes, by default `cores`.
    Where `hasher` makes hashers of another kind, every file is left to them.
    """

    def __init__(
        self, root: int, name: str, workers: int | None = None, hasher: MakeHasher | None = None
    ) -> None:
        self.files: dict[str, Stamp] = {}
        self.jobs: PriorityQueue[tuple[int, int, Sequence[str]]] = PriorityQueue()
        self.stop = threading.Event()
        self.task: Task | None = None
        self._number = count()
        self._small: list[str] = []
        self._large: list[tuple[str, int]] = []
        self._workers = workers or cores()
        self._pool = ThreadPoolExecutor(self._workers, "hash")
        self._alone = hasher is not None or self._workers == 1
        make = hasher or partial(Hasher, root)
        self._lanes = [_Lane(self, root, name, make) for _ in range(self._workers)]
        self._running: list[Future[list[File]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop.set()
        self._end_jobs()
        self._pool.shutdown()
        for lane in self._lanes:
            lane.close()

    def offer(self, files: Mapping[str, Stamp]) -> None:
        """Take in the files of one more folder. Blocks of small ones are begun on at once."""
        self.files.update(files)
        for path, size in zip(files, sizes_of(files.values()), strict=True):
            if size <= SMALL:
                self._small.append(path)
            else:
                self._large.append((path, size))
        if self._running or (len(self._small) >= WORTH_PROCESSES and not self._alone):
            while len(self._small) >= BLOCK_FILES:
                self._put(0, self._small[-BLOCK_FILES:])
                del self._small[-BLOCK_FILES:]
            self._start(apart=True)

    def finish(self, task: Task) -> list[File]:
        """Hash all that was offered, and report to `task`. The files come in no order.

        Raises:
            ChangedWhileRead: a file is not what its stamp states.
            Refused: a link or something special stands in its place.
            CannotLook: it cannot be read.
        """
        self.task = task
        for path, size in self._large:
            self._put(-size, [path])
        # No lane should sit at a last long block while the others have nothing left.
        step = max(1, min(BLOCK_FILES, len(self._small) // (4 * self._workers)))
        for start in range(0, len(self._small), step):
            self._put(0, self._small[start : start + step])
        self._start(apart=False)
        self._end_jobs()
        return [file for files in self._joined(self._running) for file in files]

    def rechecked(self, make: Callable[[], _Result]) -> _Result:
        """What `make` returns, called while every file is looked at once more.

        Raises:
            ChangedWhileRead: a file changed after its turn, while others were still hashed.
        """
        looking = [self._pool.submit(lane.recheck) for lane in self._lanes]
        made = make()
        self._joined(looking)
        return made

    def _put(self, order: int, job: Sequence[str]) -> None:
        self.jobs.put((order, next(self._number), job))

    def _end_jobs(self) -> None:
        for _ in self._lanes:
            self._put(_LAST, [])

    def _start(self, *, apart: bool) -> None:
        if not self._running:
            self._running = [self._pool.submit(lane.run, apart=apart) for lane in self._lanes]

    def _joined(self, lanes: Sequence[Future[_Result]]) -> list[_Result]:
        """Wait for all lanes, or for the first that fails, whose error is raised."""
        wait(lanes, return_when=FIRST_EXCEPTION)
        failed = [lane for lane in lanes if lane.done() and lane.exception() is not None]
        if failed:
            self.stop.set()
        # Another lane's _Stopped is less useful than what stopped it.
        for lane in sorted(failed, key=lambda lane: isinstance(lane.exception(), _Stopped)):
            lane.result()
        return [lane.result() for lane in lanes]


class _Lane:
    """One lane: a hasher for large files, and a worker process for blocks of small ones."""

    def __init__(self, lanes: Lanes, root: int, name: str, make: MakeHasher) -> None:
        self._lanes = lanes
        self._root = root
        self._name = name
        self._hasher = make(self._done)
        self._worker: _Worker | None = None
        self._may_start = True
        self._unreported = 0

    def run(self, *, apart: bool) -> list[File]:
        """Take jobs until none are left; the files in them."""
        files: list[File] = []
        while job := self._lanes.jobs.get()[2]:
            worker = self._started() if apart and len(job) > 1 else None
            if worker is not None:
                hashed = self._accepted(job, worker.hash(job))
                self._done(sum([file.size for file in hashed]))
            else:
                hashed = self._accepted(job, self._hasher.block(job))
            files += hashed
        self._tell()
        return files

    def recheck(self) -> None:
        """Raise ChangedWhileRead if a file that was hashed here is no longer what it was."""
        for changed_here in (self._hasher.changed, self._worker.changed if self._worker else None):
            path = changed_here() if changed_here else None
            if path is not None:
                raise changed(self._name, path)

    def close(self) -> None:
        """End what this lane holds."""
        self._hasher.close()
        if self._worker is not None:
            self._worker.close()

    def _started(self) -> _Worker | None:
        """This lane's process; None where the system gives none, and the lane has to do."""
        if self._worker is None and self._may_start:
            try:
                self._worker = _Worker(self._root)
            except OSError:
                self._may_start = False
        return self._worker

    def _done(self, count: int) -> None:
        if self._lanes.stop.is_set():
            raise _Stopped
        self._unreported += count
        if self._unreported >= REPORT_BYTES:
            self._tell()

    def _tell(self) -> None:
        if self._lanes.task is not None:  # else the survey still goes on, and there is no bar yet
            self._lanes.task.advance(self._unreported)
            self._unreported = 0

    def _accepted(self, job: Sequence[str], answer: bytes) -> list[File]:
        """The files of `job`, compared as a whole with what the survey saw."""
        count = len(job)
        codes, digests, stamps = answer[: 4 * count], answer[4 * count : 36 * count], answer[36 * count :]
        expected = [self._lanes.files[path] for path in job]
        if codes != bytes(4 * count) or stamps != b"".join(expected):
            self._fail(job, codes, stamps)
        text = digests.hex()
        each = [text[start : start + 64] for start in range(0, 64 * count, 64)]
        return list(map(File, job, sizes_of(expected), each))

    def _fail(self, job: Sequence[str], codes: bytes, stamps: bytes) -> NoReturn:
        """Raise for the first file of `job` that could not be read or is not what it was."""
        for number, (path, (code,)) in enumerate(zip(job, CODE.iter_unpack(codes), strict=True)):
            stamp = stamps[number * STAMP_BYTES : (number + 1) * STAMP_BYTES]
            if code > 0:
                raise_opening(OSError(code, os.strerror(code)), f"{self._name}/{path}")
            if code == UNSTEADY or stamp != self._lanes.files[path]:
                raise changed(self._name, path)
        raise AssertionError


class _Worker:
    """A process that hashes blocks of files below `root` (`hasher.serve`).

    It is a fresh interpreter and not a fork: forking a process that runs threads, as one that
    imported torch does, can deadlock. It gets the directory's descriptor and nothing else of ours,
    and a session of its own, so that the person's Ctrl-C reaches us alone.
    """

    def __init__(self, root: int) -> None:
        command = [sys.executable, "-I", "-S", "-c", _BOOT, str(root), _PACKAGES]
        self._process = Popen(
            command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, pass_fds=(root,), start_new_session=True
        )

    def hash(self, paths: Sequence[str]) -> bytes:
        """`Hasher.block` over there. The block is read whole before any answer, so no pipe can jam."""
        return self._ask("".join([f"{path}\n" for path in paths]), ANSWER_BYTES * len(paths))

    def changed(self) -> str | None:
        """`Hasher.changed` over there."""
        (length,) = HEADER.unpack(self._ask("", HEADER.size))
        return self._read(length).decode() if length else None

    def close(self) -> None:
        """End the process. It holds nothing that a kill could damage."""
        self._process.kill()
        with contextlib.suppress(BrokenPipeError), self._process:
            pass

    def _ask(self, text: str, expected: int) -> bytes:
        assert self._process.stdin is not None
        block = text.encode()
        try:
            self._process.stdin.write(HEADER.pack(len(block)) + block)
            self._process.stdin.flush()
        except OSError as error:
            raise CannotLook("a process for hashing ended early") from error
        return self._read(expected)

    def _read(self, expected: int) -> bytes:
        assert self._process.stdout is not None
        answer = self._process.stdout.read(expected)
        if len(answer) != expected:
            raise CannotLook("a process for hashing ended early", help="see whether memory ran out")
        return answer
