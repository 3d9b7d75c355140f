"""The policy: what its text means, what of it is a fault, and that only the root's signature counts."""

from __future__ import annotations

import contextlib
import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given

from tuneguard.errors import ConfigurationError, NotUnderstood, Refused
from tuneguard.records import read_yaml, to_json
from tuneguard.signing.bundle import make_bundle
from tuneguard.trust import policy as policies
from tuneguard.trust.policy import (
    DEFAULT_REQUIRE,
    POLICY_PAYLOAD_TYPE,
    Policy,
    Requirement,
    load_signed,
    parse_policy,
    sign_policy,
)
from tuneguard.trust.review import explain, weaknesses
from world.mutations import mutated
from world.policies import BASE, CLASSIFIER, SET, key, public, text

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def parse(*changes: tuple[str, str]) -> Policy:
    return parse_policy(text(*changes).encode(), "policy.yaml")


def faults(*changes: tuple[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse(*changes)
    assert all(problem.where.startswith("policy.yaml:") for problem in caught.value.problems)
    return [problem.what for problem in caught.value.problems]


# --- What it means ---------------------------------------------------------------------------------


def test_the_policy_says_what_was_written():
    policy = parse()

    assert (policy.name, policy.version, policy.profile) == ("support-llama", 1, "production")
    assert policy.expires == datetime(2027, 6, 1, tzinfo=UTC)
    assert policy.identities["ci"].key == public("ci")
    assert policy.identities["alice"].valid_until == datetime(2027, 1, 1, tzinfo=UTC)
    assert policy.identities["old"].revoked == policies.Revocation(datetime(2026, 5, 1, tzinfo=UTC), "stolen")
    assert policy.roles["builder"].any_of == ("ci", "old")
    assert policy.roles["builder"].evidence == {"signature", "provenance"}
    assert policy.log == public("log")
    assert policy.require["promote"][2] == Requirement("scan", ("scanner", "promoter"), timedelta(days=1))
    assert policy.gates["scan"].get("refuse").plain() == ["medium", "high", "critical"]
    assert policy.custodians("builder") == {"platform-team"}
    model = policy.models["support-llama"]
    assert model.data == (policies.SealedBy("tickets", ("alice",)),)
    assert (model.bases, model.code, model.config) == ((BASE,), None, None)
    assert model.evaluation == policies.EvaluationRule(SET, CLASSIFIER, {"accuracy": 1, "toxicity": 1}, 200)


def test_a_policy_cannot_be_changed_after_it_was_read():
    policy = parse()

    with pytest.raises(TypeError):
        policy.identities["mallory"] = policy.identities["ci"]
    with pytest.raises(TypeError):
        policy.models["support-llama"].evaluation.suites["accuracy"] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.profile = "development"


def test_what_is_demanded_by_default_is_demanded_for_each_purpose_that_says_nothing():
    policy = parse(("  load: [{verdict: promoter}]\n", ""))

    assert policy.require["load"] == DEFAULT_REQUIRE["load"] == (Requirement("verdict", ("promoter",)),)
    assert [each.kind for each in DEFAULT_REQUIRE["promote"]] == [
        "signature",
        "provenance",
        "scan",
        "evaluation",
    ]


def test_empty_means_no():
    policy = parse(
        (f"base: [{BASE}]", "base: []"), ("builder: [ci]", "builder: []"), ("code: any", "code: []")
    )

    assert policy.models["support-llama"].bases == ()
    assert policy.models["support-llama"].builders == ()
    assert policy.models["support-llama"].code == ()


def test_a_model_with_nothing_but_a_repository_may_do_nothing():
    *head, _ = text().partition("    builder: [ci]")
    tail = text()[text().index("require:") :]

    model = parse_policy((head[0] + tail).encode(), "f").models["support-llama"]

    assert (model.builders, model.data, model.bases, model.evaluation) == ((), (), (), None)


def test_a_policy_that_trusts_nobody_is_a_policy():
    nobody = (
        "apiVersion: tuneguard.dev/v1alpha2\nkind: Policy\n"
        "metadata: {name: none, version: 1, expires: 2027-06-01T00:00:00Z}\n"
        "profile: production\nidentities: {}\nroles: {}\nmodels: {}\n"
    )

    assert parse_policy(nobody.encode(), "f").identities == {}


def test_an_environment_is_exactly_what_is_written_any_or_none():
    code = "    code: any\n"

    def env(text: str) -> object:
        model = parse((code, code + text)).models["support-llama"]
        assert not model.fixed
        return model.env

    assert env("") == {}
    assert env("    env: {}\n") == {}
    assert env("    env: {MODE: '{x}', LEVEL: \"3\"}\n") == {"MODE": "{x}", "LEVEL": "3"}
    assert env("    env: any\n") is None


def test_a_model_is_fixed_only_where_its_environment_is():
    fixed = f"    code: [{BASE}]\n    config: [{BASE}]\n    command: [python]\n"

    assert parse(("    code: any\n", fixed)).models["support-llama"].fixed
    assert not parse(("    code: any\n", fixed + "    env: any\n")).models["support-llama"].fixed


@pytest.mark.parametrize(
    ("env", "what"),
    [
        ("{LD_PRELOAD: x}", "`LD_PRELOAD` has the loader or the interpreter run other code"),
        ("{HF_TOKEN: x}", "`HF_TOKEN` looks like the name of a secret"),
        ("{LEVEL: 3}", "must be text, found the number 3"),
        ("[A]", "must be a mapping, found a list"),
        ("some", "must be a mapping, found text"),
    ],
)
def test_an_environment_that_no_training_can_have_is_a_fault(env, what):
    [fault] = faults(("    code: any\n", f"    code: any\n    env: {env}\n"))

    assert what in fault


def test_controls_are_all_proven_unless_the_policy_says_which_may_be_less():
    assert [parse().control(control) for control in ("network", "memory")] == ["proven", "proven"]
    weaker = parse(("controls: all", "controls: {memory: weakened}"))
    assert [weaker.control(control) for control in ("network", "memory")] == ["proven", "weakened"]


def test_nobody_builds_and_promotes_whatever_apart_says():
    assert parse(
        ("separationOfDuties: [[builder, promoter]]", "separationOfDuties: []")
    ).separation_of_duties == (("builder", "promoter"),)
    assert parse(
        ("separationOfDuties: [[builder, promoter]]", "separationOfDuties: [[promoter, builder]]")
    ).separation_of_duties == (("promoter", "builder"),)
    assert parse(("separationOfDuties: [[builder, promoter]]\n", "")).separation_of_duties == (
        ("builder", "promoter"),
    )


def test_a_repository_names_its_model_unless_two_share_it():
    again = text()[text().index("  support-llama:") : text().index("require:")].replace(
        "support-llama:", "twin:", 1
    )
    two = text(("require:", f"{again}require:"))

    assert parse().model_for("registry.internal/models/support-llama").name == "support-llama"
    assert parse().model_for("registry.internal/models/other") is None
    assert parse_policy(two.encode(), "f").model_for("registry.internal/models/support-llama") is None


# --- What is a fault -------------------------------------------------------------------------------


def test_wrong_values_and_dangling_names_are_reported_together_in_the_order_of_the_file():
    kinds = "`seal`, `signature`, `provenance`, `scan`, `evaluation`, `approval`, `verdict`"

    found = faults(
        ("version: 1", "version: 0"),
        ("[ci, old]", "[ci, odl]"),
        ("evidence: [seal]", "evidence: [sael]"),
        ("builder: [ci]", "builder: [c1]"),
        ("minimumRows: 200", "minimumRow: 200"),
        ("controls: all", "controls: some"),
    )

    assert found == [
        "`version` must be at least 1, found the number 0",
        f"an item of `evidence` must be {kinds} or `release`, found `sael`",
        "no identity is called `odl`",
        "no identity is called `c1`",
        "missing key `minimumRows` in `evaluation`",
        "unknown key `minimumRow`",
        "`controls` must be a mapping, found text",
    ]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("anyOf: [alice]", "anyOf: [alise]", "no identity is called `alise`"),
        ("steward: [alice]", "steward: [bob]", "no identity is called `bob`"),
        (
            "evidence: [seal], models: [support-llama]",
            "evidence: [seal], models: [x]",
            "no model is called `x`",
        ),
        (
            "separationOfDuties: [[builder, promoter]]",
            "separationOfDuties: [[builder, scanner]]",
            "no role is called `scanner`",
        ),
        (
            "separationOfDuties: [[builder, promoter]]",
            "separationOfDuties: [[builder]]",
            "an item of `separationOfDuties` must be a pair of two roles, found 1",
        ),
        ("  builder: {", "  bilder: {", "unknown key `bilder`"),
        ("code: any", "code: all", "`code` must be a list, found text"),
        ("code: any", "code: ", "`code` must be a list, found nothing"),
        (
            "controls: all",
            "controls: {network: solid}",
            "`network` must be `proven`, `weakened` or `absent`, found `solid`",
        ),
        ("controls: all", "controls: {netwrk: proven}", "unknown key `netwrk`"),
        ("timeAuthorities: []", "timeAuthorities: [x]", "time authorities are not built yet"),
        ("{signature: builder}", "{}", "an item of `promote` must name one kind of evidence, found 0"),
        (
            "{signature: builder}",
            "{signature: builder, scan: scanner}",
            "an item of `promote` must name one kind of evidence, found 2",
        ),
        (
            "{signature: builder}",
            "{signature: []}",
            "an item of `promote` must name a role, or a list of which one is enough",
        ),
        ("  load: [{verdict: promoter}]", "  load: []", "`load` demands nothing"),
        (
            "profile: production",
            "profile: staging",
            "`profile` must be `production` or `development`, found `staging`",
        ),
        (
            "2027-06-01T00:00:00Z",
            "2027-06-01",
            "`expires` must be a time with its offset, found `2027-06-01`",
        ),
        ("maxAge: 90d", "maxAge: 90", "an item of `train` must be a duration, found the number 90"),
        (
            "repository: registry.internal/models/support-llama",
            "repository: oci:x",
            "`repository` must be HOST/PATH, found `oci:x`",
        ),
        (
            "validFrom: 2026-01-01T00:00:00Z",
            "validFrom: 2027-01-01T00:00:00Z",
            "`validUntil` is not after `validFrom`",
        ),
        (
            "expires: 2027-06-01T00:00:00Z",
            "expires: 2027-06-01T00:00:00Z, warnFrom: 2027-06-01T00:00:00Z",
            "`warnFrom` is not before `expires`",
        ),
        (
            "expires: 2027-06-01T00:00:00Z",
            "expires: 2027-06-01T00:00:00Z, gracePeriod: for ever",
            "`gracePeriod` must be a duration, found `for ever`",
        ),
        (
            "custodian: data-team",
            "custodian: Platform-Team",
            "custodian `Platform-Team` differs from `platform-team` in case only",
        ),
        ("evidence: [seal]", "evidence: [seal, seal]", "`evidence` holds `seal` twice"),
        (
            "data: [{name: tickets, steward: [alice]}]",
            "data: [{name: a, steward: []}, {name: a, steward: []}]",
            "data set `a` is listed twice",
        ),
    ],
)
def test_each_fault_says_what_is_wrong(old, new, what):
    assert what in faults((old, new))


