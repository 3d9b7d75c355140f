"""What every engine does with a plan: each engine of the package, and a cluster of the tests."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tuneguard.engines.engine import Session, State, engines
from tuneguard.errors import CannotLook, UsageError
from tuneguard.plan.step import At, Fact, File, Mount, Plan, Service, Status, Step, When
from tuneguard.progress import SILENT
from tuneguard.signing.key import KeyType, make_pair
from world.engines import CLUSTER

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.engines.engine import EngineType, PlanOutcome

pytestmark = pytest.mark.sandbox  # starts programs, and has the kernel confine them

ENGINES = {**engines(), "cluster": CLUSTER}
RULE = "S-BYTES"
SEAL = [
    "--as",
    "dataset",
    "--name",
    "d",
    "--version",
    "1",
    "--source",
    "t",
    "--license",
    "MIT",
    "--classification",
    "public",
]


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> EngineType:
    return ENGINES[request.param]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    state, data = tmp_path / "state", tmp_path / "data"
    state.mkdir(mode=0o700)
    data.mkdir()
    (data / "config.json").write_text("{}")
    return Session(state, {"data": data})


def explain(name: str, of: str | Fact, **more: object) -> Step:
    """A step that passes where `of` is a rule, hands on its id, and is refused as usage otherwise."""
    return Step(name, "explain", (of,), facts=("id",), **more)  # type: ignore[arg-type]


def ran(engine: EngineType, session: Session, *steps: Step) -> PlanOutcome:
    return engine.open(session).run(Plan(steps), SILENT)


def test_a_fact_is_what_the_step_that_produced_it_wrote(engine: EngineType, session: Session):
    outcome = ran(engine, session, explain("a", RULE), explain("b", Fact("a", "id"), needs=("a",)))

    assert outcome.stopped_at is None
    assert [outcome.steps[name].facts for name in "ab"] == [{"id": RULE}, {"id": RULE}]
    assert outcome.steps["b"].result["facts"]["id"] == RULE


def test_a_step_runs_only_where_all_that_it_needs_passed(engine: EngineType, session: Session):
    outcome = ran(
        engine,
        session,
        explain("good", RULE),
        explain("bad", "NOTHING"),
        explain("after", RULE, needs=("good", "bad")),
        explain("later", RULE, needs=("after",)),
        explain("beside", RULE, needs=("good",)),
    )

    assert {name: each.state for name, each in outcome.steps.items()} == {
        "good": State.PASSED,
        "bad": State.FAILED,
        "after": State.SKIPPED,
        "later": State.SKIPPED,
        "beside": State.PASSED,
    }
    assert list(outcome.steps) == ["good", "bad", "after", "later", "beside"]
    assert outcome.steps["bad"].code == 2
    assert outcome.stopped_at == "bad"


def test_a_step_that_always_runs_is_told_how_the_others_ended(engine: EngineType, session: Session):
    always = Step("z", "explain", (Status("a"),), needs=("a",), when=When.ALWAYS)

    outcome = ran(engine, session, explain("a", "NOTHING"), always)

    assert outcome.steps["z"].state is State.FAILED
    assert "nothing is called failed" in str(outcome.steps["z"].result["error"])


def test_a_step_that_always_runs_waits_for_facts_that_it_refers_to(engine: EngineType, session: Session):
    bad, good = explain("bad", "NOTHING"), explain("good", RULE)
    over = explain("over", Fact("bad", "id"), needs=("bad",), when=When.ALWAYS)
    under = explain("under", Fact("good", "id"), needs=("good", "bad"), when=When.ALWAYS)

    outcome = ran(engine, session, bad, good, over, under)

    assert (outcome.steps["over"].state, outcome.steps["under"].state) == (State.SKIPPED, State.PASSED)


def test_a_step_reads_the_file_that_an_earlier_one_left(engine: EngineType, session: Session):
    data = Mount("data")
    scanned = Step("scan", "scan", (At("data"), "--output", File("scan", "sarif")), mounts=(data,))
    read = Step("read", "digest", (File("scan", "result.json"),), needs=("scan",))

    outcome = ran(engine, session, scanned, read)

    assert outcome.steps["scan"].passed
    assert "error" in outcome.steps["read"].result  # it is a file, and no folder
    assert "result.json" in str(outcome.steps["read"].result)


def pulling(port: int, tmp_path: Path, **more: object) -> Step:
    """A step that asks a registry on this machine for a model of somebody else's."""
    key = tmp_path / "their.key"
    if not key.exists():
        make_pair(key, type=KeyType.P256, passphrase=None)
    reference = f"127.0.0.1:{port}/models/m@sha256:{'0' * 64}"
    arguments = (reference, str(tmp_path / "got"), "--public-key", str(key.with_suffix(".pub")))
    insecure = ("--insecure-registry", f"127.0.0.1:{port}")
    return Step("pull", "pull", (*arguments, *insecure), **more)  # type: ignore[arg-type]


