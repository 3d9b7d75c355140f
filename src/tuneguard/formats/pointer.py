"""Pointers: small texts that stand where a large file belongs, after a clone without it.

Git LFS writes lines of a key and a value, the first of which is the version. Git-annex writes the place of
the file's content in its own folder, with the size in the key.

Source: Git LFS ``docs/spec.md`` and ``lfs/pointer.go`` (which reads three older versions as well);
git-annex ``Annex/Link.hs`` and its key format.
"""

from __future__ import annotations

import re

from tuneguard.formats.facts import Fact

_LFS = re.compile(
    rb"version (?:https://(?:git-lfs|hawser)\.github\.com/spec/v1|http://git-media\.io/v/2)\r?\n"
    rb"(?:[a-z0-9.-]+ [^\r\n]*\r?\n)*?size (?P<size>[0-9]{1,19})\s*",
)
_LFS_ALPHA = re.compile(rb"# (?:git-media|external)\r?\n[0-9a-fA-F]{40,64}\s*")
_ANNEX = re.compile(rb"/?(?:\.git/)?annex/objects/[A-Z0-9_]{2,20}(?:-s(?P<size>[0-9]{1,19}))?.*", re.DOTALL)
_LONGEST = 32 * 1024
"""Bytes of a pointer: git-annex reads no longer ones, Git LFS none over one kilobyte."""


class Pointer(Fact, frozen=True, eq=False):
    """The bytes point to a file kept elsewhere: its size in bytes, if stated, and the command to fetch it."""

    size: int | None
    fetch: str

    @property
    def what(self) -> str:
        """In words."""
        size = "a file" if self.size is None else f"{self.size:,} bytes"
        return f"a pointer to {size}: {self.fetch}"


def pointer_of(head: bytes, size: int) -> Pointer | None:
    """What pointer a file of `size` bytes is that begins with `head`, or None."""
    if size > min(_LONGEST, len(head)):
        return None
    for form, fetch in ((_LFS, "git lfs pull"), (_LFS_ALPHA, "git lfs pull"), (_ANNEX, "git annex get")):
        if found := form.fullmatch(head):
            digits = found.groupdict().get("size")
            return Pointer(None if digits is None else int(digits), fetch)
    return None
