"""The build back-end that `pyproject.toml` names: setuptools, and the same bytes from every build of a wheel.

setuptools writes each file's time and permissions into the wheel, and takes up whatever an earlier build left
in `build/lib` and in `*.egg-info`. Here a wheel is built outside the checkout, and each entry gets one time
and one mode.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path

from setuptools import build_meta
from setuptools.build_meta import (  # noqa: F401 (what a front-end calls; an editable install is not shipped)
    build_editable,
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
)

EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip file can write
FILE = 0o100644


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """The wheel. Its name is the answer, as PEP 517 says."""
    with built_outside_the_checkout():
        name = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    make_plain(Path(wheel_directory, name))
    return name


@contextmanager
def built_outside_the_checkout():
    """setuptools keeps what it makes on the way in a folder that is new and goes afterwards."""
    with tempfile.TemporaryDirectory() as room:
        settings = Path(room, "settings.cfg")
        settings.write_text(f"[build]\nbuild_base = {room}/build\n[egg_info]\negg_base = {room}\n")
        os.environ["DIST_EXTRA_CONFIG"] = str(settings)
        try:
            yield
        finally:
            del os.environ["DIST_EXTRA_CONFIG"]


def make_plain(wheel: Path) -> None:
    """Write the wheel again, each entry with the same time and mode. Names, order and contents stay.

    Not compressed: another zlib compresses to other bytes.
    """
    with zipfile.ZipFile(wheel) as archive:
        contents = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in contents:
            entry = zipfile.ZipInfo(name, EARLIEST)
            entry.external_attr = FILE << 16
            archive.writestr(entry, content)