def test_a_step_that_is_over_its_timeout_is_ended(engine: EngineType, session: Session, tmp_path: Path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        step = pulling(silent.getsockname()[1], tmp_path, network=frozenset({Service.REGISTRY}), timeout=2)

        with pytest.raises(CannotLook, match="the step pull did not end within 2 s and was stopped"):
            ran(engine, session, step)


@pytest.mark.parametrize(
    ("network", "said"),
    [(frozenset(), "not supported by protocol"), (frozenset({Service.REGISTRY}), "Connection refused")],
)
def test_attack_a_step_without_network_that_tries_to_reach_one(
    engine: EngineType, session: Session, tmp_path: Path, network: frozenset[Service], said: str
):
    with socket.socket() as bound:  # nobody listens there, and nobody else can
        bound.bind(("127.0.0.1", 0))

        outcome = ran(engine, session, pulling(bound.getsockname()[1], tmp_path, network=network))

    assert said in str(outcome.steps["pull"].result["error"])


@pytest.mark.parametrize("read_only", [True, False])
def test_attack_a_step_that_writes_to_what_it_mounts_to_read(
    engine: EngineType, session: Session, tmp_path: Path, read_only: bool
):
    key = tmp_path / "data/new.key"
    step = Step(
        "make",
        "keygen",
        (At("data", "new.key"), "--unsafe-no-passphrase", "--type", "ed25519"),
        mounts=(Mount("data", read_only=read_only),),
    )

    outcome = ran(engine, session, step)

    assert key.exists() is not read_only
    if read_only:
        assert outcome.steps["make"].code == 3
        assert "permission denied" in str(outcome.steps["make"].result["error"])


def test_a_step_is_given_the_key_and_the_passphrase_of_its_role_alone(
    engine: EngineType, session: Session, tmp_path: Path
):
    for role in ("data-steward", "promoter"):
        make_pair(tmp_path / f"{role}.key", type=KeyType.P256, passphrase=role.encode())
    keys = {role: str(tmp_path / f"{role}.key") for role in ("data-steward", "promoter")}
    held = replace(
        session,
        keys=keys,
        passphrases={role: role.encode() for role in keys},
        volumes={"data": tmp_path / "data", "here": tmp_path},
    )
    mounts = (Mount("data"), Mount("here", read_only=False))
    steps = [
        Step(
            f"as-{role}",
            "seal",
            (At("data"), *SEAL),
            mounts,
            role=role,
        )
        for role in ("promoter", None, "data-steward")
    ]

    outcomes = {step.role: ran(engine, held, step).steps[step.name].code for step in steps}

    assert outcomes == {"promoter": 2, None: 2, "data-steward": 0}


def test_a_step_that_writes_other_facts_than_the_plan_says_is_not_believed(
    engine: EngineType, session: Session
):
    with pytest.raises(CannotLook, match="the step a wrote facts that the plan does not name"):
        ran(engine, session, Step("a", "explain", (RULE,)))


def test_a_step_that_needs_an_image_is_refused_where_there_are_none(engine: EngineType, session: Session):
    with pytest.raises(UsageError, match="needs an image"):
        ran(engine, session, explain("a", RULE, image="example.org/trainer@sha256:" + "0" * 64))
