"""Beginning a project, its passphrases, and its policy: who is believed, found where, and until when."""

from __future__ import annotations

import json
import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest
from steps import MODEL, Promotion, verdicts

from tuneguard.artifact.digest import hash_tree
from tuneguard.attest import evidence
from tuneguard.spec import load
from tuneguard.trust.policy import parse_policy

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import ProjectFolder

ROLES = {"data-steward", "builder", "scanner", "evaluator", "promoter", "log"}


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Everything below a folder, with its mode and the time of its last change."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
    }


def one_sentence(said: str) -> str:
    """What went wrong: exactly one sentence and what to do about it, and no traceback."""
    assert [line.partition(":")[0] for line in said.splitlines()] == ["error", "help"], said
    return said


@pytest.fixture
def new(project: ProjectFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectFolder:
    """A machine on which nobody has a root yet, and a folder on it."""
    monkeypatch.setenv("TUNEGUARD_HOME", str(tmp_path / "new-home"))
    folder = tmp_path / "new"
    folder.mkdir()
    return type(project)(folder)


def began(new: ProjectFolder, *more: str, name: str = "m") -> int:
    return new("init", ".", "--name", name, *(more or ("--unsafe-no-passphrase",)))


# --- init --------------------------------------------------------------------------------------------


def test_init_writes_a_pipeline_a_signed_development_policy_keys_and_a_root(
    new: ProjectFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert began(new) == 0

    home = tmp_path / "new-home"
    assert {path.name for path in new.path.iterdir()} == {
        "tuneguard.yaml", "policy.yaml", "policy.yaml.sigstore.json"
    }  # fmt: skip
    assert {path.name for path in home.iterdir()} == {"root.key", "root.pub", "keys"}
    made = {path.name for path in (home / "keys/m").iterdir()}
    assert made == {f"{role}.{half}" for role in ROLES for half in ("key", "pub")}
    assert {path.stat().st_mode & 0o777 for path in home.rglob("*.key")} == {0o600}
    assert (home / "keys/m").stat().st_mode & 0o777 == 0o700
    assert load(new.path / "tuneguard.yaml").name == "m"
    policy = parse_policy((new.path / "policy.yaml").read_bytes(), "policy.yaml")
    assert (policy.name, policy.version, policy.profile) == ("m", 1, "development")
    assert policy.models["m"].bases == ()
    assert policy.models["m"].evaluation is None
    custodians = {identity.custodian for identity in policy.identities.values()}
    assert custodians == {f"dev-{role}" for role in ROLES - {"log"}}
    said = capsys.readouterr().out
    assert "development policy: not for production" in said
    assert "one person holds every key" in said
    assert "not encrypted" in said


@pytest.mark.parametrize(
    "taken", ["tuneguard.yaml", "policy.yaml", "policy.yaml.sigstore.json", "../new-home/keys/m"]
)
def test_init_never_overwrites_and_then_writes_nothing(
    new: ProjectFolder, tmp_path: Path, taken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    new.write(taken, "somebody's")
    before = listing(tmp_path)

    assert began(new) == 2

    assert one_sentence(capsys.readouterr().err).startswith("error: already there: ")
    assert listing(tmp_path) == before


def test_a_second_project_of_a_home_is_under_the_same_root(new: ProjectFolder, tmp_path: Path) -> None:
    assert began(new) == 0
    root = (tmp_path / "new-home/root.key").read_bytes()

    assert new("init", "second", "--name", "second", "--unsafe-no-passphrase") == 0

    assert (tmp_path / "new-home/root.key").read_bytes() == root
    second = type(new)(new.path / "second")
    assert second("policy", "check", "--json") == new("policy", "check", "--json") == 1  # no base yet


def test_half_a_root_is_never_completed_with_another_half(
    new: ProjectFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert began(new) == 0
    (tmp_path / "new-home/root.key").unlink()
    before = listing(tmp_path)

    assert new("init", "../second", "--name", "second", "--unsafe-no-passphrase", "--quiet") == 2

    assert "already exists" in one_sentence(capsys.readouterr().err)
    after = listing(tmp_path)
    assert {path for path in after if path not in before} <= {"second"}


def test_a_root_whose_public_half_is_missing_gets_it_back(new: ProjectFolder, tmp_path: Path) -> None:
    assert began(new) == 0
    public = (tmp_path / "new-home/root.pub").read_bytes()
    (tmp_path / "new-home/root.pub").unlink()

    assert new("init", "../second", "--name", "second", "--unsafe-no-passphrase", "--quiet") == 0

    assert (tmp_path / "new-home/root.pub").read_bytes() == public


@pytest.mark.parametrize("name", ["../other", "", "a b", "m\x1b[31m"])
def test_a_name_that_is_none_begins_nothing(
    new: ProjectFolder, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert began(new, name=name) == 2

    assert "is not a name" in one_sentence(capsys.readouterr().err)
    assert not (tmp_path / "new-home").exists()
    assert list(new.path.iterdir()) == []


def test_a_project_cannot_begin_in_a_file(new: ProjectFolder, capsys: pytest.CaptureFixture[str]) -> None:
    new.write("file", "x")

    assert new("init", "file", "--name", "m", "--unsafe-no-passphrase") == 2
    assert one_sentence(capsys.readouterr().err).startswith("error: file: is not a folder")


def test_keys_are_encrypted_unless_the_danger_is_asked_for_by_name(
    new: ProjectFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new("init", ".", "--name", "m") == 2
    assert "--passphrase-file" in one_sentence(capsys.readouterr().err)
    assert not (tmp_path / "new-home").exists()
    monkeypatch.setenv("SECRET", "correct horse")

    assert began(new, "--passphrase-env", "SECRET") == 0

    for key in (tmp_path / "new-home").rglob("*.key"):
        assert b"BEGIN ENCRYPTED PRIVATE KEY" in key.read_bytes(), key
    assert "not encrypted" not in capsys.readouterr().out


def test_a_root_of_another_passphrase_signs_nothing_and_no_key_is_left(
    new: ProjectFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECRET", "correct horse")
    monkeypatch.setenv("OTHER", "battery staple")
    assert began(new, "--passphrase-env", "SECRET") == 0
    second = type(new)(tmp_path / "second")
    second.path.mkdir()
    before = listing(tmp_path)
    capsys.readouterr()

    assert began(second, "--passphrase-env", "OTHER", name="second") == 2

    assert "the passphrase does not open the key" in one_sentence(capsys.readouterr().err)
    assert listing(tmp_path) == before
    assert began(second, "--passphrase-env", "SECRET", name="second") == 0


# --- Passphrases, handed to the steps ----------------------------------------------------------------


@pytest.fixture
def locked(project: ProjectFolder, monkeypatch: pytest.MonkeyPatch) -> ProjectFolder:
    """The project, every key of it encrypted: builder and promoter each with a passphrase of their own."""
    from cryptography.hazmat.primitives import serialization

    for key in (project.path.parent / "home").rglob("*.key"):
        secret = serialization.load_pem_private_key(key.read_bytes(), None)
        word = key.stem if key.stem in ("builder", "promoter") else "all others"
        monkeypatch.setenv(word.upper().replace(" ", "_"), word)
        key.write_bytes(
            secret.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(word.encode()),
            )
        )
    return project


@pytest.mark.sandbox
def test_a_run_with_an_encrypted_key_is_handed_its_passphrase(
    locked: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert locked("run", "--run", "042", "--passphrase-env", "BUILDER") == 0

    printed = capsys.readouterr()
    assert locked("verify", "runs/042", "--for", "promote", "--model", MODEL, "--run", "042") == 0
    assert "builder" not in re.sub(r"dev-builder", "", printed.out + printed.err).split()


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--passphrase-env", "PROMOTER"), "the passphrase does not open the key"),
        (("--passphrase-env", "NOT_SET"), "the variable NOT_SET is not set"),
        ((), "there is no terminal to ask for its passphrase"),
    ],
)
def test_a_run_without_the_right_passphrase_does_not_begin(
    locked: ProjectFolder, more: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = listing(locked.path)

    assert locked("run", "--run", "042", *more) == 2

    assert said in one_sentence(capsys.readouterr().err)
    assert listing(locked.path) == before
    assert locked("run", "--run", "042", "--passphrase-env", "BUILDER") == 0


@pytest.mark.sandbox
def test_a_promotion_hands_the_promoters_passphrase_to_the_steps_that_sign_and_to_no_other(
    locked: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused at `verify`, so that `decide` is the only step that signs: its key is the promoter's."""
    assert locked("run", "--run", "042", "--passphrase-env", "BUILDER", "--quiet") == 0
    path = locked.path / "runs/042/trainer_state.json"
    path.chmod(0o600)
    path.write_text("{}")
    home = locked.path.parent / "home" / "keys" / MODEL
    for role in ("scanner", "evaluator", "log"):  # then the promoter judges itself, and no head is signed
        (home / f"{role}.key").unlink()
    promote = ("promote", "runs/042", "--to", "oci:registry:ft-042", "--run", "042", "--model", MODEL)
    before = listing(locked.path)
    capsys.readouterr()

    assert locked(*promote, "--passphrase-env", "BUILDER") == 2
    assert "promoter.key: the passphrase does not open the key" in one_sentence(capsys.readouterr().err)
    assert listing(locked.path) == before

    assert locked(*promote, "--passphrase-env", "PROMOTER", "--quiet") == 1
    assert [verdict["predicate"]["verificationResult"] for verdict in verdicts(locked)] == ["FAILED"]


@pytest.mark.parametrize(
    "command",
    [
        ("sign", "models/base"),
        ("seal", "data/new", "--as", "dataset", "--name", "n", "--version", "1", "--source", "s",
         "--license", "l", "--classification", "c", "--inside"),
        ("policy", "sign"),
        ("policy", "set-model", MODEL, "--base", "models/toxicity"),
    ],
    ids=["sign", "seal", "policy sign", "policy set-model"],
)  # fmt: skip
def test_a_wrong_passphrase_leaves_nothing_and_the_right_one_works(
    locked: ProjectFolder, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    locked.write("data/new/a.jsonl", '{"prompt": "x"}\n')
    right, wrong = ("BUILDER", "PROMOTER") if command[0] == "sign" else ("ALL_OTHERS", "BUILDER")
    before = listing(locked.path)

    assert locked(*command, "--passphrase-env", wrong) == 2

    assert "the passphrase does not open the key" in one_sentence(capsys.readouterr().err)
    assert listing(locked.path) == before
    assert locked(*command, "--passphrase-env", right) == 0


# --- A run that could not be signed ends before it begins --------------------------------------------


@pytest.mark.sandbox
def test_a_key_that_cannot_sign_models_is_refused_before_the_training(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert project("keygen", "ed.key", "--type", "ed25519", "--unsafe-no-passphrase", "--quiet") == 0
    capsys.readouterr()

    assert project("run", "--run", "042", "--key", "builder=ed.key") == 2

    assert "an Ed25519 key cannot sign a model" in one_sentence(capsys.readouterr().err)
    assert not (project.path / "runs").exists()


@pytest.mark.sandbox
def test_a_checkpoint_that_other_verifiers_would_half_see_leaves_no_half_of_its_evidence(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    script = (project.path / "code/train.py").read_text()
    project.write("code/train.py", script + '(checkpoint / ".gitattributes").write_text("x")\n')

    assert project("run", "--run", "042") == 1

    assert "remove .gitattributes" in capsys.readouterr().err
    assert not (project.path / "runs/042.evidence").exists()


# --- The policy: signed, checked, explained, completed -----------------------------------------------

BELIEVE = ("verify", "models/base", "--model", MODEL)
"""A command that asks whom to believe, and so looks for policy and root."""


def refused_by(project: ProjectFolder, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    """Exit code and sentence of a command that needs the policy."""
    capsys.readouterr()
    return project(*BELIEVE, *more), capsys.readouterr().err


def edit(project: ProjectFolder, before: str, after: str) -> None:
    path = project.path / "policy.yaml"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


def test_an_edited_policy_counts_only_once_the_root_has_signed_it(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(project, "min: 0.85", "min: 0.10")
    code, said = refused_by(project, capsys)
    assert code == 1
    assert "root" in one_sentence(said)

    assert project("policy", "sign") == 0

    assert "Signed" in capsys.readouterr().out
    assert refused_by(project, capsys)[0] != 2
    assert project("policy", "check", "--quiet") == 0


def test_attack_a_policy_signed_by_another_key_than_the_roots(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    builder = project.path.parent / "home/keys" / MODEL / "builder.key"

    assert project("policy", "sign", "--key", f"root={builder}") == 0

    assert refused_by(project, capsys)[0] == 1
    assert project("policy", "check") == 1


def test_a_policy_that_cannot_be_read_is_not_signed_and_each_fault_has_its_place(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(project, "threshold: 1", "treshold: 1")
    before = (project.path / "policy.yaml.sigstore.json").read_bytes()

    assert project("policy", "sign") == 2

    assert re.search(r"policy\.yaml:\d+:\d+: .*treshold.*\n.*threshold", capsys.readouterr().err)
    assert (project.path / "policy.yaml.sigstore.json").read_bytes() == before


def test_check_names_what_would_be_refused_and_passes_a_complete_policy(
    project: ProjectFolder, new: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert began(new) == 0
    capsys.readouterr()

    assert new("policy", "check", "--json") == 1
    found = {finding["rule"] for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert {"P-BASE", "P-EVALUATION", "P-DEVELOPMENT"} <= found


def test_a_complete_development_policy_passes_its_check_and_says_what_it_is(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert project("policy", "check") == 0
    assert "P-DEVELOPMENT" in capsys.readouterr().out


def test_an_edit_is_judged_before_it_is_signed_and_never_passes_for_signed(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project.path / "policy.yaml"
    path.write_text(path.read_text().replace("accuracy: 1", "humour: 1"))
    capsys.readouterr()

    assert project("policy", "check", "--unsigned") == 1
    said = capsys.readouterr().out
    assert "support-llama: no suite is called humour" in said
    assert "there are accuracy, toxicity" in said
    assert "the signature was not checked" in said

    assert project("policy", "check") == 1
    assert "is not the policy that the root signed" in capsys.readouterr().err

    path.write_text(path.read_text().replace("humour: 1", "accuracy: 1"))
    path.with_name("policy.yaml.sigstore.json").unlink()
    assert project("policy", "check", "--unsigned") == 0
    assert project("policy", "check") == 2
    assert "tuneguard policy check policy.yaml --unsigned" in capsys.readouterr().err


def test_explain_says_it_in_words_and_that_nobody_checked_the_signature(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.path / "policy.yaml.sigstore.json").unlink()

    assert project("policy", "explain") == 0

    said = capsys.readouterr().out
    assert "promoter: dev-promoter may sign" in said
    assert "the signature was not checked" in said


def test_set_model_fills_in_what_the_run_will_compare_raises_the_version_and_signs(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    before = parse_policy((project.path / "policy.yaml").read_bytes(), "p")
    comments = [line for line in (project.path / "policy.yaml").read_text().splitlines() if "#" in line]
    project.write("models/base/config.json", '{"model_type": "other"}')

    assert project("policy", "set-model", MODEL, "--base", "models/base") == 0

    text = (project.path / "policy.yaml").read_text()
    after = parse_policy(text.encode(), "p")
    assert after.version == before.version + 1
    assert after.models[MODEL].bases == (hash_tree(project.path / "models/base").digest,)
    assert after.models[MODEL].evaluation == before.models[MODEL].evaluation
    assert [line for line in text.splitlines() if "#" in line] == comments
    assert project("policy", "check", "--quiet") == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("support-lama", "--base", "models/base"), "support-llama"),
        ((MODEL,), "nothing to set"),
        ((MODEL, "--base", "models/nothing"), "no such file or folder"),
        ((MODEL, "--base", "models/base", "--key", "root=nothing.key"), "no such file"),
        ((MODEL, "nothing.yaml", "--base", "models/base"), "nothing.yaml"),
    ],
)
def test_set_model_without_what_it_needs_is_usage_and_changes_nothing(
    project: ProjectFolder, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = listing(project.path)

    assert project("policy", "set-model", *arguments) == 2

    assert said in one_sentence(capsys.readouterr().err)
    assert listing(project.path) == before


@pytest.mark.sandbox
def test_a_base_and_an_evaluation_set_sealed_inside_are_named_as_the_run_compares_them(
    project: ProjectFolder,
) -> None:
    said = ("--version", "2", "--source", "tests", "--license", "CC0-1.0", "--classification", "internal")
    for folder, kind in (("models/base", "base"), ("data/eval", "evaluation")):
        for path in (project.path / f"{folder}.evidence").glob("seal-*"):
            path.unlink()
        assert project("seal", folder, "--as", kind, "--name", kind, *said, "--inside", "--quiet") == 0

    set_model = ("policy", "set-model", MODEL, "--base", "models/base", "--evaluation", "data/eval")
    assert project(*set_model, "--quiet") == 0

    assert project("run", "--run", "042", "--quiet") == 0
    Promotion(project).passed()


# --- The policy's time and places --------------------------------------------------------------------


def test_an_expired_policy_believes_nobody(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (project.path / "policy.yaml").read_text()
    expires = re.search(r"expires: (\S+)}", text)
    assert expires is not None
    edit(project, expires[1], "2020-01-01T00:00:00Z")
    assert project("policy", "sign", "--quiet") == 0

    code, said = refused_by(project, capsys)

    assert code == 1
    assert "expired" in one_sentence(said)
    assert project("run", "--run", "042") == 1
    assert not (project.path / "runs").exists()


@pytest.mark.parametrize("missing", ["root", "policy", "signature"])
def test_whom_to_believe_is_asked_for_where_it_cannot_be_found(
    project: ProjectFolder, tmp_path: Path, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = {
        "root": tmp_path / "home/root.pub",
        "policy": project.path / "policy.yaml",
        "signature": project.path / "policy.yaml.sigstore.json",
    }[missing]
    path.unlink()

    code, said = refused_by(project, capsys)

    assert code == 2
    mend = {
        "root": "--root or TUNEGUARD_ROOT",
        "policy": "--policy or TUNEGUARD_POLICY",
        "signature": "tuneguard policy sign",
    }
    assert mend[missing] in one_sentence(said)


def test_a_root_in_the_project_is_never_looked_at(
    project: ProjectFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("root.pub", "keys/root.pub", ".tuneguard/root.pub", "etc/tuneguard/root.pub"):
        (project.path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "home/root.pub", project.path / place)
    (tmp_path / "home/root.pub").unlink()

    code, said = refused_by(project, capsys)

    assert code == 2
    assert "no root key" in one_sentence(said)


def test_policy_and_root_are_named_by_options_or_by_the_environment(
    project: ProjectFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    policy, root = tmp_path / "trusted/policy.yaml", tmp_path / "trusted/root.pub"
    policy.parent.mkdir()
    for name in ("policy.yaml", "policy.yaml.sigstore.json"):
        shutil.move(project.path / name, policy.with_name(name))
    shutil.move(tmp_path / "home/root.pub", root)
    assert refused_by(project, capsys)[0] == 2

    believed = refused_by(project, capsys, "--policy", str(policy), "--root", str(root))
    assert believed[0] != 2
    monkeypatch.setenv("TUNEGUARD_POLICY", str(policy))
    assert refused_by(project, capsys)[0] == 2  # the root is still nowhere
    monkeypatch.setenv("TUNEGUARD_ROOT", str(root))
    assert refused_by(project, capsys) == believed

    # What is named and missing is not replaced by what lies elsewhere.
    assert refused_by(project, capsys, "--policy", "nothing.yaml")[0] == 2
    assert refused_by(project, capsys, "--root", "nothing.pub")[0] == 2
    # An option goes before the environment.
    monkeypatch.setenv("TUNEGUARD_POLICY", "nothing.yaml")
    monkeypatch.setenv("TUNEGUARD_ROOT", "nothing.pub")
    assert refused_by(project, capsys, "--policy", str(policy), "--root", str(root)) == believed


def test_the_policys_profile_is_said_by_every_command_that_relies_on_it(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """TRUST.md rule 4: whoever reads the output knows that nobody in particular vouches for this."""
    commands = [BELIEVE, ("verify", "data/train", "--for", "train", "--model", MODEL)]

    for command in commands:
        capsys.readouterr()
        project(*command, "--json")
        assert "development policy: not for production" in json.loads(capsys.readouterr().out)["notes"]


def test_nothing_of_a_project_is_needed_to_look_at_files(
    new: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """digest and scan want no policy, no root, no key."""
    new.write("tree/config.json", "{}")

    assert new("digest", "tree") == 0
    assert new("scan", "tree") == 0
    assert not os.path.lexists(os.environ["TUNEGUARD_HOME"])
    assert evidence.read(new.path / "tree.evidence") == ()
