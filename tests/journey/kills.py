"""Kills the program at each of its durable steps; `sound` says what must hold whatever was killed where.

``TUNEGUARD_FAULT_AT=N:FILE`` ends the process that comes to the N-th fsync, rename or commit, counted
over the program and all the steps that it starts; with 0 it only counts.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from projects import ProjectFolder, grown
from steps import Promotion, verdicts

from tuneguard.artifact.digest import hash_tree
from tuneguard.artifact.removal import remove
from tuneguard.errors import Refused
from tuneguard.files import FAULT_AT
from tuneguard.ledger.entry import Entry, Event
from tuneguard.ledger.store import SqliteStore
from tuneguard.oci import manifest as oci
from tuneguard.oci.client import bundles
from tuneguard.oci.layout import Layout
from tuneguard.project.project import Project
from tuneguard.signing.key import read_public
from tuneguard.signing.signer import open_signer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Template = tuple[Path, Path]
"""A home and a project to copy."""

PROGRAM = (sys.executable, "-P", "-m", "tuneguard")
SIGKILLED = -9
STEP_KILLED = 3
"""What the conductor ends with when a step of its plan was killed."""
KILLS_A_TEST = 12
"""The work of one test; where a command has more steps, its test is parted (`in_parts`)."""
PULLED = ("served", "early")
"""What the tests call the folders that they pull into."""


@dataclass(frozen=True)
class Kill:
    """A project in which a command was killed: at the last of `steps`, which it came to and did not do."""

    project: ProjectFolder
    steps: tuple[str, ...]
    code: int
    said: str

    @property
    def step(self) -> str:
        return self.steps[-1]


def in_parts(number: int) -> pytest.MarkDecorator:
    """Make so many tests of one, each with its share of the kills: all of them together have every kill."""
    parts = [(part, number) for part in range(number)]
    return pytest.mark.parametrize(
        "killer", parts, indirect=True, ids=lambda part: f"{part[0] + 1} of {part[1]}"
    )


class Killer:
    """Runs commands in copies of a template, each copy killed at one step further.

    `part`, as ``(n, of)``, leaves out all but every `of`-th kill, from the n-th on. `steps` is how many there
    are in all, once they were counted.
    """

    def __init__(
        self, room: Path, patch: pytest.MonkeyPatch, part: tuple[int, int], counted: dict[object, Kill]
    ) -> None:
        self.room = room
        self.patch = patch
        self.part = part
        self.counted = counted
        self.steps = 0

    def everywhere(
        self, template: Template | None, *arguments: str, code: int = 0, only: str = ""
    ) -> Iterator[Kill]:
        """The command killed at every step, or at those that `only` matches; unbroken it ends with `code`.

        Each copy is the caller's until it asks for the next.
        """
        unbroken = self._counted(template, arguments)
        assert unbroken.code == code, unbroken.said
        numbers = [number for number, step in enumerate(unbroken.steps, 1) if re.match(only, step)]
        self.steps = len(numbers)
        first, parts = self.part
        ours = numbers[first::parts]
        assert 0 < len(ours) <= KILLS_A_TEST, f"{len(ours)} of {len(numbers)} kills in one test: see in_parts"
        for number in ours:
            kill = self._run(template, arguments, number)
            assert kill.code in (SIGKILLED, STEP_KILLED), (kill.step, kill.said)
            assert len(kill.steps) == number, kill.steps
            assert "Traceback" not in kill.said
            self.patch.setenv("TUNEGUARD_HOME", str(home_of(kill.project)))
            yield kill
            remove(kill.project.path.parent)

    def _counted(self, template: Template | None, arguments: tuple[str, ...]) -> Kill:
        """How the command goes unbroken; its project is gone."""
        key = template, arguments
        if key not in self.counted:
            self.counted[key] = self._run(template, arguments, 0)
            remove(self.counted[key].project.path.parent)
        return self.counted[key]

    def _run(self, template: Template | None, arguments: tuple[str, ...], number: int) -> Kill:
        folder = self.room / str(number)
        project = copied(template, folder)
        counter = folder / "count"
        done = started(project, *arguments, fault=f"{number}:{counter}")
        _, said = done.communicate()
        steps = counter.read_text().splitlines() if counter.exists() else []
        return Kill(project, tuple(steps), done.returncode, said.decode())


def copied(template: Template | None, folder: Path) -> ProjectFolder:
    """A copy of the template in `folder`, or an empty project."""
    folder.mkdir()
    if template is None:
        (folder / "project").mkdir()
    else:
        shutil.copytree(template[0], folder / "home")
        shutil.copytree(template[1], folder / "project")
    return ProjectFolder(folder / "project")


def home_of(project: ProjectFolder) -> Path:
    return project.path.with_name("home")


def started(
    project: ProjectFolder,
    *arguments: str,
    fault: str | None = None,
    shim: Sequence[str] = (),
    **options: Any,
) -> subprocess.Popen[bytes]:
    """The program as a process of its own in the project's folder, its outputs to be read.

    `shim` is a command that becomes the interpreter when it has done its own.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "TUNEGUARD_HOME": str(home_of(project)),
    }
    if fault is not None:
        environment[FAULT_AT] = fault
    command = [*shim, *PROGRAM[bool(shim) :], *arguments]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=project.path, env=environment, **(pipes | options))


