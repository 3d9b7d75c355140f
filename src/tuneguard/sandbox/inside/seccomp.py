"""The system calls that the command may not make, as a seccomp filter assembled by hand.

The filter is data: `program(machine)` returns classic BPF, so that a test runs it over every system
call of either machine without loading it. What it denies, and why:

- keys (``keyctl`` and its kin): the keyrings of the person who started us hold more than we know;
- other processes' memory and descriptors (``ptrace`` and its kin): our own init is one of them;
- building other worlds (``mount``, ``unshare``, user namespaces): they undo the isolation controls, or reach
  kernel code that only root would reach;
- kernel interfaces with a history (``bpf``, ``perf_event_open``, ``userfaultfd``, ``io_uring``, which
  moreover opens sockets past this filter);
- socket families other than Unix, IP and netlink: ``AF_VSOCK`` reaches the virtual machine's host
  from any network namespace;
- making set-uid files: nobody may run the command's bytes as the person who started it.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

# name: (x86_64, aarch64); None where the machine lacks the call
DENIED: dict[str, tuple[int, int | None]] = {
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "setns": (308, 268),
    "unshare": (272, 97),
    "open_by_handle_at": (304, 265),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "vhangup": (153, 58),
    "syslog": (103, 116),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "adjtimex": (159, 171),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
}
"""Answered with EPERM."""

UNKNOWN: dict[str, tuple[int, int | None]] = {
    "clone3": (435, 435),  # its flags lie in memory, where a filter cannot look
    "openat2": (437, 437),  # likewise
    "fchmodat2": (452, 452),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
}
"""Answered with ENOSYS, on which every library falls back to the older call."""

IOCTL = (16, 29)
TYPING = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX: put input into a terminal."""

FCHMOD = (91, 52)
ATTRIBUTES: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None),
    "fchmodat": (268, 53),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "flock": (73, 32),
}
"""Change modes, owners, attributes, times and locks of any file: landlock(7) does not govern that."""
FLAGGING = (0x40086602, 0x401C5820)
"""FS_IOC_SETFLAGS and FS_IOC_FSSETXATTR: make a file immutable, among others."""

SOCKET = (41, 198)
FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: each bounded by the network namespace."""

CLONE = (56, 220)
NEW_NAMESPACE = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""

SET_ID = 0o6000
# (call, place of its mode)
MODES: tuple[tuple[tuple[int | None, int | None], int], ...] = (
    ((90, None), 1),  # chmod
    ((91, 52), 1),  # fchmod
    ((268, 53), 2),  # fchmodat
    ((83, None), 1),  # mkdir
    ((258, 34), 2),  # mkdirat
    ((133, None), 1),  # mknod
    ((259, 33), 2),  # mknodat
    ((85, None), 1),  # creat
)
# (call, place of its flags, place of its mode); the mode means something only where a file is made
OPENS: tuple[tuple[tuple[int | None, int | None], int, int], ...] = (
    ((2, None), 1, 2),  # open
    ((257, 56), 2, 3),  # openat
)
MAKES = 0x40 | 0x400000
"""O_CREAT and __O_TMPFILE."""

ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32 = 0x40000000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000


class Instruction(NamedTuple):
    """One ``struct sock_filter``: jumps are counted from the next instruction."""

    code: int
    true: int
    false: int
    value: int


def program(machine: str) -> bytes:
    """The filter for a sandboxed command on `machine` (``x86_64`` or ``aarch64``), as the kernel takes it.

    Raises:
        OSError: (ENOSYS) there is none for this machine.
    """
    return _assembled([*_denying(machine, FAMILIES), _return(ALLOW)])


def offline(machine: str, *, attributes: bool = True) -> bytes:
    """The filter for a step of a plan that needs no network: as `program`, and no socket of any family.

    A Unix socket would reach a signing agent, which holds the key that the step does not, or a service that
    starts any program. Nor can the step type into its terminal, whose shell would run that.

    Without `attributes` it changes no file's mode, owner, attributes or times, either: fchmod(2), which every
    writer of files calls, succeeds and does nothing.

    Raises:
        OSError: (ENOSYS) there is none for this machine.
    """
    kept = [] if attributes else _keeping(machine)
    return _assembled(
        [
            *_denying(machine, (), kept),
            *_refusing(machine, TYPING if attributes else (*TYPING, *FLAGGING)),
            _return(ALLOW),
        ]
    )


def _denying(machine: str, families: tuple[int, ...], kept: Sequence[Instruction] = ()) -> list[Instruction]:
    """The code that denies calls, set-id modes, namespaces, other families' sockets, and what `kept` does."""
    if machine not in ARCHITECTURE:
        raise OSError(errno.ENOSYS, f"no system call filter is written for {machine}")
    code = [*_preamble(machine)]
    column = _column(machine)
    for table, answer in ((DENIED, errno.EPERM), (UNKNOWN, errno.ENOSYS)):
        for numbers in table.values():
            code += _on(numbers[column], [_return(ERRNO | answer)])
    code += [*kept, *_on(SOCKET[column], _families(families))]
    code += _on(CLONE[column], [_argument(0), *_deny_bits(NEW_NAMESPACE)])
    for call, mode in MODES:
        code += _on(call[column], [_argument(mode), *_deny_bits(SET_ID)])
    for call, flags, mode in OPENS:
        code += _on(call[column], _opening(flags, mode))
    return code


