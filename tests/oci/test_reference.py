"""References: what a person writes is what is meant, or a usage error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneguard.errors import UsageError
from tuneguard.oci.reference import Reference, parse, valid_tag

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("oci:out", Reference("layout", path="out")),
        ("oci:out:v1", Reference("layout", path="out", tag="v1")),
        ("oci:/a b/out:ft-042", Reference("layout", path="/a b/out", tag="ft-042")),
        ("oci:a:b/out", Reference("layout", path="a:b/out")),
        ("oci:../out@" + DIGEST, Reference("layout", path="../out", digest=DIGEST)),
        ("oci:user@host:v1", Reference("layout", path="user@host", tag="v1")),
        ("host.example/a", Reference("registry", host="host.example", repository="a")),
        (
            "host.example/a/b-c_d__e.f:v1",
            Reference("registry", host="host.example", repository="a/b-c_d__e.f", tag="v1"),
        ),
        ("host:5000/a:v1", Reference("registry", host="host:5000", repository="a", tag="v1")),
        ("localhost/a", Reference("registry", host="localhost", repository="a")),
        ("[::1]:5000/a@" + DIGEST, Reference("registry", host="[::1]:5000", repository="a", digest=DIGEST)),
    ],
)
def test_a_reference_is_read_and_written_back(text, expected):
    assert parse(text) == expected
    assert str(parse(text)) == text
    assert parse(text).name == text.removesuffix(":" + (expected.tag or "")).removesuffix(
        f"@{expected.digest}"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "names no registry host"),
        ("oci:", "names no folder"),
        ("oci::v1", "names no folder"),
        ("oci:out:", "cannot be a tag"),
        ("oci:out:-v1", "cannot be a tag"),
        ("oci:out:a b", "cannot be a tag"),
        ("oci:out\0", "names no folder"),
        ("oci:out:v1@" + DIGEST, "keep one"),
        ("oci:out@sha256:0a", "64 lower-case hex"),
        ("oci:out@" + DIGEST.replace("0a", "0A"), "64 lower-case hex"),
        ("oci:out@" + DIGEST.replace("sha", "SHA"), "64 lower-case hex"),
        ("host.example/a@sha512:" + "0a" * 64, "64 lower-case hex"),
        ("ubuntu", "names no registry host"),
        ("library/ubuntu", "names no registry host"),
        ("host.example", "names no registry host"),
        ("host.example/", "names no repository"),
        ("host.example/Upper", "names no repository"),
        ("host.example/a//b", "names no repository"),
        ("host.example/../b", "names no repository"),
        ("host.example/a?b", "names no repository"),
        ("https://host.example/a", "names no registry host"),
        ("host.example/" + "a" * 256, "names no repository"),
    ],
)
def test_what_could_be_misread_is_a_usage_error_with_the_two_forms(text, why):
    with pytest.raises(UsageError, match=why) as caught:
        parse(text)
    assert "oci:FOLDER" in caught.value.help


def test_an_escape_sequence_in_a_reference_does_not_reach_the_terminal():
    with pytest.raises(UsageError) as caught:
        parse("oci:out:\x1b[2J")
    assert "\x1b" not in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_a_reference_or_a_usage_error(text):
    try:
        reference = parse(text)
    except UsageError:
        return
    assert parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("tag", "valid"),
    [
        ("v1", True),
        ("_x", True),
        ("x" * 128, True),
        ("x" * 129, False),
        (".x", False),
        ("", False),
        ("a/b", False),
    ],
)
def test_tags_are_those_of_the_distribution_specification(tag, valid):
    assert valid_tag(tag) is valid
