"""A key in a hardware or software token, by its PKCS#11 URI (RFC 7512), as cosign takes it.

::

    pkcs11:token=ml;object=builder?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/run/secrets/pin

Path attributes: ``token``, ``serial``, ``manufacturer``, ``model``, ``slot-id``, ``object``, ``id``, and
``type=private``. Query attributes: ``module-path`` (or ``COSIGN_PKCS11_MODULE_PATH``), ``pin-source`` (a
file) and ``pin-value``. The PIN may also be in ``COSIGN_PKCS11_PIN``, and is asked for otherwise; a
``pin-value`` shows in process lists. It is tried once, since tokens lock themselves. An attribute that we do
not know is refused: it would narrow the choice.

A session lasts for one operation, so that nobody else's use of the token is held up. Digests are made here
and signed with raw ``CKM_ECDSA``: not every token hashes. A module that hangs is not interrupted from here.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tuneguard import limits
from tuneguard.errors import CannotLook, NotUnderstood, UsageError
from tuneguard.files import printable, read_named
from tuneguard.signing.key import PublicKey
from tuneguard.signing.remote import RemoteSigner, der, library, prehashed
from tuneguard.signing.signer import SignerKind, for_people, secret_in
from tuneguard.signing.signers.file import path_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.signing.signer import PassphraseSource

_PATH = ("token", "serial", "manufacturer", "model", "slot-id", "object", "id", "type")
_QUERY = ("module-path", "pin-source", "pin-value")
_URI_CHARACTERS = 4096
MODULE_VARIABLE, PIN_VARIABLE = "COSIGN_PKCS11_MODULE_PATH", "COSIGN_PKCS11_PIN"


@dataclass(frozen=True, repr=False)
class _Place:
    """What a URI states, decoded. Never shown: it may hold the PIN."""

    where: str
    named: dict[str, bytes]

    def text(self, name: str) -> str | None:
        """An attribute, or None where the URI is silent."""
        value = self.named.get(name)
        return None if value is None else value.decode(errors="replace")

    @property
    def pin(self) -> bytes | None:
        """The PIN that the URI or the environment has."""
        if "pin-value" in self.named:
            return self.named["pin-value"]
        if (source := self.text("pin-source")) is not None:
            return secret_in(read_named(path_of(source), limits.PASSPHRASE_BYTES))
        given = os.environ.get(PIN_VARIABLE)
        return None if given is None else secret_in(os.fsencode(given))


def open_key(uri: str, passphrase: PassphraseSource) -> RemoteSigner:
    """Find the key that `uri` names and its public half.

    Raises:
        UsageError: no such module, token or key, more than one, or a wrong PIN.
        CannotLook: the token fails.
    """
    place = _parse(uri)
    library("pkcs11", "hsm")
    module = _module(place)
    pin = place.pin
    if pin is None:
        pin = passphrase(place.where)
    with _key(place, module, pin) as (session, key):
        public = _public_half(place, session, key)

    def sign_once(message: bytes) -> bytes:
        from pkcs11 import Mechanism

        with _key(place, module, pin) as (_, key):
            return der(key.sign(prehashed(public, message), mechanism=Mechanism.ECDSA), public, place.where)

    return RemoteSigner(place.where, public, sign_once)


def needs_pin(uri: str) -> bool:
    """Whether neither the URI nor the environment has the PIN."""
    return _parse(uri).pin is None


def redacted(uri: str) -> str:
    """A URI for people: without its PIN."""
    return for_people(uri)[:600]


def _parse(uri: str) -> _Place:
    where = redacted(uri)
    path, _, query = uri.partition(":")[2].partition("?")
    named: dict[str, bytes] = {}
    for text, separator, known in ((path, ";", _PATH), (query, "&", _QUERY)):
        for attribute in filter(None, text.split(separator)):
            name, equals, value = attribute.partition("=")
            if name not in known or not equals or name in named:
                raise UsageError(
                    f"the attribute {printable(name)[:40]} is not known there, or is given twice",
                    where=where,
                    help=f"known are {', '.join(_PATH)}, and after the ? {', '.join(_QUERY)}",
                )
            named[name] = unquote_to_bytes(value)
    if not ({"object", "id"} & named.keys()) or len(uri) > _URI_CHARACTERS:
        raise UsageError("names no key", where=where, help="write pkcs11:token=LABEL;object=LABEL")
    if named.get("type", b"private") != b"private":
        raise UsageError("names no private key", where=where, help="leave type= out, or write type=private")
    return _Place(where, named)


def _module(place: _Place) -> Any:
    """Load the module: code that runs in this process, so only where nobody else may write it.

    Raises:
        UsageError: there is none, it may be written by others, or it does not load.
    """
    import pkcs11

    path = place.text("module-path") or os.environ.get(MODULE_VARIABLE)
    if not path:
        raise UsageError(
            "no PKCS#11 module is named",
            where=place.where,
            help=f"add ?module-path=FILE, or set {MODULE_VARIABLE}",
        )
    shown = printable(path)[:300]
    try:
        held = os.stat(path)
    except (OSError, ValueError) as error:
        raise UsageError(
            "the PKCS#11 module is not there", where=shown, help="install it, or correct the path"
        ) from error
    theirs = held.st_uid not in (0, os.geteuid()) or held.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not os.path.isabs(path) or not stat.S_ISREG(held.st_mode) or theirs:
        raise UsageError(
            "the PKCS#11 module is no file that only root or you may write, named by its whole path",
            where=shown,
            help="its author's code runs in the process that signs: name the one that the system installed",
        )
    try:
        return pkcs11.lib(path)
    except (pkcs11.PKCS11Error, RuntimeError, OSError) as error:
        raise UsageError("the PKCS#11 module does not load", where=shown, help="is it one?") from error


@contextlib.contextmanager
def _key(place: _Place, module: Any, pin: bytes) -> Iterator[tuple[Any, Any]]:
    """A session, and the one private key in it, until leaving."""
    from pkcs11 import ObjectClass

    with _errors(place), _token(place, module).open(user_pin=_text(pin, place)) as session:
        found = list(session.get_objects(_template(place, ObjectClass.PRIVATE_KEY)))
        if len(found) != 1:
            raise UsageError(
                f"{len(found)} private keys have this name in the token"
                if found
                else "the token has no such key",
                where=place.where,
                help="name it by object=LABEL and id=%HH; pkcs11-tool --list-objects shows both",
            )
        yield session, found[0]


def _token(place: _Place, module: Any) -> Any:
    found = []
    for slot in module.get_slots(token_present=True):
        token = slot.get_token()
        has = {
            "token": token.label,
            "serial": token.serial.decode(errors="replace").strip() if token.serial else "",
            "manufacturer": token.manufacturer_id,
            "model": token.model,
            "slot-id": str(slot.slot_id),
        }
        if all(place.text(name) in (None, value) for name, value in has.items()):
            found.append(token)
    if len(found) != 1:
        raise UsageError(
            f"{len(found)} tokens are called that" if found else "there is no such token",
            where=place.where,
            help="name it by token=LABEL or serial=; pkcs11-tool --list-token-slots shows them",
        )
    return found[0]


def _template(place: _Place, kind: Any) -> dict[Any, Any]:
    from pkcs11 import Attribute

    template = {Attribute.CLASS: kind}
    if (label := place.text("object")) is not None:
        template[Attribute.LABEL] = label
    if "id" in place.named:
        template[Attribute.ID] = place.named["id"]
    return template


def _public_half(place: _Place, session: Any, key: Any) -> PublicKey:
    """From the public key or the certificate with the private key's id, whichever the token has."""
    import pkcs11
    from pkcs11 import Attribute, ObjectClass

    if key.key_type is not pkcs11.KeyType.EC:
        raise UsageError(
            f"is a key of type {key.key_type.name}", where=place.where, help="use ECDSA over P-256 or P-384"
        )
    same = {Attribute.ID: key[Attribute.ID]}
    for public in session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY, **same}):
        return PublicKey.from_spki(_spki(place, public), place.where)
    for certificate in session.get_objects({Attribute.CLASS: ObjectClass.CERTIFICATE, **same}):
        try:
            held = x509.load_der_x509_certificate(certificate[Attribute.VALUE]).public_key()
            spki = held.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except ValueError as error:
            raise NotUnderstood("the token's certificate is none", where=place.where) from error
        return PublicKey.from_spki(spki, place.where)
    raise UsageError(
        "the token has no public half of this key",
        where=place.where,
        help="store the public key or a certificate with the same id",
    )


