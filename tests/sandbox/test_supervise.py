"""What happens when an isolation control does not hold: the command does not start."""

import dataclasses
import re
import sys

import pytest

from tuneguard.errors import CannotLook
from tuneguard.sandbox import unshare
from tuneguard.sandbox.controls import Bind
from tuneguard.sandbox.layout import DROPPED, UID
from tuneguard.sandbox.state import ControlState
from tuneguard.sandbox.supervise import supervise
from tuneguard.sandbox.unshare import Unshare
from world.cage import confinement, run

pytestmark = pytest.mark.sandbox


@pytest.fixture(autouse=True)
def _unshare_works():
    from world.cage import why_not

    if why_not("unshare") is not None:
        pytest.skip(f"unshare does not work on this machine: {why_not('unshare')}")


def broken(**changes):
    """A launcher as unshare's, but for one thing."""

    def launch(places, boot):
        right = unshare._launch(places, boot)
        return dataclasses.replace(
            right, **{name: change(getattr(right, name)) for name, change in changes.items()}
        )

    return launch


def test_a_backend_that_forgets_the_network_namespace_runs_nothing(out):
    forgetful = broken(argv=lambda argv: tuple(part for part in argv if part != "--net"))

    with pytest.raises(CannotLook, match=r"isolation control network does not hold|could not be set up"):
        supervise("forgetful", confinement(("/bin/touch", "/inside/out/ran"), out), forgetful)

    assert list(out.source.iterdir()) == []


def test_a_backend_that_leaves_the_machines_root_in_place_runs_nothing(out):
    lazy = broken(builds_root=lambda _: False)

    with pytest.raises(CannotLook, match=r"isolation control \w+ does not hold|could not be set up"):
        supervise("lazy", confinement(("/bin/touch", str(out.source / "ran"))), lazy)

    assert list(out.source.iterdir()) == []


def test_a_file_that_was_moved_into_a_binds_place_is_not_shown(tmp_path, out):
    """Between the supervisor's look and the mount, somebody exchanges the verified data for his own."""
    data, other = tmp_path / "data", tmp_path / "other"
    data.mkdir()
    other.mkdir()

    def exchanging(places, boot):
        data.rename(tmp_path / "away")
        other.rename(data)
        return unshare._launch(places, boot)

    with pytest.raises(CannotLook, match=r"bind .*data: another file has taken its place"):
        supervise("exchanged", confinement(("/bin/true",), Bind(data, "/inside/data")), exchanging)


def test_without_a_system_call_filter_the_controls_that_lean_on_it_are_weakened():
    forget = "from tuneguard.sandbox.inside import seccomp; seccomp.ARCHITECTURE.clear(); "
    unfiltered = broken(argv=lambda argv: tuple(part.replace("main()", forget + "main()") for part in argv))

    outcome = supervise("unfiltered", confinement(("/bin/true",)), unfiltered)

    assert outcome.succeeded
    for name in ("network", "filesystem"):
        assert outcome.control(name).state is ControlState.WEAKENED
        assert "no system call filter" in outcome.control(name).how
    assert outcome.control("pid").state is ControlState.PROVEN


def test_a_launcher_that_says_nothing_is_reported(out):
    silent = broken(argv=lambda _: ("/bin/true",))

    with pytest.raises(Exception, match="silent failed: it printed nothing"):
        supervise("silent", confinement(("/bin/true",)), silent)


def test_an_inner_stage_that_breaks_is_reported_with_its_last_words():
    broken_stage = broken(argv=lambda argv: tuple(part.replace("main()", "1/0") for part in argv))

    with pytest.raises(Exception, match="stage failed: ZeroDivisionError: division by zero"):
        supervise("stage", confinement(("/bin/true",)), broken_stage)


def test_as_root_the_command_runs_under_a_uid_that_owns_nothing(as_root, data, out):
    script = "import getpass, os; print(os.getuid(), os.getgroups(), getpass.getuser())"
    first, second = (run(Unshare(), (sys.executable, "-c", script), data, out) for _ in range(2))

    assert {first.text, second.text} == {f"{UID} [] tuneguard"}
    found = [
        re.search(r"uid (\d+) outside", ran.outcome.control("filesystem").how) for ran in (first, second)
    ]
    uids = [int(match[1]) for match in found]
    assert all(DROPPED < uid < DROPPED + (1 << 22) for uid in uids)
    assert uids[0] != uids[1]
    assert "which owns nothing" in first.outcome.control("filesystem").how


def test_as_root_where_owners_cannot_be_mapped_the_uid_is_roots_but_powerless(as_root, out):
    """Network and overlay file systems cannot; sysfs cannot either, and is at hand."""
    from pathlib import Path

    ran = run(
        Unshare(),
        ("/bin/sh", "-c", "id -u; echo 1 > /inside/out/made"),
        out,
        Bind(Path("/sys/class/mem"), "/inside/sys"),
    )

    assert ran.lines == (b"1000",)
    assert (out.source / "made").stat().st_uid == 0
    assert "supervisor's user outside" in ran.outcome.control("filesystem").how
