"""Where the root and the policy are found, in which order, and that a wrong one is never skipped."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tuneguard.errors import ConfigurationError, Refused, UsageError
from tuneguard.trust.policy import sign_policy
from tuneguard.trust.root import find_policy, find_root, home, load_policy
from world.policies import key, public, text

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def put(path: Path, name: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(public(name).pem)
    path.chmod(0o644)
    return path


@pytest.fixture
def places(tmp_path):
    """A root at each of the four places, each with its own key."""
    return {
        "option": put(tmp_path / "option.pub", "option"),
        "env": put(tmp_path / "env.pub", "env"),
        "system": put(tmp_path / "etc/root.pub", "system"),
        "home": put(tmp_path / "home/root.pub", "home"),
    }


def test_the_option_wins_then_the_environment_then_the_machine_then_the_home(places):
    env = {"TUNEGUARD_HOME": str(places["home"].parent)}
    named = env | {"TUNEGUARD_ROOT": str(places["env"])}

    assert find_root(places["option"], named, system=places["system"]) == (public("option"),)
    assert find_root(None, named, system=places["system"]) == (public("env"),)
    assert find_root(None, env, system=places["system"]) == (public("system"),)
    places["system"].unlink()
    assert find_root(None, env, system=places["system"]) == (public("home"),)


def test_no_root_anywhere_is_a_usage_error_that_says_where_it_looked(tmp_path):
    with pytest.raises(UsageError, match="no root key") as caught:
        find_root(None, {"TUNEGUARD_HOME": str(tmp_path / "home")}, system=tmp_path / "etc/root.pub")

    assert caught.value.exit_code == 2
    assert str(tmp_path / "home/root.pub") in str(caught.value)


@pytest.mark.parametrize("by", ["option", "env"])
def test_a_root_that_was_named_and_is_missing_is_never_replaced_by_another(places, by):
    gone = places["option"].with_name("gone.pub")
    env = {"TUNEGUARD_HOME": str(places["home"].parent)} | (
        {"TUNEGUARD_ROOT": str(gone)} if by == "env" else {}
    )

    with pytest.raises(UsageError, match="no such file"):
        find_root(gone if by == "option" else None, env, system=places["system"])


def test_a_machines_root_that_is_broken_is_never_replaced_by_the_homes(places):
    places["system"].write_text("broken")

    with pytest.raises(ConfigurationError, match="not a public key"):
        find_root(None, {"TUNEGUARD_HOME": str(places["home"].parent)}, system=places["system"])


def test_a_dangling_link_is_a_broken_root_and_not_a_missing_one(places):
    places["system"].unlink()
    places["system"].symlink_to("nowhere")

    with pytest.raises(UsageError, match="no such file"):
        find_root(None, {"TUNEGUARD_HOME": str(places["home"].parent)}, system=places["system"])


def test_a_loop_of_links_ends_in_an_error(places):
    places["system"].unlink()
    places["system"].symlink_to(places["system"])

    with pytest.raises(UsageError):
        find_root(None, {"TUNEGUARD_HOME": str(places["home"].parent)}, system=places["system"])


def test_a_root_mounted_as_a_link_is_followed_as_clusters_mount_files_so(places, tmp_path):
    link = tmp_path / "root.pub"
    link.symlink_to(places["option"])

    assert find_root(link, {}, system=places["system"]) == (public("option"),)


def test_attack_a_root_that_every_user_may_write_is_refused(places):
    places["option"].chmod(0o646)

    with pytest.raises(Refused, match="every user may write the root's key"):
        find_root(places["option"], {}, system=places["system"])


def test_attack_a_root_and_policy_planted_in_the_project_are_not_looked_at(tmp_path, monkeypatch):
    for name in ("root.pub", "keys/root.pub", ".tuneguard/root.pub"):
        put(tmp_path / name, "mallory")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UsageError, match="no root key"):
        find_root(None, {"TUNEGUARD_HOME": str(tmp_path / "home")}, system=tmp_path / "etc/root.pub")


def test_a_private_key_in_place_of_the_root_is_refused(places):
    places["option"].write_bytes(b"-----BEGIN PRIVATE KEY-----\n")

    with pytest.raises(UsageError, match="this is a private key"):
        find_root(places["option"], {}, system=places["system"])


def test_home_is_where_the_environment_says_or_below_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))

    assert home({"TUNEGUARD_HOME": "/somewhere"}).as_posix() == "/somewhere"
    assert home({}) == home({"TUNEGUARD_HOME": ""}) == tmp_path / ".config/tuneguard"


def test_the_policy_is_the_option_then_the_environment_then_the_current_folder(tmp_path):
    for name in ("option.yaml", "env.yaml", "policy.yaml"):
        (tmp_path / name).touch()
    env = {"TUNEGUARD_POLICY": str(tmp_path / "env.yaml")}

    assert find_policy(tmp_path / "option.yaml", env, tmp_path).name == "option.yaml"
    assert find_policy(None, env, tmp_path).name == "env.yaml"
    assert find_policy(None, {}, tmp_path).name == "policy.yaml"


def test_there_is_no_search_upwards_for_a_policy(tmp_path):
    (tmp_path / "policy.yaml").touch()
    (tmp_path / "below").mkdir()

    with pytest.raises(UsageError, match="no policy"):
        find_policy(None, {}, tmp_path / "below")


def test_a_policy_that_was_named_and_is_missing_is_never_replaced(tmp_path):
    (tmp_path / "policy.yaml").touch()

    with pytest.raises(UsageError, match="no such policy"):
        find_policy(tmp_path / "other.yaml", {}, tmp_path)


def test_a_policy_is_read_with_the_bundle_beside_it(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(text())

    with pytest.raises(UsageError, match="the policy has no signature") as caught:
        load_policy(path, (public("root"),), now=NOW)
    assert "tuneguard policy sign" in caught.value.help

    (tmp_path / "policy.yaml.sigstore.json").write_bytes(sign_policy(path.read_bytes(), key("root")))
    assert load_policy(path, (public("root"),), now=NOW).file == str(path)
