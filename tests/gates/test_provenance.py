"""The provenance gate: what a checkpoint was made from, and under which isolation controls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tuneguard.attest.predicates.provenance import (
    PREDICATE,
    Comparison,
    Control,
    Dependency,
    Device,
    Devices,
    Resources,
)
from tuneguard.attest.predicates.seal import Seal
from tuneguard.attest.statement import TreeSet
from tuneguard.findings import Severity, Verdict
from tuneguard.sandbox.state import ControlState
from tuneguard.trust.verify import verify
from world.cases import case, judged, seals
from world.company import (
    BASE,
    CHECKPOINT,
    CODE,
    CONTROLS,
    DATA,
    EVALUATION_SET,
    MODEL,
    dependency,
    earlier,
    expecting,
    piece,
    policy,
    provenance,
    provenance_body,
    relied,
    seal,
    sha256,
    tree,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneguard.attest.evidence import Piece
    from tuneguard.gates import engine


def said(**facts: Any) -> engine.GateResult:
    """What the gate says about a provenance."""
    return judged("provenance", case(provenance(**facts)))


def test_attack_a_base_whose_seal_was_by_a_stolen_key() -> None:
    """The run named who sealed its base: deleting the seal hides nothing, another steward's seal mends it."""
    made = provenance(relied_on=(relied("bob", "data-steward", "seal"),))
    stolen = policy(
        lambda p: p["identities"]["bob"].update(revoked={"at": "2026-11-01T00:00:00Z", "reason": "stolen"})
    )
    data = seals(seal(), under=stolen)
    expected = expecting(purpose="train", run=None, attempt=None, sealed="base")
    again = verify(BASE, [seal(BASE, kind="base", name="it")], stolen, expected).counting(Seal)

    refused = judged("provenance", case(made, under=stolen, seals=data))

    assert judged("provenance", case(made)).verdict is Verdict.PASSED
    assert "was sealed by bob, whose key is revoked" in refused.findings[0].message
    assert judged("provenance", case(made, under=stolen, seals=(*data, *again))).verdict is Verdict.PASSED


def test_a_base_whose_steward_the_policy_forgot_is_sealed_anew() -> None:
    made = provenance(relied_on=(relied("bob", "data-steward", "seal", key_of="mallory"),))

    result = judged("provenance", case(made))

    assert "was sealed by bob, whose key the policy does not name" in result.findings[0].message


def controls(**states: str) -> tuple[Control, ...]:
    """All isolation controls proven but for some."""
    return tuple(
        Control(name, ControlState(states.get(name, "proven")), "so it was tried") for name in CONTROLS
    )


def test_a_run_by_the_book_passes_and_is_told_in_one_line() -> None:
    result = judged("provenance", case())

    assert result.verdict is Verdict.PASSED
    assert result.found == "run 042, data tickets@3, base tiny-llama@1, isolation controls 7/7 proven"
    assert result.by == ("ci (platform-team)",)


def test_data_that_the_policy_does_not_list() -> None:
    result = said(data=(dependency("data", "scraped", DATA.digest, version="3"),))

    assert "trained on scraped@3, which the policy does not list" in result.findings[0].message


@pytest.mark.parametrize(
    "data",
    [
        dependency("data", "tickets", sha256("poisoned"), version="3"),
        dependency("data", "tickets", DATA.digest, version="4"),
        dependency("data", "tickets", DATA.digest),
        Dependency.of("data", "tickets", "3", {"sha256": DATA.digest}),
        Dependency.of("data", "tickets", "3", {"dirHash": DATA.digest, "sha256": DATA.digest}),
    ],
)
def test_listed_data_that_no_seal_covers_exactly(data: Dependency) -> None:
    result = said(data=(data,))

    assert result.verdict is Verdict.REFUSED
    assert "no steward's seal over exactly that counts" in result.findings[0].message


def test_one_sealed_data_set_does_not_cover_a_second_one() -> None:
    sealed = dependency("data", "tickets", DATA.digest, version="3")
    other = dependency("data", "tickets", sha256("more rows"), version="3")

    assert len(said(data=(sealed, other)).findings) == 1
    assert said(data=(sealed, sealed)).verdict is Verdict.PASSED


def test_a_run_that_names_no_data_is_refused() -> None:
    assert said(data=()).verdict is Verdict.REFUSED


def test_a_seal_by_somebody_who_is_no_steward_any_more() -> None:
    by_bob = policy(lambda p: p["models"][MODEL].update(data=[{"name": "tickets", "steward": ["bob"]}]))

    handed_in = judged("provenance", case(under=by_bob, seals=seals(seal(by="alice"))))

    assert handed_in.verdict is Verdict.REFUSED
    assert judged("provenance", case(under=by_bob, seals=seals(seal(by="bob")))).verdict is Verdict.PASSED


def test_a_base_s_seal_is_no_seal_over_data() -> None:
    as_base = policy(lambda p: p["models"][MODEL]["base"].append(DATA.digest))
    expected = expecting(purpose="train", run=None, attempt=None, sealed="base")
    claims = verify(DATA, [seal(kind="base")], as_base, expected).counting(Seal)

    assert [claim.subject for claim in claims] == [DATA.digest]
    assert judged("provenance", case(under=as_base, seals=claims)).verdict is Verdict.REFUSED


