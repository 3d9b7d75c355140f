"""Keys that are stolen, and keys that are replaced: what is still pulled and loaded, and what is not."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from projects import SEAL
from steps import MODEL, Promotion, verdicts

from tuneguard.attest.predicates import verdict as predicates
from tuneguard.project import evidence_log
from tuneguard.trust.verify import verify
from tuneguard.typed import read
from world import company

if TYPE_CHECKING:
    from projects import ProjectFolder

pytestmark = pytest.mark.sandbox
REFERENCE = "oci:registry:ft-042"
STOLEN = "{at: 2026-01-01T00:00:00Z, reason: compromise}"


def edit(project: ProjectFolder, old: str, new: str) -> None:
    """Change the policy's text as its owner does, and sign it."""
    path = project.path / "policy.yaml"
    text = path.read_text()
    assert re.search(old, text), old
    path.write_text(re.sub(old, new, text, count=1))
    assert project("policy", "sign", "--quiet") == 0


def mark(project: ProjectFolder, identity: str, what: str) -> None:
    """Add something to an identity's entry."""
    edit(project, rf"(  {identity}: {{key: [^,}}]+, custodian: [^,}}]+)", rf"\1, {what}")


def digest_of(project: ProjectFolder) -> str:
    """The model that was promoted, by the digest that its verdict names."""
    return f"oci:registry@sha256:{verdicts(project)[0]['subject'][1]['digest']['sha256']}"


def pull(project: ProjectFolder, reference: str = REFERENCE, to: str = "served") -> int:
    return project("pull", reference, to, "--model", MODEL)


def load(project: ProjectFolder, folder: str = "served") -> int:
    return project("verify", folder, "--for", "load", "--model", MODEL, "--run", "042")


def refused(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str], *command: str, why: str, code: int = 1
) -> str:
    """The command refuses, and says why."""
    capsys.readouterr()
    assert project(*command) == code
    said = "".join(capsys.readouterr())
    assert why in said
    return said


