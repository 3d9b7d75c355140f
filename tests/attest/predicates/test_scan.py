import dataclasses

import pytest

from tuneguard.attest.predicates import scan
from tuneguard.errors import NotUnderstood
from world.bodies import SCAN


def test_findings_are_kept_as_they_were_written():
    finding = {"rule": "TG-X", "severity": "low", "location": {"path": "a", "offset": 3}, "later": [1]}
    body = dataclasses.replace(SCAN, findings=(finding,))

    assert scan.from_predicate(scan.to_predicate(body), "s").findings == (finding,)


@pytest.mark.parametrize("severity", ["none", "LOW", "", None])
def test_a_finding_of_a_severity_that_nobody_knows_is_not_understood_rather_than_harmless(severity):
    body = dataclasses.replace(SCAN, findings=({"rule": "TG-X", "severity": severity},))

    with pytest.raises(NotUnderstood, match="severity"):
        scan.from_predicate(scan.to_predicate(body), "s")


def test_a_scan_outside_a_promotion_names_no_attempt():
    body = dataclasses.replace(SCAN, attempt=None)

    assert "attempt" not in scan.to_predicate(body)
    assert scan.from_predicate(scan.to_predicate(body), "s") == body
