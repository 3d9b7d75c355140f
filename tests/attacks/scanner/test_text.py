"""Attacks by text that training leaves behind: YAML, TOML, notebooks, logs."""

from __future__ import annotations

import io
import json

import pytest
import yaml

from tuneguard import limits
from tuneguard.findings import Verdict
from world import pickles as p
from world import tars, zips
from world.scans import nearly, verdict

NOTEBOOK = json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def rules_of(scan) -> set[str]:
    return {finding.rule for finding in scan.findings}


# --- YAML that constructs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system ['echo tuneguard-inert']",
        "a: !<tag:yaml.org,2002:python/object/apply:os.system> [echo]",
        "%TAG ! tag:yaml.org,2002:python/\n---\na: !object/apply:os.system [echo]",
        "%TAG !e! tag:yaml.org,2002:python/object/\n---\na: !e!apply:os.system [echo]",
        "a: !!p%79thon/object/apply:os.system [echo]",
        "a: !!python/object/new:type {args: [x, [], {extend: !!python/name:exec }]}",
        "a: !!python/name:os.system",
        "a: !!python/module:antigravity",
        "{? !!python/object/apply:os.system [echo] : 1}",
        "&x !!python/object/apply:os.system [echo]",
        "- [[[{a: !!python/object:x.Y {}}]]]",
        "a: !ruby/object:Gem::Installer {}",
        "a: !!javax.script.ScriptEngineManager []",
        "a: !include /etc/passwd",
        "# !!python/object/apply:os.system",
        "a: 'as text: !!python/name:os.system'",
        "one: 1\n---\ntwo: !!python/object/apply:os.system [echo]",
    ],
)
@pytest.mark.parametrize("name", ["hparams.yaml", "sub/train.yml"])
def test_attack_a_tag_that_asks_the_loader_to_construct(scan, name: str, text: str) -> None:
    result = scan(name, text.encode())

    assert "TG-YAML-TAG" in rules_of(result) or result.verdict is Verdict.NOT_UNDERSTOOD
    assert result.verdict is not Verdict.PASSED


def test_a_tag_is_told_with_its_name_and_its_line_and_what_to_do(scan) -> None:
    [finding] = scan("hparams.yaml", b"lr: 1\nout: !!python/object/apply:pathlib.PosixPath [x]\n").findings

    assert finding.rule == "TG-YAML-TAG"
    assert finding.message == ("asks to construct tag:yaml.org,2002:python/object/apply:pathlib.PosixPath")
    assert finding.location.line == 2
    assert "leave the file out of the checkpoint" in finding.fix


def test_what_yaml_itself_writes_for_plain_values_passes(scan) -> None:
    plain = {"betas": (0.9, 0.999), "c": 1j, "s": {1, 2}, "b": b"\0\1", "t": None, "x": [float("nan"), 1e-5]}
    shared = {"name": "adam"}
    written = io.StringIO()
    yaml.dump({"plain": plain, "one": shared, "two": shared}, written)

    assert "&id001" in written.getvalue()
    assert scan("hparams.yaml", written.getvalue().encode()).verdict is Verdict.PASSED


# --- YAML and TOML that configure ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("trust_remote_code: true", "TG-CFG-TRUST"),
        ("trust_remote_code: yes", "TG-CFG-TRUST"),
        ("trust_remote_code: on", "TG-CFG-TRUST"),
        ("trust_remote_code: 0x1", "TG-CFG-TRUST"),
        ("model:\n  kwargs: {'trust_remote_code': 1}", "TG-CFG-TRUST"),
        ("'trust_remote\\x5fcode': 1\n\"trust_remote\\x5fcode\": 1", "TG-CFG-TRUST"),
        ("optimizer: {_target_: os.system, _args_: [echo]}", "TG-CFG-TARGET"),
        ("base: &b {init_args: {}}\nx:\n  <<: *b\n  class_path: os.system", "TG-CFG-TARGET"),
        ("bases: [&b {init_args: {}}]\nx:\n  <<: [*b]\n  class_path: os.system", "TG-CFG-TARGET"),
        ("auto_map: {AutoModel: m.X}", "TG-CFG-AUTO-MAP"),
        ("chat_template: \"{{ ''.__class__ }}\"", "TG-TEMPLATE"),
        ("a: 1\na: 2", "TG-TWO-READINGS"),
        ("a: {b: 1, 'b': 2}", "TG-TWO-READINGS"),
    ],
)
def test_attack_yaml_that_names_code(scan, text: str, rule: str) -> None:
    assert rule in rules_of(scan("config.yaml", text.encode()))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("trust_remote_code = true", "TG-CFG-TRUST"),
        ("[model]\n_target_ = 'os.system'", "TG-CFG-TARGET"),
        ("[[parts]]\nauto_map = {AutoModel = 'm.X'}", "TG-CFG-AUTO-MAP"),
    ],
)
def test_attack_toml_that_names_code(scan, text: str, rule: str) -> None:
    assert rule in rules_of(scan("config.toml", text.encode()))


