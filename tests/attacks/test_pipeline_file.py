"""The pipeline file is the adversary's: what it asks for, it does not get."""

from __future__ import annotations

import base64
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from projects import SEAL

from tuneguard import limits
from tuneguard.artifact.digest import hash_tree

if TYPE_CHECKING:
    from projects import ProjectFolder

pytestmark = pytest.mark.sandbox

STEAL = """\
import pathlib, shutil, sys
shutil.copytree(pathlib.Path(sys.argv[0]).parent, pathlib.Path(sys.argv[4]) / "loot")
"""


def asked(project: ProjectFolder, old: str, new: str) -> None:
    text = (project.path / "tuneguard.yaml").read_text()
    assert old in text
    project.write("tuneguard.yaml", text.replace(old, new))


@pytest.mark.parametrize("where", ["home", "project", "link"])
def test_attack_the_folder_of_the_keys_named_as_the_code(
    project: ProjectFolder, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = Path(os.environ["TUNEGUARD_HOME"]) / "keys/support-llama"
    if where == "project":
        keys = keys.rename(project.path / "keys")
    (keys / "train.py").write_text(STEAL)
    named = str(keys)
    if where == "link":
        (project.path / "shared").symlink_to(keys.parent)
        named = "shared/support-llama"
    asked(project, "code: {path: code}", f"code: {{path: {named}}}")
    builder = ("--key", f"builder={keys}/builder.key")

    assert project("run", "--run", "042", *builder) == 1

    assert ("private key" if where == "project" else "in the project's folder") in capsys.readouterr().err
    assert not any(project.path.glob("runs/042/*"))


def test_attack_a_key_named_as_the_configuration(project: ProjectFolder) -> None:
    root = Path(os.environ["TUNEGUARD_HOME"]) / "root.key"
    asked(project, "config: train-config.yaml", f"config: {root}")

    assert project("run", "--run", "042") == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("code: {path: code}", "code: {path: data/eval}"),
        ("code: {path: code}", "code: {path: data}"),
        ("config: train-config.yaml", "config: data/eval/accuracy.jsonl"),
    ],
)
def test_attack_the_evaluation_set_shown_to_the_training(
    project: ProjectFolder, old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked(project, old, new)

    assert project("run", "--run", "042") == 1
    assert "the evaluation set" in capsys.readouterr().err


@pytest.mark.parametrize(
    "path", ["../startup-{run}", "runs/{run}/../../../startup", ".tuneguard/reports/{run}", "link/{run}"]
)
def test_attack_a_checkpoint_written_where_programs_are_started_from(
    project: ProjectFolder, path: str
) -> None:
    (project.path / "link").symlink_to(project.path.parent)
    before = set(project.path.parent.rglob("*"))
    asked(project, "runs/{run}", path)

    assert project("run", "--run", "042") == 1

    made = {path.relative_to(project.path.parent) for path in set(project.path.parent.rglob("*")) - before}
    assert {str(path) for path in made} <= {"project/.tuneguard", "project/.tuneguard/ledger.db"}


def test_attack_a_run_id_that_leads_out_of_the_runs(project: ProjectFolder) -> None:
    assert project("train", "--run", "../../../outside") == 2
    assert not (project.path.parent / "outside").exists()


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    assert len(body) < 128
    return bytes([tag, len(body)]) + body


def oid(text: str) -> bytes:
    return der(0x06, bytes.fromhex(text))


def number(value: int) -> bytes:
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


PBKDF2 = der(0x30, oid("2a864886f70d01050c"), der(0x30, der(0x04, bytes(8)), number(2**31 - 1)))
SCRYPT = der(
    0x30,
    oid("2b06010401da47040b"),
    der(0x30, der(0x04, bytes(8)), number(2**20), number(8), number(2**20)),
)


@pytest.mark.parametrize("derivation", [PBKDF2, SCRYPT])
def test_attack_a_key_that_takes_for_ever_to_open(
    project: ProjectFolder, derivation: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    cipher = der(0x30, oid("60864801650304012a"), der(0x04, bytes(16)))
    scheme = der(0x30, oid("2a864886f70d01050d"), der(0x30, derivation, cipher))
    body = base64.b64encode(der(0x30, scheme, der(0x04, bytes(16)))).decode()
    label = "ENCRYPTED PRIVATE KEY"
    key = project.write("slow.key", f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    secret = project.write("secret", "x")
    asked(project, "registry:", f"keys: {{builder: {key}}}\nregistry:")

    assert project("sign", "models/base", "--passphrase-file", str(secret)) == 2
    assert "for ever" in capsys.readouterr().err


# --- The evaluation set, file by file and row by row ----------------------------------------------------


def a_row(project: ProjectFolder) -> str:
    return (project.path / "data/eval/accuracy.jsonl").read_text().splitlines()[7]


def refused_for(project: ProjectFolder, capsys: pytest.CaptureFixture[str], *said: str) -> None:
    """The run is refused with these words, and nothing of it is signed."""
    assert project("run", "--run", "042") == 1

    told = capsys.readouterr().err
    assert all(each in told for each in said), told
    assert not list((project.path / "runs").glob("042/*"))
    assert not (project.path / "runs/042.evidence").exists()


@pytest.mark.parametrize("name", ["accuracy.jsonl", "weights.bin", "vendor/deep/notes.md", ".hidden"])
def test_attack_a_file_of_the_evaluation_set_renamed_in_the_code(
    project: ProjectFolder, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    held = (project.path / "data/eval/accuracy.jsonl").read_text()
    project.write(f"code/{name}", held)

    refused_for(project, capsys, "the code holds a file of the evaluation set, accuracy.jsonl", name)


def test_attack_a_file_of_the_evaluation_set_copied_as_the_configuration(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("train-config.yaml", (project.path / "data/eval/toxicity.jsonl").read_text())

    refused_for(project, capsys, "the config holds a file of the evaluation set")


@pytest.mark.parametrize(
    "form", ["jsonl", "array", "python", "string", "one file each", "texts", "csv", "yaml"]
)
def test_attack_rows_of_the_evaluation_set_in_the_code(
    project: ProjectFolder, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (project.path / "data/eval/accuracy.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    forms = {
        "jsonl": ("extra.txt", "\n".join(["{}", *lines[5:9], "{}"])),
        "array": ("package.json", json.dumps({"name": "x", "rows": rows[:3]}, indent=2)),
        "python": ("constants.py", f"EXTRA = (\n    {rows[3]!r},\n)\n"),
        "string": ("loader.py", f"import json\nEXTRA = [json.loads(x) for x in {lines[:4]!r}]\n"),
        "texts": ("prompts.txt", "\n".join(row["prompt"] for row in rows)),
        "csv": ("t.tsv", "\n".join(f"{row['prompt']}\t{row['answer']}" for row in rows)),
        "yaml": ("extra.yaml", f"rows:\n  - {{prompt: {rows[3]['prompt']}, choices: [a, b], answer: 1}}\n"),
    }
    if form == "one file each":
        project.write("code/rows/7", lines[7])
    else:
        project.write(f"code/{forms[form][0]}", forms[form][1])

    refused_for(project, capsys, "the code holds rows of the evaluation set")


def test_attack_a_row_of_the_evaluation_set_in_the_configuration(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("train-config.yaml", f"epochs: 1\nextra:\n  - {a_row(project)}\n")

    refused_for(project, capsys, "the config holds rows of the evaluation set", "train-config.yaml")


def test_attack_a_row_of_the_evaluation_set_in_the_command(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    asked(project, '"{run}"]', f'"{{run}}", {json.dumps("--extra=" + a_row(project).replace("{", "{{"))}]')

    refused_for(project, capsys, "the command holds rows of the evaluation set")


def test_attack_a_row_of_the_evaluation_set_in_the_environment(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    asked(project, "  command:", f"  env: {{EXTRA: {json.dumps(a_row(project))}}}\n  command:")

    refused_for(project, capsys, "the environment holds rows of the evaluation set")


def test_attack_another_set_named_as_the_evaluation_set(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("code/extra.jsonl", a_row(project))
    project.write("data/other/accuracy.jsonl", '{"prompt": "x", "choices": ["a"], "answer": 0}\n')
    asked(project, "eval: {path: data/eval}", "eval: {path: data/other}")

    refused_for(project, capsys, "is not the evaluation set that the policy names", "data/other")
    assert not (project.path / ".tuneguard/runs/042").exists()


def test_attack_a_link_beside_the_set_switches_off_the_question_where_the_configuration_lies(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.path / "data/eval/link").symlink_to("nowhere")
    asked(project, "  eval: {path: data/eval}\n", "")  # so that the set's files are not at hand
    asked(project, "config: train-config.yaml", "config: data/eval/accuracy.jsonl")

    refused_for(project, capsys, "lies in the evaluation set")


@pytest.mark.parametrize("how", ["left out", "not there"])
def test_a_set_that_is_not_at_hand_is_said_and_not_claimed(
    project: ProjectFolder, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if how == "left out":
        asked(project, "  eval: {path: data/eval}\n", "")
    else:
        asked(project, "data/eval", "data/nothing")

    assert project("run", "--run", "042") == 0

    assert "were not compared with the evaluation set: the set is not at hand" in capsys.readouterr().out
    assert comparison(project)["compared"] is False


def test_what_was_compared_is_in_the_provenance(project: ProjectFolder) -> None:
    assert project("run", "--run", "042", "--quiet") == 0

    said = comparison(project)
    assert said["compared"] is True
    assert said["digest"] == {"dirHash": hash_tree(project.path / "data/eval").digest}
    assert said["how"] == "2 files hold none of its files and none of its rows"


def comparison(project: ProjectFolder) -> dict[str, Any]:
    [path] = (project.path / "runs/042.evidence").glob("provenance-*")
    payload = json.loads(base64.b64decode(json.loads(path.read_text())["dsseEnvelope"]["payload"]))
    found: dict[str, Any] = payload["predicate"]["buildDefinition"]["internalParameters"]["evaluationSet"]
    return found


def test_an_honest_project_may_share_a_licence_and_empty_files_with_the_evaluation_set(
    project: ProjectFolder,
) -> None:
    for folder in ("data/eval", "code"):
        project.write(f"{folder}/LICENSE", "Permission is hereby granted, free of charge, to any person " * 9)
        project.write(f"{folder}/.gitattributes", "*.safetensors filter=lfs diff=lfs merge=lfs -text\n" * 2)
        project.write(f"{folder}/__init__.py", "")
        project.write(f"{folder}/extra.json", "{}\n")
    project.write("code/train.py", (project.path / "code/train.py").read_text() + '\nASK = "question 7"\n')
    shutil.rmtree(project.path / "data/eval.evidence")
    assert project("seal", "data/eval", "--as", "evaluation", "--name", "eval", *SEAL, "--quiet") == 0
    assert project("policy", "set-model", "support-llama", "--evaluation", "data/eval", "--quiet") == 0

    assert project("run", "--run", "042", "--quiet") == 0
    assert comparison(project)["compared"] is True


def test_attack_rows_hidden_behind_more_than_is_looked_through(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("code/large.bin", "x" * (limits.SEARCH_BYTES + 1))

    assert project("run", "--run", "042") == 0

    assert "1 file could not be looked through, large.bin among them" in capsys.readouterr().out
    assert comparison(project)["compared"] is False


def in_production(project: ProjectFolder) -> None:
    policy = project.path / "policy.yaml"
    policy.write_text(policy.read_text().replace("profile: development", "profile: production"))
    assert project("policy", "sign", "--quiet") == 0


@pytest.mark.parametrize("how", ["left out", "too large"])
def test_attack_the_comparison_switched_off_by_the_pipeline_file(
    project: ProjectFolder, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    in_production(project)
    if how == "left out":
        asked(project, "  eval: {path: data/eval}\n", "")
        project.write("code/extra.jsonl", "{}")
    else:
        project.write("code/large.bin", "x" * (limits.SEARCH_BYTES + 1))

    refused_for(project, capsys, "cannot be compared with the evaluation set")


def test_production_that_fixes_all_that_trains_needs_no_set_where_it_trains(project: ProjectFolder) -> None:
    fixed = ("--code", "code", "--config", "train-config.yaml", "--command")
    asked(project, "  eval: {path: data/eval}\n", "")
    assert project("policy", "set-model", "support-llama", *fixed, "--quiet") == 0
    in_production(project)

    assert project("run", "--run", "042", "--quiet") == 0
    assert comparison(project)["compared"] is False