def test_the_nearest_known_name_is_offered():
    with pytest.raises(ConfigurationError) as caught:
        parse(("anyOf: [alice]", "anyOf: [alise]"))

    assert caught.value.help == "did you mean `alice`?"


def test_one_key_under_two_names_is_a_fault_so_that_nobody_counts_twice():
    assert faults((public("old").base64, public("ci").base64)) == ["this is the key of `ci` too"]


def test_the_logs_key_is_apart_from_every_role():
    assert "this is the key of `ci` too" in faults((public("log").base64, public("ci").base64))


def test_the_logs_key_is_ed25519():
    assert faults((public("log").base64, public("other").base64)) == ["the log's key must be Ed25519"]


def test_one_custodians_two_keys_count_once_so_two_of_them_never_meet_a_threshold_of_two():
    two = ("anyOf: [ci, old], threshold: 1", "anyOf: [ci, old], threshold: 2")

    assert faults(two) == [
        "threshold 2 can never be met: anyOf holds the keys of 1 custodian (platform-team)"
    ]


def test_two_custodians_meet_a_threshold_of_two():
    both = parse(("anyOf: [ci, old], threshold: 1", "anyOf: [ci, alice], threshold: 2"))

    assert both.roles["builder"].threshold == 2


@pytest.mark.parametrize("key", ["YWJj", "not base64", "42"])
def test_what_is_no_key_is_a_fault_with_its_place(key):
    (what,) = faults((public("ci").base64, key))

    assert what.startswith(("`key` is wrong: ", "`key` must be a public key in base64"))


