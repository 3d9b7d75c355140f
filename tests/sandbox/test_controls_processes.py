"""The controls pid, memory, processes, deadline, tried by the command and by killing everything around it."""

import fcntl
import json
import os
import signal
import subprocess
import sys

import pytest

from tuneguard.errors import UsageError
from tuneguard.sandbox.controls import CONTROLS
from tuneguard.sandbox.state import ControlState
from world.cage import MIB, confinement, of_its_own_user, package_folders, past_deadline, python, run

pytestmark = pytest.mark.sandbox


def is_free(path):
    """Whether no process holds a lock on the file: a process that held one is dead."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


# --- pid ------------------------------------------------------------------------------------------


def test_the_command_sees_itself_and_its_init_and_nobody_else(backend):
    ran = python(
        backend,
        f"""
        seen = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
        host = attempt(os.kill, {os.getpid()}, 0)
        say({{"seen": seen == [1, os.getpid()], "parent": os.getppid(), "host": host}})
        """,
    )

    assert ran.said == {"seen": True, "parent": 1, "host": "ESRCH"}
    assert ran.outcome.control("pid").state is ControlState.PROVEN


def test_a_daemon_that_was_left_behind_is_dead_when_the_run_is_over(backend, out):
    """It left its session and its parent, and ignores all signals that can be ignored."""
    ran = python(
        backend,
        """
        import fcntl, signal
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)
                lock = open("/inside/out/lock", "ab")
                fcntl.flock(lock, fcntl.LOCK_EX)
                os.write(writer, b"1")
                time.sleep(3600)
            os._exit(0)
        os.read(reader, 1)
        say("left")
        """,
        out,
    )

    assert ran.said == "left"
    assert is_free(out.source / "lock")


def test_no_signal_from_inside_ends_the_init(backend):
    ran = python(
        backend,
        """
        import signal
        for name in ("SIGKILL", "SIGTERM", "SIGINT", "SIGSTOP", "SIGHUP", "SIGCHLD"):
            number = getattr(signal, name)
            with contextlib.suppress(OSError):
                os.kill(1, number)
        say(open("/proc/1/stat").read().rsplit(")", 1)[1].split()[0])
        """,
    )

    assert ran.said in ("S", "R")


SUPERVISOR = """
import json, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from tuneguard.sandbox.bubblewrap import Bubblewrap
from tuneguard.sandbox.environment import clean_environment
from tuneguard.sandbox.unshare import Unshare
from tuneguard.sandbox.unsafe import UnsafeNoSandbox
from tuneguard.sandbox.controls import Bind, Confinement
backend = {b.name: b for b in (Unshare(), Bubblewrap(), UnsafeNoSandbox())}[sys.argv[1]]
outcome = backend.run(Confinement(
    ("/bin/sh", "-c", sys.argv[4]), (Bind(Path(sys.argv[3]), "/inside/out", True),), "/inside/out",
    clean_environment(), 120.0, grace=float(sys.argv[5]), memory=1 << 28, processes=16,
    output=lambda line: print(line.decode(), flush=True)))
print(json.dumps([outcome.code, outcome.signal, outcome.stopped]), flush=True)
"""


def supervisor(backend, out, script, grace=60):
    """Another process that runs `script` in a sandbox, at the moment when it has said "ready"."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            SUPERVISOR,
            backend.name,
            package_folders(),
            str(out.source),
            script,
            str(grace),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_when_the_supervisor_is_killed_the_command_dies_with_it_and_nothing_is_left(
    backend, out, tmp_path, monkeypatch
):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    process = supervisor(backend, out, "exec 9>lock; flock 9; echo ready; exec sleep 3600")

    process.kill()
    process.communicate()

    with (out.source / "lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # waits for the death; the test's timeout is the bound
    assert list((tmp_path / "temporary").iterdir()) == []


# --- interrupts and the deadline ------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_supervisor_lets_the_command_finish_its_work_and_says_so(backend, out, number):
    script = "trap 'echo saved > state; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    process = supervisor(backend, out, script)

    process.send_signal(number)
    said, _ = process.communicate()

    assert json.loads(said) == [3, None, "interrupt"]
    assert (out.source / "state").read_text() == "saved\n"


def test_signals_that_the_supervisor_has_blocked_reach_the_command_all_the_same(any_backend):
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])
    try:
        outcome = run(any_backend, ("/bin/sh", "-c", "kill -USR1 $$")).outcome
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    assert outcome.signal == signal.SIGUSR1