# --- Stolen ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["dev-builder", "dev-data-steward", "dev-promoter"])
def test_attack_a_stolen_builders_model_is_pulled_after_its_revocation(
    pushed: ProjectFolder, who: str, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = digest_of(pushed)
    assert pull(pushed) == 0
    assert load(pushed) == 0

    mark(pushed, who, f"revoked: {STOLEN}")

    for reference in (REFERENCE, digest):
        why = f"by {who} ({who}), who is revoked since 2026-01-01: compromise"
        refused(pushed, capsys, "pull", reference, "again", "--model", MODEL, why=why)
        assert not list(pushed.path.glob("*again*"))
    refused(pushed, capsys, "verify", "served", "--for", "load", "--model", MODEL, why=why)
    refused(pushed, capsys, "renew", REFERENCE, "--model", MODEL, why="revoked since")
    refused(
        pushed, capsys, "push", "runs/042", "--to", digest.partition("@")[0], "--model", MODEL, why="revoked"
    )


def test_a_verdict_names_everybody_whose_evidence_counted(pushed: ProjectFolder) -> None:
    body = read(verdicts(pushed)[0]["predicate"], predicates.Verdict, "v")

    assert {(each.identity, each.role, each.kind) for each in body.relied_on} == {
        ("dev-builder", "builder", "signature"),
        ("dev-builder", "builder", "provenance"),
        ("dev-data-steward", "data-steward", "seal"),
        ("dev-scanner", "scanner", "scan"),
        ("dev-promoter", "promoter", "evaluation"),
    }


def test_attack_promoting_what_a_builder_made_before_it_was_revoked(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    promotion = Promotion(trained)
    promotion.judged()
    assert trained("policy", "revoke", "dev-builder", "--quiet") == 0

    assert promotion.decide() == 1
    assert promotion.push() == 1
    refused(trained, capsys, "verify", "runs/042", "--for", "promote", "--model", MODEL, why="revoked since")


def test_attack_resuming_from_what_a_builder_made_before_it_was_revoked(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    rotate(trained, "builder")
    use(trained, "builder")
    assert trained("policy", "revoke", "dev-builder", "--quiet") == 0

    said = refused(trained, capsys, "run", "--run", "043", "--resume", "runs/042", why="not what the builder")
    assert "is signed by dev-builder (dev-builder), who is revoked" in said


def test_attack_a_stolen_builders_weights_laundered_by_resuming_before_the_theft_is_known(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run 043 is by an honest builder, and goes on from weights that only the stolen key vouches for."""
    new = keys(trained, "builder")
    edit(trained, "(roles:)", rf"  second-builder: {{key: {new}, custodian: dev-builder}}\n\1")
    edit(trained, r"anyOf: \[dev-builder\]", "anyOf: [dev-builder, second-builder]")
    edit(trained, r"builder: \[dev-builder\]", "builder: [dev-builder, second-builder]")
    use(trained, "builder")
    assert trained("run", "--run", "043", "--resume", "runs/042", "--quiet") == 0
    Promotion(trained, "043").passed()
    assert pull(trained, "oci:registry:ft-043") == 0

    assert trained("policy", "revoke", "dev-builder", "--quiet") == 0

    command = ("pull", "oci:registry:ft-043", "again", "--model", MODEL)
    refused(trained, capsys, *command, why="by dev-builder (dev-builder), who is revoked")
    verify = ("verify", "runs/043", "--for", "promote", "--model", MODEL, "--run", "043")
    refused(trained, capsys, *verify, why="relies on provenance and signature by dev-builder")


def test_a_model_that_a_stolen_key_sealed_data_for_is_promoted_again_when_that_is_sealed_anew(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    rotate(pushed, "data-steward")
    assert pushed("policy", "revoke", "dev-data-steward", "--quiet") == 0
    refused(pushed, capsys, "pull", REFERENCE, "served", "--model", MODEL, why="relies on seal by")
    promotion = Promotion(pushed)
    promotion.judged()
    assert promotion.decide() == 1

    use(pushed, "data-steward")
    for folder, kind, name in (
        ("data/train", "dataset", f"{MODEL}-train"),
        ("data/eval", "evaluation", "eval"),
        ("models/base", "base", "tiny"),
        ("models/toxicity", "base", "toxicity"),
    ):
        assert pushed("seal", folder, "--as", kind, "--name", name, *SEAL, "--quiet") == 0
    Promotion(pushed).passed()

    assert pull(pushed) == 0
    assert load(pushed) == 0


def test_attack_a_base_that_a_stolen_key_sealed(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run and the verdict name who sealed the base, whatever lies beside it later."""
    new = keys(project, "data-steward")
    edit(project, "(roles:)", rf"  base-steward: {{key: {new}, custodian: bases}}\n\1")
    edit(project, r"anyOf: \[dev-data-steward\]", "anyOf: [dev-data-steward, base-steward]")
    home = project.path.parent / "home/keys" / MODEL / "data-steward.key"
    steward = home.read_bytes()
    base = ("seal", "models/base", "--as", "base", "--name", "tiny", *SEAL, "--quiet")
    unseal(project, "models/base")
    use(project, "data-steward")
    assert project(*base) == 0
    assert project("run", "--run", "042", "--quiet") == 0
    Promotion(project).passed()
    assert pull(project) == 0

    assert project("policy", "revoke", "base-steward", "--reason", "stolen laptop", "--quiet") == 0
    unseal(project, "models/base")

    why = "relies on seal by base-steward (bases), who is revoked"
    refused(project, capsys, "pull", REFERENCE, "again", "--model", MODEL, why=why)
    promotion = Promotion(project)
    promotion.judged()
    capsys.readouterr()
    assert promotion.decide() == 1
    assert "was sealed by base-steward, whose key is revoked" in capsys.readouterr().out

    home.write_bytes(steward)
    assert project(*base) == 0
    Promotion(project).passed()
    assert pull(project, to="again") == 0


def unseal(project: ProjectFolder, folder: str) -> None:
    """Take a tree's seals away, as whoever may write beside it can."""
    for path in (project.path / f"{folder}.evidence").glob("seal-*"):
        path.unlink()


# --- Replaced --------------------------------------------------------------------------------------


def keys(project: ProjectFolder, role: str) -> str:
    """A new key for a role, and its public half as a policy holds it."""
    path = project.path.parent / f"new-{role}.key"
    assert project("keygen", str(path), "--unsafe-no-passphrase", "--quiet") == 0
    return "".join(path.with_suffix(".pub").read_text().splitlines()[1:-1])


def use(project: ProjectFolder, role: str) -> None:
    """Let the new key of a role take the place of the development key, as its holder does."""
    home = project.path.parent / "home/keys" / MODEL / f"{role}.key"
    home.write_bytes((project.path.parent / f"new-{role}.key").read_bytes())


def rotate(project: ProjectFolder, role: str) -> None:
    """The policy's owner lists a new key of a role behind the old one."""
    keys(project, role)
    new = str(project.path.parent / f"new-{role}.pub")
    assert project("policy", "rotate", f"dev-{role}", "--public-key", new, "--quiet") == 0


def test_the_routine_rotation_of_a_promoters_key(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Old models go on being loaded; new promotions need the new key, and say so before any work."""
    digest = digest_of(pushed)
    rotate(pushed, "promoter")
    attempts = list((pushed.path / ".tuneguard/attempts").iterdir())
    capsys.readouterr()

    for name, reference in (("by-digest", digest), ("by-tag", REFERENCE)):
        assert pull(pushed, reference, name) == 0
        said = capsys.readouterr().out
        assert "the verdict by dev-promoter counts by its own date" in said
        assert ("the release by dev-promoter counts by its own date" in said) is (name == "by-tag")
        assert load(pushed, name) == 0
        assert "claimed: the key was believed until" in capsys.readouterr().out

    why = "the policy names this key as dev-promoter, who was believed until"
    to = ("--to", "oci:registry:ft-043", "--model", MODEL, "--run", "042")
    refused(pushed, capsys, "promote", "runs/042", *to, why=why)
    refused(pushed, capsys, "push", "runs/042", *to, why=why)
    refused(pushed, capsys, "renew", REFERENCE, "--model", MODEL, why=why)
    assert list((pushed.path / ".tuneguard/attempts").iterdir()) == attempts

    use(pushed, "promoter")
    assert pushed("renew", REFERENCE, "--model", MODEL) == 0
    Promotion(pushed, tag="ft-043").passed()
    assert pull(pushed, "oci:registry:ft-043", "new") == 0


def test_of_two_verdicts_that_count_the_newest_goes_along_with_the_model() -> None:
    """After a rotation and a new promotion, the one by the new key: the old one may end on a later day."""
    made = [company.verdict(time=company.ago(days=days)) for days in (9, 1, 5)]
    seen = verify(company.CHECKPOINT, made, company.policy(), company.expecting(purpose="load", attempt=None))

    assert evidence_log.verdict_of(seen).time == company.ago(days=1)
    assert evidence_log.behind_verdict(made, seen) == (made[1],)


def test_a_rotation_by_hand_is_what_the_documentation_says(pushed: ProjectFolder) -> None:
    new = keys(pushed, "promoter")
    mark(pushed, "dev-promoter", f"validUntil: {datetime.now(UTC).isoformat()}")
    edit(pushed, "(roles:)", rf"  pia: {{key: {new}, custodian: dev-promoter}}\n\1")
    edit(pushed, r"anyOf: \[dev-promoter\]", "anyOf: [dev-promoter, pia]")
    use(pushed, "promoter")

    assert pull(pushed) == 0
    Promotion(pushed, tag="ft-043").passed()


def test_attack_an_ended_key_signs_on_with_a_date_after_its_end(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = datetime.now(UTC) - timedelta(days=1)
    mark(pushed, "dev-promoter", f"validUntil: {ended.isoformat()}")

    refused(pushed, capsys, "pull", digest_of(pushed), "served", "--model", MODEL, why="and dev-promoter was")


def test_a_key_taken_out_of_the_policy_ends_what_relied_on_it_and_says_how_to_mend_it(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    new = keys(pushed, "builder")
    edit(pushed, r"  dev-builder: \{key: [^,]+,", f"  dev-builder: {{key: {new},")

    said = refused(pushed, capsys, "pull", REFERENCE, "served", "--model", MODEL, why="V22")
    assert "the policy does not name" in said
    assert "`until` if it was replaced" in said


def test_keys_that_ended_are_told_before_a_seal_and_before_a_run(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    rotate(trained, "data-steward")
    rotate(trained, "builder")

    seal = ("seal", "data/train", "--as", "dataset", "--name", "x", *SEAL)
    refused(trained, capsys, *seal, why="names this key as dev-data-steward, who was believed until")
    refused(
        trained, capsys, "run", "--run", "043", why="names this key as dev-builder, who was believed until"
    )
    assert not (trained.path / "runs/043").exists()


# --- The policy's own time -------------------------------------------------------------------------


def expire(project: ProjectFolder, **more: str) -> None:
    """The policy expired yesterday."""
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    said = "".join(f", {key}: {value}" for key, value in more.items())
    edit(project, r"expires: [^}]+", f"expires: {yesterday}{said}")


def test_an_expired_policy_without_a_grace_loads_nothing(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pull(pushed) == 0
    expire(pushed)

    refused(pushed, capsys, "pull", REFERENCE, "again", "--model", MODEL, why="expired")
    refused(pushed, capsys, "verify", "served", "--for", "load", "--model", MODEL, why="expired")


def test_in_its_grace_a_policy_loads_and_makes_nothing_new(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    expire(pushed, gracePeriod="2d")
    capsys.readouterr()

    assert pull(pushed) == 0
    assert "only loading goes on, for 2 days from then" in capsys.readouterr().out
    assert load(pushed) == 0
    assert "only loading goes on" in capsys.readouterr().out
    to = ("--to", "oci:registry:x", "--model", MODEL, "--run", "042")
    for command in (
        ("promote", "runs/042", *to),
        ("push", "runs/042", *to),
        ("push", "runs/042", "--to", "oci:registry", "--model", MODEL),
        ("renew", REFERENCE, "--model", MODEL),
        ("run", "--run", "043"),
        ("seal", "data/train", "--as", "dataset", "--name", "x", *SEAL),
        ("verify", "runs/042", "--for", "promote", "--model", MODEL, "--run", "042"),
        ("verify", "runs/042"),
    ):
        refused(pushed, capsys, *command, why="expired on")


def test_every_output_warns_of_a_policy_that_ends_soon(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(pushed, r"(expires: [^}]+)", r"\1, warnFrom: 2026-01-01T00:00:00Z")
    capsys.readouterr()

    commands = [
        ("pull", REFERENCE, "served", "--model", MODEL),
        ("verify", "served", "--for", "load", "--model", MODEL),
        ("seal", "data/eval", "--as", "evaluation", "--name", "eval", *SEAL),
        ("policy", "check"),
        ("trace", "runs/042"),
        ("pull", REFERENCE, "served", "--model", MODEL),
    ]
    for command in commands:
        pushed(*command)
        said = capsys.readouterr()
        assert "note: the policy support-llama expires on" in said.out + said.err, command
    assert pushed("verify", "served", "--for", "load", "--model", MODEL, "--json") == 0
    assert any("expires on" in note for note in json.loads(capsys.readouterr().out)["notes"])
    assert pushed("verify", "served", "--for", "load", "--model", "x", "--json") == 2
    assert any("expires on" in note for note in json.loads(capsys.readouterr().out)["notes"])
    assert pushed("verify", "served", "--for", "load", "--model", MODEL, "--format", "html") == 0
    assert "expires on" in capsys.readouterr().out