def _keeping(machine: str) -> list[Instruction]:
    """The code that keeps every file's attributes as they are."""
    column = _column(machine)
    denied = [
        each for call in ATTRIBUTES.values() for each in _on(call[column], [_return(ERRNO | errno.EPERM)])
    ]
    return [*denied, *_on(FCHMOD[column], [_return(ERRNO)])]


def _refusing(machine: str, requests: tuple[int, ...]) -> list[Instruction]:
    """The code that denies these requests of ioctl(2)."""
    denied = [each for request in requests for each in _on(request, [_return(ERRNO | errno.EPERM)])]
    return _on(IOCTL[_column(machine)], [_argument(1), *denied, _return(ALLOW)])


def _column(machine: str) -> int:
    """The column of `machine` in the tables."""
    return 0 if machine == "x86_64" else 1


def _assembled(code: list[Instruction]) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _preamble(machine: str) -> list[Instruction]:
    """Kill calls of another instruction set, whose numbers mean other things; load the number."""
    code = [
        Instruction(_LOAD, 0, 0, 4),
        Instruction(_EQUAL, 1, 0, ARCHITECTURE[machine]),
        _return(KILL),
        Instruction(_LOAD, 0, 0, 0),
    ]
    if machine == "x86_64":  # x32 calls carry the same architecture and other numbers
        code += [Instruction(_AT_LEAST, 0, 1, X32), _return(KILL)]
    return code


def _on(number: int | None, then: list[Instruction]) -> list[Instruction]:
    """Where the call is `number`, do `then`, which always returns."""
    return [] if number is None else [Instruction(_EQUAL, 0, len(then), number), *then]


def _argument(place: int) -> Instruction:
    """Load the low half of an argument: all that the kernel reads of flags and modes. Little-endian."""
    return Instruction(_LOAD, 0, 0, 16 + 8 * place)


def _return(value: int) -> Instruction:
    return Instruction(_RETURN, 0, 0, value)


def _deny_bits(bits: int) -> list[Instruction]:
    return [Instruction(_ANY_BIT, 0, 1, bits), _return(ERRNO | errno.EPERM), _return(ALLOW)]


def _families(families: tuple[int, ...]) -> list[Instruction]:
    allowed = [Instruction(_EQUAL, len(families) - at, 0, family) for at, family in enumerate(families)]
    return [_argument(0), *allowed, _return(ERRNO | errno.EAFNOSUPPORT), _return(ALLOW)]


def _opening(flags: int, mode: int) -> list[Instruction]:
    return [
        _argument(flags),
        Instruction(_ANY_BIT, 1, 0, MAKES),
        _return(ALLOW),
        _argument(mode),
        *_deny_bits(SET_ID),
    ]
