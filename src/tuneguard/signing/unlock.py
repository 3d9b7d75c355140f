"""Looks at a private key in a process of its own, which is gone before anything else begins.

A wrong passphrase must show before hours of training, not after them. But the engine of a plan holds
no key, and a run's supervisor opens one only when the sandbox is dead. So a child gets the passphrase
through a pipe, opens the key, prints the public half and ends; the asking process never sees the key.

    python -P -m tuneguard.signing.unlock      (on standard input the URI, a NUL, the passphrase)

The URI is not an argument: it may hold a token's PIN, and everybody sees arguments.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tuneguard import records
from tuneguard.errors import CannotLook, TuneguardError, UsageError
from tuneguard.signing.key import PublicKey
from tuneguard.signing.signer import for_people, open_signer


def public_key_of(uri: str, passphrase: bytes = b"") -> PublicKey:
    """The public half of the key that `uri` names, opened with `passphrase` if it is encrypted.

    Raises:
        UsageError: the key is not there, is of a type that we do not use, or the passphrase is wrong.
        CannotLook: it cannot be read or reached.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tuneguard.signing.unlock"],
        input=os.fsencode(uri) + b"\0" + passphrase,
        capture_output=True,
        check=False,
    )
    if done.returncode == 0:
        return PublicKey.from_pem(done.stdout, for_people(uri))
    said = records.read_json(done.stdout, "what looked at the key") if done.stdout else {}
    kind = UsageError if done.returncode == UsageError.exit_code else CannotLook
    raise kind(
        said.get("what", "the key could not be looked at"), where=said.get("where"), help=said.get("help")
    )


def main() -> int:
    """The child: one key opened, one public key or one error printed."""
    try:
        uri, _, passphrase = sys.stdin.buffer.read().partition(b"\0")
        signer = open_signer(os.fsdecode(uri), lambda _: passphrase)
    except TuneguardError as error:
        first = error.problems[0]
        said = {"what": first.what, "where": first.where, "help": first.help}
        sys.stdout.buffer.write(records.to_json(said))
        return error.exit_code
    sys.stdout.buffer.write(signer.public_key.pem)
    return 0


if __name__ == "__main__":
    sys.exit(main())