def test_a_second_interrupt_does_not_wait_for_the_grace(backend, out):
    script = "trap 'echo refusing' TERM; echo ready; while :; do sleep 0.05; done"
    process = supervisor(backend, out, script, grace=3600)
    assert process.stdout is not None

    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "refusing\n"
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate()

    assert json.loads(said.splitlines()[-1]) == [None, signal.SIGKILL, "interrupt"]


def test_at_the_deadline_the_command_may_save_and_is_not_called_a_success(backend, out):
    script = "trap 'echo saved > /inside/out/state; exit 0' TERM; echo ready; while :; do sleep 0.05; done"

    outcome = past_deadline(backend, script, out, grace=3600.0).outcome

    assert (outcome.code, outcome.signal, outcome.stopped) == (0, None, "deadline")
    assert not outcome.succeeded
    assert outcome.control("deadline").state is ControlState.PROVEN
    assert (out.source / "state").read_text() == "saved\n"


def test_a_command_that_ignores_the_deadline_is_killed_after_the_grace(backend):
    script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"

    ran = past_deadline(backend, script, grace=0.2)

    assert ran.lines == (b"ready",)
    assert (ran.outcome.code, ran.outcome.signal, ran.outcome.stopped) == (None, signal.SIGKILL, "deadline")


def test_a_deadline_that_passes_before_anything_began_proves_no_control(backend):
    outcome = backend.run(confinement(("/bin/sleep", "60"), deadline=0.001, grace=0.0))

    assert outcome.stopped == "deadline"
    assert not outcome.succeeded
    assert [control.name for control in outcome.controls] == list(CONTROLS)


# --- memory and processes -------------------------------------------------------------------------


def test_memory_is_bounded_for_all_processes_together_or_the_control_is_called_weakened(backend):
    """Three processes of which each is within the limit, and two together are not."""
    ran = python(
        backend,
        """
        readers = []
        for _ in range(3):
            reader, writer = os.pipe()
            if os.fork() == 0:
                os.close(reader)
                held = bytearray(60 << 20)
                os.write(writer, b"1")
                time.sleep(3600)
            os.close(writer)
            readers.append(reader)
        answered = sum(len(os.read(reader, 1)) for reader in readers)
        ended = 0
        for _ in range(100):  # one may answer first and be ended a moment later
            ended = os.waitpid(-1, os.WNOHANG)[0]
            if ended or answered < 3:
                break
            time.sleep(0.05)
        say(answered == 3 and not ended)
        """,
        memory=128 * MIB,
    )

    control = ran.outcome.control("memory")
    if control.state is ControlState.PROVEN:
        assert not ran.lines or ran.said is False
        assert ran.outcome.note is not None
        assert "memory limit of 134,217,728 bytes" in ran.outcome.note
    else:
        assert control.state is ControlState.WEAKENED
        assert "each process" in control.how


def test_one_process_cannot_take_more_memory_than_allowed_whatever_bounds_it(backend):
    ran = python(backend, "held = bytearray(600 << 20); say(len(held))", memory=128 * MIB)

    assert not ran.outcome.succeeded


def test_memory_backed_folders_are_bounded_too(backend):
    ran = python(
        backend,
        """
        def fill(path):
            with open(path, "wb") as file:
                for _ in range(256):
                    file.write(bytes(1 << 20))
        say([attempt(fill, "/tmp/hoard"), attempt(fill, "/dev/shm/hoard")])
        """,
        memory=64 * MIB,
    )

    assert not ran.outcome.succeeded or set(ran.said) == {"ENOSPC"}


