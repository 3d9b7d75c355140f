"""Commands to paste: whatever a name holds, a shell reads it as one argument, or none is offered."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tuneguard
from tuneguard import paste

NAMES = (
    "$(touch PWNED)",
    "`touch PWNED`",
    "a; touch PWNED #",
    "a' ; touch PWNED ; '",
    'a" ; touch PWNED ; "',
    "a & touch PWNED",
    "a | tee PWNED",
    "a > PWNED",
    "~root",
    "$HOME",
    "*",
    "a\\b",
    "{a,b}",
    "!!",
    "läufe/042 €",
    "",
)


def read_back(line: str, room: Path) -> list[str]:
    """The arguments that a shell hands on when the line is pasted."""
    script = f"tuneguard() {{ printf '%s\\0' \"$@\"; }}\n{line}\n"
    done = subprocess.run(["sh"], input=script, cwd=room, capture_output=True, text=True, check=True)
    return done.stdout.removesuffix("\0").split("\0")


@pytest.mark.parametrize("name", NAMES)
def test_attack_a_name_that_is_a_command_is_one_argument(name: str, tmp_path: Path):
    line = paste.command("pull", name, "DIR", "--model", name)

    assert line is not None
    assert read_back(line, tmp_path) == ["pull", name, "DIR", "--model", name]
    assert not list(tmp_path.iterdir())


@settings(max_examples=30)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=20))
def test_any_command_is_printed_as_it_is_or_not_offered(texts: list[str]):
    line = paste.command(*texts)

    assert (line is None) == any(not text.isprintable() for text in texts)
    assert line is None or read_back(line, Path("/")) == texts


@pytest.mark.parametrize(
    "name", ["a\nb", "a\rb", "\x1b]52;c;cm0=\x07", "a\u202eb", "a\u200bb", "a\x9b2J", "a\udcff"]
)
def test_attack_a_name_that_a_terminal_would_act_on_is_in_no_command(name: str):
    assert paste.command("scan", name) is None
    assert paste.command("scan", Path(name)) is None
    assert paste.after("look at it", "scan", Path(name)) == "look at it"


def test_a_folder_that_looks_like_an_option_is_written_as_a_path():
    assert paste.command("scan", Path("-rf"), "--sign") == "tuneguard scan ./-rf --sign"


def test_a_path_is_written_as_seen_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    assert paste.command("scan", tmp_path / "runs/042", Path("/etc")) == "tuneguard scan runs/042 /etc"


def test_no_sentence_puts_a_value_into_a_command_by_itself():
    """`paste` alone builds commands; `output.manual_verification` quotes its own and has its own attacks."""
    command = re.compile(r"\b(?:tuneguard [a-z-]+|chmod)\b")
    found = []
    for path in Path(tuneguard.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())) if command.search(path.read_text()) else ():
            if isinstance(node, ast.JoinedStr) and any(
                isinstance(part, ast.FormattedValue) for part in node.values
            ):
                texts = [part.value for part in node.values if isinstance(part, ast.Constant)]
                if any(command.search(text) for text in texts):
                    found.append(f"{path.name}:{node.lineno}")

    assert [place for place in found if not place.startswith("manual_verification.py")] == []
