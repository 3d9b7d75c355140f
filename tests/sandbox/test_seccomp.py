"""The system call filter, run over every call of both machines by a small interpreter of classic BPF."""

import errno
import socket
import stat
import struct
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneguard.sandbox.inside import kernel, seccomp

MACHINES = ("x86_64", "aarch64")
COLUMN = {"x86_64": 0, "aarch64": 1}
CALLS = {  # what ordinary programs need, by the kernel's headers
    "read": (0, 63),
    "write": (1, 64),
    "mmap": (9, 222),
    "futex": (202, 98),
    "execve": (59, 221),
    "wait4": (61, 260),
    "sched_setaffinity": (203, 122),
    "getrandom": (318, 278),
    "socketpair": (53, 199),
    "mbind": (237, 235),
    "kill": (62, 129),
}


@cache
def assembled(machine, made):
    return list(struct.iter_unpack("=HBBI", made(machine)))


def judge(machine, number, arguments=(), architecture=None, made=seccomp.program):
    """Run the filter as the kernel would, with every bound checked; its return value."""
    program = assembled(machine, made)
    arguments = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, architecture or seccomp.ARCHITECTURE[machine], 0, *arguments)
    accumulator, at = 0, 0
    while True:
        code, true, false, value = program[at]
        at += 1
        if code == 0x06:
            return value
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
            continue
        holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[
            code
        ]
        at += true if holds else false


def denied(code):
    return seccomp.ERRNO | code


@pytest.mark.parametrize("machine", MACHINES)
def test_every_listed_call_is_denied_whatever_its_arguments(machine):
    for table, code in ((seccomp.DENIED, errno.EPERM), (seccomp.UNKNOWN, errno.ENOSYS)):
        for name, numbers in table.items():
            if numbers[COLUMN[machine]] is not None:
                assert judge(machine, numbers[COLUMN[machine]], [2**64 - 1] * 6) == denied(code), name


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", CALLS)
def test_ordinary_calls_are_allowed(machine, name):
    assert judge(machine, CALLS[name][COLUMN[machine]], [2**64 - 1] * 6) == seccomp.ALLOW


@pytest.mark.parametrize("machine", MACHINES)
@given(number=st.integers(0, 1023))
def test_nothing_is_denied_but_what_is_listed(machine, number):
    listed = {
        numbers[COLUMN[machine]] for table in (seccomp.DENIED, seccomp.UNKNOWN) for numbers in table.values()
    }

    assert (judge(machine, number, [1]) == seccomp.ALLOW) == (number not in listed)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("other", [0x40000003, 0x40000028, 0xC00000B7, 0xC000003E])
@given(number=st.integers(0, 2**32 - 1))
def test_calls_of_another_instruction_set_kill(machine, other, number):
    """The same number means another call there: a filter by number alone is walked round with int 0x80."""
    if other != seccomp.ARCHITECTURE[machine]:
        assert judge(machine, number, architecture=other) == seccomp.KILL


@given(number=st.integers(0x40000000, 2**32 - 1))
def test_x32_calls_kill(number):
    assert judge("x86_64", number) == seccomp.KILL


@pytest.mark.parametrize("machine", MACHINES)
@given(family=st.integers(0, 2**32 - 1), high=st.integers(0, 2**32 - 1))
def test_only_socket_families_that_a_network_namespace_bounds_can_be_opened(machine, family, high):
    allowed = {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK}

    answer = judge(machine, seccomp.SOCKET[COLUMN[machine]], [family | high << 32])

    assert answer == (seccomp.ALLOW if family in allowed else denied(errno.EAFNOSUPPORT))


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    "bit", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]
)
def test_no_clone_makes_a_namespace_and_threads_are_made_freely(machine, bit):
    thread = 0x3D0F00

    assert judge(machine, seccomp.CLONE[COLUMN[machine]], [thread | bit]) == denied(errno.EPERM)
    assert judge(machine, seccomp.CLONE[COLUMN[machine]], [thread]) == seccomp.ALLOW


