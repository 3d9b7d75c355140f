"""Keys in a token, against SoftHSM2: which one a URI means, and what is kept from whom."""

from __future__ import annotations

import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

from tuneguard.errors import CannotLook, TuneguardError, UsageError
from tuneguard.signing.signer import needs_passphrase, open_signer
from tuneguard.signing.signers import pkcs11
from world import certificates
from world.keys import no_passphrase
from world.services import environment
from world.signers import pkcs11 as world
from world.signers.pkcs11 import on_token, with_library

PIN = world.PASSPHRASE.decode()


@pytest.fixture(autouse=True)
def made(request):
    """SoftHSM2 reads its configuration once: the token is made before any test has the module loaded."""
    if any("softhsm2-util" in mark.args for mark in request.node.iter_markers("needs")):
        world.token()


def opened(uri, pin=world.PASSPHRASE):
    return open_signer(uri, lambda _: pin)


@pytest.mark.needs("openssl")
@on_token
def test_openssl_verifies_what_the_token_signed(tmp_path):
    signer = opened(world.uri("p384"))
    (tmp_path / "m").write_bytes(b"hello")
    (tmp_path / "sig").write_bytes(signer.sign(b"hello"))
    (tmp_path / "pub").write_bytes(signer.public_key.pem)

    subprocess.run(
        ["openssl", "dgst", "-sha384", "-verify", "pub", "-signature", "sig", "m"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip


@on_token
def test_the_pin_is_taken_from_uri_file_environment_or_person(tmp_path):
    assert needs_passphrase(world.uri("p256"))
    for given in (
        f"&pin-value={PIN}",
        f"&pin-source={pin_file(tmp_path)}",
        f"&pin-source=file:{tmp_path}/pin",
    ):
        assert not needs_passphrase(world.uri("p256", given))
        assert open_signer(world.uri("p256", given), no_passphrase).sign(b"m")
    with environment(COSIGN_PKCS11_PIN=PIN):
        assert open_signer(world.uri("p256"), no_passphrase).sign(b"m")


def pin_file(folder):
    (folder / "pin").write_text(PIN)
    return folder / "pin"


@on_token
def test_the_module_may_be_named_by_the_variable_that_cosign_has():
    with environment(COSIGN_PKCS11_MODULE_PATH=world.module()):
        assert opened(f"{world.token()};object=p256").public_key


@on_token
def test_a_pin_that_is_percent_encoded_is_decoded():
    coded = "".join(f"%{byte:02x}" for byte in world.PASSPHRASE)

    assert open_signer(world.uri("p256", f"&pin-value={coded}"), no_passphrase).public_key


@on_token
def test_attack_a_wrong_pin_is_tried_once_and_never_shown(monkeypatch):
    tries = []
    real = pkcs11._token
    monkeypatch.setattr(pkcs11, "_token", lambda *a: tries.append(1) or real(*a))

    with pytest.raises(UsageError, match="PIN is wrong") as caught:
        opened(world.uri("p256", "&pin-value=swordfish-77"))

    assert tries == [1]
    assert "swordfish" not in f"{caught.value} {caught.value.problems} {caught.value.__cause__}"


@on_token
def test_no_error_about_a_uri_shows_its_pin():
    for broken in ("&foo=1", "&module-path=/x", "&pin-value=again"):
        with pytest.raises(UsageError) as caught:
            opened(world.uri("p256", f"&pin-value=swordfish{broken}"))
        assert "swordfish" not in f"{caught.value} {caught.value.problems}"


@on_token
def test_one_label_on_two_keys_is_not_guessed_and_the_id_chooses():
    with pytest.raises(UsageError, match="2 private keys"):
        opened(world.uri("twice"))

    first, second = (opened(world.uri(f"twice;id=%0{n}")) for n in (8, 9))
    assert first.public_key != second.public_key


@on_token
@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("pkcs11:token=nobody;object=p256", "no such token"),
        ("pkcs11:serial=0;object=p256", "no such token"),
        ("pkcs11:slot-id=7;object=p256", "no such token"),
        (f"pkcs11:token={world.LABEL};object=nobody", "no such key"),
        (f"pkcs11:token={world.LABEL};object=rsa", "of type RSA"),
        (f"pkcs11:token={world.LABEL};object=ed25519", "of type EC_EDWARDS"),
        (f"pkcs11:token={world.LABEL};object=bare", "no public half"),
    ],
)
def test_what_is_not_there_or_not_for_us_is_said(uri, said):
    with pytest.raises(UsageError, match=said) as caught:
        opened(f"{uri}?module-path={world.module()}")
    assert caught.value.help