def test_shared_memory_is_as_large_as_the_memory_of_the_run(backend):
    """What the workers of a data loader hand each other lies there."""
    ran = python(
        backend,
        """
        found = os.statvfs("/dev/shm")
        say([found.f_blocks * found.f_frsize, os.access("/dev/shm", os.W_OK)])
        """,
        memory=256 * MIB,
    )

    assert ran.said == [256 * MIB, True]


def test_one_processor_is_one_processor_whatever_bounds_it(backend):
    ran = python(backend, "say(len(os.sched_getaffinity(0)))", processors=1)

    how = ran.outcome.processors
    assert "a quota of 1 processors" in how or (ran.said == 1 and "an affinity to 1" in how)
    assert run(backend, ("/bin/true",)).outcome.processors is None


def test_a_fork_bomb_stops_at_the_limit(backend):
    ran = python(
        backend,
        """
        children, failure = 0, None
        try:
            while children < 200:
                if os.fork() == 0:
                    time.sleep(3600)
                children += 1
        except OSError as error:
            failure = errno.errorcode[error.errno]
        say([children, failure])
        """,
        processes=20,
    )

    control = ran.outcome.control("processes")
    if control.state is ControlState.ABSENT:
        assert "root" in control.how
    else:
        children, failure = ran.said
        assert failure == "EAGAIN"
        assert children in (18, 19)  # an rlimit counts the launcher too


def test_limits_that_nobody_asked_for_are_recorded_as_absent(any_backend):
    outcome = run(any_backend, ("/bin/true",), memory=None, processes=None).outcome

    assert outcome.control("memory").state is outcome.control("processes").state is ControlState.ABSENT


# --- how it ends ----------------------------------------------------------------------------------


def test_every_control_is_recorded_once_and_in_order_with_how_it_was_tried(backend):
    outcome = run(backend, ("/bin/true",)).outcome

    assert [control.name for control in outcome.controls] == list(CONTROLS)
    assert all(len(control.how) > 10 for control in outcome.controls)
    proven = {control.name for control in outcome.controls if control.state is ControlState.PROVEN}
    assert proven >= {"pid", "deadline"}
    assert {outcome.control(name).state for name in ("network", "filesystem")} == {of_its_own_user(backend)}


@pytest.mark.parametrize(
    ("script", "end"), [("exit 7", (7, None)), ("kill -USR1 $$", (None, signal.SIGUSR1))]
)
def test_the_commands_own_end_is_reported_as_it_was(backend, script, end):
    outcome = run(backend, ("/bin/sh", "-c", script)).outcome

    assert (outcome.code, outcome.signal) == end
    assert outcome.stopped is None
    assert not outcome.succeeded


def test_a_command_that_is_not_there_is_a_mistake_of_the_caller(backend):
    with pytest.raises(UsageError, match="cannot run no-such-trainer in the sandbox: no such file"):
        run(backend, ("no-such-trainer",))


# --- what it writes -------------------------------------------------------------------------------


def test_both_streams_come_in_order_as_lines_of_raw_bytes(backend):
    script = r"printf 'one\ntwo\r' ; printf '\033[31mred\n' >&2; printf '\377'"

    assert run(backend, ("/bin/sh", "-c", script)).lines == (b"one", b"two", b"\x1b[31mred", b"\xff")


def test_a_listener_that_fails_takes_the_sandbox_down_with_it(backend, out):
    def listener(line):
        raise ZeroDivisionError(line)

    script = "exec 9>lock; flock 9; echo ready; exec sleep 3600"
    with pytest.raises(ZeroDivisionError):
        backend.run(
            confinement(("/bin/sh", "-c", script), out, workdir="/inside/out", output=listener, grace=3600.0)
        )

    assert is_free(out.source / "lock")


def test_no_descriptor_stays_open_in_the_supervisor(backend):
    run(backend, ("/bin/true",))
    before = len(os.listdir("/proc/self/fd"))

    run(backend, ("/bin/true",))

    assert len(os.listdir("/proc/self/fd")) == before