def test_a_listed_digest_beside_another_one_is_not_listed() -> None:
    two = Dependency.of(
        "base", "tiny-llama", "1", {"dirHash": BASE.digest, "sha256": sha256("something else")}
    )

    assert said(base=two).verdict is Verdict.REFUSED


def test_training_on_the_evaluation_set() -> None:
    trained = provenance(data=(dependency("data", "tickets", EVALUATION_SET.digest, version="3"),))
    sealed = seals(seal(EVALUATION_SET), data=EVALUATION_SET)

    result = judged("provenance", case(trained, seals=sealed))

    assert [finding.message for finding in result.findings] == [
        "trained on the evaluation set itself, as tickets@3"
    ]


def test_a_base_that_the_policy_does_not_list_and_an_empty_list() -> None:
    assert "base evil is not one" in said(base=dependency("base", "evil", sha256("evil"))).findings[0].message
    none = policy(lambda p: p["models"][MODEL].update(base=[]))
    assert judged("provenance", case(under=none)).verdict is Verdict.REFUSED


@pytest.mark.parametrize("what", ["code", "config"])
def test_code_and_configuration_are_compared_where_the_policy_lists_any(what: str) -> None:
    used = {"code": CODE.digest, "config": sha256("configuration")}[what]

    for listed, verdict in (
        ([used], Verdict.PASSED),
        ([sha256("another"), used], Verdict.PASSED),
        ([sha256("another")], Verdict.REFUSED),
        ([], Verdict.REFUSED),
        ("any", Verdict.PASSED),
    ):
        under = policy(lambda p, listed=listed: p["models"][MODEL].update({what: listed}))
        assert judged("provenance", case(under=under)).verdict is verdict


@pytest.mark.parametrize(
    "scanned", [{}, {"verdict": "refused"}, {"verdict": None}, {"verdict": "not-understood"}]
)
def test_a_base_that_the_run_did_not_find_clean(scanned: dict[str, Any]) -> None:
    result = said(base_scan=scanned)

    assert result.verdict is Verdict.REFUSED
    assert "the run's own scan of its base" in result.findings[0].message


@pytest.mark.parametrize("state", ["weakened", "absent"])
def test_a_control_that_was_not_proven(state: str) -> None:
    result = said(controls=controls(network=state))

    assert [finding.message for finding in result.findings] == [
        f"the isolation control network was {state}, the policy wants it proven"
    ]
    assert result.findings[0].why == "so it was tried"


def test_a_control_that_the_provenance_does_not_name_was_absent() -> None:
    result = said(controls=controls()[1:])

    assert "the isolation control network was absent" in result.findings[0].message


@pytest.mark.parametrize("env", [{}, {"MODE": "honest", "MORE": "x"}, {"MODE": "Honest"}, {"mode": "honest"}])
def test_another_environment_than_the_one_that_the_policy_fixes(env: dict[str, str]) -> None:
    fixed = policy(lambda p: p["models"][MODEL].update(env={"MODE": "honest"}))

    result = judged("provenance", case(provenance(env=env), under=fixed))

    assert [finding.message for finding in result.findings] == [
        f"the environment is not the one that the policy has for {MODEL}"
    ]
    exactly = case(provenance(env={"MODE": "honest"}), under=fixed)
    assert judged("provenance", exactly).verdict is Verdict.PASSED


def test_where_the_policy_says_nothing_of_an_environment_none_is_allowed() -> None:
    free = policy(lambda p: p["models"][MODEL].update(env="any"))

    assert said(env={"MODE": "x"}).verdict is Verdict.REFUSED
    assert judged("provenance", case(provenance(env={"MODE": "x"}), under=free)).verdict is Verdict.PASSED


def signed_earlier(**facts: Any) -> Piece:
    """Evidence of the build type before today's, as a builder signed it then."""
    body = earlier(provenance_body(**facts))
    statement = PREDICATE.statement(MODEL, CHECKPOINT.digest, body)
    assert b"/train/v1" in statement.encode()
    assert b"walls" in statement.encode()
    return piece("provenance", statement, "ci")


def test_evidence_of_the_earlier_build_type_still_counts() -> None:
    result = judged("provenance", case(signed_earlier()))

    assert result.verdict is Verdict.PASSED
    assert result.found.endswith("isolation controls 7/7 proven")


def test_attack_a_weak_control_under_the_earlier_build_type() -> None:
    result = judged("provenance", case(signed_earlier(controls=controls(network="absent"))))

    assert [finding.message for finding in result.findings] == [
        "the isolation control network was absent, the policy wants it proven"
    ]


def test_the_policy_may_name_controls_that_need_not_be_proven_and_no_others_are_spared() -> None:
    lenient = policy(lambda p: p.update(controls={"memory": "weakened", "processes": "absent"}))

    def under(**states: str) -> Verdict:
        return judged("provenance", case(provenance(controls=controls(**states)), under=lenient)).verdict

    assert under(memory="weakened", processes="absent") is Verdict.PASSED
    assert under(memory="absent") is Verdict.REFUSED
    assert under(network="weakened") is Verdict.REFUSED