def test_a_duplicate_identity_is_refused_before_anything_is_read():
    line = f"  ci: {{key: {public('mallory').base64}, custodian: platform-team}}\n"

    assert faults(("roles:\n", f"{line}roles:\n")) == ["duplicate key `ci`"]


@given(mutated(read_yaml(text().encode(), "f").plain()))
def test_attack_a_policy_with_anything_in_place_of_anything_is_a_policy_or_our_error(document):
    with contextlib.suppress(ConfigurationError):
        policy = parse_policy(to_json(document), "f")
        weaknesses(policy, now=NOW)
        explain(policy)


# --- The root's signature --------------------------------------------------------------------------


def signed(data: bytes, by: str = "root", payload_type: str = POLICY_PAYLOAD_TYPE) -> bytes:
    return make_bundle(key(by), payload_type, data)


def load(data: bytes, bundle: bytes, *roots: str, now: datetime = NOW) -> Policy:
    return load_signed(data, bundle, [public(name) for name in roots], now=now, file="policy.yaml")


def test_a_policy_that_the_root_signed_is_believed():
    data = text().encode()

    policy = load(data, sign_policy(data, key("root")), "root")

    assert policy == dataclasses.replace(parse_policy(data, "policy.yaml"), file="policy.yaml")


def test_one_of_several_roots_is_enough():
    data = text().encode()

    assert load(data, signed(data), "other", "root").name == "support-llama"


