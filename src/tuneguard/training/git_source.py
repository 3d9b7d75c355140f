"""Which commit the training's code is of: the repository's address, the commit, and whether the code differs.

The repository is hostile: its configuration can name programs that git runs (``core.fsmonitor``, filters,
hooks, ssh commands), so git never reads it as a repository. HEAD and references are read here, and git is
given a new repository that holds nothing but the way to the objects. What is compared is the snapshot that
the training is shown: every file of it is one of the commit, with the same bytes, or the code is dirty.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tuneguard import files, limits
from tuneguard.attest.predicates.provenance import Git
from tuneguard.errors import TuneguardError

if TYPE_CHECKING:
    from tuneguard.artifact.manifest import Manifest

_COMMIT = re.compile(rb"[0-9a-f]{40}([0-9a-f]{24})?")
_REFERENCE = re.compile(rb"refs/[A-Za-z0-9_@+=./-]{1,1000}")
_LONGEST = 2_000
"""Characters of a repository's address."""
_PATH = "/usr/local/bin:/usr/bin:/bin"
_ENVIRONMENT = {
    "PATH": _PATH,
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOC_LIMIT": "1g",
    "GIT_ALLOW_PROTOCOL": "",
}


def source_of(folder: Path, snapshot: Path, manifest: Manifest) -> Git | None:
    """Where the code at `folder` comes from, of which `snapshot` is a copy; None where no commit is known."""
    found = _repository(folder)
    if found is None:
        return None
    top, own, common = found
    with suppress(TuneguardError, OSError):
        commit = _head(own, common)
        if commit is not None:
            with tempfile.TemporaryDirectory(prefix="tuneguard-git-") as place:
                git = _OurRepository(Path(place), common / "objects", commit)
                differing = _differing(git, folder.relative_to(top).as_posix(), snapshot, manifest)
                return Git(
                    repository=_address(git, common),
                    commit=commit,
                    dirty=None if differing is None else differing > 0,
                    differing=differing or None,
                )
    return None


# --- The repository, read here --------------------------------------------------------------------


def _repository(folder: Path) -> tuple[Path, Path, Path] | None:
    """The working tree's top, its git folder, and the one that it shares with other working trees.

    It belongs to this user or to the owner of the code, as git itself wants (``safe.directory``).
    """
    owners = {os.geteuid(), os.lstat(folder).st_uid}
    for top in (folder, *folder.parents)[: limits.TREE_DEPTH]:
        named = top / ".git"
        if os.path.lexists(named):
            with suppress(TuneguardError, OSError):
                own = named if named.is_dir() else _pointed(named, b"gitdir: ")
                common = _pointed(own / "commondir", b"") if (own / "commondir").exists() else own
                if all(os.stat(path).st_uid in owners for path in (named, own, common)):
                    return top, own, common
            return None
    return None


def _pointed(file: Path, prefix: bytes) -> Path:
    """The folder that a small file of git's names."""
    said = files.read_bounded(file, limits.GIT_SMALL).removesuffix(b"\n")
    return file.parent / os.fsdecode(said.removeprefix(prefix))


def _head(own: Path, common: Path) -> str | None:
    """The commit that is checked out; None where there is none yet, or where it cannot be found this way."""
    said = files.read_bounded(own / "HEAD", limits.GIT_SMALL).strip()
    for _ in range(5):
        if _COMMIT.fullmatch(said):
            return said.decode()
        name = said.removeprefix(b"ref: ")
        if not _REFERENCE.fullmatch(name) or b".." in name:
            return None
        said = _reference(name, own, common)
    return None


def _reference(name: bytes, own: Path, common: Path) -> bytes:
    for folder in dict.fromkeys((own, common)):
        if (folder / os.fsdecode(name)).is_file():
            return files.read_bounded(folder / os.fsdecode(name), limits.GIT_SMALL).strip()
    packed = common / "packed-refs"
    lines = files.read_bounded(packed, limits.RECORD_BYTES).split(b"\n") if packed.is_file() else []
    return next((line.split(b" ")[0] for line in lines if line.endswith(b" " + name)), b"")


