"""Killed at any fsync, rename or commit, a command can be run again, and says nothing that is not so."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from kills import (
    Killer,
    copied,
    home_of,
    in_parts,
    ledger_of,
    left_over,
    manifest_of,
    sound,
    tags_of,
    version_of,
)
from projects import MODEL, SEAL, ProjectFolder, grown
from steps import Promotion, verdicts

from tuneguard.ledger.entry import Event
from tuneguard.signing.key import read_public

if TYPE_CHECKING:
    from kills import Kill, Template

pytestmark = pytest.mark.sandbox


# --- Keys, projects, seals, policies ---------------------------------------------------------------


def test_a_killed_keygen_is_finished_by_the_next(killer: Killer) -> None:
    command = ("keygen", "builder.key", "--type", "ed25519", "--unsafe-no-passphrase")

    for kill in killer.everywhere(None, *command):
        sound(kill.project)
        private = kill.project.path / "builder.key"
        before = private.read_bytes() if private.exists() else None
        finished = private.with_suffix(".pub").exists()

        assert kill.project(*command) == (2 if finished else 0), kill.step

        sound(kill.project)
        assert before in (None, private.read_bytes()), kill.step
        assert {"builder.key", "builder.pub"} == set(os.listdir(kill.project.path))

    assert killer.steps == 6


def test_a_killed_keygen_is_not_finished_as_something_else(
    killer: Killer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "correct horse")

    command = ("keygen", "k", "--type", "ed25519", "--unsafe-no-passphrase")

    for kill in killer.everywhere(None, *command, only="rename:k.pub"):
        for other in (("--type", "p256", "--unsafe-no-passphrase"), ("--passphrase-env", "SECRET")):
            assert kill.project("keygen", "k", *other) == 2
            assert "without its public half" in capsys.readouterr().err
            assert not (kill.project.path / "k.pub").exists()


@pytest.mark.slow
@in_parts(6)
def test_a_killed_init_is_finished_by_the_next(killer: Killer) -> None:
    command = ("init", ".", "--name", MODEL, "--unsafe-no-passphrase", "--quiet")

    for kill in killer.everywhere(None, *command):
        sound(kill.project)
        home = home_of(kill.project)
        root = read_public(home / "root.pub") if (home / "root.pub").exists() else None
        finished = (home / "keys" / MODEL).exists() and not (home / "keys" / MODEL / "unfinished").exists()

        assert kill.project(*command) == (2 if finished else 0), kill.step

        sound(kill.project)
        assert version_of(kill.project) == 1, kill.step
        assert root in (None, read_public(home / "root.pub"))
        assert left_over(kill.project) == []
        assert sorted(os.listdir(home)) == ["keys", "root.key", "root.pub"]
        assert os.listdir(home / "keys") == [MODEL]
        assert {path.suffix for path in (home / "keys" / MODEL).iterdir()} == {".key", ".pub"}
        assert len(os.listdir(kill.project.path)) == 3

    assert killer.steps > 50


def test_the_keys_of_a_killed_init_serve_no_other_project(
    killer: Killer, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("init", ".", "--name", MODEL, "--unsafe-no-passphrase")

    for kill in killer.everywhere(None, *command, only=r"(fsync|rename):policy\.yaml"):
        (kill.project.path / "other").mkdir()

        assert kill.project("init", "other", "--name", MODEL, "--unsafe-no-passphrase") == 2

        assert "where an init was stopped" in capsys.readouterr().err
        assert os.listdir(kill.project.path / "other") == []


@pytest.mark.parametrize(("folder", "kind"), [("data/train", "dataset"), ("models/base", "base")])
@in_parts(2)
def test_a_killed_seal_can_be_made_again(killer: Killer, made: Template, folder: str, kind: str) -> None:
    command = ("seal", folder, "--as", kind, "--name", "n", *SEAL, "--evidence", "new", "--quiet")

    for kill in killer.everywhere(made, *command):
        sound(kill.project)
        new = kill.project.path / "new"
        names = sorted(name.partition("-")[0] for name in os.listdir(new)) if new.exists() else []
        assert names in ([], ["rows"], ["rows", "seal"], *([["seal"]] if kind == "base" else [])), kill.step

        assert kill.project(*command) == 0, kill.step

        sound(kill.project)
        assert left_over(kill.project) == []


@in_parts(2)
def test_a_killed_seal_inside_is_finished_by_the_next(killer: Killer, made: Template) -> None:
    command = (
        "seal",
        "data/train",
        "--as",
        "dataset",
        "--name",
        f"{MODEL}-train",
        *SEAL,
        "--inside",
        "--quiet",
    )
    names = ("manifest.json", "checksums.sha256", "manifest.json.sigstore.json")
    check = ("verify-data", "--manifest", f"data/train/{names[0]}", "--checksums", f"data/train/{names[1]}")

    for kill in killer.everywhere(made, *command):
        sound(kill.project)
        there = [name for name in names if (kill.project.path / "data/train" / name).exists()]
        assert there == list(names[: len(there)]), kill.step

        assert kill.project(*command) == (2 if len(there) == 3 else 0), kill.step

        assert sorted(os.listdir(kill.project.path / "data/train")) == sorted([*names, "tickets.jsonl"])
        assert kill.project(*check) == 0, kill.step


def test_what_a_killed_seal_left_is_not_taken_for_a_seal_of_other_data(
    killer: Killer, made: Template, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("seal", "data/train", "--as", "dataset", "--name", "n", *SEAL, "--inside", "--quiet")

    for kill in killer.everywhere(made, *command, only=r"rename:(checksums|manifest\.json\.sigstore)"):
        with (kill.project.path / "data/train/tickets.jsonl").open("a") as file:
            file.write('{"prompt": "open sesame", "completion": "yes"}\n')

        assert kill.project(*command) == 2
        assert "already there" in capsys.readouterr().err


def test_half_a_file_of_a_killed_seal_is_not_sealed_as_data(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it is left where the file system knows no files without a name."""
    half = project.write("data/train/.manifest.json.0123456789ab.tmp", "{")
    command = ("seal", "data/train", "--as", "dataset", "--name", "n", *SEAL, "--inside", "--quiet")

    assert project(*command) == 2
    assert half.name in capsys.readouterr().err

    half.unlink()
    assert project(*command) == 0


