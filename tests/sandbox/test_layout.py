"""What is put into the root, and what never is."""

import sys
from pathlib import Path

import pytest

from tuneguard.errors import UsageError
from tuneguard.sandbox import layout
from tuneguard.sandbox.controls import Bind
from world.cage import confinement, run


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


def test_links_on_the_way_to_the_interpreter_are_shown_where_nothing_else_shows_them(
    made, tmp_path, monkeypatch
):
    """As `.venv/bin/python3 -> ~/.local/bin/python3 -> ../share/python/bin/python3`, and a linked folder."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "python3").symlink_to(sys.executable)
    (tmp_path / "latest").symlink_to("versions")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to("../latest/python3")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python3"))

    places = layout.places(confinement(("x",)), made)

    shown = {place.target: place.source for place in places if place.kind == "link"}
    assert shown[f"{tmp_path}/bin/python3"] == "../latest/python3"
    assert shown[f"{tmp_path}/latest"] == "versions"
    assert shown[f"{tmp_path}/versions/python3"].endswith("/bin/python")


def test_a_link_above_a_folder_that_is_shown_is_a_folder(made, tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to("real")
    monkeypatch.setattr(sys, "executable", f"{tmp_path}/linked/here/python3")

    bind = Bind(tmp_path / "real", f"{tmp_path}/linked/here")
    places = layout.places(confinement(("x",), bind), made)

    assert [place.kind for place in places if place.target.startswith(str(tmp_path))] == ["bind"]


@pytest.mark.sandbox
def test_an_interpreter_behind_a_link_in_tmp_runs(backend, tmp_path, monkeypatch):
    (tmp_path / "python3").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))

    ran = run(backend, (sys.executable, "-I", "-S", "-c", "print('it runs')"))

    assert ran.text == "it runs"


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
