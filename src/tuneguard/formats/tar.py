"""Tar archives, as far as to know that a reader would take a file for one.

``torch.load`` asks at every file that is no zip whether it is its oldest form, a tar archive, before it
tries a pickle; it asks ``tarfile``. That answer depends on the first 512 bytes alone: all of them are zero
(an archive without members), or their numbers parse and one of two sums agrees. What ``tarfile`` reads
afterwards can only make it refuse again, so that to ask about those bytes takes a little more than it does.

Source: CPython ``Lib/tarfile.py``, ``TarFile.next`` and ``TarInfo.frombuf``, which ask the same of these
bytes in 3.11 to 3.14; torch ``serialization.py``, ``_legacy_load``.
"""

from __future__ import annotations

import tarfile

BLOCK = 512
"""Bytes of a header."""


def looks_like(head: bytes) -> bool:
    """Whether ``tarfile`` takes a file that begins with `head` for an archive. Reads nothing but `head`."""
    block = head[:BLOCK]
    if block == bytes(BLOCK):
        return True  # the end of an archive, here of one without members
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    except Exception:  # noqa: BLE001 (whatever stops it there, it did not refuse)
        return True
    return True
