"""Every command and example in docs/digest.md is run, in its order, and prints what the page says."""

from __future__ import annotations

import doctest
import re
import subprocess
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "digest.md"
BLOCK = re.compile(r"^```(console|pycon)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def run_console(block: str, folder: Path) -> Path:
    """Run the ``$`` lines of `block`, compare what each prints, and return the folder they end in."""
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
        done = subprocess.run(
            ["bash", "-euc", f"{command}\npwd > /dev/fd/2"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == expected, command
        folder = Path(done.stderr.splitlines()[-1])
    return folder


def test_the_page_about_the_digest_says_what_happens(tmp_path, monkeypatch):
    folder, names = tmp_path, {}
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) == 5

    for kind, block in blocks:
        if kind == "console":
            folder = run_console(block, folder)
        else:
            monkeypatch.chdir(folder)
            test = doctest.DocTestParser().get_doctest(block, names, PAGE.name, str(PAGE), 0)
            runner = doctest.DocTestRunner()
            runner.run(test, clear_globs=False)
            names = test.globs
            assert runner.failures == 0
