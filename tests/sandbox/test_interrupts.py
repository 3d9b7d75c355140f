"""Signals as something that a loop waits for: none is lost between the loop's look and its wait."""

import os
import select
import signal
import threading

import pytest

from tuneguard.sandbox.inside.child import Handshake
from tuneguard.sandbox.interrupts import SIGNALS, Interrupts


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_can_be_waited_for_before_python_has_handled_it(number):
    """While the main thread waits for the other one, no Python handler runs: as just before a poll."""
    seen = []

    def deliver():
        signal.pthread_kill(threading.get_ident(), number)
        seen.append(select.select([interrupts.fileno()], [], [], 0)[0])

    with Interrupts() as interrupts:
        thread = threading.Thread(target=deliver)
        thread.start()
        thread.join()

        assert seen == [[interrupts.fileno()]]
        assert interrupts.take()
        assert not interrupts.take()


def test_another_signal_is_no_interrupt(monkeypatch):
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGUSR1)
            assert not interrupts.take()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_afterwards_signals_do_what_they_did():
    woken = signal.set_wakeup_fd(-1)
    before = [signal.getsignal(number) for number in SIGNALS]

    with Interrupts(), Interrupts():
        pass

    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert signal.set_wakeup_fd(woken) == -1


def test_what_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGHUP)
            assert not interrupts.take()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("told", [False, True])
def test_a_child_whose_init_has_ended_ends_and_says_nothing(told):
    """The supervisor knows why the init ended; a report of a fault in the set-up would hide it."""
    entered, entered_writer = os.pipe()
    done, done_writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(entered)
        os.close(done_writer)
        Handshake(entered_writer, done).wait()
        os._exit(0)
    os.close(entered_writer)
    if told:
        os.write(done_writer, b"1")
    else:
        os.close(entered)
    os.close(done_writer)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (0 if told else 127)
    os.close(done)
    if told:
        os.close(entered)
