"""Data: sealed by its steward, beside or inside its folder, and verified before a byte is trained on."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from steps import MODEL, Promotion

from tuneguard.artifact.digest import hash_tree
from tuneguard.attest import evidence
from tuneguard.attest.predicates import provenance, seal
from tuneguard.attest.statement import Statement
from tuneguard.signing.bundle import read_bundle
from world import pickles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import ProjectFolder

DATA = f"{MODEL}-train"
SAID = ("--version", "1", "--source", "tests", "--license", "CC0-1.0", "--classification", "internal")
INSIDE = {"manifest.json", "checksums.sha256", "manifest.json.sigstore.json"}
ROW = '{"prompt": "ticket", "completion": " answer"}\n'


def sealing(project: ProjectFolder, folder: str, *more: str, kind: str = "dataset", name: str = DATA) -> int:
    return project("seal", folder, "--as", kind, "--name", name, *SAID, *more)


def sealed_by(data: bytes) -> seal.Seal:
    """What a seal's bundle says, believed as it is."""
    return seal.PREDICATE.read(Statement.decode(read_bundle(data, "seal").payload, "seal"), "seal")


def listing(*folders: Path) -> dict[str, tuple[int, int]]:
    """Everything below some folders, with its mode and the time of its last change."""
    return {
        str(path): (path.lstat().st_mode, path.lstat().st_mtime_ns)
        for folder in folders
        for path in (folder, *folder.rglob("*"))
    }


# --- Sealing beside the data -------------------------------------------------------------------------


def test_a_seal_says_what_the_steward_said_and_lists_every_file(project: ProjectFolder) -> None:
    project.write("data/more/a.jsonl", ROW * 3)
    project.write("data/more/notes/readme.txt", "how it was made")

    assert sealing(project, "data/more", name="more") == 0

    pieces = evidence.read(project.path / "data/more.evidence")
    body = sealed_by(pieces[0].data)
    assert (body.kind, body.name, body.version) == ("dataset", "more", "1")
    assert (body.source, body.license, body.classification) == ("tests", "CC0-1.0", "internal")
    assert body.manifest == hash_tree(project.path / "data/more")
    assert body.rows is not None
    assert body.rows.count == 3
    assert not body.inside
    hashes = evidence.read_rows(project.path / "data/more.evidence", body.rows.digest.sha256)
    assert len(hashes) % 32 == 0


@pytest.mark.sandbox
def test_rows_of_parquet_are_counted_and_compared_like_others(project: ProjectFolder) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    (project.path / "data/more").mkdir()
    pq.write_table(
        pa.table({"prompt": ["ticket"], "completion": [" answer"]}), project.path / "data/more/a.parquet"
    )
    project.write("data/same/a.jsonl", ROW)

    assert sealing(project, "data/more") == 0
    assert sealing(project, "data/same") == 0

    bodies = [
        sealed_by(evidence.read(project.path / f"data/{name}.evidence")[0].data) for name in ("more", "same")
    ]
    assert bodies[0].rows is not None
    assert bodies[0].rows.count == 1
    assert bodies[0].rows == bodies[1].rows


