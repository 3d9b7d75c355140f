"""A key signs typed envelopes or raw blobs, never both: what was signed as one is not read as the other."""

from __future__ import annotations

import pytest

from tuneguard.errors import ConfigurationError
from tuneguard.trust.policy import parse_policy
from tuneguard.trust.review import explain
from tuneguard.trust.verify import verify
from world.company import CHECKPOINT, expecting, key, policy, provenance
from world.policies import text


def marked(who: str):
    """The company's policy in which somebody's key is marked for raw blobs and stands in no role."""

    def change(document):
        document["identities"][who]["format"] = "blob"
        for role in document["roles"].values():
            role["anyOf"] = [name for name in role["anyOf"] if name != who]

    return policy(change)


@pytest.mark.parametrize("model", ["support-llama", None], ids=["promotion", "integrity"])
def test_attack_a_statement_by_a_key_that_is_marked_for_raw_blobs(model):
    """Even where no role is asked about, such a signature is not even integrity."""
    seen = verify(CHECKPOINT, [provenance(by="ci")], marked("ci"), expecting(model=model))

    assert not seen.claims
    assert any("marked for raw blobs" in f.message for f in seen.findings) or any(
        "marked for raw blobs" in each.reason for each in seen.skipped
    )


def test_a_key_for_raw_blobs_stands_in_no_role():
    before = "custodian: platform-team}\n  alice"
    written = text((before, before.replace("team}", "team, format: blob}")))

    with pytest.raises(ConfigurationError, match="`ci` is marked for raw blobs, and builder signs"):
        parse_policy(written.encode(), "policy.yaml")


def test_a_policy_says_of_a_key_whether_it_signs_blobs():
    of = marked("ci")

    assert of.signs_blobs(key("ci").public_key) is True
    assert of.signs_blobs(key("pia").public_key) is False
    assert of.signs_blobs(key("mallory").public_key) is None
    assert "ci signs raw blobs, as ``cosign sign-blob`` does, and no statement." in explain(of)


def test_another_form_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match="format"):
        parse_policy(
            text(("custodian: release-team}", "custodian: release-team, format: pgp}")).encode(), "p"
        )
