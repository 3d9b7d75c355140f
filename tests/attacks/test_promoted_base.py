"""A base that is to be a promoted model of ours, and is not; and a chain of which one link is stolen."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest
from projects import MODEL, SEAL, safetensors
from steps import Promotion, verdicts
from test_revocation import edit, mark

from tuneguard.artifact.digest import hash_tree
from tuneguard.attest.predicates import provenance
from tuneguard.attest.statement import Statement
from tuneguard.signing.bundle import read_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from projects import ProjectFolder

pytestmark = pytest.mark.sandbox

STOLEN = "revoked: {at: 2026-01-01T00:00:00Z, reason: compromise}"


def next_generation(
    project: ProjectFolder, model: str = MODEL, base: str = "runs/042", run: str = "043"
) -> None:
    """The next run begins from a promoted model, which is all that the policy lists."""
    edit(project, r"base: \[.*\]", f"base: [{{promoted: {model}}}]")
    code = (project.path / "code/train.py").read_text()
    code = code.replace("shutil.copy(", "shutil.copyfile(")  # the base is read-only
    own = code.replace("""'{"rows": %d}' % len(rows)""", """'{"rows": %d, "run": "%s"}' % (len(rows), run)""")
    project.write("code/train.py", own)
    pipeline = (project.path / "tuneguard.yaml").read_text()
    project.write("tuneguard.yaml", re.sub(r"(?m)^base: .*$", f"base: {{path: {base}}}", pipeline))


def made(project: ProjectFolder, run: str) -> provenance.Provenance:
    [path] = (project.path / f"runs/{run}.evidence").glob("provenance-*")
    said = Statement.decode(read_bundle(path.read_bytes(), path.name).payload, path.name)
    return provenance.PREDICATE.read(said, path.name)


def not_trained(project: ProjectFolder, capsys: pytest.CaptureFixture[str], why: str) -> None:
    capsys.readouterr()
    assert project("run", "--run", "043") == 1
    assert why in "".join(capsys.readouterr())
    assert not (project.path / "runs/043.evidence").exists()


def refusal(project: ProjectFolder, run: str = "043") -> list[str]:
    promotion = Promotion(project, run)
    promotion.judged()
    assert promotion.decide() == 1
    found: list[str] = verdicts(project, f"runs/{run}")[-1]["predicate"]["https://tuneguard.dev/verdict"][
        "reasons"
    ]
    return found


def verdict_file(project: ProjectFolder) -> Path:
    [found] = (project.path / "runs/042.evidence").glob("verdict-*")
    return found


@pytest.mark.parametrize("pulled", [False, True])
def test_a_promoted_model_is_the_next_ones_base(pushed: ProjectFolder, pulled: bool) -> None:
    if pulled:
        assert pushed("pull", "oci:registry:ft-042", "served", "--model", MODEL, "--quiet") == 0
    next_generation(pushed, base="served" if pulled else "runs/042")

    assert pushed("run", "--run", "043") == 0
    Promotion(pushed, "043").passed()

    base = made(pushed, "043").base
    assert (base.name, base.version) == (MODEL, "042")
    assert base.digest == {"dirHash": hash_tree(pushed.path / "runs/042").digest}
    assert base.annotations.verdict is not None
    relied = {(each.identity, each.kind) for each in made(pushed, "043").relied_on}
    assert {
        ("dev-promoter", "verdict"),
        ("dev-builder", "provenance"),
        ("dev-data-steward", "seal"),
    } <= relied


def test_a_sealed_base_is_one_whatever_lies_beside_it(project: ProjectFolder) -> None:
    edit(project, r"base: \[([0-9a-f]{64})\]", rf"base: [{{promoted: {MODEL}}}, \1]")
    project.write("models/base.evidence/verdict-0123456789abcdef.sigstore.json", "{}")

    assert project("run", "--run", "042", "--quiet") == 0


def test_attack_a_promoted_model_where_the_policy_lists_none(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    next_generation(pushed)
    edit(pushed, r"base: \[.*\]", f"base: ['{'0' * 64}']")

    not_trained(pushed, capsys, "the base is not what the policy asks for")


def test_attack_a_run_that_was_never_promoted_as_the_base(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    next_generation(trained)

    not_trained(trained, capsys, "the base is not what the policy asks for")


def test_attack_a_base_whose_promotion_was_refused(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    promotion = Promotion(trained)
    assert promotion.copy() == 0
    promotion.verify()
    promotion.scan()
    promotion.evaluate(right=10)
    assert promotion.decide() == 1
    next_generation(trained)

    not_trained(trained, capsys, "is FAILED: this tree was not promoted then")


def test_attack_a_verdict_for_another_model(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = (pushed.path / "policy.yaml").read_text()
    model = re.search(rf"(?ms)^  {MODEL}:\n(.*?)^\S", policy)
    assert model is not None
    edit(
        pushed,
        rf"(?m)^  {MODEL}:\n",
        f"  other:\n{model[1].replace('models/' + MODEL, 'models/other')}  {MODEL}:\n",
    )
    text = (pushed.path / "policy.yaml").read_text()
    pushed.write("policy.yaml", re.sub(rf"models: \[{MODEL}\]", f"models: [{MODEL}, other]", text))
    assert pushed("policy", "sign", "--quiet") == 0
    next_generation(pushed)
    head, _, tail = (pushed.path / "policy.yaml").read_text().rpartition(f"  {MODEL}:\n")
    pushed.write(
        "policy.yaml",
        head + f"  {MODEL}:\n" + re.sub(r"base: \[.*\]", "base: [{promoted: other}]", tail, count=1),
    )
    assert pushed("policy", "sign", "--quiet") == 0

    not_trained(pushed, capsys, f"is about model {MODEL}, expected is model other")


@pytest.mark.parametrize("who", ["dev-promoter", "dev-builder", "dev-data-steward"])
def test_attack_a_base_of_which_somebody_s_key_was_stolen(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str], who: str
) -> None:
    next_generation(pushed)
    new = f"{who}-2"
    assert pushed("keygen", "new.key", "--unsafe-no-passphrase", "--quiet") == 0
    assert pushed("policy", "rotate", who, "--public-key", "new.pub", "--name", new, "--quiet") == 0
    mark(pushed, who, STOLEN)
    if who == "dev-data-steward":
        named = ("--name", f"{MODEL}-train", *SEAL, "--key", "data-steward=new.key", "--quiet")
        assert pushed("seal", "data/train", "--as", "dataset", *named) == 0
    more = ("--key", "builder=new.key") if who == "dev-builder" else ()

    capsys.readouterr()
    assert pushed("run", "--run", "043", *more) == 1
    assert f"by {who} ({who}), who is revoked since 2026-01-01" in "".join(capsys.readouterr())


def test_attack_a_promoted_base_that_was_changed_afterwards(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    next_generation(pushed)
    (pushed.path / "runs/042/model.safetensors").write_bytes(safetensors((9.0,) * 4))

    not_trained(pushed, capsys, f"the base is not a promoted {MODEL}")


def test_attack_a_verdict_without_the_provenance_behind_it(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    next_generation(pushed)
    for path in (pushed.path / "runs/042.evidence").glob("provenance-*"):
        path.unlink()

    not_trained(pushed, capsys, "no provenance by builder counts for this tree")


def test_attack_another_models_verdict_put_beside_an_unpromoted_base(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(pushed.path / "models/base", pushed.path / "models/mine")
    shutil.copytree(pushed.path / "runs/042.evidence", pushed.path / "models/mine.evidence")
    next_generation(pushed, base="models/mine")

    not_trained(pushed, capsys, f"the base is not a promoted {MODEL}")


@pytest.mark.parametrize("attack", ["verdict gone", "promoter stolen"])
def test_attack_what_made_the_base_a_promoted_one_ends_before_the_promotion(
    pushed: ProjectFolder, attack: str
) -> None:
    next_generation(pushed)
    assert pushed("run", "--run", "043") == 0
    if attack == "verdict gone":
        verdict_file(pushed).unlink()
        assert any("is not one that the policy lists" in reason for reason in refusal(pushed))
        return
    assert pushed("keygen", "new.key", "--unsafe-no-passphrase", "--quiet") == 0
    assert pushed("policy", "rotate", "dev-promoter", "--public-key", "new.pub", "--quiet") == 0
    mark(pushed, "dev-promoter", STOLEN)
    promotion = Promotion(pushed, "043")
    assert promotion.copy() == 0
    assert promotion.verify() == 1


def test_a_trace_goes_back_through_the_generations(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    next_generation(pushed)
    assert pushed("run", "--run", "043", "--quiet") == 0
    Promotion(pushed, "043").passed()
    next_generation(pushed, base="runs/043")
    assert pushed("run", "--run", "044", "--quiet") == 0
    capsys.readouterr()

    assert pushed("trace", "runs/044", "--json") == 0

    facts = json.loads(capsys.readouterr().out)["facts"]
    assert facts["lineage"]["run"] == "044"
    assert [each["lineage"]["run"] for each in facts["earlier"]] == ["043", "042"]
    assert pushed("trace", "runs/044") == 0
    assert "support-llama, run 042, final" in capsys.readouterr().out


def test_attack_evidence_of_an_earlier_generation_that_does_not_count_is_not_told(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    next_generation(pushed)
    assert pushed("run", "--run", "043", "--quiet") == 0
    [path] = (pushed.path / "runs/042.evidence").glob("provenance-*")
    path.write_text(path.read_text().replace('"payload":"', '"payload":"AAAA'))
    capsys.readouterr()

    assert pushed("trace", "runs/043", "--json") == 0

    assert "earlier" not in json.loads(capsys.readouterr().out)["facts"]
