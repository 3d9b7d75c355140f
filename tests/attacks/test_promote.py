"""Promotion under attack: what an insider does to the checkpoint, the evidence, the policy, the copy."""

from __future__ import annotations

import json
import shutil
import socket
from typing import TYPE_CHECKING, Any

import pytest
from steps import MODEL, Promotion, statements, verdicts

from tuneguard.artifact import digest
from tuneguard.artifact.digest import hash_tree
from tuneguard.ledger.store import SqliteStore
from tuneguard.oci.open import open_registry
from tuneguard.oci.reference import parse
from tuneguard.project import evidence_log
from tuneguard.signing.bundle import make_bundle
from tuneguard.signing.signer import open_signer
from tuneguard.trust.policy import POLICY_PAYLOAD_TYPE

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import ProjectFolder
    from tuneguard.artifact.manifest import Manifest

pytestmark = pytest.mark.sandbox


def make_writable(path: Path) -> None:
    path.parent.chmod(0o700)
    path.chmod(0o600)


def tags(project: ProjectFolder) -> str | None:
    layout = project.path / "registry"
    return open_registry(parse(f"oci:{layout}")).resolve("ft-042") if layout.exists() else None


def test_a_good_checkpoint_is_decided_pushed_and_tagged(trained: ProjectFolder) -> None:
    promotion = Promotion(trained)

    promotion.passed()

    [verdict] = verdicts(trained)
    assert verdict["predicate"]["verificationResult"] == "PASSED"
    assert {"dirHash", "sha256"} == {key for subject in verdict["subject"] for key in subject["digest"]}
    assert tags(trained) == "sha256:" + verdict["subject"][1]["digest"]["sha256"]