def without_credentials(address: str) -> str | None:
    """An address without user, password, query and fragment; None where it is none that can be shown.

    >>> without_credentials("https://alice:token@host.example/team/code.git?private_token=x")
    'https://host.example/team/code.git'
    >>> without_credentials("git@host.example:team/code.git")
    'git@host.example:team/code.git'
    """
    if not address.isprintable() or len(address) > _LONGEST:
        return None
    if "://" not in address:
        before, at, rest = address.partition("@")
        return f"{before.partition(':')[0]}@{rest}" if at and ":" in before else address
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


# --- What git reads, in a repository of ours ------------------------------------------------------


class _OurRepository:
    """A new repository in `place` with the objects of another one, and none of its configuration."""

    def __init__(self, place: Path, objects: Path, commit: str) -> None:
        self.commit = commit
        self._place = place
        self._environment = _ENVIRONMENT | {
            "HOME": str(place),
            "GIT_DIR": str(place),
            "GIT_OBJECT_DIRECTORY": str(objects),
        }
        for name in ("refs", "objects"):
            (place / name).mkdir()
        (place / "HEAD").write_text("ref: refs/heads/none\n")
        extensions = "[extensions]\n\tobjectformat = sha256\n" if len(commit) == 64 else ""
        (place / "config").write_text(f"[core]\n\trepositoryformatversion = 1\n\tbare = true\n{extensions}")

    def asked(self, *arguments: str, given: bytes = b"") -> bytes | None:
        """What git answers; None where there is no git, or it fails, takes too long, or says too much."""
        program = shutil.which("git", path=_PATH)
        if program is None:
            return None
        with tempfile.TemporaryFile(dir=self._place) as answer, suppress(subprocess.SubprocessError, OSError):
            done = subprocess.run(
                [program, *arguments],
                input=given,
                stdout=answer,
                stderr=subprocess.DEVNULL,
                env=self._environment,
                cwd=self._place,
                timeout=limits.GIT_SECONDS,
                check=False,
            )
            if done.returncode == 0 and answer.tell() <= limits.GIT_ANSWER:
                answer.seek(0)
                return answer.read()
        return None


def _address(git: _OurRepository, common: Path) -> str | None:
    """The address of ``origin``, or of the first other remote."""
    path = common / "config"
    said = git.asked(
        *("config", "--no-includes", "--file", "-", "-z", "--get-regexp", r"^remote\..*\.url$"),
        given=files.read_bounded(path, limits.RECORD_BYTES) if path.is_file() else b"",
    )
    pairs = [entry.split("\n", 1) for entry in (said or b"").decode("utf-8", "replace").split("\0") if entry]
    found = {pair[0]: pair[1] for pair in reversed(pairs) if len(pair) == 2}
    first = next((pair[1] for pair in pairs if len(pair) == 2), None)
    address = found.get("remote.origin.url", first)
    return None if address is None else without_credentials(address)


def _differing(git: _OurRepository, prefix: str, snapshot: Path, manifest: Manifest) -> int | None:
    """How many files are not as in the commit; None where git cannot say what is in it."""
    prefix = "" if prefix == "." else prefix
    listed = git.asked("ls-tree", "-r", "-z", "--full-tree", f"{git.commit}:{prefix}")
    if listed is None:
        return None
    committed: dict[str, str] = {}
    for entry in listed.split(b"\0"):
        head, tab, name = entry.partition(b"\t")
        if tab:
            mode, _, digest = head.split(b" ")
            regular = mode.startswith(b"100")
            committed[os.fsdecode(name)] = digest.decode() if regular else ""
    here = [file for file in manifest.files if file.path.split("/")[0] != ".git" or prefix]
    kind = "sha256" if len(git.commit) == 64 else "sha1"
    same = sum(
        committed.get(file.path) == _blob(snapshot / file.path, file.size, kind)
        for file in here
        if file.path in committed
    )
    return len(here) - same + len(committed.keys() - {file.path for file in here})


def _blob(path: Path, size: int, kind: str) -> str:
    """The name that git gives to a file's bytes."""
    digest = hashlib.new(kind, b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(limits.HASH_BUFFER):
            digest.update(block)
    return digest.hexdigest()
