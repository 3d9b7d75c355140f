"""Somebody who may write to the registry, and sign nothing, moves tags and pointers about."""

from __future__ import annotations

import dataclasses
import io
import json
from contextlib import chdir
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from msgspec import structs
from steps import MODEL

from tuneguard.attest.predicates import release as releases
from tuneguard.attest.statement import PAYLOAD_TYPE, Sha256Set, Statement
from tuneguard.display import rfc3339
from tuneguard.oci import manifest as oci
from tuneguard.oci.client import attach, bundles
from tuneguard.oci.layout import Layout
from tuneguard.project.project import Project
from tuneguard.promotion import releases as journey
from tuneguard.signing.bundle import make_bundle, read_bundle

if TYPE_CHECKING:
    from projects import ProjectFolder

    from tuneguard.oci.manifest import ModelManifest

pytestmark = pytest.mark.sandbox
TAG = "ft-042"


class Registry:
    """The layout as its attacker holds it, and pointers as a signer could make them."""

    def __init__(self, project: ProjectFolder) -> None:
        self.project = project
        self.layout = Layout(project.path / "registry")

    def model(self, tag: str = TAG) -> ModelManifest:
        return oci.read(self.layout.read_manifest(tag), tag)

    def pointers(self, manifest: ModelManifest) -> list[releases.Release]:
        found = []
        for data in bundles(self.layout, manifest.digest, files=99, limit=99_999_999):
            statement = Statement.decode(read_bundle(data, "b").payload, "b")
            if statement.predicate_type == releases.TYPE:
                found.append(releases.PREDICATE.read(statement, "b"))
        return found

    def bare(self) -> None:
        """Every pointer taken away, and nothing else: the index is the attacker's to write."""
        index = self.project.path / "registry/index.json"
        plain = json.loads(index.read_text())
        pointers = {
            descriptor.digest
            for descriptor in self.layout.referrers(self.model().digest, oci.BUNDLE_TYPE)
            if b"release-" in self.layout.read_manifest(descriptor.digest)
        }
        assert pointers
        plain["manifests"] = [each for each in plain["manifests"] if each["digest"] not in pointers]
        index.chmod(0o600)
        index.write_text(json.dumps(plain))

    def put(self, by: str = "promoter", **facts: object) -> None:
        """The one pointer replaced by another, signed by a role of the project's."""
        manifest = self.model()
        body = structs.replace(max(self.pointers(manifest), key=lambda each: each.sequence), **facts)
        self.bare()
        statement = releases.PREDICATE.statement(MODEL, manifest.tree.digest, body)
        with chdir(self.project.path):
            data = make_bundle(Project().signer(by), PAYLOAD_TYPE, statement.encode())
        attach(self.layout, oci.referrer(manifest.descriptor, data, name="release-0.sigstore.json"))


def later(**how_much: float) -> str:
    return rfc3339(datetime.now(UTC) + timedelta(**how_much))


def pull(project: ProjectFolder, tag: str = TAG, to: str = "served") -> int:
    return project("pull", f"oci:registry:{tag}", to, "--model", MODEL)


def refused(project: ProjectFolder, capsys: pytest.CaptureFixture[str], why: str, tag: str = TAG) -> None:
    """The pull refuses, says why, and leaves nothing."""
    assert pull(project, tag) == 1
    assert why in capsys.readouterr().err
    assert not list(project.path.glob("*served*"))


@pytest.fixture
def registry(pushed: ProjectFolder) -> Registry:
    return Registry(pushed)


