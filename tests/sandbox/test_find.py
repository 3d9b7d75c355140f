"""Finding a backend: by use, and never a silent fallback."""

import signal
import subprocess
import sys
import tempfile

import pytest

from tuneguard.errors import Interrupted, UsageError
from tuneguard.sandbox import find
from tuneguard.sandbox.canaries import CannotPlaceCanaries
from tuneguard.sandbox.controls import Outcome
from tuneguard.sandbox.find import find_backend, find_obstacle
from tuneguard.sandbox.unshare import Unshare
from world import users
from world.cage import package_folders

pytestmark = pytest.mark.sandbox

TRY = """
import sys
sys.path.insert(0, sys.argv[1])
from tuneguard.errors import TuneguardError
from tuneguard.sandbox.find import find_backend
try:
    print(find_backend().name)
except TuneguardError as error:
    print(error)
    print(error.help)
    sys.exit(error.exit_code)
"""


def test_a_backend_is_found_on_this_machine_by_running_something_in_it():
    assert find_backend().name in ("unshare", "bubblewrap")


def test_where_namespaces_are_denied_the_answer_is_exit_2_the_kernels_reason_and_what_mends_it():
    """A user namespace that allows none below it, entered without capabilities: a real denial."""
    denied = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all"
    script = f'{denied} "$@"'

    done = subprocess.run(
        [
            *("unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"),
            *(sys.executable, "-c", TRY, package_folders()),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2, done.stdout + done.stderr
    reason, mend = done.stdout.splitlines()
    assert reason.startswith("no sandbox can be built here: ")
    assert "unshare failed: " in reason
    assert "No space left on device" in reason
    assert "this kernel allows no user namespaces at all" in reason
    assert mend == "sudo sysctl user.max_user_namespaces=15000"


def test_where_a_system_call_filter_denies_namespaces_that_is_said_too():
    """As in a container: our own filter, which denies unshare and mount, laid over the finder."""
    install = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from tuneguard.sandbox.inside import kernel, seccomp;"
        "kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1); kernel.load_filter(seccomp.program(kernel.MACHINE));"
    )

    done = subprocess.run(
        [sys.executable, "-c", install + f"exec({TRY!r})", package_folders()],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2, done.stdout + done.stderr
    assert "Operation not permitted" in done.stdout


@pytest.mark.parametrize(
    ("setting", "value", "mend"),
    [
        ("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor profile in docs/sandbox.md"),
        ("proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
        ("proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces"),
        (".dockerenv", "", "--security-opt"),
        ("run/.containerenv", "", "--security-opt"),
        ("nothing", "", "Linux 5.12"),
    ],
)
def test_each_known_obstacle_has_its_own_mend(tmp_path, setting, value, mend):
    path = tmp_path / setting
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value + "\n")

    assert mend in find_obstacle(tmp_path).mend


def test_a_setting_that_allows_is_no_obstacle(tmp_path):
    path = tmp_path / "proc/sys/kernel/apparmor_restrict_unprivileged_userns"
    path.parent.mkdir(parents=True)
    path.write_text("0\n")

    assert find_obstacle(tmp_path) is find.ELSE


def test_a_backend_that_is_not_installed_is_named_with_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr("tuneguard.sandbox.unshare.ENVIRONMENT", {"PATH": str(tmp_path)})

    with pytest.raises(UsageError, match="unshare is not installed"):
        find_backend([Unshare()])


AS_USER = """
import json, os, sys
from pathlib import Path
from tuneguard.sandbox.bubblewrap import Bubblewrap
from tuneguard.sandbox.environment import clean_environment
from tuneguard.sandbox.unshare import Unshare
from tuneguard.sandbox.controls import Bind, Confinement
backend = {"unshare": Unshare, "bubblewrap": Bubblewrap}[sys.argv[1]]()
outcome = backend.run(Confinement(("/bin/sh", "-c", "id -u > /inside/out/uid"),
    (Bind(Path(sys.argv[2]), "/inside/out", True),), "/inside/out", clean_environment(), 60.0,
    memory=1 << 28, processes=16))
made = os.stat(sys.argv[2] + "/uid")
print(json.dumps({"uid": os.getuid(), "owner": made.st_uid, "succeeded": outcome.succeeded,
    "controls": {control.name: control.state for control in outcome.controls}}))
"""


def test_an_ordinary_user_gets_the_controls_but_not_against_processes_of_their_own(as_root, backend, shared):
    done = users.program("-c", AS_USER, backend.name, shared + "/out")

    assert done.returncode == 0, done.stderr
    import json

    said = json.loads(done.stdout)
    assert said["uid"] == said["owner"] == users.SOMEBODY
    assert said["succeeded"]
    assert {said["controls"][name] for name in ("network", "filesystem")} == {"weakened"}
    assert {said["controls"][name] for name in ("pid", "deadline")} == {"proven"}
    assert {said["controls"][name] for name in ("memory", "processes")} <= {"proven", "weakened"}


class Stopped:
    """A backend whose run the person stops."""

    name = "stopped"

    def run(self, confinement):
        return Outcome(None, signal.SIGTERM, "interrupt", (), 0.1, None)


def test_a_trial_that_the_person_stops_says_nothing_about_the_backend():
    with pytest.raises(Interrupted):
        find_backend([Stopped(), Unshare()])


def test_no_room_for_temporary_files_is_no_fault_of_the_sandbox(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))

    with pytest.raises(CannotPlaceCanaries) as told:
        find_backend()

    assert told.value.exit_code == 3
    assert "TMPDIR" in told.value.help
