import pytest
from msgspec import structs

from tuneguard.attest.predicates import scan
from tuneguard.errors import NotUnderstood
from tuneguard.typed import read, written
from world.bodies import SCAN


def test_findings_are_kept_as_they_were_written():
    finding = {"rule": "TG-X", "severity": "low", "location": {"path": "a", "offset": 3}, "later": [1]}
    body = structs.replace(SCAN, findings=(finding,))

    assert read(written(body), scan.Scan, "s").findings == (finding,)


@pytest.mark.parametrize("severity", ["none", "LOW", "", None])
def test_a_finding_of_a_severity_that_nobody_knows_is_not_understood_rather_than_harmless(severity):
    predicate = {**written(SCAN), "findings": [{"rule": "TG-X", "severity": severity}]}

    with pytest.raises(NotUnderstood, match=r"`findings\[0\]\.severity`"):
        read(predicate, scan.Scan, "s")


def test_a_scan_outside_a_promotion_names_no_attempt():
    body = structs.replace(SCAN, attempt=None)

    assert "attempt" not in written(body)
    assert read(written(body), scan.Scan, "s") == body
