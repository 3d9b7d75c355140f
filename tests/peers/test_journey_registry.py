"""The whole journey into a real registry, and out of it on another machine that has the policy only."""

from __future__ import annotations

import contextlib
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from projects import ProjectFolder, made, made_trained, trained
from shipped import at_home_in, promotion
from steps import MODEL

from tuneguard.artifact.digest import hash_tree
from tuneguard.oci import manifest as oci
from tuneguard.oci import upload
from tuneguard.oci.client import attach, bundles
from tuneguard.oci.open import open_registry
from tuneguard.oci.reference import parse

__all__ = ["made", "made_trained", "trained"]
pytestmark = pytest.mark.sandbox


@pytest.fixture(params=["refreg", "distribution"])
def repository(request, trained: ProjectFolder) -> str:
    name = f"{request.param}/{trained.path.parent.name.replace('_', '-')}".lower().strip("-")
    return at_home_in(trained, request.getfixturevalue(request.param), name)


@pytest.fixture
def second(trained: ProjectFolder, monkeypatch) -> ProjectFolder:
    """Another machine: a home with root.pub, a folder with the policy and its bundle, and nothing else."""
    home, folder = trained.path.parent / "home2", trained.path.parent / "second"
    home.mkdir()
    folder.mkdir()
    shutil.copy(trained.path.parent / "home/root.pub", home)

    def brought() -> ProjectFolder:
        for name in ("policy.yaml", "policy.yaml.sigstore.json"):
            shutil.copy(trained.path / name, folder)
        return ProjectFolder(folder)

    @contextlib.contextmanager
    def there():
        monkeypatch.setenv("TUNEGUARD_HOME", str(home))
        yield brought()
        monkeypatch.setenv("TUNEGUARD_HOME", str(trained.path.parent / "home"))

    return there


def test_promoted_here_pulled_there_by_tag_and_by_digest(trained, repository, second, oras, proves):
    promotion(trained, repository).passed()
    tree = hash_tree(trained.path / "runs/042")
    digest = oci.build(tree).digest

    with second() as machine:
        assert machine("pull", f"{repository}:ft-042", "by-tag") == 0
        assert machine("pull", f"{repository}@{digest}", "by-digest") == 0
        assert hash_tree(machine.path / "by-tag") == hash_tree(machine.path / "by-digest") == tree
        assert machine("verify", "by-tag", "--for", "load", "--model", MODEL, "--run", "042") == 0
    oras("pull", "--plain-http", f"{repository}:ft-042", "-o", trained.path / "oras")
    assert hash_tree(trained.path / "oras") == tree
    proves("oras", "reads", "a promoted model, by tag")


def test_attack_the_tag_set_by_somebody_who_may_only_write(trained, repository, second):
    promotion(trained, repository).passed()
    registry = open_registry(parse(f"{repository}:x"))
    registry.tag("stable", registry.resolve("ft-042"))

    with second() as machine:
        assert machine("pull", f"{repository}:stable", "got") == 1
        assert not (machine.path / "got").exists()


def test_two_signers_at_once_lose_no_evidence(trained, repository):
    """Where there is no referrers API both write the same fallback tag (TRUST.md rule 24)."""
    promotion(trained, repository).passed()
    built = oci.build(hash_tree(trained.path / "runs/042"))
    before = len(list(bundles(open_registry(parse(repository)), built.digest, files=99, limit=99_999_999)))

    def sign(number: int) -> None:
        registry = open_registry(parse(repository))
        attach(registry, oci.referrer(built.descriptor, b'{"of": %d}' % number))

    with ThreadPoolExecutor(2) as both:
        list(both.map(sign, range(6)))

    after = list(bundles(open_registry(parse(repository)), built.digest, files=99, limit=99_999_999))
    assert len(after) == before + 6


def test_attack_a_fallback_tag_that_says_other_evidence(trained, distribution, second):
    """Whoever may write the fallback tag can hide evidence, and that refuses; he can add none."""
    repository = at_home_in(trained, distribution, "hidden/models")
    promotion(trained, repository).passed()
    registry = open_registry(parse(repository))
    digest = registry.resolve("ft-042")
    empty = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
    registry.put_named(digest.replace(":", "-"), empty, "application/vnd.oci.image.index.v1+json")

    with second() as machine:
        assert machine("pull", f"{repository}:ft-042", "got") == 1
        assert machine("pull", f"{repository}@{digest}", "got") == 1
        assert not (machine.path / "got").exists()


def test_a_renewed_tag_is_followed_by_who_followed_it_before(trained, repository, second):
    promotion(trained, repository).passed()
    with second() as machine:
        assert machine("pull", f"{repository}:ft-042", "first") == 0

    assert trained("renew", f"{repository}:ft-042") == 0

    with second() as machine:
        assert machine("pull", f"{repository}:ft-042", "again") == 0


@pytest.mark.parametrize("mounted", [True, False])
def test_files_of_another_repository_are_mounted_and_not_sent(
    trained: ProjectFolder, distribution, monkeypatch, proves, mounted
):
    """A base model lies in the same registry, and the checkpoint has files of it."""
    name = f"mount-{mounted}".lower()
    repository = at_home_in(trained, distribution, f"{name}/model")
    folder = trained.path / "runs/042"
    built = oci.build(hash_tree(folder))
    base = open_registry(parse(f"{distribution}/{name}/base:x"))
    for layer in built.layers:
        base.put_blob(layer.digest, layer.size, lambda path=layer.path: (folder / path).open("rb"))
    done = promotion(trained, repository)
    done.judged()
    assert done.decide() == 0
    sent = []
    begin = upload._Source.__init__
    monkeypatch.setattr(upload._Source, "__init__", lambda *given: (sent.append(given[2]), begin(*given))[1])

    assert done.push(*(("--mount-from", f"{distribution}/{name}/base") if mounted else ())) == 0
    weights = {layer.digest for layer in built.layers}
    assert weights & set(sent) == (set() if mounted else weights)
    assert trained("pull", f"{repository}:ft-042", "got", "--model", MODEL) == 0
    if mounted:
        proves("distribution", "reads", "files of another repository, mounted and not sent (--mount-from)")
