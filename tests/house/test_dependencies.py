"""What the code imports is declared, and what is declared is imported."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "tuneguard"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE = "core"
RUN_BY_OTHERS = {"evaluation"}
"""Extras whose packages the sandboxed evaluation loads."""


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def declared() -> dict[str, set[str]]:
    """The packages of the core and of each extra, by their normalised names."""
    groups = {CORE: PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    return {
        group: {normalised(re.split(r"[<>=\[; ]", each)[0]) for each in groups[group]} for group in groups
    }


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def imported() -> dict[str, set[str]]:
    """Where each module of another package is imported, by its top name; by `library` too."""
    found: dict[str, set[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(parsed(path)):
            match node:
                case ast.Import(names=names):
                    modules = [each.name for each in names]
                case ast.ImportFrom(module=str(module), level=0):
                    modules = [module]
                case ast.Call(func=ast.Name(id="library"), args=[ast.Constant(value=str(module)), *_]):
                    modules = [module]
                case _:
                    continue
            for module in modules:
                found.setdefault(module.partition(".")[0], set()).add(str(path.relative_to(SOURCE)))
    ours = {"tuneguard", *sys.stdlib_module_names}
    return {name: files for name, files in found.items() if name not in ours}


installed_packages = cache(importlib.metadata.packages_distributions)


def packages_of(module: str) -> set[str]:
    return {normalised(name) for name in installed_packages().get(module, ())}


def test_what_is_imported_is_declared() -> None:
    everything = set().union(*declared().values())
    names = {module: packages_of(module) for module in imported()}

    assert {module: imported()[module] for module, of in names.items() if of and not of & everything} == {}
    skip_missing(names)


def test_the_extra_that_an_error_names_installs_the_library() -> None:
    named = {
        (node.args[0].value, node.args[1].value)
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "library"
        and len(node.args) == 2
        and all(isinstance(each, ast.Constant) for each in node.args)
    }
    names = {module: packages_of(module.partition(".")[0]) for module, _ in named}
    brought = declared()

    assert {
        (module, extra)
        for module, extra in named
        if names[module] and not names[module] & (brought[CORE] | brought[extra])
    } == set()
    skip_missing(names)


def skip_missing(names: dict[str, set[str]]) -> None:
    """Say of which modules nothing could be known."""
    if missing := sorted(module for module, of in names.items() if not of):
        pytest.skip(f"not installed here: {', '.join(missing)}")


def test_what_is_declared_is_imported() -> None:
    used = set().union(*(packages_of(module) for module in imported()))
    installed = {normalised(each.metadata["Name"]) for each in importlib.metadata.distributions()}

    for group, names in declared().items():
        if group not in RUN_BY_OTHERS:
            assert names & installed <= used, group
