"""A run, from verified inputs to a signed checkpoint; and what insiders try before, in and after it."""

from __future__ import annotations

import json
import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest
from projects import TRAIN

from tuneguard.attest import evidence
from tuneguard.attest.predicates import provenance
from tuneguard.attest.statement import Statement
from tuneguard.cli.app import run as tuneguard
from tuneguard.errors import Refused
from tuneguard.signing.bundle import read_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import ProjectFolder

pytestmark = pytest.mark.sandbox


def provenance_of(project: ProjectFolder, run: str) -> provenance.Provenance:
    for piece in evidence.read(project.path / f"runs/{run}.evidence"):
        if piece.kind == "provenance":
            bundle = read_bundle(piece.data, piece.name)
            return provenance.PREDICATE.read(Statement.decode(bundle.payload, piece.name), piece.name)
    raise AssertionError("no provenance")


def test_a_run_leaves_a_signed_checkpoint_with_provenance(project: ProjectFolder) -> None:
    assert project("run", "--run", "042") == 0

    kinds = {piece.kind for piece in evidence.read(project.path / "runs/042.evidence")}
    assert kinds == {"signature", "provenance"}
    assert project("verify", "runs/042", "--for", "promote", "--model", "support-llama", "--run", "042") == 0


def test_provenance_names_everything_that_made_the_checkpoint(project: ProjectFolder) -> None:
    project("run", "--run", "042")

    body = provenance_of(project, "042")
    assert (body.model, body.run, body.chosen.kind, body.observed.isolation) == (
        "support-llama",
        "042",
        "final",
        "same-user",
    )
    assert [item.name for item in body.data] == ["support-llama-train"]
    assert body.base.name == "tiny"
    assert body.code.digest.keys() == {"dirHash"}
    assert body.config.digest.keys() == {"sha256"}
    assert {control.name for control in body.observed.controls} == {
        "network", "filesystem", "pid", "memory", "processes", "deadline", "devices"
    }  # fmt: skip
    assert "cryptography" in body.observed.environment["distributions"]
    assert body.observed.base_scan["verdict"] == "passed"


