"""A part of a run in the place of a whole one: what no policy lists, and what the run did not sign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tuneguard.artifact.manifest import File, Manifest
from tuneguard.attest.predicates import verdict as verdicts
from tuneguard.attest.statement import TreeSet
from tuneguard.errors import ConfigurationError
from tuneguard.trust.verify import verify
from world.company import (
    MODEL,
    evaluation,
    expecting,
    policy,
    provenance,
    scan,
    sha256,
    signature,
    tree,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tuneguard.attest.evidence import Piece
    from tuneguard.trust.policy import Policy
    from tuneguard.trust.verify import Verification

STEP = {"config.json": "{}", "model.safetensors": "weights", "optimizer.pt": "state", "README.md": "read"}
RUN_FILES = {
    **{f"checkpoint-20/{name}": text for name, text in STEP.items()},
    **{f"checkpoint-10/{name}": f"earlier {text}" for name, text in STEP.items()},
    "config.json": "{}",
    "model.safetensors": "final weights",
}
WHOLE, PART = tree(RUN_FILES), tree(STEP)


def listing(*subsets: dict[str, Any]) -> Policy:
    return policy(lambda p: p["models"][MODEL].update(subsets=list(subsets)))


STEPS = listing({"path": "checkpoint-*", "exclude": ["optimizer.pt", "README.md"]})


def judged(part: Manifest, whole: Manifest = WHOLE, **facts: Any) -> list[Piece]:
    """The evidence of a promotion of a part: the builder's about the whole run, the rest about the part."""
    return [signature(whole), provenance(whole, **facts), scan(part), evaluation(part)]


def promoting(part: Manifest, pieces: Sequence[Piece], under: Policy = STEPS) -> Verification:
    return verify(part, pieces, under, expecting())


def rules(seen: Verification) -> set[str]:
    return {finding.rule for finding in seen.findings}


def test_a_folder_that_the_policy_lists_is_promoted_and_known_by_the_run() -> None:
    seen = promoting(PART, judged(PART))

    assert seen.findings == ()
    assert seen.passed
    assert seen.digest == PART.digest
    assert seen.parts[WHOLE.digest].path == "checkpoint-20"


def test_what_the_policy_lets_be_left_out_may_be_left_out() -> None:
    part = PART.without(["optimizer.pt", "README.md"])
    assert promoting(part, judged(part)).passed

    output = WHOLE.without([path for path in RUN_FILES if path.startswith("checkpoint-")])
    under = listing({"path": ".", "exclude": ["checkpoint-*/**"]})
    seen = promoting(output, judged(output), under)
    assert seen.passed
    assert seen.parts[WHOLE.digest].path == ""


def test_attack_a_part_under_a_policy_that_lists_none() -> None:
    seen = promoting(PART, judged(PART), policy())

    assert not seen.passed
    assert seen.parts == {}
    assert "V09" in rules(seen)


def changed(files: dict[str, str]) -> dict[str, str]:
    return {**files, "model.safetensors": "weightz"}


def added(files: dict[str, str]) -> dict[str, str]:
    return {**files, "modeling.py": "import os"}


def renamed(files: dict[str, str]) -> dict[str, str]:
    return {("model-2.safetensors" if name == "model.safetensors" else name): files[name] for name in files}


def from_the_output(files: dict[str, str]) -> dict[str, str]:
    return {**files, "model.safetensors": RUN_FILES["model.safetensors"]}


def from_another_checkpoint(files: dict[str, str]) -> dict[str, str]:
    return {**files, "model.safetensors": RUN_FILES["checkpoint-10/model.safetensors"]}


def without_weights(files: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in files.items() if name != "model.safetensors"}


@pytest.mark.parametrize(
    "attack", [changed, added, renamed, from_the_output, from_another_checkpoint, without_weights]
)
def test_attack_a_part_that_is_not_what_the_run_signed(
    attack: Callable[[dict[str, str]], dict[str, str]],
) -> None:
    part = tree(attack(STEP))

    seen = promoting(part, judged(part))

    assert not seen.passed
    assert {"signature", "provenance"} <= seen.unmet


def test_attack_weights_recombined_from_two_checkpoints_as_the_output_with_files_left_out() -> None:
    """Only a policy that lists the output without exactly these files lets them be left out together."""
    kept = {"checkpoint-10/model.safetensors", "checkpoint-20/config.json"}
    part = WHOLE.without(set(RUN_FILES) - kept)

    assert not promoting(part, judged(part)).passed
    readme = listing({"path": ".", "exclude": ["**/README.md"]})
    assert not promoting(part, judged(part), readme).passed
    assert promoting(
        part, judged(part), listing({"path": ".", "exclude": sorted(set(RUN_FILES) - kept)})
    ).passed


