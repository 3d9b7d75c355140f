"""A process outside that hands the command the network: kept out where the command has its own user."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tuneguard.sandbox.controls import Bind
from tuneguard.sandbox.inside import apart
from tuneguard.sandbox.layout import DROPPED
from tuneguard.sandbox.state import ControlState
from tuneguard.sandbox.unshare import Unshare
from world import users
from world.cage import confinement, run
from world.helper import HELPER, WAITING, helped

pytestmark = pytest.mark.sandbox


@pytest.fixture
def room(shared):
    """A folder that every user gets to, with one in it that is ours alone, and a file to hand on."""
    folder = Path(shared)
    (folder / "ours").mkdir(mode=0o700)
    (folder / "ours" / "written").mkdir()
    (folder / "handed").write_text("a file of the host")
    (folder / "handed").chmod(0o644)
    return folder


def with_a_helper(written, room, uid=lambda: users.SOMEBODY):
    """Run the waiting training with a helper of another user; what came of it."""
    said, heard = [], []

    def listen(line):
        heard.append(line)
        if line == b"waiting":
            said.append(helped(written, "/inside/out", room / "handed", uid()))
            (written / "stop").touch()

    outcome = Unshare().run(confined(written, listen))
    return outcome, said[0], b"\n".join(heard).decode()


def confined(written, listen):
    return confinement(
        (sys.executable, "-I", "-S", "-c", WAITING, "/inside/out"),
        Bind(written, "/inside/out", writable=True),
        output=listen,
    )


def test_attack_a_helper_of_another_user_that_looks_for_the_training(as_root, room):
    written = room / "ours" / "written"

    outcome, said, heard = with_a_helper(written, room)

    assert said["uid"] == users.SOMEBODY
    assert (said["met"], said["refused"]) == ([], ["Permission denied"])
    assert heard == "waiting"
    assert written.stat().st_mode & 0o777 == 0o777
    for name in ("network", "filesystem"):
        assert outcome.control(name).state is ControlState.PROVEN
        assert "no other user gets to what it was given" in outcome.control(name).how


def test_attack_a_helper_that_meets_the_training_where_everybody_gets_to(as_root, room):
    """What the library's caller bound lies open: the controls say so, and by whom the training can be met."""
    written = room / "out"

    outcome, said, heard = with_a_helper(written, room)

    assert said["met"] == ["folder"]
    assert "was handed a file of the host" in heard
    for name in ("network", "filesystem"):
        assert outcome.control(name).state is ControlState.WEAKENED
        assert f"other users can get to {written}" in outcome.control(name).how


def test_a_folder_that_is_only_read_and_lies_open_weakens_the_controls_too(as_root, room):
    """A socket in it is connected to all the same: a mount that is read-only keeps nobody from that."""
    (room / "data").mkdir()

    outcome = run(Unshare(), ("/bin/true",), Bind(room / "data", "/inside/data")).outcome

    assert outcome.control("network").state is ControlState.WEAKENED


def test_attack_a_helper_under_the_very_uid_of_the_training(as_root, room):
    """Only root can make one; what has the uid before the run begins is found, and the controls say so."""
    taken = 0x7F800000
    with subprocess.Popen(["setpriv", f"--reuid={taken}", "--clear-groups", "/bin/sleep", "60"]) as other:
        try:
            while taken not in apart._uids(str(other.pid)):
                pass
            assert apart.tried([str(room / "ours" / "written")], taken) == (
                f"process {other.pid} has the command's uid {taken}"
            )
        finally:
            other.kill()
    assert apart.tried([str(room / "ours" / "written")], taken) is None


def test_attack_a_helper_that_takes_the_uid_of_the_training_while_it_runs(as_root, room):
    """Root can make one. It owns what the training owns, and not the user namespace that this is in."""
    written = room / "ours" / "written"

    def with_its_uid():
        uids = {uid for process in apart._processes() if is_ours(process) for uid in apart._uids(process)}
        [uid] = (uid for uid in uids if uid > DROPPED)
        return uid

    outcome, said, heard = with_a_helper(written, room, with_its_uid)

    assert said["uid"] > DROPPED
    assert (said["met"], said["refused"]) == ([], ["Permission denied"])
    assert heard == "waiting"
    assert outcome.succeeded


def is_ours(process):
    """Whether a process comes from this one, and not from a test that runs beside it."""
    while int(process) > 1:
        if int(process) == os.getpid():
            return True
        with contextlib.suppress(OSError):
            process = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1]
            continue
        return False
    return False


def test_two_trainings_at_once_see_nothing_of_each_other(as_root, room):
    """Each could be the other's helper, if it saw its processes or had its uid."""
    script = "import os; print(os.getuid(), sorted(name for name in os.listdir('/proc') if name.isdigit()))"
    heard = []

    def listen(line):
        heard.append(line)
        if line == b"waiting":
            heard.append(run(Unshare(), (sys.executable, "-c", script)).text)
            (room / "ours" / "written" / "stop").touch()

    Unshare().run(confined(room / "ours" / "written", listen))

    assert len(heard) == 2
    assert heard[1].split(" ", 1)[1].startswith("['1', ")
    assert heard[1].count("'") == 4


AS_USER = """
import json, os, subprocess, sys
from pathlib import Path
from tuneguard.sandbox.environment import clean_environment
from tuneguard.sandbox.unshare import Unshare
from tuneguard.sandbox.controls import Bind, Confinement
room, waiting, helper = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
own = room / "out" / "own"
own.mkdir(mode=0o700)
written = own / "written"
written.mkdir()
said, heard = [], []
def listen(line):
    heard.append(line.decode())
    if line == b"waiting":
        command = [sys.executable, "-I", "-S", "-c", helper, written, "/inside/out", room / "handed"]
        said.append(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
        (written / "stop").touch()
outcome = Unshare().run(Confinement(
    (sys.executable, "-I", "-S", "-c", waiting, "/inside/out"),
    (Bind(written, "/inside/out", True),), "/tmp", clean_environment(), 60.0,
    memory=1 << 28, processes=16, output=listen))
controls = {control.name: [control.state, control.how] for control in outcome.controls}
print(json.dumps({"said": said[0], "heard": heard, "controls": controls}))
"""


def test_attack_a_helper_of_the_same_user_meets_the_training_and_the_controls_say_so(room):
    """Nothing helps against it, so nothing is claimed: by the folder's path and by way of /proc."""
    done = users.program("-c", AS_USER, str(room), WAITING, HELPER)

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["said"]["met"] == ["folder", "proc"]
    assert told["heard"].count("was handed a file of the host") >= 2
    for name in ("network", "filesystem"):
        state, how = told["controls"][name]
        assert state == "weakened"
        assert "same user" in how
    assert told["controls"]["pid"][0] == "proven"