def test_attack_a_comment_that_ends_in_one_version_of_yaml_and_not_in_the_other(scan) -> None:
    for end in ("\x85", "\u2028", "\u2029", "\r"):
        data = f"# note{end}trust_remote_code: true\n".encode()

        assert scan("config.yaml", data).verdict is not Verdict.PASSED


def test_attack_an_alias_that_grows_without_end(scan) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    merged = ["m0: &m0 {a: {}, b: {}}"]
    merged += [f"m{n}: &m{n}\n  <<: *m{n - 1}\n  k{n}: {{}}" for n in range(1, 60)]

    for text in ("\n".join(lines), "\n".join(merged)):
        result = scan("config.yaml", text.encode())

        assert result.verdict is Verdict.NOT_UNDERSTOOD
        assert f"over {limits.SCAN_SETTINGS_VALUES:,} values" in result.skipped[0].reason


@pytest.mark.parametrize(
    "text",
    [
        "&a [*a]",
        "&a {b: *a}",
        "a: *nowhere",
        "? [a, b]\n: 1",
        "a: [",
        '"\\U99999999"',
        "[" * 100 + "]" * 100,
        "a: " + "[" * 5000,
        "%YAML " + "9" * 5000 + ".1\n---\na: 1",
    ],
)
def test_yaml_that_cannot_be_read_is_not_understood(scan, text: str) -> None:
    result = scan("config.yaml", text.encode())

    assert result.verdict is Verdict.NOT_UNDERSTOOD
    assert "Tuneguard failed" not in result.skipped[0].reason


@pytest.mark.parametrize(
    "text",
    [
        "a = ",
        "a = 1\na = 2",
        "a = " + "[" * 5000,
        "a = " + "9" * 5000,
        ".".join(["a"] * 100) + " = 1",
        "[" + ".".join(['"a"'] * 100) + "]",
    ],
)
def test_toml_that_cannot_be_read_is_not_understood(scan, text: str) -> None:
    result = scan("config.toml", text.encode())

    assert result.verdict is Verdict.NOT_UNDERSTOOD
    assert "Tuneguard failed" not in result.skipped[0].reason


# --- one thing by name, another by content -------------------------------------------------------------


TEXTS = ["a.yaml", "a.yml", "a.toml", "a.ipynb", "a.html", "a.log", "a.out", "a.tsv", "a.ini"]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(p.PAYLOAD, id="a pickle"),
        pytest.param(p.stream(p.SYSTEM, version=None), id="a pickle of protocol 0"),
        pytest.param(zips.torch_zip(p.PAYLOAD), id="a zip"),
        pytest.param(b"#!/bin/sh\necho tuneguard-inert\n", id="a script"),
        pytest.param(b"\x7fELF\x02\x01\x01" + bytes(60), id="a library"),
        pytest.param(b"a: 1\n#" + zips.archive(zips.Member("__main__.py", b"1")), id="a zip by its end"),
        pytest.param(tars.header(start=b"a: 1\n#") + bytes(1024), id="a tar"),
    ],
)
def test_attack_a_text_by_name_that_is_something_else(scan, name: str, data: bytes) -> None:
    assert scan(name, data).verdict is not Verdict.PASSED


@pytest.mark.parametrize("name", ["x.py", "run.sh", "serve.js", "a.pth", "Makefile", "Dockerfile", ".envrc"])
def test_attack_text_that_somebody_would_run(scan, name: str) -> None:
    assert scan(name, b"echo tuneguard-inert\n").verdict is not Verdict.PASSED


@pytest.mark.parametrize(
    "name",
    [
        "pyproject.toml",
        "sub/setup.cfg",
        "tox.ini",
        "pytest.ini",
        "docker-compose.yml",
        "Compose.override.YAML",
        ".github/workflows/ci.yml",
        ".gitlab-ci.yml",
        ".pre-commit-config.yaml",
        "sub/.circleci/config.yml",
    ],
)
def test_attack_settings_by_which_a_program_in_the_folder_runs_commands(scan, name: str) -> None:
    assert rules_of(scan(name, b"a: echo tuneguard-inert\n")) == {"TG-CODE"}
    assert "TG-PKL-CALL" in rules_of(scan(name, p.PAYLOAD))


def test_text_whose_name_says_nothing_is_told_with_what_to_do(scan) -> None:
    result = scan("Dockerfile", b"FROM scratch\n")

    assert result.skipped[0].reason == (
        "is text whose name does not say what it is for: call it .txt, or leave it out"
    )


# --- notebooks and logs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [b"{}", b"[]", b'{"nbformat": 4}', b'{"nbformat": "4", "cells": []}', NOTEBOOK[:-1], b"%% import os"],
)
def test_a_notebook_that_is_none_is_not_understood(scan, data: bytes) -> None:
    assert scan("nb.ipynb", data).verdict is Verdict.NOT_UNDERSTOOD