@pytest.mark.parametrize("machine", MACHINES)
@given(mode=st.integers(0, 0o7777))
def test_no_mode_with_set_id_bits_is_taken_by_any_call_that_takes_a_mode(machine, mode):
    expected = denied(errno.EPERM) if mode & (stat.S_ISUID | stat.S_ISGID) else seccomp.ALLOW

    for numbers, place in seccomp.MODES:
        if numbers[COLUMN[machine]] is not None:
            arguments = [0] * place + [mode]
            assert judge(machine, numbers[COLUMN[machine]], arguments) == expected
    for numbers, flags, place in seccomp.OPENS:
        if numbers[COLUMN[machine]] is not None:
            made = [0] * flags + [0x40] + [0] * (place - flags - 1) + [mode]
            opened = [0] * flags + [0] + [0] * (place - flags - 1) + [mode]
            assert judge(machine, numbers[COLUMN[machine]], made) == expected
            assert judge(machine, numbers[COLUMN[machine]], opened) == seccomp.ALLOW


@pytest.mark.parametrize("machine", MACHINES)
@given(number=st.integers(0, 1023), argument=st.integers(0, 2**64 - 1))
def test_a_step_without_network_has_the_same_filter_and_neither_sockets_nor_a_hand_at_its_terminal(
    machine, number, argument
):
    socket_call, ioctl = seccomp.SOCKET[COLUMN[machine]], seccomp.IOCTL[COLUMN[machine]]
    own = {socket_call, ioctl}

    if number not in own:
        arguments = [argument] * 6
        assert judge(machine, number, arguments, made=seccomp.offline) == judge(machine, number, arguments)
    assert judge(machine, socket_call, [argument], made=seccomp.offline) == denied(errno.EAFNOSUPPORT)
    assert judge(machine, socket_call, [socket.AF_UNIX], made=seccomp.offline) == denied(errno.EAFNOSUPPORT)
    typed = argument % 2**32 in (0x5412, 0x541C)
    answer = judge(machine, ioctl, [0, argument], made=seccomp.offline)
    assert answer == (denied(errno.EPERM) if typed else seccomp.ALLOW)
    for request in (0x5412, 0x541C):  # TIOCSTI, TIOCLINUX
        high = argument >> 32 << 32
        assert judge(machine, ioctl, [0, request | high], made=seccomp.offline) == denied(errno.EPERM)


def keeping(machine):
    return seccomp.offline(machine, attributes=False)


@pytest.mark.parametrize("machine", MACHINES)
@given(number=st.integers(0, 1023), argument=st.integers(0, 2**64 - 1))
def test_a_step_that_keeps_attributes_has_the_same_filter_and_changes_none(machine, number, argument):
    column = COLUMN[machine]
    arguments = [argument] * 6
    denies = {numbers[column] for numbers in seccomp.ATTRIBUTES.values()}

    if number in denies:
        assert judge(machine, number, arguments, made=keeping) == denied(errno.EPERM)
    elif number == seccomp.FCHMOD[column]:
        assert judge(machine, number, arguments, made=keeping) == denied(0)
    elif number != seccomp.IOCTL[column]:
        offline = judge(machine, number, arguments, made=seccomp.offline)
        assert judge(machine, number, arguments, made=keeping) == offline
    for request in (0x5412, 0x541C, 0x40086602, 0x401C5820):
        assert judge(machine, seccomp.IOCTL[column], [0, request], made=keeping) == denied(errno.EPERM)
    for call in denies - {None}:
        assert judge(machine, call, made=keeping) == denied(errno.EPERM)


def test_a_machine_without_a_filter_says_so():
    with pytest.raises(OSError, match="no system call filter is written for riscv64"):
        seccomp.program("riscv64")


@pytest.mark.parametrize("machine", MACHINES)
def test_what_the_inner_stage_calls_by_number_is_what_the_filter_denies_by_number(machine):
    for name, number in kernel.SYSCALLS[machine].items():
        assert seccomp.DENIED[name][COLUMN[machine]] == number
