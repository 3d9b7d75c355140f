"""Files that a person names, as clusters mount them: each a link. And links that nobody named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from projects import MODEL

if TYPE_CHECKING:
    from projects import ProjectFolder


def mounted(folder: Path, *sources: Path) -> None:
    """Files in `folder` as Kubernetes mounts a Secret: links into ``..data``, a link itself."""
    (folder / "..2026_11_27").mkdir(parents=True)
    (folder / "..data").symlink_to("..2026_11_27")
    for source in sources:
        (folder / "..2026_11_27" / source.name).write_bytes(source.read_bytes())
        (folder / source.name).symlink_to(f"..data/{source.name}")


def home(*names: str) -> Path:
    return Path(os.environ["TUNEGUARD_HOME"], *names)


def test_a_configuration_that_is_mounted_is_fixed_in_the_policy(project: ProjectFolder) -> None:
    mounted(project.path / "run/config", project.path / "train-config.yaml")

    named = ("--config", "run/config/train-config.yaml")
    assert project("policy", "set-model", MODEL, *named, "--quiet") == 0


def test_key_passphrase_policy_and_root_are_taken_from_mounted_secrets(project: ProjectFolder) -> None:
    secret = project.write("secret.txt", "correct horse\n")
    assert project("keygen", "steward.key", "--passphrase-file", "secret.txt", "--quiet") == 0
    mounted(project.path / "run/secret", project.path / "steward.key", secret)
    signed = project.path / "policy.yaml"
    mounted(project.path / "run/policy", signed, signed.with_name("policy.yaml.sigstore.json"))
    mounted(project.path / "run/root", home("root.pub"))
    named = ("--policy", "run/policy/policy.yaml", "--root", "run/root/root.pub")
    key = ("--key", "run/secret/steward.key", "--passphrase-file", "run/secret/secret.txt")

    assert project("sign", "models/base", *key, "--quiet") == 0
    assert project("verify", "data/train", "--for", "train", "--model", MODEL, *named) == 0
    unlinked = project("policy", "check", "policy.yaml")
    assert project("policy", "check", "run/policy/policy.yaml", "--root", "run/root/root.pub") == unlinked


def test_a_mounted_signature_by_a_mounted_public_key_is_read(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert project("keygen", "s.key", "--unsafe-no-passphrase", "--quiet") == 0
    assert project("sign", "models/base", "--key", "s.key", "--evidence", "ev", "--quiet") == 0
    [signature] = (project.path / "ev").glob("signature-*")
    mounted(project.path / "run", signature, project.path / "s.pub")
    capsys.readouterr()

    project("verify", "models/base", "--signature", f"run/{signature.name}", "--public-key", "run/s.pub")

    assert "integrity only" in capsys.readouterr().out


def test_a_policy_named_by_a_link_is_edited_where_it_lies(project: ProjectFolder) -> None:
    (project.path / "shared").mkdir()
    policy = project.path / "policy.yaml"
    policy.rename(project.path / "shared/policy.yaml")
    policy.symlink_to("shared/policy.yaml")

    assert project("policy", "set-model", MODEL, "--base", "models/base", "--quiet") == 0

    assert policy.is_symlink()
    assert project("policy", "check", "policy.yaml", "--quiet") in (0, 1)


@pytest.mark.sandbox
def test_the_pipelines_paths_may_be_links_within_the_project(project: ProjectFolder) -> None:
    for name in ("data/train", "data/train.evidence", "code", "train-config.yaml"):
        moved = project.path / "versions" / name
        moved.parent.mkdir(parents=True, exist_ok=True)
        (project.path / name).rename(moved)
    (project.path / "data/train").symlink_to("../versions/data/train")
    (project.path / "code").symlink_to("versions/code")
    (project.path / "train-config.yaml").symlink_to("versions/train-config.yaml")

    assert project("run", "--run", "042", "--quiet") == 0


@pytest.mark.parametrize("name", ["data/train", "models/base", "code", "train-config.yaml"])
def test_attack_a_link_in_the_project_leads_the_run_out_of_it(
    project: ProjectFolder, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = project.path.parent / "outside"
    (project.path / name).rename(outside)
    (project.path / name).symlink_to(outside)

    assert project("run", "--run", "042") == 1

    assert "a link on its way leads out of it" in capsys.readouterr().err
    assert not (project.path / "runs/042").exists()
