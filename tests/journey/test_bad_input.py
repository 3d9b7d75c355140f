"""What bad input gets: one sentence with its place and its mend, the right exit code, nothing half-written.

Through the whole program, as somebody would meet it. `tests/cli/test_console.py` has the rest.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest
from steps import MODEL, Promotion

from world import users

if TYPE_CHECKING:
    import subprocess

    from projects import ProjectFolder

VERIFY = ("verify", "runs/042", "--for", "promote", "--model", MODEL, "--run", "042")


def sentence(said: str) -> str:
    """Exactly one sentence, what to do about it, no traceback."""
    lines = [line for line in said.splitlines() if re.match(r"\S", line)]
    kinds = [line.partition(":")[0] for line in lines if not re.match(r"(low|medium|high|critical)  ", line)]
    assert kinds == ["error", "help"], said
    assert "Traceback" not in said
    return said


def listing(project: ProjectFolder) -> dict[str, int]:
    """Every file of the project but the ledger's, with its size."""
    return {
        str(path.relative_to(project.path)): path.lstat().st_size
        for path in project.path.rglob("*")
        if ".tuneguard" not in path.parts
    }


# --- A missing file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (("digest", "nothing"), "nothing"),
        (("scan", "nothing"), "nothing"),
        (("sign", "nothing"), "nothing"),
        (("verify", "nothing", "--model", MODEL), "nothing"),
        (("verify", "models/base", "--signature", "nothing.sig", "--public-key", "k.pub"), "nothing.sig"),
        (("policy", "check", "nothing.yaml"), "nothing.yaml"),
        (("policy", "explain", "nothing.yaml"), "nothing.yaml"),
        (("run", "--run", "1", "--project", "nothing.yaml"), "nothing.yaml"),
        (("run", "--run", "1", "--key", "builder=nothing.key"), "nothing.key"),
        (("run", "--run", "1", "--policy", "nothing.yaml"), "nothing.yaml"),
        (("run", "--run", "1", "--root", "nothing.pub"), "nothing.pub"),
        (("promote", "nothing", "--to", "oci:r:t", "--run", "1", "--model", MODEL), "nothing"),
        (("push", "nothing", "--to", "oci:r:t", "--model", MODEL), "nothing"),
        (("pull", "oci:nothing:tag", "served", "--model", MODEL), "nothing"),
        (("run", "--run", "1", "--resume", "nothing"), "nothing"),
        (("trace", "nothing"), "nothing"),
        (("sign", "models/base", "--passphrase-file", "nothing.txt", "--key", "k.key"), "k.key"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
@pytest.mark.sandbox
def test_what_is_not_there_is_usage(
    project: ProjectFolder, arguments: tuple[str, ...], missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = listing(project)

    assert project(*arguments) == 2

    assert missing in sentence(capsys.readouterr().err)
    after = listing(project)
    assert {path: size for path, size in after.items() if before.get(path) != size} == {}


# --- A wrong key -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", 2, "not a private key"),
        (b"\x00\xff junk", 2, "not a private key"),
        ("public", 2, "this is a public key"),
        ("folder", 2, "not a regular file"),
        ("loop", 2, "loop of links"),
        (b"x" * 100_000, 2, "larger than"),
    ],
    ids=["empty", "junk", "public", "folder", "loop", "huge"],
)
def test_what_is_no_key_signs_nothing(
    project: ProjectFolder, content: bytes | str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key = project.path / "x.key"
    honest = project.path.parent / "home/keys" / MODEL / "builder"
    if content == "public":
        key.write_bytes(honest.with_suffix(".pub").read_bytes())
    elif content == "folder":
        key.mkdir()
    elif content == "loop":
        key.symlink_to(key)
    else:
        key.write_bytes(content)  # type: ignore[arg-type]
    before = listing(project)

    assert project("sign", "models/base", "--key", "builder=x.key") == code

    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("error: ") == 1
    assert listing(project) == before


@pytest.mark.sandbox
def test_a_checkpoint_signed_by_a_key_that_nobody_knows_is_refused_with_that_reason(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert project("keygen", "mine.key", "--unsafe-no-passphrase", "--quiet") == 0
    assert project("run", "--run", "042", "--quiet") == 0
    [honest] = (project.path / "runs/042.evidence").glob("signature-*")
    honest.unlink()
    assert project("sign", "runs/042", "--key", "builder=mine.key", "--quiet") == 0
    capsys.readouterr()

    assert project(*VERIFY) == 1

    said = capsys.readouterr().out
    assert said.count("is signed by no key that the policy names") == 1
    assert "✗ refused" in said or "x refused" in said


def test_a_root_that_is_no_key_believes_nobody(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.path.parent / "home/root.pub").write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n")

    assert project("verify", "models/base", "--model", MODEL) == 2
    assert "root.pub" in capsys.readouterr().err


# --- Truncated evidence ------------------------------------------------------------------------------


@pytest.mark.sandbox
@pytest.mark.parametrize("size", [0, 1, 100, -1])
@pytest.mark.parametrize("kind", ["signature", "provenance"])
def test_truncated_evidence_counts_for_nothing_and_is_named(
    trained: ProjectFolder, kind: str, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    [path] = (trained.path / "runs/042.evidence").glob(f"{kind}-*")
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:size])

    assert trained(*VERIFY, "--json") == 1

    result = json.loads(capsys.readouterr().out)
    assert [finding["location"]["path"] for finding in result["findings"]] == [path.name]
    assert result["error"] is None
    assert trained("verify", "runs/042", "--quiet") in (1, 4)


@pytest.mark.sandbox
def test_truncated_row_hashes_refuse_a_promotion(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    [path] = (trained.path / "data/eval.evidence").glob("rows-*")
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-32])
    promotion = Promotion(trained)
    promotion.judged()
    capsys.readouterr()

    assert promotion.decide() == 1
    assert "G-OVERLAP" in capsys.readouterr().out