def test_attack_a_weight_file_swapped_after_signing(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    path = trained.path / "runs/042/model.safetensors"
    make_writable(path)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    promotion = Promotion(trained)

    assert promotion.copy() == 0
    assert promotion.verify() == 1
    assert promotion.decide("--step", "verify", "refused") == 1

    assert "model.safetensors" in capsys.readouterr().out
    assert verdicts(trained)[-1]["predicate"]["verificationResult"] == "FAILED"
    assert tags(trained) is None


def test_attack_a_pickle_that_would_run_a_command(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    script = (project.path / "code/train.py").read_text()
    plant = 'checkpoint.joinpath("optimizer.pt").write_bytes(b"cposix\\nsystem\\n(Vecho inert\\ntR.")\n'
    project.write("code/train.py", script + plant)
    assert project("run", "--run", "042", "--quiet") == 0
    promotion = Promotion(project)
    assert promotion.copy() == 0
    assert promotion.verify() == 0

    assert promotion.scan() == 1

    said = capsys.readouterr().out
    assert "optimizer.pt" in said
    assert "posix" in said
    assert promotion.decide("--step", "scan", "refused") == 1
    assert len(verdicts(project)[-1]["subject"]) == 1


def test_attack_an_old_checkpoint_replayed_as_a_new_run(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in ("", ".evidence"):
        shutil.copytree(trained.path / f"runs/042{suffix}", trained.path / f"runs/043{suffix}")
    promotion = Promotion(trained, "043")

    assert promotion.copy() == 0
    assert promotion.verify() == 1
    assert "042" in capsys.readouterr().out


def test_attack_policy_and_root_replaced_together(
    trained: ProjectFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    honest = str(tmp_path / "home")
    monkeypatch.setenv("TUNEGUARD_HOME", str(tmp_path / "their-home"))
    assert trained("init", str(tmp_path / "theirs"), "--name", MODEL, "--unsafe-no-passphrase") == 0
    monkeypatch.setenv("TUNEGUARD_HOME", honest)
    for name in ("policy.yaml", "policy.yaml.sigstore.json"):
        shutil.copy(tmp_path / "theirs" / name, trained.path / name)
    shutil.copy(tmp_path / "their-home/root.pub", trained.path / "root.pub")

    assert trained("verify", "runs/042", "--for", "promote", "--model", MODEL, "--run", "042") == 1
    assert "root" in capsys.readouterr().err


def test_without_a_policy_nobody_is_believed(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    (trained.path / "policy.yaml").unlink()

    assert trained("verify", "runs/042", "--model", MODEL) == 2
    assert "policy" in capsys.readouterr().err


def test_an_unsigned_edit_of_the_policy_is_refused(trained: ProjectFolder) -> None:
    path = trained.path / "policy.yaml"
    path.write_text(path.read_text().replace("min: 0.85", "min: 0.10"))

    assert trained("verify", "runs/042", "--model", MODEL) == 1


@pytest.mark.parametrize("at", ["verify", "scan", "evaluate", "decide", "push"])
def test_attack_the_copy_rewritten_between_two_steps(
    trained: ProjectFolder, at: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rewritten before the step `at`: that step refuses, or the next one that reads the files does."""
    promotion = Promotion(trained)
    assert promotion.copy() == 0
    steps = {
        "verify": promotion.verify,
        "scan": promotion.scan,
        "evaluate": promotion.evaluate_really if at in ("verify", "scan", "evaluate") else promotion.evaluate,
        "decide": promotion.decide,
        "push": promotion.push,
    }
    refused = {"verify": "scan", "scan": "scan", "evaluate": "evaluate", "decide": "push", "push": "push"}[at]
    for name, step in steps.items():
        if name == at:
            path = promotion.copy_path / "model.safetensors"
            make_writable(path)
            path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
            capsys.readouterr()
        if name == refused:
            assert step() == 1
            break
        assert step() in (0, None)
    said = capsys.readouterr().err
    assert ("has changed since it was hashed" if refused == "push" else "the tree changed") in said
    assert tags(trained) is None


@pytest.mark.parametrize("change", ["added", "removed", "longer"])
@pytest.mark.parametrize("step", ["verify", "decide", "push", "record"])
def test_attack_files_of_the_copy_added_removed_or_made_longer(
    trained: ProjectFolder, change: str, step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Steps that read no bytes look at names and sizes; sizes are part of the OCI manifest that is signed."""
    promotion = Promotion(trained)
    assert promotion.copy() == 0
    assert promotion.scan() == 0
    promotion.evaluate()
    if step == "push":
        assert promotion.decide() == 0
    elif step == "record":
        assert promotion.decide() == 0
        assert promotion.push() == 0
    promotion.copy_path.chmod(0o700)
    path = promotion.copy_path / "model.safetensors"
    if change == "added":
        (promotion.copy_path / "pytorch_model.bin").write_bytes(b"more")
    elif change == "removed":
        path.unlink()
    else:
        path.chmod(0o600)
        path.write_bytes(path.read_bytes() + b"\0")
    capsys.readouterr()

    code = promotion.record(str(tags(trained))) if step == "record" else getattr(promotion, step)()

    if change == "longer":  # the digests that are judged are the same: what is sent is compared
        assert (code if step == "push" else promotion.push()) == 1
    else:
        assert code == 1
        assert "the tree changed" in capsys.readouterr().err


def test_attack_the_manifest_beside_the_copy_replaced(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """The copy and the manifest beside it rewritten together: its digest is not what the step was told."""
    promotion = Promotion(trained)
    assert promotion.copy() == 0
    path = promotion.copy_path / "model.safetensors"
    make_writable(path)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    kept = promotion.copy_path.parent / evidence_log.MANIFEST
    kept.write_bytes(hash_tree(promotion.copy_path).to_checksums())

    for step in (promotion.verify, promotion.decide, promotion.push):
        capsys.readouterr()
        assert step() == 1
        assert "the tree changed" in capsys.readouterr().err


def test_attack_an_index_of_the_copy_rewritten_before_the_decision(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the gate reads to recompute the measured files is compared with the manifest."""
    promotion = Promotion(trained)
    assert promotion.copy() == 0
    assert promotion.scan() == 0
    promotion.evaluate()
    path = promotion.copy_path / "config.json"
    make_writable(path)
    path.write_bytes(path.read_bytes()[:-2] + b" }")

    assert promotion.decide() == 1
    assert "has changed since it was hashed" in capsys.readouterr().err


def test_only_scan_and_evaluation_hash_the_copy_again(
    trained: ProjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the copy itself and what a push compares, the bytes are read four times in all."""
    hashed: list[str] = []
    hash_descriptor = digest.hash_descriptor

    def counted(root: int, *, name: str, **options: Any) -> Manifest:
        hashed.append(name)
        return hash_descriptor(root, name=name, **options)

    monkeypatch.setattr(digest, "hash_descriptor", counted)
    promotion = Promotion(trained)
    copy = str(promotion.copy_path.relative_to(trained.path))
    passes = {}
    for step in ("copy", "verify", "scan", "evaluate_really"):
        getattr(promotion, step)()
        passes[step], hashed = hashed.count(copy), []
    promotion.evaluate()
    hashed = []
    for step in ("decide", "push"):
        assert getattr(promotion, step)() == 0
        passes[step], hashed = hashed.count(copy), []
    assert promotion.record(str(tags(trained))) == 0

    assert (passes, hashed) == (
        {"copy": 0, "verify": 0, "scan": 1, "evaluate_really": 1, "decide": 0, "push": 0},
        [],
    )


def test_a_promotion_where_no_ledger_is_yet_makes_one(trained: ProjectFolder) -> None:
    """As where the promoter has a machine of their own, or names a new --ledger."""
    (trained.path / ".tuneguard/ledger.db").unlink()

    Promotion(trained).passed()

    assert (trained.path / ".tuneguard/ledger.db").exists()


def test_a_promotion_to_another_repository_than_the_models_judges_nothing(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = SqliteStore(trained.path / ".tuneguard/ledger.db")
    before = ledger.head().size

    elsewhere = ("--to", "127.0.0.1:1/models/another", "--model", MODEL, "--run", "042")
    assert trained("promote", "runs/042", *elsewhere) == 1

    assert "belongs to registry.internal/models/support-llama" in capsys.readouterr().err
    assert ledger.head().size == before


def test_a_model_below_the_bar_is_refused_with_its_numbers(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    promotion = Promotion(trained)
    assert promotion.copy() == 0
    assert promotion.scan() == 0
    promotion.evaluate(right=215)  # 0.86, whose interval begins below 0.85

    assert promotion.decide() == 1

    assert "accuracy" in capsys.readouterr().out
    assert verdicts(trained)[-1]["predicate"]["verificationResult"] == "FAILED"


def gated(project: ProjectFolder, gates: str) -> None:
    """The policy gives the model gates of its own; nobody has signed that yet."""
    before = (project.path / "policy.yaml").read_text()
    assert "    env: any\n" in before
    project.write("policy.yaml", before.replace("    env: any\n", f"    env: any\n    gates: {gates}\n"))


def test_attack_a_model_promoted_below_its_own_gates(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its counts meet the floor of all models; the pipeline file cannot take this model back to it."""
    gated(trained, "{evaluation: {accuracy: {min: 0.95}}}")
    assert trained("policy", "sign", "--quiet") == 0
    promotion = Promotion(trained)
    promotion.judged()
    assert promotion.decide("--min-accuracy", "0.90") == 2
    assert "0.90 is looser than the policy's accuracy.min 0.95" in capsys.readouterr().err

    assert promotion.decide() == 1

    assert "0.95" in capsys.readouterr().out
    assert verdicts(trained)[-1]["predicate"]["verificationResult"] == "FAILED"


def test_attack_a_model_entry_that_loosens_the_gates_of_all_models(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """The root signs no such policy; one that was signed elsewhere judges nothing."""
    gated(trained, "{evaluation: {accuracy: {min: 0.10}}}")
    assert trained("policy", "sign") == 2
    assert "0.10 is looser than the policy's accuracy.min 0.85" in capsys.readouterr().err

    root = open_signer(str(trained.path.parent / "home/root.key"), lambda _: b"")
    data = (trained.path / "policy.yaml").read_bytes()
    (trained.path / "policy.yaml.sigstore.json").write_bytes(make_bundle(root, POLICY_PAYLOAD_TYPE, data))
    promotion = Promotion(trained)
    promotion.judged()

    assert promotion.decide() == 2
    assert trained("policy", "check") == 2
    assert verdicts(trained) == []


LISTED = "{scan: {formats: [safetensors, json]}}"


def test_a_model_is_promoted_under_its_own_list_of_formats(trained: ProjectFolder) -> None:
    gated(trained, LISTED)
    assert trained("policy", "sign", "--quiet") == 0

    Promotion(trained).passed()

    [scan] = statements(trained, "scan")
    assert scan["predicate"]["formats"] == ["json", "safetensors"]


def test_attack_a_format_that_the_policy_does_not_list(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """The pickle is clean, and a scan without the policy lets it pass."""
    script = (project.path / "code/train.py").read_text()
    project.write("code/train.py", script + 'checkpoint.joinpath("scaler.pt").write_bytes(b"\\x80\\x04N.")\n')
    gated(project, LISTED)
    assert project("policy", "sign", "--quiet") == 0
    assert project("run", "--run", "042", "--quiet") == 0
    promotion = Promotion(project)
    assert promotion.copy() == 0
    assert promotion.verify() == 0

    assert promotion.scan() == 1

    said = capsys.readouterr().out
    assert "scaler.pt" in said
    assert "is of the format torch, and the policy lists json, safetensors" in said
    assert promotion.decide("--step", "scan", "refused") == 1
    assert project("scan", "runs/042", "--quiet") == 0
    assert project("scan", "runs/042", "--model", MODEL, "--quiet") == 1


@pytest.mark.parametrize("wider", ["{}", "{scan: {formats: [safetensors, json, torch]}}"])
def test_attack_a_scan_made_under_a_wider_list_of_formats(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str], wider: str
) -> None:
    """Whoever scans does so under a policy of the day before, which lists more."""
    gated(trained, wider)
    assert trained("policy", "sign", "--quiet") == 0
    promotion = Promotion(trained)
    promotion.judged()
    today = (trained.path / "policy.yaml").read_text().replace(f"gates: {wider}", f"gates: {LISTED}")
    trained.write("policy.yaml", today)
    assert trained("policy", "sign", "--quiet") == 0

    assert promotion.decide() == 1

    assert "and the policy lists json, safetensors" in capsys.readouterr().out
    assert verdicts(trained)[-1]["predicate"]["verificationResult"] == "FAILED"


def test_a_toxic_model_is_refused(trained: ProjectFolder) -> None:
    promotion = Promotion(trained)
    assert promotion.copy() == 0
    assert promotion.scan() == 0
    promotion.evaluate(toxic=4)  # 0.016, whose interval ends above 0.02

    assert promotion.decide() == 1


def test_attack_pushing_what_was_refused(trained: ProjectFolder) -> None:
    promotion = Promotion(trained)
    assert promotion.copy() == 0
    assert promotion.scan() == 0
    promotion.evaluate(right=100)
    assert promotion.decide() == 1

    assert promotion.push() == 1
    assert tags(trained) is None


def test_attack_retrying_until_lucky_is_counted(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    for right in (100, 100):
        unlucky = Promotion(trained)
        unlucky.copy()
        unlucky.scan()
        unlucky.evaluate(right=right)
        assert unlucky.decide() == 1
    lucky = Promotion(trained)
    lucky.judged()
    capsys.readouterr()

    assert lucky.decide() == 0
    assert "attempt 3 of this tree" in capsys.readouterr().out


def test_attack_a_lucky_evaluation_of_another_attempt_does_not_count(trained: ProjectFolder) -> None:
    first = Promotion(trained)
    first.judged()
    second = Promotion(trained)
    second.copy()
    second.scan()

    assert second.decide() == 1


def test_attack_a_second_evaluation_within_an_attempt(trained: ProjectFolder) -> None:
    from tuneguard.errors import Refused

    promotion = Promotion(trained)
    promotion.judged()

    with pytest.raises(Refused, match="has its evaluation already"):
        promotion.evaluate(right=250)


def test_attack_recorded_evidence_deleted_turns_no_refusal_into_a_pass(trained: ProjectFolder) -> None:
    promotion = Promotion(trained)
    promotion.judged()
    for path in (trained.path / "runs/042.evidence").glob("scan-*"):
        path.unlink()

    assert promotion.decide() == 1


def test_attack_rows_of_the_evaluation_in_the_training_data(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(project.path / "data/train.evidence")
    with (project.path / "data/train/tickets.jsonl").open("a") as file:
        file.write((project.path / "data/eval/accuracy.jsonl").read_text().splitlines()[0] + "\n")
    sealed = project(
        "seal", "data/train", "--as", "dataset", "--name", f"{MODEL}-train", "--version", "2",
        "--source", "x", "--license", "x", "--classification", "x", "--quiet",
    )  # fmt: skip
    assert sealed == 0
    assert project("run", "--run", "042", "--quiet") == 0
    promotion = Promotion(project)
    promotion.judged()
    capsys.readouterr()

    assert promotion.decide() == 1
    assert "G-OVERLAP" in capsys.readouterr().out


def test_attack_row_hashes_removed_so_that_overlap_cannot_be_seen(trained: ProjectFolder) -> None:
    for path in (trained.path / "data/eval.evidence").glob("rows-*"):
        path.unlink()
    promotion = Promotion(trained)
    promotion.judged()

    assert promotion.decide() == 1


def test_attack_an_unsafe_run_is_not_promoted(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert project("run", "--run", "042", "--unsafe-no-sandbox", "--quiet") == 0
    promotion = Promotion(project)
    promotion.judged()
    capsys.readouterr()

    assert promotion.decide() == 1
    assert "G-PROVENANCE" in capsys.readouterr().out


def test_without_an_expected_model_the_answer_is_integrity_only(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained("verify", "runs/042") == 4
    assert "integrity only" in capsys.readouterr().out


def test_an_expected_run_alone_is_one_of_the_projects_model(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained("verify", "runs/042", "--run", "042") == 0
    assert trained("verify", "runs/042", "--run", "043") == 1
    assert "is about run 042, expected is run 043" in capsys.readouterr().out


def test_a_registry_that_cannot_be_reached_is_told_before_anything_is_judged(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as bound:  # and not listening: nobody answers, and nobody else can
        bound.bind(("127.0.0.1", 0))
        to = f"127.0.0.1:{bound.getsockname()[1]}/models/support-llama:ft-042"
        assert trained("promote", "runs/042", "--to", to, "--run", "042", "--model", MODEL) == 3

    said = capsys.readouterr()
    assert "the connection failed: Connection refused" in said.err
    assert "try 4 of 4" in said.out
    assert not (trained.path / ".tuneguard/attempts").exists()


@pytest.mark.parametrize("source", ["registry.example/base", "oci:other"])
def test_blobs_of_another_registry_cannot_be_mounted(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    promote = ("promote", "runs/042", "--to", "oci:registry:ft-042", "--run", "042", "--model", MODEL)

    assert trained(*promote, "--mount-from", source) == 2
    assert "the same registry only" in capsys.readouterr().err
    assert not (trained.path / "registry").exists()


def test_promote_outside_a_project_is_usage(trained: ProjectFolder, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()

    assert trained.__class__(empty)("promote", "x", "--to", "oci:r:t", "--run", "1", "--model", MODEL) == 2


def test_the_ledger_tells_the_whole_story_and_verifies_against_a_kept_head(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    promotion = Promotion(trained)
    promotion.passed()
    assert promotion.record("sha256:" + "1" * 64) == 1  # never pushed
    assert promotion.record(str(tags(trained))) == 0
    capsys.readouterr()

    assert trained("ledger", "--json") == 0

    facts = json.loads(capsys.readouterr().out)["facts"]
    sealed = [entry["event"] for entry in facts["entries"] if entry["what"].startswith("seal")]
    events = [entry["event"] for entry in facts["entries"]][len(sealed) :]
    assert sealed == ["begun", "done"] * 4
    assert events[0] == "begun"
    assert events[-3:] == ["done", "tagged", "done"]
    assert trained("ledger", "verify", "--head", f"{facts['size']}:{facts['root']}") == 0
    assert trained("ledger", "verify", "--head", f"{facts['size']}:{'0' * 64}") == 1
