"""What is put into the root, and what never is."""

import sys
from pathlib import Path

import pytest

from tuneguard.errors import UsageError
from tuneguard.sandbox import layout
from tuneguard.sandbox.walls import Bind
from world.cage import confinement


@pytest.fixture
def made(tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    for name, text in layout.MADE.items():
        (folder / name).write_text(text)
    return folder


def test_only_what_the_caller_marked_can_be_written(made, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    places = layout.places(
        confinement(("x",), Bind(tmp_path / "in", "/w/in"), Bind(tmp_path / "out", "/w/out", writable=True)),
        made,
    )

    writable = {
        place.target for place in places if place.kind == "bind" and place.writable and not place.device
    }
    assert writable == {"/w/out"}


def test_parents_come_before_what_is_below_them(made):
    targets = [place.target for place in layout.places(confinement(("x",)), made)]

    for at, target in enumerate(targets):
        assert not any(earlier.startswith(target + "/") for earlier in targets[:at])
    assert len(targets) == len(set(targets))


def test_the_interpreter_is_shown_at_its_own_path(made):
    places = layout.places(confinement(("x",)), made)

    for prefix in (sys.prefix, sys.base_prefix):
        assert any(
            prefix == place.target or prefix.startswith(place.target + "/")
            for place in places
            if place.source == place.target
        )


def test_an_interpreter_that_is_installed_over_a_home_is_not_shown(made, monkeypatch):
    """A virtual environment made with `python -m venv ~` would take the whole home along."""
    monkeypatch.setattr(sys, "prefix", str(Path("~").expanduser()))

    with pytest.raises(UsageError, match="without showing your home folder"):
        layout.places(confinement(("x",)), made)


def test_what_a_read_only_parent_shows_already_is_not_bound_twice(made, tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)

    places = layout.places(confinement(("x",), packages=(tmp_path / "a", tmp_path / "a" / "b")), made)

    own = [place.target for place in places if place.target.startswith(str(tmp_path / "a"))]
    assert own == [str(tmp_path / "a")]


@pytest.mark.parametrize(
    "target",
    [
        "/usr",
        "/etc/passwd",
        "/proc/1",
        "/",
        "/tmp",
        "relative",
        "/a/../usr",
        "/a//b",
        "/a\0",
        "/run/tuneguard",
    ],
)
def test_nothing_of_the_system_can_be_covered_by_a_bind(target, tmp_path):
    with pytest.raises(UsageError, match="nothing can be bound at"):
        confinement(("x",), Bind(tmp_path, target))


def test_two_binds_at_one_place_are_refused(tmp_path):
    with pytest.raises(UsageError, match="two things are bound at /w"):
        confinement(("x",), Bind(tmp_path, "/w"), Bind(tmp_path, "/w"))


@pytest.mark.parametrize("deadline", [0, -1, float("nan"), float("inf")])
def test_a_deadline_that_cannot_be_kept_is_refused(deadline):
    with pytest.raises(UsageError, match="cannot be kept"):
        confinement(("x",), deadline=deadline)


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(UsageError, match="leaves nothing to run in"):
        confinement(("x",), memory=0)


def test_an_empty_command_is_refused():
    with pytest.raises(UsageError, match="needs a command"):
        confinement(())
