"""`set-model`: digests filled in and the version raised, in the author's own text."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime

import pytest

from tuneguard.errors import ConfigurationError, UsageError
from tuneguard.records import read_yaml, to_json
from tuneguard.trust import template
from tuneguard.trust.edit import revoke, rotate, set_model
from tuneguard.trust.policy import EvaluationRule, Revocation, SealedBy, parse_policy
from world.policies import BASE, CLASSIFIER, SET, public, text

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NEW = "0e" * 32  # to YAML, unquoted, neither a number nor anything else than text

BLOCK = """
      set: SET
      classifier: CLASSIFIER # why
      suites:
        accuracy: 1
      minimumRows: 7"""


def diff(before: str, after: bytes) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.decode().splitlines(), n=0, lineterm="")
    return [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]


def new_project() -> str:
    keys = {role: public(f"dev {role}") for role in template.EVIDENCE}
    expires = datetime(2027, 5, 1, tzinfo=UTC)
    return template.development_policy("demo", keys, log=None, controls={}, expires=expires).decode()


def test_a_new_projects_policy_gets_base_and_evaluation_and_keeps_every_comment():
    before = new_project()

    after = set_model(before.encode(), "demo", base=BASE, evaluation=SET, classifier=CLASSIFIER)

    assert diff(before, after) == [
        "-metadata: {name: demo, version: 1, expires: 2027-05-01T00:00:00Z}",
        "+metadata: {name: demo, version: 2, expires: 2027-05-01T00:00:00Z}",
        "-    base: []",
        f"+    base: [{BASE}]",
        "+    evaluation:",
        f"+      set: {SET}",
        f"+      classifier: {CLASSIFIER}",
        "+      suites: {accuracy: 1, toxicity: 1}",
        "+      minimumRows: 200",
    ]


def test_what_is_not_named_stays():
    after = set_model(text().encode(), "support-llama", classifier=NEW)

    model = parse_policy(after, "f").models["support-llama"]
    assert model.bases == (BASE,)
    assert model.evaluation == EvaluationRule(SET, NEW, {"accuracy": 1, "toxicity": 1}, 200)
    assert len(diff(text(), after)) == 4


def test_setting_what_is_there_raises_the_version_alone():
    after = set_model(text().encode(), "support-llama", base=BASE)

    assert diff(text(), after) == [
        "-metadata: {name: support-llama, version: 1, expires: 2027-06-01T00:00:00Z}",
        "+metadata: {name: support-llama, version: 2, expires: 2027-06-01T00:00:00Z}",
    ]


@pytest.mark.parametrize(
    "layout",
    [
        "base: []",
        "base:\n      - {old}  # the first\n      - {other}",
        "base:\n    - {old}",
        "base: [{old},\n      {other},\n    ]",
        "base: ['{old}']",
        "# none\n",
    ],
)
def test_a_base_is_set_whatever_the_lists_layout(layout):
    before = text((f"base: [{BASE}]", layout.format(old=BASE, other=SET)))

    after = set_model(before.encode(), "support-llama", base=NEW)

    assert parse_policy(after, "f").models["support-llama"].bases == (NEW,)


@pytest.mark.parametrize(
    "layout",
    [
        "{set: SET, classifier: CLASSIFIER, suites: {accuracy: 1}, minimumRows: 7}",
        BLOCK,
        "{suites: {accuracy: 1}, minimumRows: 7, set: SET, classifier: CLASSIFIER, }",
    ],
)
def test_an_evaluation_is_changed_whatever_its_layout(layout):
    new = layout.replace("SET", SET).replace("CLASSIFIER", CLASSIFIER)
    start, end = text().index("evaluation:\n"), text().index("require:")
    before = text()[:start] + f"evaluation: {new}\n" + text()[end:]

    after = set_model(before.encode(), "support-llama", evaluation=NEW, suites={"accuracy": 2, "toxicity": 1})

    assert parse_policy(after, "f").models["support-llama"].evaluation == EvaluationRule(
        NEW, CLASSIFIER, {"accuracy": 2, "toxicity": 1}, 7
    )
    assert ("# why" in after.decode()) == ("# why" in before)


def test_windows_line_ends_stay_windows_line_ends():
    before = new_project().replace("\n", "\r\n")

    after = set_model(before.encode(), "demo", base=BASE, evaluation=SET, classifier=CLASSIFIER)

    assert after.count(b"\n") == after.count(b"\r\n")


def test_a_file_without_a_last_line_end_is_extended():
    before = text()
    start, end = before.index("\nmodels:"), before.index("\nrequire:")
    models = before[start : before.index("\n    evaluation:\n")]
    moved = before[:start] + before[end:].rstrip() + models

    after = set_model(moved.encode(), "support-llama", evaluation=SET, classifier=CLASSIFIER)

    assert parse_policy(after, "f").models["support-llama"].evaluation.set == SET


def test_a_digest_of_digits_alone_is_quoted():
    after = set_model(text().encode(), "support-llama", base="1" * 64)

    assert parse_policy(after, "f").models["support-llama"].bases == ("1" * 64,)


COMMAND = (
    "python",
    "{code}/train.py",
    "--x={{1}",
    "",
    "no",
    "a: b # c",
    "it's",
    'say "x"',
    "two\nlines",
    "--x={{1}",
)


@pytest.mark.parametrize(
    "layout",
    [
        "command: any",
        "command: [python, x]",
        "command:\n      - python  # why\n      - x",
        "command:\n    - python",
        "command: []",
        "# none",
    ],
)
def test_a_command_is_set_exactly_whatever_was_there(layout):
    before = text(("    code: any", f"    code: any\n    {layout}"))

    after = set_model(before.encode(), "support-llama", command=COMMAND)

    assert parse_policy(after, "f").models["support-llama"].command == COMMAND


@pytest.mark.parametrize(
    "layout",
    ["", "env: {}", "env: any", "env: {OLD: x}  # why", "env:\n      OLD: x\n      B: y", "env:\n      {}"],
)
@pytest.mark.parametrize("env", [{"MODE": "{x}", "LEVEL": "3", "ON": "yes"}, {}])
def test_an_environment_is_set_exactly_whatever_was_there(layout, env):
    before = text(("    code: any", f"    code: any\n    {layout}"))

    after = set_model(before.encode(), "support-llama", env=env)

    assert parse_policy(after, "f").models["support-llama"].env == env
    assert ("# why" in after.decode()) == ("# why" in before)


def test_a_models_own_gates_stay_whatever_moves_before_them():
    before = text(("    code: any", "    code: any\n    gates: {evaluation: {accuracy: {min: 0.9}}}"))

    after = set_model(before.encode(), "support-llama", base=SET, env={"MODE": "x"}, command=("python",))

    model = parse_policy(after, "f").models["support-llama"]
    assert model.gates["evaluation"].plain() == {"accuracy": {"min": 0.9}}
    assert model.bases == (SET,)


def test_code_and_configuration_and_command_are_fixed_together():
    before = new_project()

    after = set_model(
        before.encode(), "demo", code=NEW, config=BASE, command=("python", "{code}/train.py"), env={}
    )

    assert diff(before, after)[2:] == [
        "-    code: any",
        "-    config: any",
        "-    command: any",
        "-    env: any",
        f'+    code: ["{NEW}"]' if f'"{NEW}"' in after.decode() else f"+    code: [{NEW}]",
        f"+    config: [{BASE}]",
        '+    command: [python, "{code}/train.py"]',
        "+    env: {}",
    ]
    assert parse_policy(after, "f").models["demo"].fixed
    assert not parse_policy(before.encode(), "f").models["demo"].fixed


@pytest.mark.parametrize("what", ["base", "evaluation", "classifier"])
def test_editing_again_and_again_only_moves_on(what):
    data = text().encode()
    for turn in range(8):
        data = set_model(data, "support-llama", **{what: f"{turn:064x}"})

    assert parse_policy(data, "f").version == 9
    assert data.count(b"\n") == text().count("\n")


def test_a_policy_in_json_is_edited_too():
    plain = read_yaml(text().encode(), "f").plain()
    del plain["models"]["support-llama"]["evaluation"]

    after = set_model(to_json(plain), "support-llama", base=NEW, evaluation=SET, classifier=CLASSIFIER)

    model = parse_policy(after, "f").models["support-llama"]
    assert (model.bases, model.evaluation.set) == ((NEW,), SET)


def test_an_evaluation_takes_a_set_and_a_classifier():
    with pytest.raises(UsageError, match="has no evaluation yet") as caught:
        set_model(new_project().encode(), "demo", evaluation=SET)

    assert caught.value.help == "give both --evaluation DIR and --classifier DIR"


def test_an_unknown_model_gets_the_nearest_name():
    with pytest.raises(UsageError, match="no model `suport-llama`") as caught:
        set_model(text().encode(), "suport-llama", base=BASE)

    assert caught.value.help == "did you mean `support-llama`?"


def test_what_is_no_digest_is_refused_before_anything_is_edited():
    with pytest.raises(UsageError, match="is not a tree digest"):
        set_model(text().encode(), "support-llama", base="x]\nprofile: development")


def test_a_wrong_policy_is_not_edited():
    with pytest.raises(ConfigurationError):
        set_model(text(("profile: production", "profile: x")).encode(), "support-llama", base=BASE)


def test_a_layout_that_cannot_be_edited_ends_in_an_error_and_never_in_another_policy():
    odd = text(("    repository: ", "    ? repository\n    : "), (f"    base: [{BASE}]\n", ""))

    with pytest.raises(UsageError, match="cannot edit this file's layout") as caught:
        set_model(odd.encode(), "support-llama", base=NEW)

    assert "edit the file by hand" in caught.value.help


# --- Keys that end ---------------------------------------------------------------------------------


def test_a_revocation_changes_one_entry_and_the_version():
    after = revoke(text().encode(), "ci", reason="compromise", at=AT)

    assert [line[0] for line in diff(text(), after)] == ["-", "+"] * 2
    policy = parse_policy(after, "f")
    assert policy.version == 2
    assert policy.identities["ci"].revoked == Revocation(AT, "compromise")
    assert policy.identities["ci"].compromised


def test_a_reason_is_text_whatever_it_holds():
    after = revoke(text().encode(), "ci", reason='lost: "x", {y}\n', at=AT)

    revoked = parse_policy(after, "f").identities["ci"].revoked
    assert revoked is not None
    assert revoked.reason == 'lost: "x", {y}\n'


def test_a_key_that_was_retired_can_turn_out_to_be_stolen_and_not_the_other_way_round():
    retired = revoke(text().encode(), "ci", reason="retired", at=AT)
    assert not parse_policy(retired, "f").identities["ci"].compromised
    assert parse_policy(revoke(retired, "ci", reason="stolen", at=AT), "f").identities["ci"].compromised

    with pytest.raises(UsageError, match="revoked for compromise"):
        revoke(text().encode(), "old", reason="superseded", at=AT)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "layout",
    [
        (),
        (
            (
                "builder: {anyOf: [ci, old], threshold",
                "builder:\n    anyOf:\n      - ci # why\n      - old\n    threshold",
            ),
            (
                ": 1, evidence: [signature, provenance], models: [support-llama]}",
                ": 1\n    evidence: [signature, provenance]\n    models: [support-llama]",
            ),
            ("builder: [ci]", "builder:\n    - ci"),
        ),
    ],
    ids=["on one line", "on several"],
)
def test_a_new_key_follows_an_old_one_wherever_that_stands(end, layout):
    before = text(*layout).replace("\n", end)

    after = rotate(before.encode(), "ci", public("new"), new=None, at=AT)

    policy = parse_policy(after, "f")
    assert policy.version == 2
    assert policy.identities["ci"].valid_until == AT
    assert policy.identities["ci-2"].key == public("new")
    assert policy.identities["ci-2"].custodian == "platform-team"
    assert policy.roles["builder"].any_of == ("ci", "old", "ci-2")
    assert policy.models["support-llama"].builders == ("ci", "ci-2")
    assert "# why" in after.decode() or not layout


def test_a_stewards_key_is_followed_at_each_data_set_and_an_earlier_end_stays():
    after = rotate(
        text().encode(), "alice", public("new"), new="alice-yubikey", at=datetime(2027, 5, 1, tzinfo=UTC)
    )

    policy = parse_policy(after, "f")
    assert policy.models["support-llama"].data[0].stewards == ("alice", "alice-yubikey")
    assert policy.identities["alice"].valid_until == datetime(2027, 1, 1, tzinfo=UTC)


def test_names_of_keys_that_follow_count_on():
    once = rotate(text().encode(), "ci", public("new"), new=None, at=AT)

    twice = rotate(once, "ci-2", public("newer"), new=None, at=AT)

    assert {"ci", "ci-2", "ci-3"} < set(parse_policy(twice, "f").identities)


@pytest.mark.parametrize("new", ["pia", "a b", ""])
def test_a_key_that_follows_has_a_name_of_its_own(new):
    if not new:
        assert rotate(text().encode(), "ci", public("new"), new=new, at=AT)
        return
    with pytest.raises(UsageError, match="taken or is not a name"):
        rotate(text().encode(), "ci", public("new"), new=new, at=AT)


def test_a_key_cannot_follow_one_that_is_revoked_nor_be_anothers():
    with pytest.raises(UsageError, match="revoked already"):
        rotate(text().encode(), "old", public("new"), new=None, at=AT)
    with pytest.raises(UsageError, match="the key of"):
        rotate(text().encode(), "ci", public("pia"), new=None, at=AT)
    with pytest.raises(UsageError, match="no identity `nobody`"):
        revoke(text().encode(), "nobody", reason="x", at=AT)


# --- Bases and evaluation sets by steward ------------------------------------------------------------

BY_STEWARD = (
    (f"base: [{BASE}]", f"base: [{BASE}, {{name: llama, steward: [alice]}}]"),
    (f"set: {SET}", "set: {name: eval, steward: [alice]}"),
)


def test_a_stewards_key_is_followed_at_each_base_and_evaluation_set():
    after = rotate(text(*BY_STEWARD).encode(), "alice", public("new"), new="alice-2", at=AT)

    model = parse_policy(after, "f").models["support-llama"]
    both = ("alice", "alice-2")
    assert model.bases == (BASE, SealedBy("llama", both))
    assert model.evaluation is not None
    assert model.evaluation.set == SealedBy("eval", both)


def test_what_a_steward_names_stays_where_something_else_is_set():
    after = set_model(text(*BY_STEWARD).encode(), "support-llama", classifier=NEW)

    model = parse_policy(after, "f").models["support-llama"]
    assert model.bases == (BASE, SealedBy("llama", ("alice",)))
    assert model.evaluation == EvaluationRule(
        SealedBy("eval", ("alice",)), NEW, {"accuracy": 1, "toxicity": 1}, 200
    )


def test_a_digest_takes_the_place_of_what_a_steward_named():
    after = set_model(text(*BY_STEWARD).encode(), "support-llama", base=NEW, evaluation=NEW)

    model = parse_policy(after, "f").models["support-llama"]
    assert model.bases == (NEW,)
    assert model.evaluation is not None
    assert model.evaluation.set == NEW