def test_a_truncated_policy_signature_could_not_be_looked_at(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project.path / "policy.yaml.sigstore.json"
    path.write_bytes(path.read_bytes()[:-10])

    assert project("verify", "models/base", "--model", MODEL) == 3
    assert "policy.yaml.sigstore.json" in capsys.readouterr().err


@pytest.mark.sandbox
def test_a_truncated_ledger_could_not_be_looked_at(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    path = trained.path / ".tuneguard/ledger.db"
    path.write_bytes(path.read_bytes()[:5000])

    assert trained("ledger", "verify") in (1, 3)
    printed = capsys.readouterr()
    assert "a bug in Tuneguard" not in printed.err
    assert trained("run", "--run", "043") != 0
    assert "a bug in Tuneguard" not in capsys.readouterr().err


# --- What cannot be read -----------------------------------------------------------------------------


def as_somebody(project: ProjectFolder, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program as an ordinary user, to whom root's folders are closed."""
    return users.program("-m", "tuneguard", *arguments, cwd=project.path)


@pytest.fixture
def closed(open_project: ProjectFolder) -> ProjectFolder:
    """A project that every user may enter, with a folder and a file that only its owner may read."""
    tree = open_project.path / "tree"
    (tree / "closed").mkdir(parents=True)
    (tree / "closed/a.json").write_text("{}")
    (tree / "secret.json").write_text("{}")
    return open_project


@pytest.mark.parametrize("what", ["tree", "tree/closed", "tree/secret.json"])
@pytest.mark.parametrize("command", ["digest", "scan"])
def test_what_cannot_be_read_could_not_be_looked_at(closed: ProjectFolder, command: str, what: str) -> None:
    (closed.path / what).chmod(0o000)

    done = as_somebody(closed, command, "tree")

    (closed.path / what).chmod(0o700)
    assert done.returncode == 3, done
    said = done.stderr + done.stdout
    assert "permission denied" in said.lower()
    assert what.removeprefix("tree/") in said
    assert "Traceback" not in said


def test_an_evidence_folder_that_cannot_be_read_could_not_be_looked_at(closed: ProjectFolder) -> None:
    """Not seeing the evidence is not the same as there being none."""
    for path in (closed.path / "policy.yaml", closed.path / "policy.yaml.sigstore.json"):
        path.chmod(0o644)
    root = closed.path / "root.pub"
    root.write_bytes((closed.path.parent / "home/root.pub").read_bytes())
    (closed.path / "tree.evidence").mkdir(mode=0o000)
    for path in (closed.path / "tree").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)

    done = as_somebody(closed, "verify", "tree", "--model", MODEL, "--root", str(root))

    assert done.returncode == 3, done
    assert "permission denied" in sentence(done.stderr)
    assert "tree.evidence" in done.stderr


def test_a_key_that_cannot_be_read_signs_nothing(closed: ProjectFolder) -> None:
    key = closed.path / "x.key"
    assert closed("keygen", "x.key", "--unsafe-no-passphrase", "--quiet") == 0
    assert key.stat().st_mode & 0o777 == 0o600
    for path in (closed.path / "tree").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)

    done = as_somebody(closed, "sign", "tree", "--key", f"builder={key}")

    if os.geteuid() == 0:  # else the owner reads it, and that is as it should be
        assert done.returncode == 3, done
        assert "x.key: permission denied" in sentence(done.stderr)


@pytest.mark.skipif(os.geteuid() != 0, reason="only another user cannot write into one's own folder")
def test_a_folder_that_cannot_be_written_is_told_and_nothing_is_left(closed: ProjectFolder) -> None:
    done = as_somebody(closed, "keygen", str(closed.path / "y.key"), "--unsafe-no-passphrase")

    assert done.returncode == 3, done
    assert "permission denied" in sentence(done.stderr)
    assert [path.name for path in closed.path.iterdir() if path.name.startswith(("y.", ".y."))] == []


# --- The pipeline file -------------------------------------------------------------------------------


def test_an_unknown_key_of_the_pipeline_names_its_place_and_the_nearest_known_one(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = (project.path / "tuneguard.yaml").read_text()
    line = next(n for n, text in enumerate(pipeline.splitlines(), 1) if "expectedDuration" in text)
    project.write("tuneguard.yaml", pipeline.replace("expectedDuration", "expectedDuraton"))

    assert project("run", "--run", "042") == 2

    said = capsys.readouterr().err
    assert f"tuneguard.yaml:{line}:3: unknown key `expectedDuraton`" in said
    assert "did you mean `expectedDuration`?" in said
    assert not (project.path / "runs").exists()


def test_every_fault_of_the_pipeline_is_told_at_once(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = (project.path / "tuneguard.yaml").read_text()
    broken = pipeline.replace("train-config.yaml", "[1]").replace("scratch: 1Gi", "scratch: much")
    project.write("tuneguard.yaml", broken.replace("base: {path", "base: {pth"))

    assert project("run", "--run", "042") == 2

    said = capsys.readouterr().err
    assert said.count("error: tuneguard.yaml:") >= 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("a: &x 1\nb: *x\n", "alias"),
        ("a: 1\na: 2\n", "duplicate key `a`"),
        ("\x00\x01", ""),
        ("a: [", ""),
    ],
    ids=["empty", "alias", "doubled", "junk", "open"],
)
def test_what_is_no_pipeline_is_usage(
    project: ProjectFolder, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("tuneguard.yaml", text)

    assert project("run", "--run", "042") == 2

    printed = capsys.readouterr().err
    assert "tuneguard.yaml" in printed
    assert said in printed
    assert "bug" not in printed


@pytest.mark.parametrize("run", ["", "../x", "A", "a b", "-x", "x" * 64, "042\n"])
def test_what_is_no_run_id_begins_nothing(
    project: ProjectFolder, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = listing(project)

    assert project("run", f"--run={run}") == 2

    sentence(capsys.readouterr().err)
    assert listing(project) == before