def test_attack_policy_and_root_key_replaced_together_is_refused_because_the_root_comes_from_elsewhere():
    forged = text((public("ci").base64, public("mallory").base64)).encode()

    with pytest.raises(Refused, match="not signed by the root that this machine believes"):
        load(forged, signed(forged, by="mallory"), "root")


def test_attack_one_byte_changed_after_signing_is_refused():
    data = text().encode()

    with pytest.raises(Refused, match="its bytes were changed afterwards"):
        load(data.replace(b"threshold: 1", b"threshold: 2"), signed(data), "root")


def test_attack_a_comment_added_after_signing_is_refused_because_exact_bytes_count():
    data = text().encode()

    with pytest.raises(Refused, match="its bytes were changed afterwards"):
        load(data + b"\n", signed(data), "root")


def test_attack_a_policy_signed_as_another_kind_of_statement_is_refused():
    data = text().encode()

    with pytest.raises(Refused, match="not over a policy"):
        load(data, signed(data, payload_type="application/vnd.in-toto+json"), "root")


def test_attack_a_payload_that_breaks_the_parser_is_never_parsed_before_its_signature_is_known(monkeypatch):
    def explode(data: bytes, file: str) -> Policy:
        raise AssertionError("parsed before it was verified")

    monkeypatch.setattr(policies, "parse_policy", explode)

    with pytest.raises(Refused, match="not signed"):
        load(b"[" * 100, signed(b"[" * 100, by="mallory"), "root")


def test_attack_a_bundle_that_names_the_root_as_its_key_is_refused_because_hints_choose_nothing():
    data = text().encode()
    forged = signed(data, by="mallory").replace(public("mallory").hint.encode(), public("root").hint.encode())

    with pytest.raises(Refused, match="not signed by the root"):
        load(data, forged, "root")


def test_an_expired_policy_believes_nobody():
    data = text().encode()

    assert load(data, signed(data), "root", now=datetime(2027, 5, 31, 23, 59, 59, tzinfo=UTC))
    with pytest.raises(Refused, match=r"expired on 2027-06-01T00:00:00Z"):
        load(data, signed(data), "root", now=datetime(2027, 6, 1, tzinfo=UTC))


def test_without_a_root_nobody_is_believed():
    data = text().encode()

    with pytest.raises(Refused, match="nobody is believed"):
        load(data, signed(data))


def test_a_bundle_that_is_none_could_not_be_looked_at():
    with pytest.raises(NotUnderstood):
        load(text().encode(), b"{}", "root")


def test_the_root_does_not_sign_a_policy_that_nobody_could_read():
    with pytest.raises(ConfigurationError):
        sign_policy(b"profile: production\n", key("root"))


# --- Bases and evaluation sets by steward ------------------------------------------------------------


def by_steward(base: str, set_: str = "{name: eval, steward: [alice]}") -> tuple[tuple[str, str], ...]:
    return ((f"base: [{BASE}]", f"base: [{base}]"), (f"set: {SET}", f"set: {set_}"))


def test_a_base_and_an_evaluation_set_are_named_by_steward():
    model = parse(*by_steward("{name: llama, steward: [alice]}")).models["support-llama"]

    assert model.bases == (policies.SealedBy("llama", ("alice",)),)
    assert model.evaluation is not None
    assert model.evaluation.set == policies.SealedBy("eval", ("alice",))
    said = explain(parse(*by_steward("{name: llama, steward: [alice]}")))
    assert "from the base llama as sealed by alice" in said
    assert "on the set eval as sealed by alice with" in said


@pytest.mark.parametrize(
    ("base", "what"),
    [
        ("{name: llama, steward: [bob]}", "no identity is called `bob`"),
        ("{name: llama}", "missing key `steward`"),
        ("{steward: [alice]}", "missing key `name`"),
        ("{name: ../x, steward: [alice]}", "must be a name"),
        ("{name: llama, steward: [alice], digest: x}", "unknown key `digest`"),
        ("any", "must be 64 hex digits"),
    ],
)
def test_a_base_by_steward_that_cannot_be_meant(base, what):
    assert any(what in each for each in faults(*by_steward(base)))


def test_what_no_steward_seals_is_found_by_the_check():
    found = weaknesses(parse(*by_steward("{name: llama, steward: []}", "{name: eval, steward: []}")))

    assert {"P-BASE", "P-EVALUATION"} <= {finding.rule for finding in found}