def without_devices() -> tuple[Control, ...]:
    return tuple(control for control in controls() if control.name != "devices")


def test_evidence_from_before_the_control_of_devices_counts() -> None:
    """What made it showed no device to anybody."""
    assert said(controls=without_devices()).verdict is Verdict.PASSED


def test_attack_a_run_with_gpus_whose_evidence_leaves_the_control_out() -> None:
    shown = Devices(shown=(Device(uuid="GPU-1", kind="whole"),), by="device nodes")

    for facts in ({"resources": Resources(gpu=1)}, {"devices": shown}):
        result = said(controls=without_devices(), **facts)
        assert [finding.message for finding in result.findings] == [
            "the isolation control devices was absent, the policy wants it proven"
        ]


def test_a_shared_gpu_is_for_the_policy_to_allow() -> None:
    held = provenance(controls=controls(devices="weakened"))
    lenient = policy(lambda p: p.update(controls={"devices": "weakened"}))

    assert judged("provenance", case(held)).verdict is Verdict.REFUSED
    assert judged("provenance", case(held, under=lenient)).verdict is Verdict.PASSED


def test_a_dangerous_switch_leaves_its_mark() -> None:
    switched = provenance(unsafe=("--unsafe-no-sandbox",))
    development = policy(lambda p: p.update(profile="development"))

    refused, shown = (
        judged("provenance", case(switched)),
        judged("provenance", case(switched, under=development)),
    )

    assert refused.verdict is Verdict.REFUSED
    assert "--unsafe-no-sandbox" in refused.findings[0].message
    assert shown.verdict is Verdict.PASSED
    assert [finding.severity for finding in shown.findings] == [Severity.LOW]


def test_every_fault_of_a_run_is_reported() -> None:
    result = said(
        data=(), base=dependency("base", "x", sha256("x")), base_scan={}, controls=(), unsafe=("--unsafe-x",)
    )

    assert (
        len(result.findings) == 1 + 1 + 1 + len(CONTROLS) - 1 + 1
    )  # it names no devices, as evidence from before that control


def test_a_resumed_run_names_its_parent() -> None:
    resumed = said(parent=dependency("parent", "041", tree({"a": "b"}).digest))

    assert resumed.verdict is Verdict.PASSED
    assert "resumed from run 041" in resumed.found


# --- The command, and what nobody fixed ----------------------------------------------------------------

NOT_COMPARED = Comparison(
    digest=TreeSet(EVALUATION_SET.digest),
    compared=False,
    how="the set is not at hand: the pipeline file names none",
)


def development(document: dict[str, Any]) -> None:
    document["profile"] = "development"


def fixing(*keys: str) -> Callable[[dict[str, Any]], None]:
    values = {
        "code": [CODE.digest],
        "config": [sha256("configuration")],
        "command": ["python", "train.py"],
    }
    return lambda document: document["models"][MODEL].update({key: values[key] for key in keys})


def under(*changes: Callable[[dict[str, Any]], None], **facts: Any) -> engine.GateResult:
    return judged("provenance", case(provenance(**facts), under=policy(*changes)))


@pytest.mark.parametrize("command", [("python", "-c", "x"), ("python", "train.py", ""), ("train.py",), ()])
def test_another_command_than_the_policys(command: tuple[str, ...]) -> None:
    result = under(fixing("command"), command=command)

    assert result.verdict is Verdict.REFUSED
    assert "the command is not the one that the policy has" in result.findings[0].message
    assert under(fixing("command")).verdict is Verdict.PASSED


def test_an_empty_command_in_the_policy_believes_none() -> None:
    nobody = policy(lambda document: document["models"][MODEL].update(command=[]))

    assert judged("provenance", case(provenance(), under=nobody)).verdict is Verdict.REFUSED


def test_code_that_nobody_compared_with_the_evaluation_set_refuses_in_production() -> None:
    result = under(comparison=NOT_COMPARED)

    assert result.verdict is Verdict.REFUSED
    assert "the set is not at hand" in result.findings[0].message
    assert under(fixing("code", "command"), comparison=NOT_COMPARED).verdict is Verdict.REFUSED


def test_code_that_was_compared_or_is_fixed_whole_passes() -> None:
    compared = Comparison(digest=TreeSet(EVALUATION_SET.digest), compared=True, how="2 files hold none of it")

    assert under(comparison=compared).findings == ()
    assert under(fixing("code", "config", "command"), comparison=NOT_COMPARED).findings == ()


def test_a_comparison_with_another_set_is_none() -> None:
    other = Comparison(
        digest=TreeSet(sha256("last year's set")), compared=True, how="2 files hold none of it"
    )

    assert "names another set now" in under(comparison=other).findings[0].message


def test_development_is_told_that_nobody_compared() -> None:
    result = under(development, comparison=NOT_COMPARED)

    assert result.verdict is Verdict.PASSED
    assert [finding.severity for finding in result.findings] == [Severity.LOW]