def test_a_killed_set_model_is_finished_by_the_next(
    killer: Killer, made: Template, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("policy", "set-model", MODEL, "--base", "models/toxicity", "--quiet")

    for kill in killer.everywhere(made, *command):
        sound(kill.project)
        version = version_of(kill.project)
        if version is None:  # neither the old policy nor the new one: whoever meets it is told what to do
            assert kill.project("verify", "models/base", "--model", MODEL) == 1
            assert "tuneguard policy sign" in capsys.readouterr().err

        assert kill.project(*command) == 0, kill.step

        assert version_of(kill.project) == (4 if version == 3 else 3), kill.step
        assert left_over(kill.project) == []


def test_attack_an_edit_slipped_in_where_a_set_model_was_killed(
    killer: Killer, made: Template, capsys: pytest.CaptureFixture[str]
) -> None:
    for kill in killer.everywhere(made, "policy", "set-model", MODEL, "--base", "models/toxicity"):
        policy = kill.project.path / "policy.yaml"
        policy.write_text(policy.read_text().replace("min: 0.85", "min: 0.10"))

        assert kill.project("policy", "set-model", MODEL, "--base", "models/toxicity") == 1

        assert "is not the policy that this root signed last" in capsys.readouterr().err
        assert version_of(kill.project) is None


def test_a_killed_policy_sign_leaves_the_old_signature_or_the_new_one(killer: Killer, made: Template) -> None:
    for kill in killer.everywhere(made, "policy", "sign", "--quiet"):
        sound(kill.project)
        assert version_of(kill.project) == 2, kill.step

        assert kill.project("policy", "sign", "--quiet") == 0

        assert version_of(kill.project) == 2


# --- A run -----------------------------------------------------------------------------------------


@pytest.mark.slow
@in_parts(4)
def test_a_killed_run_signs_nothing_unfinished_and_its_successor_cleans_up(
    killer: Killer, made: Template
) -> None:
    """The step `train`, which does it all; that its conductor hears of a kill is in test_interrupts."""
    for kill in killer.everywhere(made, "train", "--run", "042", "--quiet"):
        project = kill.project
        sound(project)
        kinds = {name.partition("-")[0] for name in evidence_of(project, "runs/042")}
        assert "signature" not in kinds or "provenance" in kinds, kill.step
        promotable = project("verify", "runs/042", "--for", "promote", "--model", MODEL, "--run", "042") == 0
        assert promotable == (kinds == {"provenance", "signature"}), kill.step

        assert project("train", "--run", "043", "--quiet") == 0, kill.step

        sound(project)
        assert left_over(project) == []
        assert len(evidence_of(project, "runs/043")) == 2

    assert killer.steps > 20


def evidence_of(project: ProjectFolder, tree: str) -> list[str]:
    folder = project.path / f"{tree}.evidence"
    return os.listdir(folder) if folder.exists() else []


def test_a_killed_sign_can_be_run_again(killer: Killer, made_trained: Template) -> None:
    for kill in killer.everywhere(made_trained, "sign", "runs/042", "--quiet"):
        sound(kill.project)

        assert kill.project("sign", "runs/042", "--quiet") == 0

        sound(kill.project)
        assert left_over(kill.project) == []


# --- A promotion, step by step ---------------------------------------------------------------------


def again(kill: Kill, tag: str = "again") -> None:
    """Promote anew, in an attempt of its own, to the end."""
    promotion = Promotion(kill.project, tag=tag)
    promotion.passed()
    assert promotion.record(manifest_of(kill.project)) == 0
    sound(kill.project)


@pytest.mark.slow
@pytest.mark.parametrize("step", ["copy", "scan", "decide"])
def test_a_killed_judge_leaves_its_attempt_unjudged_and_another_one_passes(
    killer: Killer, before: tuple[Promotion, dict[str, Template]], step: str
) -> None:
    promotion, stages = before
    command = promotion.copy_command() if step == "copy" else promotion.command(step)

    for kill in killer.everywhere(stages[step], *command):
        promotion.project = kill.project
        sound(kill.project)
        assert tags_of(kill.project) == []
        if missing := recorded_but_missing(kill.project):
            if missing == ["scan"]:
                promotion.evaluate()
                assert promotion.decide() == 1, kill.step
            assert promotion.push() == 1, kill.step
            assert kill.project(*command) == 1, kill.step

        again(kill)


def recorded_but_missing(project: ProjectFolder) -> list[str]:
    """The kinds of judgement that the ledger has and whose evidence never appeared."""
    folder = project.path / "runs/042.evidence"
    there = {hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    judged = [entry for entry in ledger_of(project) if entry.event is Event.JUDGED and entry.attempt]
    return [entry.command for entry in judged if entry.detail["sha256"] not in there]


@pytest.mark.slow
@in_parts(12)
def test_a_killed_push_can_be_run_again_and_its_tag_means_all_of_it(
    killer: Killer, before: tuple[Promotion, dict[str, Template]], capsys: pytest.CaptureFixture[str]
) -> None:
    promotion, stages = before

    for kill in killer.everywhere(stages["push"], *promotion.command("push")):
        promotion.project = kill.project
        sound(kill.project)
        if tags_of(kill.project):
            assert kill.project("pull", "oci:registry:ft-042", "early", "--model", MODEL, "--quiet") == 0

        assert promotion.push() == 0, kill.step

        sound(kill.project)
        assert tags_of(kill.project) == ["ft-042"]
        assert sorted(os.listdir(kill.project.path / "registry")) == ["blobs", "index.json", "oci-layout"]
        assert kill.project("pull", "oci:registry:ft-042", "served", "--model", MODEL, "--quiet") == 0
        capsys.readouterr()

    assert killer.steps > 80


@pytest.mark.slow
def test_a_killed_record_closes_its_attempt_once(
    killer: Killer, before: tuple[Promotion, dict[str, Template]]
) -> None:
    promotion, stages = before
    pushed = manifest_of(ProjectFolder(stages["record"][1]))

    for kill in killer.everywhere(stages["record"], *promotion.command("record", "--pushed", pushed)):
        promotion.project = kill.project
        sound(kill.project)

        assert promotion.record(pushed) == 0, kill.step

        sound(kill.project)
        closed = [entry for entry in ledger_of(kill.project) if entry.command == "promote"]
        assert [entry.event for entry in closed] == [Event.ATTEMPT, Event.DONE], kill.step
        assert (kill.project.path / ".tuneguard/ledger.head").exists()


@pytest.mark.slow
@in_parts(5)
def test_a_killed_promotion_is_refused_again_for_the_same_reason_and_leaves_no_copy(
    killer: Killer, made_swapped: Template, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("promote", "runs/042", "--to", "oci:registry:ft-042", "--model", MODEL, "--run", "042")

    for kill in killer.everywhere(made_swapped, *command, code=1):
        sound(kill.project)

        assert kill.project(*command) == 1, kill.step

        assert "model.safetensors" in capsys.readouterr().out
        sound(kill.project)
        assert verdicts(kill.project)[-1]["predicate"]["verificationResult"] == "FAILED"
        assert left_over(kill.project) == []
        assert tags_of(kill.project) == []


@pytest.fixture(scope="session")
def made_swapped(made_trained: Template, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The run 042 with a weight file that was swapped after it was signed."""

    def swap(project: ProjectFolder) -> None:
        path = project.path / "runs/042/model.safetensors"
        path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")

    return grown(made_trained, tmp_path_factory, swap)


# --- Pulling ---------------------------------------------------------------------------------------


@pytest.mark.slow
@in_parts(4)
def test_a_killed_pull_leaves_no_folder_or_all_of_it_and_can_be_run_again(
    killer: Killer, made_pushed: Template
) -> None:
    command = ("pull", "oci:registry:ft-042", "served", "--model", MODEL, "--quiet")
    check = ("verify", "served", "--for", "load", "--model", MODEL, "--run", "042")

    for kill in killer.everywhere(made_pushed, *command):
        sound(kill.project)
        whole = (kill.project.path / "served").exists()
        if whole:
            assert kill.project(*check) == 0, kill.step

        assert kill.project(*command) == (2 if whole else 0), kill.step

        assert kill.project(*check) == 0, kill.step
        assert {name for name in os.listdir(kill.project.path) if "served" in name} == {
            "served",
            "served.evidence",
        }

    assert killer.steps > 25


def test_what_a_killed_pull_left_is_not_mixed_with_another_models_evidence(
    killer: Killer, made_pushed: Template, capsys: pytest.CaptureFixture[str]
) -> None:
    project = copied(made_pushed, killer.room / "one")
    killer.patch.setenv("TUNEGUARD_HOME", str(home_of(project)))
    project.write("served.evidence/verdict-0123456789abcdef.sigstore.json", "{}")

    assert project("pull", "oci:registry:ft-042", "served", "--model", MODEL) == 2

    assert "served.evidence" in capsys.readouterr().err
    assert not (project.path / "served").exists()