@pytest.fixture
def elsewhere(pushed: ProjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine: the root's public key and the policy came by hand, nothing was ever seen here."""
    home = pushed.path.parent / "second"
    home.mkdir()
    (home / "root.pub").write_bytes((pushed.path.parent / "home/root.pub").read_bytes())
    (pushed.path / "tuneguard.yaml").unlink()
    monkeypatch.setenv("TUNEGUARD_HOME", str(home))


def test_a_released_tag_is_followed_under_the_same_policy_on_another_machine(
    pushed: ProjectFolder, elsewhere: None
) -> None:
    assert pull(pushed) == 0


def test_attack_the_pointer_removed(
    pushed: ProjectFolder, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.bare()

    refused(pushed, capsys, "no release by promoter counts")


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"tag": "stable"}, "is a release of the tag stable"),
        (
            {"repository": "registry.internal/models/other"},
            "is a release of the repository registry.internal",
        ),
        ({"model": "other"}, "is a release of the model other"),
        ({"manifest": Sha256Set("0" * 64)}, "is a release of the manifest sha256:000000000000"),
    ],
    ids=["tag", "repository", "model", "manifest"],
)
def test_attack_a_pointer_of_something_else_copied_here(
    pushed: ProjectFolder,
    registry: Registry,
    capsys: pytest.CaptureFixture[str],
    facts: dict[str, str],
    why: str,
) -> None:
    registry.put(**facts)

    refused(pushed, capsys, why)


def test_attack_an_unpromoted_manifest_under_a_released_tag(
    pushed: ProjectFolder, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    """A manifest of the attacker's own, with every bundle of the promoted one attached to it."""
    model = registry.model()
    config = next(layer for layer in model.layers if layer.path == "config.json")
    fewer = oci.build(
        dataclasses.replace(model.tree, files=tuple(f for f in model.tree.files if f.path != config.path))
    )
    assert fewer.config is not None
    registry.layout.put_blob(
        fewer.config_descriptor.digest, len(fewer.config), lambda: io.BytesIO(fewer.config or b"")
    )
    registry.layout.put_manifest(fewer.data)
    for data in list(bundles(registry.layout, model.digest, files=99, limit=99_999_999)):
        attach(registry.layout, oci.referrer(fewer.descriptor, data))
    registry.layout.tag(TAG, fewer.digest)

    refused(pushed, capsys, "is not what the policy lets through")


@pytest.mark.parametrize("by", ["builder", "data-steward", "log"])
def test_attack_a_pointer_by_a_role_that_may_not(
    pushed: ProjectFolder, registry: Registry, capsys: pytest.CaptureFixture[str], by: str
) -> None:
    registry.put(by=by)

    refused(pushed, capsys, "is signed by no key" if by == "log" else "no role lets")


def test_a_tag_can_be_frozen_for_thirty_days_at_most(registry: Registry) -> None:
    (body,) = registry.pointers(registry.model())

    assert datetime.fromisoformat(body.not_after) - datetime.fromisoformat(body.issued) == timedelta(days=30)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"issued": later(days=-9), "not_after": later(seconds=-1)}, "ran out by its own date"),
        ({"issued": later(days=-31), "not_after": later(days=9000)}, "ran out by the policy's maxAge"),
        ({"issued": later(hours=1), "not_after": later(days=9)}, "dated in the future"),
        ({"issued": "9999-12-31T00:00:00Z", "not_after": "9999-12-31T23:59:59Z"}, "dated in the future"),
    ],
    ids=["frozen", "for ever", "from the future", "at the end of time"],
)
def test_attack_a_pointer_out_of_its_time(
    pushed: ProjectFolder,
    registry: Registry,
    capsys: pytest.CaptureFixture[str],
    facts: dict[str, str],
    why: str,
) -> None:
    registry.put(**facts)

    refused(pushed, capsys, why)


