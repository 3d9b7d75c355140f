"""Attacks that need the whole journey: on its steps, its inputs, its judges, and between two policies."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import re
import shutil
from contextlib import chdir
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from steps import MODEL, Promotion, verdicts

from tuneguard.artifact.digest import hash_tree
from tuneguard.attest import evidence
from tuneguard.attest.predicates import provenance, seal
from tuneguard.attest.statement import PAYLOAD_TYPE
from tuneguard.display import rfc3339
from tuneguard.errors import Refused
from tuneguard.oci.layout import Layout
from tuneguard.project.project import Project
from tuneguard.signing.bundle import make_bundle
from tuneguard.signing.signer import open_signer
from tuneguard.training.input import Input
from tuneguard.training.inputs import still_the_same
from world import pickles
from world.keys import no_passphrase

if TYPE_CHECKING:
    from pathlib import Path

    from projects import ProjectFolder

pytestmark = pytest.mark.sandbox


def edit_policy(project: ProjectFolder, before: str, after: str) -> None:
    """As the policy's owner: edit and sign."""
    path = project.path / "policy.yaml"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    assert project("policy", "sign", "--quiet") == 0


def train(project: ProjectFolder, more: str) -> None:
    """Add some lines to the training script."""
    script = (project.path / "code/train.py").read_text()
    project.write("code/train.py", script + more)


def statement(path: Path) -> dict[str, Any]:
    payload = json.loads(path.read_text())["dsseEnvelope"]["payload"]
    return dict(json.loads(base64.b64decode(payload)))


# --- On the steps ------------------------------------------------------------------------------------


def test_attack_modules_planted_in_the_project_are_not_imported_by_the_step_that_holds_the_key(
    project: ProjectFolder,
) -> None:
    for name in ("click", "json", "tuneguard", "cryptography", "sitecustomize"):
        project.write(f"{name}.py", f"open({str(project.path / 'stolen')!r}, 'w')\nraise SystemExit(0)\n")

    assert project("run", "--run", "042") == 0

    assert not (project.path / "stolen").exists()
    assert (project.path / "runs/042.evidence").is_dir()


