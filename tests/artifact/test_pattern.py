"""Patterns: what they cover, what is none, and that no pair of pattern and path takes for ever."""

import pytest

from tuneguard import limits
from tuneguard.artifact.pattern import Patterns, fault_of_pattern
from tuneguard.errors import Refused


@pytest.mark.parametrize(
    ("pattern", "covered", "not_covered"),
    [
        ("wandb/**", ["wandb/a", "wandb/b/c"], ["wandb", "wandbx/a", "x/wandb/a", "WANDB/a"]),
        ("*.log", ["a.log", ".log"], ["d/a.log", "a.logs"]),
        ("**/*.log", ["a.log", "d/e/a.log"], ["a.log/b"]),
        ("**/logs/**", ["logs/a", "x/logs/a/b"], ["logs", "x/logs"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "a/x/c", "b"]),
        ("step-?/x*y*z", ["step-1/xyz", "step-1/x-y-y-z"], ["step-10/xyz", "step-1/xzy"]),
        ("README.md", ["README.md"], ["README_md", "d/README.md"]),
        ("*/b", ["a/b"], ["b", "a/c/b"]),
    ],
)
def test_a_pattern_covers_whole_paths(pattern: str, covered: list[str], not_covered: list[str]) -> None:
    patterns = Patterns([pattern])

    assert [path for path in (*covered, *not_covered) if patterns.cover(path)] == covered


@pytest.mark.parametrize(
    "pattern",
    ["", "/a", "a/", "a//b", "../a", "**", "*", "*/?", "a**", "**b/c", "[ab]", "{a,b}", "!a", "a\\b", "a\nb"],
)
def test_what_is_no_pattern_says_why(pattern: str) -> None:
    assert fault_of_pattern(pattern)
    assert fault_of_pattern("a" * 257) == "is longer than 256 characters"


def test_attack_a_pattern_and_a_path_that_would_be_compared_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PATTERN_STEPS", 10_000)
    patterns = Patterns(["**/" + "a*" * 40 + "b/**/" + "a*" * 40 + "b"])

    with pytest.raises(Refused, match="takes too long"):
        patterns.cover("/".join(["a" * 250] * 200))