def test_attack_a_notebook_with_a_key_twice(scan) -> None:
    data = NOTEBOOK[:-1] + b', "cells": [{"cell_type": "code", "source": ["import os"]}]}'

    assert "TG-TWO-READINGS" in rules_of(scan("nb.ipynb", data))


@pytest.mark.parametrize(
    "sequence",
    [
        "\x1b]0;title\x07",
        "\x1b]52;c;ZWNobwo=\x07",
        "\x1b]8;;http://x\x1b\\",
        "\x1b[21t",
        "\x1b[6n",
        "\x1bP$q\x1b\\",
        "\x1b[",
        "\x1b",
        "\x00",
        "\x07",
        "\x1b[1;31",
    ],
)
@pytest.mark.parametrize("before", [0, pytest.param((1 << 20) - 3, marks=pytest.mark.slow)])
def test_attack_a_log_that_acts_on_the_terminal_of_who_reads_it(scan, sequence: str, before: int) -> None:
    data = b"x" * before + sequence.encode()

    assert scan("train.log", data).verdict is Verdict.NOT_UNDERSTOOD


@pytest.mark.slow
@pytest.mark.parametrize("before", range(0, 40, 7))
def test_a_log_with_colours_and_progress_bars_passes_wherever_its_pieces_end(scan, before: int) -> None:
    bar = (
        " 10%|\u2588   | 1/10 [00:01<00:09]\r\x1b[A\x1b[2K\x1b[38;5;208mred\x1b[0m\x08\x08\x1b[?25l\x1b[?25h"
    )
    data = b"x" * ((1 << 20) - before) + bar.encode() * 3

    assert scan("train.log", data).verdict is Verdict.PASSED
    assert scan("notes.txt", data).verdict is Verdict.NOT_UNDERSTOOD


def test_what_training_leaves_behind_passes(scan) -> None:
    result = scan(
        {
            "config.yaml": b"lr: 1.0e-4\nnested: {a: [1, ~, yes]}\n",
            "hparams.yaml": b"{}\n",
            "train.yml": b"---\na: 1\n---\nb: 2\n",
            "a.toml": b"lr = 1e-4\nwhen = 2026-01-01\n[x.y]\nz = [1]\n",
            "nb.ipynb": NOTEBOOK,
            "old.ipynb": b'{"worksheets": [], "metadata": {}, "nbformat": 3}',
            "report.html": b"<html><body>loss</body></html>\n",
            "train.log": b"loss 1\n",
            "slurm-1.out": b"x\n",
            "slurm-1.err": b"x\n",
            "metrics.tsv": b"a\tb\n1\t2\n",
            "metrics.csv": b"a,b\n1,2\n",
            "a.cfg": b"[a]\nb = 1\n",
            "diff.patch": b"--- a\n+++ b\n",
            "VERSION": b"1\n",
            "README.md": b"---\nlicense: mit\n---\n# Card\n",
        }
    )

    assert (result.verdict, result.findings, result.skipped) == (Verdict.PASSED, (), ())


# --- against PyYAML's unsafe loader, with its hands tied -----------------------------------------------


class _Called(Exception):
    """The loader would import or call what a tag names."""


def _tied(base: type) -> type:
    class Tied(base):  # type: ignore[misc,valid-type]
        def find_python_name(self, *_: object, **__: object) -> object:
            raise _Called

        find_python_module = find_python_name
        make_python_instance = find_python_name

    return Tied


LOADERS = [_tied(yaml.UnsafeLoader)]
if hasattr(yaml, "CUnsafeLoader"):
    LOADERS.append(_tied(yaml.CUnsafeLoader))


def _constructs(data: bytes) -> bool:
    for loader in LOADERS:
        try:
            for _ in yaml.load_all(data, Loader=loader):
                pass
        except _Called:
            return True
        except Exception:  # noqa: BLE001 (a loader that stumbles has not constructed)
            continue
    return False


SEEDS = [
    b"a: !!python/object/apply:os.system ['echo']\nb: 1\n",
    b"%TAG !e! tag:yaml.org,2002:python/\n---\na: !e!name:os.system\n",
    b"a: !<tag:yaml.org,2002:python/module:os> ''\n",
    b"- {a: !!python/object:x.Y {b: c}, d: 'e # f'}\n# end\n",
    b'"a": |\n  text\n  !!python/name:os.system\nb: !!python/name:os.system\n',
    b"a: &x !!python/object/new:os.system [echo]\nb: *x\n",
]


def test_no_yaml_that_an_unsafe_loader_constructs_from_is_clean() -> None:
    constructed = 0
    for data in nearly(SEEDS, 3_000, seed=11):
        if _constructs(data):
            constructed += 1
            assert verdict("config.yaml", data) is not Verdict.PASSED, data

    assert constructed > 500