@pytest.mark.parametrize("command", ["evaluate", "decide", "promote"])
def test_attack_a_looser_flag_is_a_configuration_error(
    trained: ProjectFolder, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = () if command == "evaluate" else ("--to", "oci:registry:ft-042", "--run", "042")

    assert trained(command, "runs/042", *reference, "--model", MODEL, "--min-accuracy", "0.10") == 2

    assert "looser than the policy" in capsys.readouterr().err
    assert not (trained.path / "registry").exists()


# --- On what goes into a run -------------------------------------------------------------------------


def test_attack_code_and_configuration_that_the_policy_does_not_list_are_not_run(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = hash_tree(project.path / "code").digest
    edit_policy(project, "    code: any\n", f"    code: [{honest}]\n")
    assert project("run", "--run", "041", "--quiet") == 0
    train(project, "print('something else')\n")

    assert project("run", "--run", "042") == 1

    assert "the policy does not list this code" in capsys.readouterr().err
    assert not (project.path / "runs/042.evidence").exists()


def test_attack_a_base_that_its_steward_sealed_as_scanned_clean_and_is_not(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """The steward's key is one honest key, in the wrong hands: the run looks at the base itself."""
    base = project.path / "models/base"
    (base / "optimizer.pt").write_bytes(pickles.PAYLOAD)
    manifest = hash_tree(base)
    body = seal.Seal(
        kind="base", name="tiny", version="2", source="s", license="l", classification="c",
        files=manifest.files, created=rfc3339(datetime.now(UTC)), scan={"verdict": "passed", "findings": 0},
        inside=False,
    )  # fmt: skip
    home = project.path.parent / "home"
    signer = open_signer(str(home / "keys" / MODEL / "data-steward.key"), no_passphrase)
    made = seal.PREDICATE.statement("tiny", manifest.digest, body).encode()
    evidence.write(evidence.folder_of(base), "seal", make_bundle(signer, PAYLOAD_TYPE, made))
    assert project("policy", "set-model", MODEL, "--base", "models/base", "--quiet") == 0

    assert project("run", "--run", "042") == 1

    said = capsys.readouterr().err
    assert "optimizer.pt" in said
    assert "the base is not clean" in said


def test_attack_an_input_too_large_to_copy_is_changed_during_the_run(project: ProjectFolder) -> None:
    """It was bound in place, so it is hashed again before anything is signed."""
    data = project.path / "data/train"
    dependency = provenance.Dependency.of("data", "tickets", "1", {"dirHash": "0" * 64})
    bound = Input("dataset", data, "/tuneguard/data", hash_tree(data), "bind", dependency)
    copied = dataclasses.replace(bound, path=project.path / "code", how="copy")
    still_the_same((bound, copied), Project())

    with (data / "tickets.jsonl").open("a") as file:
        file.write("{}\n")

    with pytest.raises(Refused, match="the dataset changed during the run"):
        still_the_same((bound, copied), Project())


def test_attack_resuming_from_a_signed_checkpoint_that_hides_a_pickle(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the builder signed is what the training wrote, and the training is foreign code."""
    train(project, f'(checkpoint / "optimizer.pt").write_bytes({pickles.PAYLOAD!r})\n')
    assert project("run", "--run", "042", "--quiet") == 0

    assert project("run", "--run", "043", "--resume", "runs/042") == 1

    assert "optimizer.pt" in capsys.readouterr().err
    assert not (project.path / "runs/043.evidence").exists()


def test_attack_resuming_from_what_a_stopped_run_left_unsigned(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    train(project, "sys.exit(3)\n")
    assert project("run", "--run", "042", "--quiet") == 1
    assert (project.path / "runs/042/model.safetensors").is_file()

    assert project("run", "--run", "043", "--resume", "runs/042") == 1
    assert "not what the builder signed" in capsys.readouterr().err


# --- On who judges -----------------------------------------------------------------------------------


def test_attack_a_folder_signed_by_hand_with_the_builders_own_key(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """A signature proves integrity. Which run made the folder only a run's provenance says."""
    shutil.copytree(project.path / "models/base", project.path / "runs/042")
    assert project("sign", "runs/042", "--quiet") == 0
    assert project("verify", "runs/042") == 4

    capsys.readouterr()
    assert project("verify", "runs/042", "--for", "promote", "--model", MODEL, "--run", "042") == 1
    assert "provenance" in capsys.readouterr().out


def test_attack_a_folder_signed_for_cosign_with_the_builders_own_key(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the policy is at hand the key signs no raw bytes; where it is not, they promote nothing."""
    shutil.copytree(project.path / "models/base", project.path / "runs/042")
    assert project("sign", "runs/042", "--form", "cosign", "--quiet") == 1
    assert "one key never signs both" in capsys.readouterr().err
    (project.path / "policy.yaml").rename(project.path / "away.yaml")
    assert project("sign", "runs/042", "--form", "cosign", "--quiet") == 0
    (project.path / "away.yaml").rename(project.path / "policy.yaml")

    capsys.readouterr()
    assert project("verify", "runs/042", "--for", "promote", "--model", MODEL, "--run", "042") == 1
    said = capsys.readouterr().out
    assert "provenance" in said
    assert "signature" in said


def test_attack_a_file_that_the_scanner_does_not_understand(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    train(project, '(checkpoint / "weights.xyz").write_bytes(bytes(range(256)) * 9)\n')
    assert project("run", "--run", "042", "--quiet") == 0
    promotion = Promotion(project)
    assert promotion.copy() == 0
    assert promotion.verify() == 0

    assert promotion.scan() == 3

    assert "weights.xyz" in capsys.readouterr().out
    assert promotion.decide("--step", "scan", "refused") == 1
    assert verdicts(project)[-1]["predicate"]["verificationResult"] == "FAILED"


def test_only_a_passed_verdict_names_what_a_registry_would_show(trained: ProjectFolder) -> None:
    """`cosign verify` passes on any statement about a manifest, so no other evidence speaks of one."""
    refused = Promotion(trained)
    refused.judged()
    assert refused.decide("--step", "evaluate", "refused") == 1
    Promotion(trained).passed()
    [passed] = [each for each in verdicts(trained) if each["predicate"]["verificationResult"] == "PASSED"]
    manifest = passed["subject"][1]["digest"]["sha256"]

    naming = [
        path.name
        for path in (trained.path / "runs/042.evidence").glob("*.sigstore.json")
        if manifest in json.dumps(statement(path)["subject"])
    ]

    assert len(naming) == 1
    assert naming[0].startswith("verdict-")
    kinds = {path.name.split("-")[0] for path in (trained.path / "runs/042.evidence").iterdir()}
    assert kinds == {"signature", "provenance", "scan", "evaluation", "verdict"}


def test_a_verdict_states_the_ledgers_size_and_root_before_it(trained: ProjectFolder) -> None:
    promotion = Promotion(trained)
    promotion.judged()
    with chdir(trained.path):
        ledger = Project().ledger
        assert ledger is not None
        before = ledger.head()

    assert promotion.decide() == 0

    [verdict] = verdicts(trained)
    assert f'"size":{before.size}' in json.dumps(verdict["predicate"], separators=(",", ":"))
    assert before.root in json.dumps(verdict["predicate"])
    assert trained("ledger", "verify", "--head", f"{before.size}:{before.root}", "--quiet") == 0


# --- On the registry ---------------------------------------------------------------------------------


def test_a_push_makes_blobs_manifest_evidence_ledger_and_tag_durable_in_this_order(
    trained: ProjectFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promotion = Promotion(trained)
    promotion.judged()
    assert promotion.decide() == 0
    log = tmp_path / "steps"
    monkeypatch.setenv("TUNEGUARD_FAULT_AT", f"0:{log}")

    assert promotion.push() == 0

    steps = log.read_text().splitlines()
    files = {f"rename:{file.sha256}" for file in hash_tree(trained.path / "runs/042").files}
    blobs = [place for place, step in enumerate(steps) if step in files]
    begun, done, tagged = [place for place, step in enumerate(steps) if step.startswith("commit:")]
    named = [place for place, step in enumerate(steps) if step == "rename:index.json" and place > max(blobs)]
    manifest, *evidence_, pointer, tag = named
    assert len(blobs) == len(files)
    assert len(evidence_) == 5
    assert begun < min(blobs)
    assert max(blobs) < manifest < max(evidence_) < done < pointer < tag < tagged


def test_a_second_push_sends_nothing_and_changes_nothing(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    promotion = Promotion(trained)
    promotion.passed()
    registry = trained.path / "registry"
    before = {path: path.read_bytes() for path in registry.rglob("*") if path.is_file()}
    capsys.readouterr()

    assert promotion.push() == 0

    assert re.search(r"0 of \d+ blobs new", capsys.readouterr().out)
    assert {path: path.read_bytes() for path in registry.rglob("*") if path.is_file()} == before


# --- Between two policies ----------------------------------------------------------------------------


def test_attack_the_pipeline_file_says_which_model_is_expected(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside another model's promoted tree, its name in the pipeline file: the caller names the model."""
    policy = pushed.path / "policy.yaml"
    text = policy.read_text()
    policy.write_text(text.replace("models:\n", "models:\n  other: {repository: registry.internal/o}\n", 1))
    assert pushed("policy", "sign", "--quiet") == 0
    capsys.readouterr()

    for named in (("--for", "promote"), ("--for", "load"), ("--run", "042")):
        assert pushed("verify", "runs/042", *named) == 2
        assert "name it: --model NAME" in capsys.readouterr().err
    assert pushed("verify", "runs/042", "--for", "load", "--model", MODEL) == 0
    assert pushed("verify", "runs/042", "--for", "load", "--model", "other") == 1


def test_attack_a_development_verdict_under_a_production_policy(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = verdicts(pushed)[0]["subject"][1]["digest"]["sha256"]
    reference = f"oci:registry@sha256:{digest}"
    assert pushed("pull", reference, "served", "--model", MODEL, "--quiet") == 0
    edit_policy(pushed, "profile: development", "profile: production")
    capsys.readouterr()

    assert pushed("pull", reference, "again", "--model", MODEL) == 1

    assert "development" in capsys.readouterr().err
    assert not os.path.lexists(pushed.path / "again")
    assert pushed("verify", "served", "--for", "load", "--model", MODEL, "--run", "042") == 1


def test_attack_a_tag_without_a_release_is_no_better_under_a_development_policy(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = Layout(pushed.path / "registry")
    digest = layout.resolve("ft-042")
    assert digest is not None
    layout.tag("by-hand", digest)

    assert pushed("pull", "oci:registry:by-hand", "again", "--model", MODEL) == 1

    said = capsys.readouterr().err
    assert "is a release of the tag ft-042, here is by-hand" in said
    assert "@sha256:" in said
