"""The overlap gate: a model is not measured with what it was trained on."""

from __future__ import annotations

import pytest

from tuneguard.findings import Verdict
from tuneguard.gates.engine import Overlap
from world.cases import DISJOINT, case, judged, seals
from world.company import DATA, EVALUATION_SET, MODEL, dependency, policy, provenance, seal, sha256, tree


def test_disjoint_rows_pass() -> None:
    result = judged("overlap", case())

    assert result.verdict is Verdict.PASSED
    assert result.found == "tickets: no row in both"


def test_one_row_in_both_refuses() -> None:
    result = judged("overlap", case(overlaps=(Overlap(DATA.digest, EVALUATION_SET.digest, 1),)))

    assert result.verdict is Verdict.REFUSED
    assert "share 1 rows" in result.findings[0].message


@pytest.mark.parametrize(
    ("overlaps", "reason"),
    [
        ((), "they were not compared"),
        (
            (Overlap(DATA.digest, EVALUATION_SET.digest, None, "rows-01.bin is missing"),),
            "rows-01.bin is missing",
        ),
        ((Overlap(DATA.digest, sha256("another set"), 0),), "they were not compared"),
        ((Overlap(sha256("other data"), EVALUATION_SET.digest, 0),), "they were not compared"),
    ],
)
def test_row_hashes_that_were_not_compared_refuse(overlaps: tuple[Overlap, ...], reason: str) -> None:
    result = judged("overlap", case(overlaps=overlaps))

    assert result.verdict is Verdict.REFUSED
    assert reason in result.findings[0].message


def test_every_data_set_of_the_run_is_compared() -> None:
    more = tree({"more.jsonl": "{}\n"})
    both = provenance(
        data=(
            dependency("data", "tickets", DATA.digest, version="3"),
            dependency("data", "tickets", more.digest, version="3"),
        )
    )
    sealed = seals(seal()) + seals(seal(more), data=more)

    assert judged("overlap", case(both, seals=sealed, overlaps=DISJOINT)).verdict is Verdict.REFUSED
    compared = (*DISJOINT, Overlap(more.digest, EVALUATION_SET.digest, 0))
    assert judged("overlap", case(both, seals=sealed, overlaps=compared)).verdict is Verdict.PASSED


def test_a_run_without_data_and_a_model_without_an_evaluation_set_refuse() -> None:
    unmeasured = policy(lambda p: p["models"][MODEL].pop("evaluation"))

    assert judged("overlap", case(provenance(data=()))).verdict is Verdict.REFUSED
    assert judged("overlap", case(under=unmeasured)).verdict is Verdict.REFUSED


def test_two_provenances_cannot_share_a_pass_between_them() -> None:
    """One has clean data and a forbidden base, the other a listed base and data that overlaps."""
    other = tree({"overlapping.jsonl": "{}\n"})
    clean = provenance(base=dependency("base", "evil", sha256("evil")))
    listed = provenance(by="eve", data=(dependency("data", "tickets", other.digest, version="3"),))
    sealed = seals(seal()) + seals(seal(other), data=other)
    overlaps = (*DISJOINT, Overlap(other.digest, EVALUATION_SET.digest, 5))

    judging = case(clean, listed, seals=sealed, overlaps=overlaps)

    assert judged("provenance", judging).verdict is Verdict.PASSED
    assert judged("overlap", judging).verdict is Verdict.REFUSED
