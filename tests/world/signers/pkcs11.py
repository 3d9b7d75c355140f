"""The place where a token's keys live: SoftHSM2, a real module, with one token for the whole process.

PKCS#11 modules read their configuration once, so the token's folder and `SOFTHSM2_CONF` stay until the end.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from world.needs import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PASSPHRASE = b"correct-1234"
LABEL = "tuneguard"
MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/libsofthsm2.so",
)
TYPES = {
    "p256": ("EC:prime256v1", "01"),
    "p384": ("EC:secp384r1", "02"),
    "ed25519": ("EC:edwards25519", "03"),
    "rsa": ("rsa:2048", "04"),
}


with_library = pytest.mark.skipif(find_spec("pkcs11") is None, reason="the extra hsm is not installed")
MARKS = (pytest.mark.needs("softhsm2-util", "pkcs11-tool"), with_library)
"""Of each test that signs in the token."""


def on_token(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that signs in the token."""
    for mark in MARKS:
        test = mark(test)
    return test


def module() -> str:
    """SoftHSM2's module, which its package lays down."""
    need("softhsm2-util", "pkcs11-tool")
    return next(path for path in MODULES if Path(path).exists())


def token() -> str:
    """What a URI says of the token, which is made once; a test may have put the environment back since."""
    os.environ["SOFTHSM2_CONF"] = made()
    return f"pkcs11:token={LABEL}"


@cache
def made() -> str:
    """Make the token and its keys; the path of SoftHSM2's configuration."""
    folder = Path(tempfile.mkdtemp(prefix="softhsm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    pin = PASSPHRASE.decode()
    run("softhsm2-util", "--init-token", "--free", "--label", LABEL, "--pin", pin, "--so-pin", "officer-1234")
    for name, (kind, id) in TYPES.items():
        tool("--keypairgen", "--key-type", kind, "--id", id, "--label", name)
    for id in ("08", "09"):
        tool("--keypairgen", "--key-type", "EC:prime256v1", "--id", id, "--label", "twice")
    tool("--keypairgen", "--key-type", "EC:prime256v1", "--id", "0a", "--label", "bare")
    tool("--delete-object", "--type", "pubkey", "--id", "0a")
    return str(configuration)


def tool(*arguments: str) -> None:
    """OpenSC's, logged in to the token."""
    login = ("--module", module(), "--token-label", LABEL, "--login", "--pin", PASSPHRASE.decode())
    run("pkcs11-tool", *login, *arguments)


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def uri(name: str, query: str = "", *, path: str = "object") -> str:
    """A key's URI."""
    where = module()
    return f"{token()};{path}={name}?module-path={where}{query}"


@contextlib.contextmanager
def place(folder: Path) -> Iterator[dict[str, str]]:
    """One URI for each sort of key that can live here."""
    source = folder / "pin"
    source.write_bytes(PASSPHRASE + b"\n")
    yield {
        "p256 by label": uri("p256"),
        "p384 by id": uri("%02", path="id"),
        "p256 with the PIN in a file": uri("p256", f"&pin-source={source}"),
    }


def missing(folder: Path) -> str:
    """The URI of a key that is not there."""
    return uri("nobody", f"&pin-value={PASSPHRASE.decode()}")