# --- Fixtures ---


@pytest.fixture(scope="session")
def counted() -> dict[object, Kill]:
    """Each command's unbroken run, for all the parts of its test."""
    return {}


@pytest.fixture
def killer(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, counted: dict[object, Kill]
) -> Iterator[Killer]:
    """Kills in a folder in memory, where there is one: thousands of flushes take no time there."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Killer(Path(folder), monkeypatch, getattr(request, "param", (0, 1)), counted)
        for left in Path(folder).iterdir():
            remove(left)


@pytest.fixture(scope="session")
def before(
    made_trained: Template, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Promotion, dict[str, Template]]:
    """One attempt, and for each of its steps a project in which all steps before that were taken."""
    promotion = Promotion(ProjectFolder(made_trained[1]))
    template = made_trained
    stages = {"copy": template}
    for step, *actions in (
        ("scan", promotion.copy, promotion.verify),
        ("decide", promotion.scan, promotion.evaluate),
        ("push", promotion.decide),
        ("record", promotion.push),
    ):

        def grow(project: ProjectFolder, actions: list[Callable[[], int | None]] = actions) -> None:
            promotion.project = project
            assert all(not action() for action in actions)

        template = stages[step] = grown(template, tmp_path_factory, grow)
    return promotion, stages


# --- What must hold --------------------------------------------------------------------------------


def sound(project: ProjectFolder) -> None:
    """Nothing half-written has a final name, and nothing is said of what did not happen."""
    for path in (*home_of(project).rglob("*"), *project.path.rglob("*")):
        if path.is_file() and ".partial" not in str(path):
            _is_whole(path)
    entries = ledger_of(project)
    for folder in project.path.glob("runs/*.evidence"):
        _is_recorded(folder, entries)
    for entry in entries:
        if entry.event in (Event.DONE, Event.TAGGED):
            _happened(entry, project, entries)
    layout = Layout(project.path / "registry")
    for tag in tags_of(project):
        _is_served(layout, tag)


def _is_whole(path: Path) -> None:
    data = path.read_bytes()
    assert not path.name.endswith(".tmp"), f"{path.name} was left behind"
    if path.suffix == ".json":
        json.loads(data)
    if path.suffix == ".html":
        assert data.rstrip().endswith(b"</html>"), path
    if found := re.fullmatch(r".+-([0-9a-f]{16})\.(sigstore\.json|bin)", path.name):
        assert hashlib.sha256(data).hexdigest().startswith(found[1]), path
    if re.fullmatch(r"[0-9a-f]{64}", path.name):
        assert hashlib.sha256(data).hexdigest() == path.name, path
    if path.suffix == ".pub":
        assert read_public(path) == open_signer(str(path.with_suffix(".key")), lambda _: b"").public_key


def ledger_of(project: ProjectFolder) -> list[Entry]:
    """Every entry, after the whole ledger was found consistent."""
    store = SqliteStore(project.path / ".tuneguard/ledger.db")
    if not store.path.exists():
        return []
    assert store.verify().findings == ()
    return list(store.entries())


def said_by(bundle: bytes) -> dict[str, Any]:
    """The statement of a bundle, believed as it is."""
    found = json.loads(base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"]))
    assert isinstance(found, dict)
    return found


def subject_of(bundle: bytes) -> str:
    """The tree that a bundle's statement speaks of."""
    return str(said_by(bundle)["subject"][0]["digest"]["dirHash"])


