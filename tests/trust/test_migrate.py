"""A policy of an earlier version becomes one of today: new keys, all else as it was."""

from __future__ import annotations

import dataclasses

import pytest

from tuneguard.errors import ConfigurationError, UsageError
from tuneguard.trust.migrate import migrate
from tuneguard.trust.policy import Policy, parse_policy
from world.policies import public, text

OLD_KEYS = {
    "tuneguard.dev/v1alpha2": "tuneguard.dev/v1alpha1",
    "separationOfDuties:": "apart:",
    "controls:": "walls:",
    "evidence:": "says:",
    "validFrom:": "from:",
    "validUntil:": "until:",
    "gracePeriod:": "grace:",
    "format:": "form:",
}
LATEST = text(
    ("expires: 2027-06-01T00:00:00Z", "expires: 2027-06-01T00:00:00Z, gracePeriod: 2d"),
    ("roles:\n", f"  raw: {{key: {public('raw').base64}, custodian: raw-team, format: blob}}\nroles:\n"),
    ("controls: all", "controls: {memory: weakened}"),
)


def old(new: str = LATEST) -> str:
    for key, before in OLD_KEYS.items():
        new = new.replace(key, before)
    return new


def raised(new: str = LATEST) -> str:
    return new.replace("version: 1,", "version: 2,")


def migrated(before: str) -> str:
    after, policy = migrate(before.encode(), "policy.yaml")
    assert policy == parse_policy(after, "policy.yaml")
    return after.decode()


def meaning(policy: Policy) -> dict[str, object]:
    values = {each.name: getattr(policy, each.name) for each in dataclasses.fields(policy)}
    values["gates"] = {gate: node.plain() for gate, node in policy.gates.items()}
    del values["sha256"]
    return values


def test_every_key_gets_its_new_name_and_nothing_else_changes() -> None:
    assert {key for key in OLD_KEYS.values() if key in old()} == set(OLD_KEYS.values())

    assert migrated(old()) == raised()


def test_it_means_what_the_same_policy_means_that_is_written_anew() -> None:
    after = parse_policy(migrated(old()).encode(), "policy.yaml")

    assert meaning(after) == meaning(parse_policy(raised().encode(), "policy.yaml"))


def test_comments_blank_lines_quotes_and_windows_line_ends_stay() -> None:
    def written(*words: str, version: int) -> str:
        at, kind, apart, walls, says = words
        return (
            f'# says: who\r\napiVersion: "{at}"\r\nkind: Policy\r\n\r\n'
            f"metadata: {{name: walls, version: {version}, expires: 2027-06-01T00:00:00Z}}  # apart: yes\r\n"
            f"profile: production\r\nidentities: {{from: {{key: {public('ci').base64}, custodian: x, "
            f"'{kind}': 2026-01-01T00:00:00Z}}}}\r\n"
            f"roles:\r\n  builder:\r\n    anyOf: [from]\r\n    {says}:  # until: x\r\n      - signature\r\n"
            f"    models: [says]\r\n  promoter: {{anyOf: [], {says}: [], models: []}}\r\n"
            f'"{apart}":\r\n  - [builder, promoter]\r\n'
            f"models: {{says: {{repository: a/b, command: [until, 'walls: all'], data: [{{name: form, "
            f"steward: [from]}}]}}}}\r\n{walls}: all"
        )

    before = written("tuneguard.dev/v1alpha1", "from", "apart", "walls", "says", version=9)
    words = ("tuneguard.dev/v1alpha2", "validFrom", "separationOfDuties", "controls", "evidence")
    assert migrated(before) == written(*words, version=10)


def test_a_policy_as_json_stays_json() -> None:
    before = (
        '{"apiVersion":"tuneguard.dev/v1alpha1","kind":"Policy","metadata":{"name":"a","version":1,'
        '"expires":"2027-06-01T00:00:00Z"},"profile":"production","identities":{},"roles":{},"models":{},'
        '"walls":"all","apart":[]}'
    )

    after = before.replace("v1alpha1", "v1alpha2").replace('"version":1', '"version":2')
    after = after.replace('"walls"', '"controls"').replace('"apart"', '"separationOfDuties"')
    assert migrated(before) == after


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("walls: {memory", "controls: all\nwalls: {memory"), "controls"),
        (("walls: {memory: weakened}", "walls: {memory: soft}"), "must be"),
        (("says: [seal]", "say: [seal]"), "unknown key `say`"),
        (("version: 1,", "version: one,"), "`version` must be a whole number"),
    ],
)
def test_what_is_wrong_in_the_old_policy_is_told_and_not_migrated(change: tuple[str, str], what: str) -> None:
    assert change[0] in old()

    with pytest.raises(ConfigurationError) as caught:
        migrate(old().replace(*change).encode(), "policy.yaml")

    assert any(what in problem.what for problem in caught.value.problems)
    assert all(problem.where.startswith("policy.yaml:") for problem in caught.value.problems)


def test_a_policy_of_today_is_said_to_be_one() -> None:
    with pytest.raises(UsageError, match=r"is a policy of tuneguard\.dev/v1alpha2 already"):
        migrate(LATEST.encode(), "policy.yaml")


@pytest.mark.parametrize("other", [LATEST.replace("v1alpha2", "v1"), "a: 1", "[]", "apiVersion: [1]"])
def test_only_an_earlier_version_is_migrated(other: str) -> None:
    with pytest.raises(UsageError, match=r"is not a policy of tuneguard\.dev/v1alpha1"):
        migrate(other.encode(), "policy.yaml")


def test_no_other_command_reads_an_earlier_version_and_the_error_names_the_one_that_does() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_policy(old().encode(), "policy.yaml")

    [problem] = caught.value.problems
    assert problem.what == "a policy of tuneguard.dev/v1alpha1 is not read any more"
    assert problem.where == "policy.yaml:1:13"
    assert (
        problem.help == "print it as one of today for the root to sign: tuneguard policy migrate policy.yaml"
    )