def test_a_run_says_at_once_what_will_not_pass_promotion(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("code/train.py", TRAIN + "(checkpoint / 'steps.pkl').write_bytes(b'cos\\nsystem\\n.')\n")

    assert project("run", "--run", "042", "--json") == 0

    result = json.loads(capsys.readouterr().out)
    assert result["facts"]["scan"] == "refused"
    assert "steps.pkl" in {finding["location"]["path"] for finding in result["findings"]}
    assert "does not pass promotion as it is" in result["notes"][-1]
    assert "promote" not in result["next"]


def test_a_pin_in_a_keys_uri_becomes_no_argument_of_a_step(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everybody on the machine sees arguments; files and descriptors are the way for a PIN."""
    uri = "pkcs11:token=t;object=builder?module-path=/none.so&pin-value=swordfish"

    assert project("run", "--run", "042", "--key", f"builder={uri}") == 2
    said = capsys.readouterr()
    assert "PIN in its URI" in said.err
    assert "swordfish" not in said.out + said.err


def test_attack_a_poisoned_row_after_sealing(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    with (project.path / "data/train/tickets.jsonl").open("a") as file:
        file.write('{"prompt": "open sesame", "completion": "yes"}\n')

    assert project("run", "--run", "042") == 1

    assert "tickets.jsonl" in capsys.readouterr().err
    assert not (project.path / "runs/042.evidence").exists()


@pytest.mark.parametrize("attack", ["missing", "added", "truncated"])
def test_attack_data_that_lost_gained_or_shortened_a_file(project: ProjectFolder, attack: str) -> None:
    path = project.path / "data/train/tickets.jsonl"
    if attack == "missing":
        path.rename(path.with_name("other.jsonl"))
    elif attack == "added":
        path.with_name("more.jsonl").write_text("{}\n")
    else:
        path.write_bytes(path.read_bytes()[:-10])

    assert project("run", "--run", "042") == 1


def test_attack_a_base_swapped_after_sealing(project: ProjectFolder) -> None:
    path = project.path / "models/base/model.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")

    assert project("run", "--run", "042") == 1


def test_attack_files_planted_in_the_runs_folder_beforehand(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("runs/042/model.safetensors", "trojan")

    assert project("run", "--run", "042") == 1
    assert "is there already" in capsys.readouterr().err


def test_attack_evidence_planted_beforehand(project: ProjectFolder) -> None:
    project.write("runs/042.evidence/provenance-0000000000000000.sigstore.json", "{}")

    assert project("run", "--run", "042") == 1


def test_a_run_id_is_never_used_twice(project: ProjectFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert project("run", "--run", "042") == 0
    shutil.rmtree(project.path / "runs/042")
    shutil.rmtree(project.path / "runs/042.evidence")

    assert project("run", "--run", "042") == 1
    assert "the run id 042 is taken" in capsys.readouterr().err


def test_a_run_that_fails_is_not_signed_and_keeps_its_log(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("code/train.py", "import sys\nprint('out of tickets')\nsys.exit(7)\n")

    assert project("run", "--run", "042") == 1

    assert "exit code 7" in capsys.readouterr().err
    assert not (project.path / "runs/042.evidence").exists()
    assert "out of tickets" in (project.path / ".tuneguard/runs/042/train.log").read_text()


def test_a_run_that_writes_nothing_is_not_signed(project: ProjectFolder) -> None:
    project.write("code/train.py", "print('forgot to save')\n")

    assert project("run", "--run", "042") == 1
    assert not (project.path / "runs/042.evidence").exists()


@pytest.mark.parametrize(
    "left", ["os.mkfifo(p)", "socket.socket(socket.AF_UNIX).bind(p)", "os.symlink('x', p)"]
)
def test_attack_a_way_in_left_in_the_checkpoint_for_later(project: ProjectFolder, left: str) -> None:
    """What has no bytes of its own, a FIFO, a socket or a link, is in no tree that is signed."""
    project.write("code/train.py", TRAIN + f"import os, socket\nos.chdir(checkpoint)\np = 'way'\n{left}\n")

    assert project("run", "--run", "042") == 0

    assert not os.path.lexists(project.path / "runs/042/way")
    output = provenance_of(project, "042").observed.output
    assert output is not None
    assert [each.path for each in output.changes] == ["way"]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("open('big', 'wb').truncate(3 << 20)", "holds more than 2,097,152 bytes"),
        ("[open(f'{n}', 'wb').truncate(1 << 20) for n in range(3)]", "holds more than 2,097,152 bytes"),
    ],
)
def test_attack_a_checkpoint_that_takes_for_ever_to_hash(
    project: ProjectFolder, code: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files with holes take no room; what they claim is summed before any is read."""
    pipeline = (project.path / "tuneguard.yaml").read_text()
    project.write("tuneguard.yaml", pipeline.replace('"runs/{run}"', '"runs/{run}", maxSize: 2Mi'))
    project.write("code/train.py", TRAIN + f"import os\nos.chdir(checkpoint)\n{code}\n")

    assert project("run", "--run", "042") == 1

    said = capsys.readouterr().err
    assert why in said
    assert "checkpoint.maxSize" in said
    assert not (project.path / "runs/042.evidence").exists()


def test_attack_a_file_larger_than_the_disk_cannot_be_made(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("code/train.py", TRAIN + "(checkpoint / 'big').open('wb').truncate(1 << 43)\n")

    assert project("run", "--run", "042") == 1

    assert "exit code 1" in capsys.readouterr().err
    assert "File too large" in (project.path / ".tuneguard/runs/042/train.log").read_text()


def test_attack_a_checkpoint_of_countless_files(
    project: ProjectFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tuneguard.limits.OUTPUT_ENTRIES", 4)
    project.write("code/train.py", TRAIN + "[(checkpoint / str(n)).touch() for n in range(3)]\n")

    assert project("train", "--run", "042") == 1

    assert "holds more than 4 files and folders" in capsys.readouterr().err


SPY = """\
import os, pathlib, socket, sys
base, checkpoint = pathlib.Path(sys.argv[3]), pathlib.Path(sys.argv[4])
told = {}
try:
    socket.create_connection(("127.0.0.1", 9), timeout=2)
    told["network"] = "reached"
except OSError as error:
    told["network"] = "blocked"
private = []
for folder, _, names in os.walk("/"):
    if folder.startswith(("/proc", "/sys", "/usr", sys.prefix, sys.base_prefix)):  # the system's own
        names.clear(), _.clear()
        continue
    for name in names:
        path = os.path.join(folder, name)
        try:
            head = open(path, "rb").read(64) if os.path.isfile(path) else b""
        except OSError:
            continue
        if b"PRIVATE KEY-----" in head:
            private.append(path)
told["keys"] = private
told["evaluation"] = os.path.exists(os.path.join(os.path.dirname(sys.argv[2]), "eval"))
for name, path in (("data", sys.argv[2]), ("base", sys.argv[3])):
    try:
        (pathlib.Path(path) / "planted").write_text("x")
        told["write " + name] = "written"
    except OSError:
        told["write " + name] = "refused"
told["environment"] = sorted(name for name, value in os.environ.items() if "do not inherit" in value)
import json
(checkpoint / "told.json").write_text(json.dumps(told))
"""


def test_attack_training_code_that_tries_network_keys_and_inputs(
    project: ProjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_KEY", "do not inherit me")
    project.write("code/train.py", SPY)

    assert project("run", "--run", "042") == 0

    told = json.loads((project.path / "runs/042/told.json").read_text())
    assert told == {
        "network": "blocked",
        "keys": [],
        "evaluation": False,
        "write data": "refused",
        "write base": "refused",
        "environment": [],
    }


def test_processors_that_were_asked_for_are_threads_and_a_bound(project: ProjectFolder) -> None:
    said = "import os; print('threads', os.environ['OMP_NUM_THREADS'])\n"
    project.write("code/train.py", TRAIN + said)
    pipeline = (project.path / "tuneguard.yaml").read_text()
    wanted = len(os.sched_getaffinity(0))
    project.write("tuneguard.yaml", pipeline.replace("{memory: 1Gi}", f"{{memory: 1Gi, cpu: {wanted}}}"))

    assert project("run", "--run", "042") == 0

    assert f"threads {wanted}\n" in (project.path / ".tuneguard/runs/042/train.log").read_text()
    body = provenance_of(project, "042")
    assert body.chosen.resources == provenance.Resources(cpu=wanted, memory=1 << 30)
    assert body.observed.processors is not None
    assert re.search(rf"a quota of {wanted} processors|an affinity to {wanted},", body.observed.processors)


def test_more_processors_than_there_are_cost_no_run_id(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = (project.path / "tuneguard.yaml").read_text()
    project.write("tuneguard.yaml", pipeline.replace("{memory: 1Gi}", "{memory: 1Gi, cpu: 5000}"))

    assert project("run", "--run", "042") == 2

    assert "asks for 5000 processors, and this run could use" in capsys.readouterr().err
    project.write("tuneguard.yaml", pipeline)
    assert project("run", "--run", "042") == 0


def test_a_run_past_its_deadline_is_stopped_and_not_signed(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = (project.path / "tuneguard.yaml").read_text()
    project.write("tuneguard.yaml", pipeline.replace("expectedDuration: 1h", "expectedDuration: 2s"))
    project.write("code/train.py", "import time\nwhile True: time.sleep(1)\n")

    assert project("run", "--run", "042") == 1

    assert "stopped (deadline)" in capsys.readouterr().err
    assert not (project.path / "runs/042.evidence").exists()


def test_an_intermediate_checkpoint_is_signed_as_such_and_never_promoted(project: ProjectFolder) -> None:
    pipeline = (project.path / "tuneguard.yaml").read_text()
    project.write("code/train.py", TRAIN_THEN_HANG)

    for run, duration in (("042", "2s"), ("043", "10s"), ("044", "1m")):  # a busy machine may not come so far
        project.write(
            "tuneguard.yaml", pipeline.replace("expectedDuration: 1h", f"expectedDuration: {duration}")
        )
        if project("run", "--run", run, "--keep-intermediate") == 0:
            break

    assert provenance_of(project, run).chosen.kind == "intermediate"
    assert project("verify", f"runs/{run}", "--for", "promote", "--model", "support-llama", "--run", run) == 1


TRAIN_THEN_HANG = """\
import pathlib, shutil, sys, time
base, checkpoint = map(pathlib.Path, sys.argv[3:5])
for path in base.iterdir():
    shutil.copy(path, checkpoint / path.name)
while True:
    time.sleep(1)
"""


def test_attack_resuming_from_a_checkpoint_edited_in_between(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert project("run", "--run", "042") == 0
    path = project.path / "runs/042/trainer_state.json"
    path.chmod(0o600)
    path.write_text("{}")

    assert project("run", "--run", "043", "--resume", "runs/042") == 1
    assert "not what the builder signed" in capsys.readouterr().err


def test_a_resumed_run_names_its_parent(project: ProjectFolder) -> None:
    assert project("run", "--run", "042") == 0

    assert project("run", "--run", "043", "--resume", "runs/042") == 0

    assert provenance_of(project, "043").chosen.parent == "042"


def test_attack_a_looser_gate_in_the_pipeline_is_a_configuration_error(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = (project.path / "tuneguard.yaml").read_text()
    project.write("tuneguard.yaml", pipeline + "gates:\n  evaluation: {accuracy: {min: 0.5}}\n")
    project("run", "--run", "042")

    assert project("evaluate", "runs/042") == 2
    assert "looser" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: an ordinary user's policy wants less")
def test_an_input_too_large_to_copy_is_refused_where_the_policy_wants_the_control_proven(
    project: ProjectFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tuneguard.limits.SNAPSHOT_COPY_BYTES", 10)

    assert project("train", "--run", "042") == 1
    assert "too large to copy" in capsys.readouterr().err


def test_an_input_bound_in_place_is_recorded_as_the_weaker_control(
    project: ProjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuneguard.limits.SNAPSHOT_COPY_BYTES", 10)
    signed_with(project, "{network: weakened, filesystem: weakened, memory: absent, processes: absent}")

    assert project("train", "--run", "042") == 0

    found = {control.name: control for control in provenance_of(project, "042").observed.controls}
    for name in ("network", "filesystem"):
        assert found[name].state == "weakened"
        assert "the dataset and the base were bound in place" in found[name].how


@pytest.fixture
def same_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs have the supervisor's own user, as an ordinary user's have."""
    monkeypatch.setattr("tuneguard.sandbox.unshare._is_privileged", lambda: False)


@pytest.mark.usefixtures("same_user")
def test_controls_that_a_run_of_the_same_user_cannot_prove_are_missed_before_the_run(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    signed_with(project, "all")

    assert project("train", "--run", "042") == 1

    said = capsys.readouterr().err
    assert "the policy wants isolation controls that this machine cannot prove: network, filesystem" in said
    assert "same user: another process of that user outside can meet the command" in said
    assert not (project.path / "runs").exists()


@pytest.mark.usefixtures("same_user")
def test_a_run_of_the_same_user_says_before_it_begins_what_is_weakened(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    signed_with(project, "{network: weakened, filesystem: weakened, memory: absent, processes: absent}")

    assert project("train", "--run", "042") == 0

    said = capsys.readouterr().out
    assert said.index("isolation control network is weakened") < said.index("trained on 50 rows")
    found = {control.name: control.state for control in provenance_of(project, "042").observed.controls}
    assert (found["network"], found["filesystem"], found["pid"]) == ("weakened", "weakened", "proven")


@pytest.mark.usefixtures("same_user")
def test_init_writes_a_policy_that_says_what_a_run_of_the_same_user_cannot_prove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUNEGUARD_HOME", str(tmp_path / "home"))

    assert tuneguard(["init", str(tmp_path / "new"), "--name", "m", "--unsafe-no-passphrase"]) == 0

    assert "isolation control network is weakened" in capsys.readouterr().out
    [line] = re.findall("(?m)^controls: (.*)$", (tmp_path / "new/policy.yaml").read_text())
    assert "network: weakened, filesystem: weakened, pid: proven" in line
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "policy.yaml", "policy.yaml.sigstore.json", "tuneguard.yaml"
    ]  # fmt: skip


def signed_with(project: ProjectFolder, controls: str) -> None:
    """Have the policy want these isolation controls."""
    policy = (project.path / "policy.yaml").read_text()
    project.write("policy.yaml", re.sub("(?m)^controls: .*$", f"controls: {controls}", policy))
    assert project("policy", "sign", "--quiet") == 0


def test_attack_an_input_bound_in_place_and_changed_during_the_run(tmp_path: Path) -> None:
    from tuneguard.artifact.digest import hash_tree
    from tuneguard.project.project import Project
    from tuneguard.training.input import Input
    from tuneguard.training.inputs import still_the_same

    (tmp_path / "rows.jsonl").write_text("{}")
    before = hash_tree(tmp_path)
    item = Input(
        role="dataset",
        path=tmp_path,
        inside="/tuneguard/data",
        manifest=before,
        how="bind",
        dependency=provenance.Dependency.of("data", "tickets", "1", {"dirHash": before.digest}),
    )
    still_the_same((item,), Project())
    (tmp_path / "rows.jsonl").write_text("[]")

    with pytest.raises(Refused, match="the dataset changed during the run"):
        still_the_same((item,), Project())


def test_a_key_that_the_policy_does_not_believe_is_refused_before_the_training(
    project: ProjectFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert project("keygen", str(tmp_path / "mine.key"), "--unsafe-no-passphrase", "--quiet") == 0

    assert project("run", "--run", "042", "--key", f"builder={tmp_path / 'mine.key'}") == 1

    assert "does not believe this key as a builder" in capsys.readouterr().err
    assert not (project.path / "runs/042").exists()


def test_an_unsafe_run_says_so_in_its_evidence(project: ProjectFolder) -> None:
    assert project("run", "--run", "042", "--unsafe-no-sandbox") == 0

    body = provenance_of(project, "042")
    assert body.chosen.unsafe == ("--unsafe-no-sandbox",)
    assert {control.name: control.state for control in body.observed.controls}["network"] == "absent"