@pytest.mark.parametrize(
    "path", ["checkpoint-1*", "checkpoint-2", "checkpoint-20/**", ".", "*/checkpoint-20"]
)
def test_attack_a_folder_that_the_pattern_does_not_cover(path: str) -> None:
    assert not promoting(PART, judged(PART), listing({"path": path})).passed


def test_attack_a_part_of_an_intermediate_run() -> None:
    seen = promoting(PART, judged(PART, kind="intermediate"))

    assert not seen.passed
    assert "V11" in rules(seen)


def test_attack_a_list_that_no_provenance_is_about() -> None:
    """The builder's own list of a run that holds poisoned weights, and the true provenance of another."""
    poisoned = tree({**RUN_FILES, "checkpoint-20/model.safetensors": "poison"})
    part = tree({**STEP, "model.safetensors": "poison"})

    pieces = [signature(poisoned), signature(WHOLE), provenance(WHOLE), scan(part), evaluation(part)]

    seen = promoting(part, pieces)
    assert not seen.passed
    assert seen.unmet == {"provenance"}


@pytest.mark.parametrize("by", ["pia", "sam", "mallory"])
def test_attack_a_list_by_somebody_who_signs_no_lists(by: str) -> None:
    pieces = [signature(by=by, manifest=WHOLE), provenance(WHOLE), scan(PART), evaluation(PART)]

    assert not promoting(PART, pieces).passed


def test_attack_a_scan_of_the_whole_run_in_the_place_of_the_parts() -> None:
    for other in ([scan(WHOLE), evaluation(PART)], [scan(PART), evaluation(WHOLE)]):
        assert not promoting(PART, [signature(WHOLE), provenance(WHOLE), *other]).passed


def test_attack_a_verdict_about_the_whole_run_in_the_place_of_the_parts() -> None:
    pieces = [signature(WHOLE), provenance(WHOLE), verdict(WHOLE)]

    seen = verify(PART, pieces, STEPS, expecting(purpose="load", attempt=None))
    assert not seen.passed


def about_part(path: str = "checkpoint-20", of: Manifest = WHOLE) -> Piece:
    return verdict(PART, part=verdicts.Part(path, TreeSet(of.digest)))


def loading(pieces: Sequence[Piece], under: Policy = STEPS) -> Verification:
    return verify(PART, pieces, under, expecting(purpose="load", attempt=None))


def test_a_promoted_part_loads_with_the_signature_that_travels_with_its_verdict() -> None:
    assert loading([about_part(), signature(WHOLE)]).passed


@pytest.mark.parametrize(
    "pieces",
    [
        [about_part()],
        [about_part(), signature(PART)],
        [about_part(), signature(WHOLE, by="mallory")],
        [about_part(path="checkpoint-10"), signature(WHOLE)],
        [about_part(path=""), signature(WHOLE)],
        [about_part(of=PART), signature(WHOLE)],
    ],
    ids=["no list", "a list of the part", "by mallory", "another path", "no path", "another run"],
)
def test_attack_a_verdict_about_a_part_that_is_not_shown_to_be_one(pieces: list[Piece]) -> None:
    seen = loading(pieces)

    assert not seen.passed
    assert rules(seen) == {"V23"}


def test_attack_a_part_promoted_before_the_policy_took_the_subset_away() -> None:
    assert rules(loading([about_part(), signature(WHOLE)], policy())) == {"V23"}
    other = listing({"path": "checkpoint-1?"})
    assert rules(loading([about_part(), signature(WHOLE)], other)) == {"V23"}


def test_attack_a_part_where_only_its_digest_is_known() -> None:
    """The files are not at hand, so nothing shows the relation."""
    assert not verify(PART.digest, judged(PART), STEPS, expecting()).passed


def test_attack_a_list_in_which_the_first_file_lies_a_thousand_times() -> None:
    """Each folder that might be the one is looked at, and the answer is the same and soon there."""
    same = sha256("{}")
    files = [File(f"d{n:04}/config.json", 0, same) for n in range(3000)]
    whole = Manifest(tuple(sorted([*files, *WHOLE.files], key=lambda file: file.path)))

    assert promoting(PART, judged(PART, whole)).passed
    assert not promoting(tree(changed(STEP)), judged(PART, whole)).passed


@pytest.mark.parametrize(
    "subset",
    [{"path": "**"}, {"path": "*"}, {"path": "../other"}, {"path": ""}, {"path": ".", "exclude": ["*"]}, {}],
)
def test_a_subset_that_would_cover_everything_or_is_none_is_an_error(subset: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        listing(subset)


def test_a_promoted_part_is_refused_as_a_base_before_a_run_begins() -> None:
    pieces = [*judged(PART), about_part()]

    assert not verify(PART, pieces, STEPS, expecting(purpose="base", attempt=None)).passed