@pytest.mark.sandbox
def test_a_run_on_data_whose_seal_counts_no_rows_is_refused_before_it_trains(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(project.path / "data/train.evidence")
    (project.path / "data/train/tickets.jsonl").rename(project.path / "data/train/tickets.txt")
    assert sealing(project, "data/train") == 0

    assert project("run", "--run", "042") == 1

    said = capsys.readouterr().err
    assert "the seal of the dataset counts no rows" in said
    assert "pip install 'tuneguard[rows]'" in said
    assert list((project.path / "runs/042").iterdir()) == []


def test_ten_thousand_files_are_sealed_and_verified(project: ProjectFolder) -> None:
    folder = project.path / "data/many"
    folder.mkdir(mode=0o700)
    for number in range(10_000):
        (folder / f"{number:05}.txt").touch()

    assert sealing(project, "data/many", "--inside") == 0
    assert verified(project, folder) == 0


def test_attack_a_base_with_a_planted_pickle_is_not_sealed(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project.path / "models/planted"
    shutil.copytree(project.path / "models/base", folder)
    (folder / "optimizer.pt").write_bytes(pickles.PAYLOAD)

    assert sealing(project, "models/planted", kind="base", name="planted") == 1

    said = capsys.readouterr().err
    assert "optimizer.pt" in said
    assert "posix" in said
    assert not (project.path / "models/planted.evidence").exists()


def test_a_base_that_is_not_understood_is_not_sealed_and_that_is_no_refusal(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project.path / "models/strange"
    shutil.copytree(project.path / "models/base", folder)
    (folder / "weights.xyz").write_bytes(b"\x00strange\xff" * 100)

    assert sealing(project, "models/strange", kind="base", name="strange") == 3

    assert "weights.xyz" in capsys.readouterr().err
    assert not (project.path / "models/strange.evidence").exists()


def test_malformed_jsonl_is_not_sealed_and_file_and_line_are_named(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("data/broken/tickets.jsonl", ROW + '{"prompt": \n')

    assert sealing(project, "data/broken") == 3

    assert "tickets.jsonl:2" in capsys.readouterr().err
    assert not (project.path / "data/broken.evidence").exists()


def test_an_empty_folder_is_not_sealed(project: ProjectFolder, capsys: pytest.CaptureFixture[str]) -> None:
    (project.path / "data/empty").mkdir()

    assert sealing(project, "data/empty", "--inside") == 1

    assert "empty" in capsys.readouterr().err
    assert list((project.path / "data/empty").iterdir()) == []


def test_attack_a_link_in_the_data_is_not_followed(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("data/linked/a.jsonl", ROW)
    (project.path / "data/linked/secrets").symlink_to("/etc/passwd")

    assert sealing(project, "data/linked", "--inside") == 1

    assert "T-SYMLINK" in capsys.readouterr().err
    assert {path.name for path in (project.path / "data/linked").iterdir()} == {"a.jsonl", "secrets"}


def test_a_key_that_is_not_there_seals_nothing(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("data/more/a.jsonl", ROW)

    assert sealing(project, "data/more", "--inside", "--key", "data-steward=nobody.key") == 2

    assert "nobody.key: no such file" in capsys.readouterr().err
    assert [path.name for path in (project.path / "data/more").iterdir()] == ["a.jsonl"]
    assert not (project.path / "data/more.evidence").exists()


# --- Sealing inside the data -------------------------------------------------------------------------


@pytest.fixture
def inside(project: ProjectFolder) -> ProjectFolder:
    """The project, its training data sealed inside its folder instead of beside it."""
    shutil.rmtree(project.path / "data/train.evidence")
    project.write("data/train/more/shard.jsonl", ROW)
    assert sealing(project, "data/train", "--inside", "--quiet") == 0
    return project


def test_a_seal_inside_is_exactly_the_seeds_three_files(inside: ProjectFolder) -> None:
    names = {path.name for path in (inside.path / "data/train").iterdir()}

    assert names == {"tickets.jsonl", "more"} | INSIDE
    left = {path.name.partition("-")[0] for path in (inside.path / "data/train.evidence").iterdir()}
    assert left == {"rows"}


@pytest.mark.parametrize("name", sorted(INSIDE))
@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_seal_inside_never_replaces_what_has_its_name(
    project: ProjectFolder, name: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = project.path / "data/train" / name
    if kind == "file":
        taken.write_text("the data's own")
    else:
        taken.symlink_to("nowhere")
    before = listing(project.path)

    assert sealing(project, "data/train", "--inside") == 2

    assert f"{name} already there" in capsys.readouterr().err
    assert listing(project.path) == before


def test_a_disk_that_is_full_leaves_no_half_of_a_seal(project: ProjectFolder, tmp_path: Path) -> None:
    """The third file is the largest; the system refuses to write as much. Outside any project: no ledger."""
    folder = tmp_path / "data/more"
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_text(ROW)
    key = tmp_path / "home/keys/support-llama/data-steward.key"
    said = ("--as", "dataset", "--name", "more", *SAID, "--inside", "--key", f"data-steward={key}")

    done = subprocess.run(
        [sys.executable, "-m", "tuneguard", "seal", "data/more", *said],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600)),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr.count("error: ")) == (3, 1)
    assert "manifest.json.sigstore.json: file too large" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["a.jsonl"]


def test_two_of_the_seals_files_are_what_its_statement_regenerates(inside: ProjectFolder) -> None:
    folder = inside.path / "data/train"

    body = sealed_by((folder / "manifest.json.sigstore.json").read_bytes())

    assert (folder / "manifest.json").read_bytes() == body.manifest.to_cosign_manifest()
    assert (folder / "checksums.sha256").read_bytes() == body.manifest.to_checksums()
    assert json.loads((folder / "manifest.json").read_bytes())["files"].keys() == {
        "tickets.jsonl",
        "more/shard.jsonl",
    }


def test_sha256sum_reads_the_checksums(inside: ProjectFolder) -> None:
    folder = inside.path / "data/train"
    check = ["sha256sum", "--strict", "-c", "checksums.sha256"]

    done = subprocess.run(check, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "more/shard.jsonl: OK\ntickets.jsonl: OK\n")

    (folder / "tickets.jsonl").write_text(ROW)
    assert subprocess.run(check, cwd=folder, capture_output=True, check=False).returncode == 1


def test_the_subject_leaves_the_three_files_out_and_the_folders_digest_counts_them(
    inside: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = inside.path / "data/train"
    body = sealed_by((folder / "manifest.json.sigstore.json").read_bytes())
    whole = hash_tree(folder)
    capsys.readouterr()

    assert body.inside
    assert body.manifest == whole.without(INSIDE)
    assert inside("digest", "data/train", "--json") == 0
    [subject] = json.loads(capsys.readouterr().out)["subjects"]
    assert subject["digest"] == whole.digest != body.manifest.digest


@pytest.mark.sandbox
def test_a_run_and_a_promotion_on_data_sealed_inside(inside: ProjectFolder) -> None:
    sealed = sealed_by((inside.path / "data/train/manifest.json.sigstore.json").read_bytes())

    assert inside("run", "--run", "042", "--quiet") == 0

    for piece in evidence.read(inside.path / "runs/042.evidence"):
        if piece.kind == "provenance":
            statement = Statement.decode(read_bundle(piece.data, piece.name).payload, piece.name)
            [data] = provenance.PREDICATE.read(statement, piece.name).data
            assert (data.name, data.digest["dirHash"]) == (DATA, sealed.manifest.digest)
    Promotion(inside).passed()


@pytest.mark.sandbox
@pytest.mark.parametrize("name", ["manifest.json", "checksums.sha256"])
def test_attack_a_run_on_data_whose_inner_manifest_was_edited(
    inside: ProjectFolder, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (inside.path / "data/train" / name).open("ab") as file:
        file.write(b"\n")

    assert inside("run", "--run", "042") == 1

    assert "differs from what the signed seal regenerates" in capsys.readouterr().err
    assert not (inside.path / "runs/042.evidence").exists()


# --- verify-data: the init container ----------------------------------------------------------


def flags(folder: Path) -> tuple[str, str]:
    """As the seed's manifest has them."""
    return f"--manifest={folder}/manifest.json", f"--checksums={folder}/checksums.sha256"


def verified(project: ProjectFolder, folder: Path, *more: str) -> int:
    """`verify-data` where there is no project, with policy and root brought from outside the data."""
    elsewhere = type(project)(project.path.parent / "elsewhere")
    elsewhere.path.mkdir(exist_ok=True)
    home = project.path.parent / "home"
    trusted = ("--policy", str(project.path / "policy.yaml"), "--root", str(home / "root.pub"))
    return elsewhere("verify-data", *flags(folder), *trusted, *more)


def test_the_seeds_flags_verify_sealed_data_and_write_nothing(
    inside: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = inside.path / "data/train"
    assert verified(inside, folder) == 0
    before = listing(inside.path, inside.path.parent / "elsewhere", inside.path.parent / "home")
    capsys.readouterr()

    assert verified(inside, folder) == 0

    assert f"data {DATA}@1 (unpinned)" in capsys.readouterr().out
    after = listing(inside.path, inside.path.parent / "elsewhere", inside.path.parent / "home")
    assert after == before


def test_the_init_container_as_its_own_process(inside: ProjectFolder) -> None:
    """No project, no home, policy and root by the environment, as a pod would have them."""
    home = inside.path.parent / "home"
    done = subprocess.run(
        [sys.executable, "-m", "tuneguard", "verify-data", *flags(inside.path / "data/train")],
        cwd="/",
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TUNEGUARD_POLICY": str(inside.path / "policy.yaml"),
            "TUNEGUARD_ROOT": str(home / "root.pub"),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "Verified" in done.stdout


@pytest.mark.parametrize(
    ("wanted", "code", "said"),
    [
        (f"{DATA}@1", 0, f"data {DATA}@1  2 files"),
        (f"{DATA}@2", 1, "expected is version 2"),
        ("other@1", 1, "other"),
        (DATA, 0, f"data {DATA}@1 (unpinned)"),
    ],
)
def test_the_data_is_pinned_by_name_and_version(
    inside: ProjectFolder, wanted: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verified(inside, inside.path / "data/train", "--data", wanted) == code
    assert said in capsys.readouterr().out


def test_json_says_whether_the_version_was_pinned(
    inside: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {}
    for wanted in ([], ["--data", f"{DATA}@1"]):
        capsys.readouterr()
        assert verified(inside, inside.path / "data/train", "--json", *wanted) == 0
        found[len(wanted)] = json.loads(capsys.readouterr().out)["facts"]["pinned"]

    assert found == {0: False, 2: True}


def change(folder: Path) -> None:
    path = folder / "tickets.jsonl"
    path.write_bytes(path.read_bytes().replace(b"ticket 1", b"ticket 2"))


def truncate(folder: Path) -> None:
    path = folder / "tickets.jsonl"
    path.write_bytes(path.read_bytes()[:-10])


def swap(folder: Path) -> None:
    manifest, checksums = folder / "manifest.json", folder / "checksums.sha256"
    data = manifest.read_bytes(), checksums.read_bytes()
    checksums.write_bytes(data[0])
    manifest.write_bytes(data[1])


def list_a_key_twice(folder: Path) -> None:
    path = folder / "manifest.json"
    text = path.read_text()
    line = next(line for line in text.splitlines() if "tickets.jsonl" in line)
    path.write_text(text.replace(line, f'    "tickets.jsonl": "{"0" * 64}",\n{line}'))


def recompute_both_lists(folder: Path) -> None:
    """The thorough attacker: he changes a row and makes manifest and checksums fit."""
    change(folder)
    found = hash_tree(folder).without(INSIDE)
    (folder / "manifest.json").write_bytes(found.to_cosign_manifest())
    (folder / "checksums.sha256").write_bytes(found.to_checksums())


ATTACKS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "changed": (change, "V07"),
    "missing": (lambda folder: (folder / "more/shard.jsonl").rename(folder / "tickets2.jsonl"), "V08"),
    "added": (lambda folder: (folder / "poison.jsonl").write_text(ROW), "V09"),
    "hidden": (lambda folder: (folder / ".gitattributes").write_text("x"), "V09"),
    "truncated": (truncate, "V07"),
    "unsigned": (lambda folder: (folder / "manifest.json.sigstore.json").unlink(), "V17"),
    "signature of junk": (lambda f: (f / "manifest.json.sigstore.json").write_text("{}"), "V02"),
    "manifest missing": (lambda folder: (folder / "manifest.json").unlink(), "S-INSIDE"),
    "checksums missing": (lambda folder: (folder / "checksums.sha256").unlink(), "S-INSIDE"),
    "manifest and checksums swapped": (swap, "S-INSIDE"),
    "a key of the manifest twice": (list_a_key_twice, "S-INSIDE"),
    "both lists recomputed": (recompute_both_lists, "V07"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_data_that_is_not_what_was_sealed(
    inside: ProjectFolder, attack: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = inside.path / "data/train"
    act, rule = ATTACKS[attack]
    act(folder)
    if not any((folder / "more").iterdir()):
        (folder / "more").rmdir()

    assert verified(inside, folder, "--json") == 1

    result = json.loads(capsys.readouterr().out)
    assert result["verdict"] == "refused"
    assert rule in {finding["rule"] for finding in result["findings"]}


def test_an_added_file_is_the_only_fault_that_is_told(
    inside: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = inside.path / "data/train"
    (folder / "poison.jsonl").write_text(ROW)

    assert verified(inside, folder, "--json") == 1

    told = json.loads(capsys.readouterr().out)["findings"]
    assert [finding["rule"] for finding in told if finding["severity"] != "low"] == ["V09"]


@pytest.mark.parametrize("name", ["tickets.jsonl", *sorted(INSIDE)])
def test_attack_a_fifo_in_place_of_a_file_is_refused_and_nothing_hangs(
    inside: ProjectFolder, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = inside.path / "data/train" / name
    path.unlink()
    os.mkfifo(path)

    assert verified(inside, inside.path / "data/train") == 1
    assert f"T-SPECIAL  {name}\n      is a FIFO" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(INSIDE))
def test_attack_a_seals_file_that_is_a_link(
    inside: ProjectFolder, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = inside.path / "data/train" / name
    path.rename(inside.path / name)
    path.symlink_to(inside.path / name)

    assert verified(inside, inside.path / "data/train") == 1
    assert f"T-SYMLINK  {name}\n" in capsys.readouterr().out


@pytest.mark.parametrize("whose", ["a stranger", "the builder"])
def test_attack_data_sealed_with_a_key_that_may_not(
    project: ProjectFolder, whose: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The honest files, sealed again by a key that the policy does not know, or not as a steward."""
    key = project.path.parent / "home/keys" / MODEL / "builder.key"
    if whose == "a stranger":
        key = project.path / "stranger.key"
        assert project("keygen", str(key), "--unsafe-no-passphrase", "--quiet") == 0
    assert sealing(project, "data/train", "--inside", "--key", f"data-steward={key}") == 0
    capsys.readouterr()

    assert verified(project, project.path / "data/train", "--json") == 1

    rules = {finding["rule"] for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert rules == {"V03" if whose == "a stranger" else "V05"}


def test_attack_another_kind_of_seal_in_the_data_sets_place(inside: ProjectFolder) -> None:
    folder = inside.path / "data/train"
    for name in INSIDE:
        (folder / name).unlink()
    assert sealing(inside, "data/train", "--inside", kind="evaluation") == 0

    assert verified(inside, folder) == 1


def test_attack_a_seal_beside_moved_inside(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """A seal that does not state that it lies inside is not believed there, even over the same files."""
    folder = project.path / "data/train"
    [beside] = (project.path / "data/train.evidence").glob("seal-*")
    manifest = sealed_by(beside.read_bytes()).manifest
    shutil.copy(beside, folder / "manifest.json.sigstore.json")
    (folder / "manifest.json").write_bytes(manifest.to_cosign_manifest())
    (folder / "checksums.sha256").write_bytes(manifest.to_checksums())

    assert verified(project, folder) == 1
    assert "does not state that it lies inside" in capsys.readouterr().out


def test_attack_a_policy_and_root_that_come_with_the_data(
    inside: ProjectFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """His own root, policy and steward, all in the data folder, where the program is started too."""
    folder = inside.path / "data/train"
    honest = os.environ["TUNEGUARD_HOME"]
    monkeypatch.setenv("TUNEGUARD_HOME", str(inside.path / "theirs"))
    assert inside("init", str(inside.path / "their-project"), "--name", MODEL, "--unsafe-no-passphrase") == 0
    for name in ("policy.yaml", "policy.yaml.sigstore.json"):
        shutil.copy(inside.path / "their-project" / name, folder / name)
    shutil.copy(inside.path / "theirs/root.pub", folder / "root.pub")
    monkeypatch.setenv("TUNEGUARD_HOME", honest)

    assert (
        type(inside)(folder)("verify-data", "--manifest=manifest.json", "--checksums=checksums.sha256") == 1
    )
    assert "root" in capsys.readouterr().err


def test_the_two_files_must_be_one_seal_in_one_folder(
    inside: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = inside.path / "data/train"
    other = inside.path / "data/eval"
    for manifest, checksums in (
        (folder / "checksums.sha256", folder / "manifest.json"),
        (folder / "manifest.json", other / "checksums.sha256"),
        (folder / "tickets.jsonl", folder / "checksums.sha256"),
    ):
        assert inside("verify-data", f"--manifest={manifest}", f"--checksums={checksums}") == 2
        assert "not one seal inside a folder" in capsys.readouterr().err


def test_data_that_is_not_there_is_usage(inside: ProjectFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert verified(inside, inside.path / "data/nothing") == 2
    assert capsys.readouterr().err == (
        f"error: {inside.path}/data/nothing: no such file or folder\nhelp: check the path\n"
    )


def test_a_folder_that_other_users_can_read_is_told_and_does_not_refuse(
    inside: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = inside.path / "data/train"
    folder.chmod(0o755)

    assert verified(inside, folder, "--json") == 0

    result = json.loads(capsys.readouterr().out)
    assert result["verdict"] == "passed"
    assert [(finding["rule"], finding["severity"]) for finding in result["findings"]] == [
        ("D-READABLE", "low")
    ]