def test_attack_the_tag_pointed_back_at_an_older_release(
    pushed: ProjectFolder, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was there is put back, every signature of it true and its time not run out."""
    known = registry.pointers(registry.model())[0]
    tag = journey.Tag(MODEL, known.repository, TAG)
    newer = structs.replace(known, sequence=known.sequence + 5, manifest=Sha256Set("1" * 64))
    journey.remember(tag, newer)

    refused(pushed, capsys, "it went back")


def test_attack_the_homes_memory_rolled_back_and_the_ledger_still_knows(
    pushed: ProjectFolder, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.put(sequence=1)
    for path in (pushed.path.parent / "home/releases").iterdir():
        path.unlink()

    refused(pushed, capsys, "it went back")


def test_attack_the_ledger_removed_and_the_home_still_knows(
    pushed: ProjectFolder, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.put(sequence=1)
    (pushed.path / ".tuneguard/ledger.db").unlink()

    refused(pushed, capsys, "it went back")


def test_attack_two_pointers_that_disagree(
    pushed: ProjectFolder, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    known = registry.pointers(registry.model())[0]
    tag = journey.Tag(MODEL, known.repository, TAG)
    journey.remember(tag, structs.replace(known, sequence=9_000, manifest=Sha256Set("1" * 64)))
    registry.put(sequence=9_000)

    refused(pushed, capsys, "another of that number is known here")


def test_attack_the_clock_set_back_to_when_an_old_pointer_was_valid(
    pushed: ProjectFolder, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine that believed a release in two hours from now has had its clock turned back."""
    (memory,) = (pushed.path.parent / "home/releases").iterdir()
    plain = json.loads(memory.read_text())
    memory.write_text(json.dumps(plain | {"seen": later(hours=2)}))

    refused(pushed, capsys, "this machine's clock reads")


def test_attack_a_damaged_memory_is_no_empty_one(pushed: ProjectFolder) -> None:
    (memory,) = (pushed.path.parent / "home/releases").iterdir()
    memory.write_text("{}")

    assert pull(pushed) == 3


def test_a_pointer_that_ran_out_is_renewed_without_judging_again(
    pushed: ProjectFolder, registry: Registry
) -> None:
    registry.put(issued=later(days=-40), not_after=later(days=-10))
    assert pull(pushed) == 1

    assert pushed("renew", f"oci:registry:{TAG}", "--model", MODEL) == 0

    assert pull(pushed) == 0
    old, new = sorted(registry.pointers(registry.model()), key=lambda each: each.sequence)
    assert new.sequence > old.sequence
    assert new.previous == new.manifest == old.manifest


@pytest.mark.parametrize("facts", [{"sequence": 1}, {"tag": "stable"}], ids=["went back", "another tag"])
def test_attack_a_tag_that_was_moved_is_not_renewed(
    pushed: ProjectFolder, registry: Registry, facts: dict[str, object]
) -> None:
    registry.put(**facts)

    assert pushed("renew", f"oci:registry:{TAG}", "--model", MODEL) == 1
    assert len(registry.pointers(registry.model())) == 1


def test_attack_renewing_with_another_roles_key(pushed: ProjectFolder) -> None:
    key = pushed.path.parent / f"home/keys/{MODEL}/builder.key"

    assert pushed("renew", f"oci:registry:{TAG}", "--model", MODEL, "--key", f"promoter={key}") == 1


def test_the_promoter_goes_back_on_purpose_by_pushing_again(
    pushed: ProjectFolder, registry: Registry
) -> None:
    """The memory knows a newer release; pushing the older model makes a pointer above that."""
    known = registry.pointers(registry.model())[0]
    journey.remember(
        journey.Tag(MODEL, known.repository, TAG),
        structs.replace(known, sequence=9_000, manifest=Sha256Set("1" * 64)),
    )

    assert pushed("push", "runs/042", "--to", f"oci:registry:{TAG}", "--model", MODEL, "--run", "042") == 0

    assert max(each.sequence for each in registry.pointers(registry.model())) == 9_001
    assert pull(pushed) == 0


def test_a_second_push_writes_no_second_pointer(pushed: ProjectFolder, registry: Registry) -> None:
    assert pushed("push", "runs/042", "--to", f"oci:registry:{TAG}", "--model", MODEL, "--run", "042") == 0

    assert len(registry.pointers(registry.model())) == 1


def test_a_push_without_a_tag_needs_no_key_and_with_one_the_promoters(pushed: ProjectFolder) -> None:
    (pushed.path.parent / f"home/keys/{MODEL}/promoter.key").unlink()

    assert pushed("push", "runs/042", "--to", "oci:registry", "--model", MODEL, "--run", "042") == 0
    assert pushed("push", "runs/042", "--to", "oci:registry:new", "--model", MODEL, "--run", "042") == 2