def _spki(place: _Place, public: Any) -> bytes:
    from pkcs11.util.ec import encode_ec_public_key

    try:
        return bytes(encode_ec_public_key(public))
    except (ValueError, TypeError) as error:
        raise NotUnderstood("the token's public key is none", where=place.where) from error


@contextlib.contextmanager
def _errors(place: _Place) -> Iterator[None]:
    """The token's errors as ours; none of them holds the PIN."""
    import pkcs11

    try:
        yield
    except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange):
        raise UsageError(
            "the PIN is wrong",
            where=place.where,
            help="try the right one; a token locks after a few wrong ones",
        ) from None
    except (pkcs11.PinLocked, pkcs11.PinExpired):
        raise UsageError(
            "the PIN is locked or has expired", where=place.where, help="have the token's officer set it anew"
        ) from None
    except pkcs11.MechanismInvalid as error:
        raise UsageError(
            "the token cannot sign with this key",
            where=place.where,
            help="use an ECDSA key over P-256 or P-384",
        ) from error
    except (pkcs11.TokenNotPresent, pkcs11.TokenNotRecognised, pkcs11.DeviceRemoved) as error:
        raise CannotLook("the token is gone", where=place.where, help="plug it in again") from error
    except pkcs11.PKCS11Error as error:
        raise CannotLook(
            f"the token fails ({type(error).__name__})", where=place.where, help="see the token's own tools"
        ) from error


def _text(pin: bytes, place: _Place) -> str:
    try:
        return pin.decode()
    except UnicodeDecodeError:
        raise UsageError("the PIN is not text in UTF-8", where=place.where) from None


SIGNER = SignerKind(id="pkcs11", schemes=("pkcs11",), open=open_key, needs_passphrase=needs_pin)