def _is_recorded(folder: Path, entries: list[Entry]) -> None:
    """Every judgement is in the ledger, and what vouches for a run speaks of the tree that it finished."""
    run = folder.name.removesuffix(".evidence")
    judged = [entry for entry in entries if entry.event is Event.JUDGED]
    for path in folder.iterdir():
        kind = path.name.rpartition("-")[0]
        if kind in ("provenance", "signature"):
            finished = {entry.tree for entry in judged if (entry.command, entry.run) == ("run", run)}
            assert finished, path.name
        if kind == "provenance":
            assert subject_of(path.read_bytes()) in finished
        if kind in ("scan", "evaluation", "verdict"):
            recorded = {entry.detail.get("sha256") for entry in judged if entry.command == kind}
            assert hashlib.sha256(path.read_bytes()).hexdigest() in recorded, path.name


def _happened(entry: Entry, project: ProjectFolder, entries: list[Entry]) -> None:
    """What was begun and is called done has happened."""
    layout = Layout(project.path / "registry")
    match entry.command, entry.event:
        case "run", Event.DONE:
            kinds = {
                path.name.rpartition("-")[0] for path in project.path.glob(f"runs/{entry.run}.evidence/*")
            }
            assert {"provenance", "signature"} <= kinds
        case "push", Event.DONE:
            _is_served(layout, entry.detail["manifest"])
        case "push", Event.TAGGED:
            assert layout.resolve(entry.detail["tag"]) == entry.detail["manifest"]
        case "promote", Event.DONE:
            assert any(
                (other.command, other.event, other.attempt) == ("push", Event.DONE, entry.attempt)
                for other in entries
            )
        case "seal", Event.DONE:
            seals = [*project.path.rglob("seal-*.json"), *project.path.rglob("manifest.json.sigstore.json")]
            assert entry.tree in [subject_of(path.read_bytes()) for path in seals]
        case "pull", Event.DONE:
            served = [path for path in project.path.iterdir() if path.is_dir()]
            assert entry.tree in [hash_tree(path).digest for path in served if path.name in PULLED]
        case other:
            raise AssertionError(other)


def tags_of(project: ProjectFolder) -> list[str]:
    """The tags of the project's registry."""
    index = project.path / "registry/index.json"
    entries = json.loads(index.read_text())["manifests"] if index.exists() else []
    named = [entry.get("annotations", {}).get("org.opencontainers.image.ref.name") for entry in entries]
    return [tag for tag in named if tag]


def _is_served(layout: Layout, name: str) -> None:
    """The manifest of that name, every blob of it, and a passed verdict about it are there."""
    manifest = oci.read(layout.read_manifest(name), name)
    for layer in manifest.layers:
        assert layout.has_blob(layer.digest, layer.size), layer.path
    assert layout.has_blob(json.loads(manifest.data)["config"]["digest"])
    said = [said_by(data) for data in bundles(layout, manifest.digest, files=100, limit=10_000_000)]
    assert "PASSED" in [statement["predicate"].get("verificationResult") for statement in said], name


def left_over(project: ProjectFolder) -> list[str]:
    """What working commands put aside and take away again, in the project and in the home."""
    state = project.path / ".tuneguard"
    found = [
        *state.glob("attempts/*"),
        *state.glob("evaluate-*"),
        *state.glob("runs/*/inputs"),
        *state.glob("runs/*/scratch"),
        *project.path.rglob("*.partial"),
        *project.path.rglob("*.tmp"),
        *home_of(project).rglob(".*"),
    ]
    return [str(path.relative_to(project.path.parent)) for path in found]


def version_of(project: ProjectFolder) -> int | None:
    """The version of the project's policy if the root signed it as it is, else None."""
    try:
        policy = Project(
            project_option=project.path / "tuneguard.yaml", policy_option=project.path / "policy.yaml"
        ).policy
    except Refused:
        return None
    return policy.version


def manifest_of(project: ProjectFolder) -> str:
    """The manifest that the last passed verdict names."""
    return "sha256:" + str(verdicts(project)[-1]["subject"][1]["digest"]["sha256"])