@pytest.mark.parametrize(
    "uri",
    [
        "pkcs11:",
        "pkcs11:token=x",
        "pkcs11:object",
        "pkcs11:object=a;object=b",
        "pkcs11:object=a;type=public",
        "pkcs11:object=a;vendor-thing=1",
        "pkcs11:object=a?pin-source=a&pin-source=b",
        "pkcs11:object=a;pin-value=1",
        "pkcs11:object=" + "a" * 5000,
    ],
)
def test_a_uri_that_says_too_little_or_what_we_do_not_know_is_refused(uri):
    with pytest.raises(UsageError):
        opened(uri)


@with_library
@pytest.mark.parametrize("mode", [0o777, 0o664])
def test_attack_a_module_that_others_may_write_is_not_loaded(tmp_path, mode):
    planted = tmp_path / "module.so"
    planted.write_bytes(b"\x7fELF inert")
    planted.chmod(mode)

    with pytest.raises(UsageError, match="only root or you may write"):
        opened(f"pkcs11:object=a?module-path={planted}")


@with_library
def test_a_module_that_is_none_is_said(tmp_path):
    planted = tmp_path / "module.so"
    planted.write_bytes(b"inert")
    planted.chmod(0o600)

    with pytest.raises(UsageError, match="does not load"):
        opened(f"pkcs11:object=a?module-path={planted}")
    with pytest.raises(UsageError, match="not there"):
        opened(f"pkcs11:object=a?module-path={tmp_path}/none.so")
    with pytest.raises(UsageError, match="no PKCS#11 module"):
        opened("pkcs11:object=a")


def certificate_over(public, path):
    """A certificate of `public`, by anybody: what names a key on a token that has no public key object."""
    issuer = certificates.authority("anybody")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "builder")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject)
        .public_key(load_der_public_key(public.spki))
        .serial_number(1)
        .not_valid_before(certificates.NOW)
        .not_valid_after(certificates.NOW + certificates.DAY)
        .sign(issuer.key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(Encoding.DER))
    return path


def only_a_certificate(label, id, certificate):
    """Leave a key's private half and this certificate."""
    world.tool("--delete-object", "--type", "pubkey", "--id", id)
    world.tool("--write-object", str(certificate), "--type", "cert", "--id", id, "--label", label)


@on_token
def test_a_certificate_with_the_keys_id_is_public_half_enough(tmp_path):
    world.tool("--keypairgen", "--key-type", "EC:prime256v1", "--id", "0b", "--label", "certified")
    public = opened(world.uri("certified")).public_key
    only_a_certificate("certified", "0b", certificate_over(public, tmp_path / "certificate"))

    signer = opened(world.uri("certified"))
    assert signer.public_key == public
    assert public.verify(signer.sign(b"m"), b"m")


@on_token
def test_attack_a_certificate_of_another_key_under_the_keys_id_gets_no_signature_out(tmp_path):
    world.tool("--keypairgen", "--key-type", "EC:prime256v1", "--id", "0c", "--label", "swapped")
    other = opened(world.uri("p256")).public_key
    only_a_certificate("swapped", "0c", certificate_over(other, tmp_path / "certificate"))

    with pytest.raises(CannotLook, match="does not verify"):
        opened(world.uri("swapped")).sign(b"m")


@on_token
def test_a_key_of_a_token_is_opened_in_a_process_of_its_own_too():
    """As `unlock` does before a run, with the PIN through a pipe."""
    from tuneguard.signing.unlock import public_key_of

    uri = world.uri("p256")
    assert public_key_of(uri, world.PASSPHRASE) == opened(uri).public_key
    with pytest.raises(TuneguardError, match="PIN is wrong"):
        public_key_of(uri, b"wrong-1234")


def test_without_the_library_it_says_what_to_install():
    code = (
        "import sys; sys.modules['pkcs11'] = None\n"
        "from tuneguard.signing.signer import open_signer\n"
        "try: open_signer('pkcs11:object=a', None)\n"
        "except Exception as error: print(error, error.help)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "pip install 'tuneguard[hsm]'" in done.stdout
