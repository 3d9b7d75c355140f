"""A private Sigstore: OIDC issuer, CT log, Rekor v2, timestamp authority, Fulcio; all real but the issuer."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stack import authority, oidc
from stack.processes import free_port, server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stack.oidc import Issuer

TRUST_CONFIG_TYPE = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"


@dataclass(frozen=True)
class Sigstore:
    """A running instance. The three files are what clients need: nothing is fetched from anywhere."""

    folder: Path
    issuer: Issuer

    @property
    def trusted_root(self) -> Path:
        """What verifiers believe (``trusted_root.json``)."""
        return self.folder / "trusted_root.json"

    @property
    def signing_config(self) -> Path:
        """Where signers go (``signing_config.json``)."""
        return self.folder / "signing_config.json"

    @property
    def trust_config(self) -> Path:
        """Both in one, as sigstore-python and model_signing take them."""
        return self.folder / "trust_config.json"

    @property
    def first(self) -> Path:
        """cosign's bundle of the log's entry 0, by ``first@private.test``."""
        return self.folder / "first.json"

    def token(self, email: str, **changed: object) -> str:
        """An identity token."""
        return self.issuer.token(email, **changed)


@contextlib.contextmanager
def running(folder: Path, bin: Path) -> Iterator[Sigstore]:
    """Start all five; `folder` must not exist. The timestamp authority takes port 2112 too: one a host."""
    folder.mkdir()
    keys = folder / "keys"
    authority.make(keys)
    with contextlib.ExitStack() as stack:
        issuer = stack.enter_context(oidc.serve(keys / "oidc.key"))
        urls = _start(stack, folder, keys, bin, issuer.url)
        _write_trust(folder, keys, bin, {**urls, "oidc": issuer.url})
        _first_entry(folder, bin, issuer.token("first@private.test"))
        yield Sigstore(folder, issuer)


def _start(stack: contextlib.ExitStack, folder: Path, keys: Path, bin: Path, issuer: str) -> dict[str, str]:
    ports = {name: free_port() for name in ("ct", "rekor", "rekor-grpc", "rekor-metrics", "tsa")}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    host = ("--host", "127.0.0.1")

    def up(name: str, ready: str, *command: object) -> None:
        stack.enter_context(server([str(part) for part in command], log=folder / f"{name}.log", ready=ready))

    up(
        "ct", f"{urls['ct']}/checkpoint",
        bin / "tinyct", f"127.0.0.1:{ports['ct']}", folder / "ct", "ct.private.test",
        keys / "ctlog.key", keys / "fulcio.pem",
    )  # fmt: skip
    up(
        "rekor", f"{urls['rekor']}/healthz",
        bin / "rekor", "serve", "--http-port", ports["rekor"], "--grpc-port", ports["rekor-grpc"],
        "--http-metrics-port", ports["rekor-metrics"], "--hostname", "127.0.0.1",
        "--storage-dir", folder / "rekor", "--signer-filepath", keys / "rekor.key",
        "--checkpoint-interval", "100ms", "--batch-max-age", "10ms",
    )  # fmt: skip
    up(
        "tsa", f"{urls['tsa']}/ping",
        bin / "timestamp-server", "serve", *host, "--port", ports["tsa"], "--timestamp-signer", "file",
        "--file-signer-key-path", keys / "tsa.key", "--certificate-chain-path", keys / "tsa-chain.pem",
        "--disable-ntp-monitoring",
    )  # fmt: skip
    urls["fulcio"] = _start_fulcio(up, folder, keys, bin, issuer, urls["ct"])
    return urls


def _start_fulcio(up, folder: Path, keys: Path, bin: Path, issuer: str, ct: str) -> str:
    (folder / "fulcio.yaml").write_text(  # as JSON, which it reads too, the key would be another
        f'oidc-issuers:\n  {issuer}: {{issuer-url: "{issuer}", client-id: sigstore, type: email}}\n'
    )
    port, grpc, metrics = free_port(), free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    up(
        "fulcio", f"{url}/healthz",
        bin / "fulcio", "serve", "--host", "127.0.0.1", "--port", port, "--grpc-host", "127.0.0.1",
        "--grpc-port", grpc, "--metrics-port", metrics, "--config-path", folder / "fulcio.yaml",
        "--ca", "fileca", "--fileca-cert", keys / "fulcio.pem", "--fileca-key", keys / "fulcio.key",
        "--fileca-key-passwd", authority.FULCIO_PASSWORD, "--fileca-watch=false",
        "--ct-log-url", ct, "--ct-log-public-key-path", keys / "ctlog.pub",
        "--legacy-unix-domain-socket", f"@fulcio-{port}",
    )  # fmt: skip
    return url


def _first_entry(folder: Path, bin: Path, token: str) -> None:
    """Entry 0 is special: cosign leaves its zeros out, and sigstore-python refuses that. So we take it."""
    (folder / "blob").write_text("the first")
    (folder / "predicate.json").write_text("{}")
    _cosign(
        folder, bin, "attest-blob", "--yes", "--predicate", folder / "predicate.json",
        "--type", "https://private.test/first", "--bundle", folder / "first.json", "--identity-token", token,
        "--signing-config", folder / "signing_config.json", "--trusted-root", folder / "trusted_root.json",
        folder / "blob",
    )  # fmt: skip


def _write_trust(folder: Path, keys: Path, bin: Path, urls: dict[str, str]) -> None:
    """`cosign` writes the two files, so that their form is the real one."""
    start = (dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    tsa = f"{urls['tsa']}/api/v1/timestamp"
    common = f"start-time={start},operator=private"
    _cosign(
        folder, bin, "trusted-root", "create",
        "--fulcio", f"url={urls['fulcio']},certificate-chain={keys}/fulcio.pem,start-time={start}",
        "--rekor", f"url={urls['rekor']},public-key={keys}/rekor.pub,start-time={start},origin=127.0.0.1",
        "--ctfe", f"url={urls['ct']},public-key={keys}/ctlog.pub,start-time={start}",
        "--tsa", f"url={tsa},certificate-chain={keys}/tsa-chain.pem,start-time={start}",
        "--out", folder / "trusted_root.json",
    )  # fmt: skip
    _cosign(
        folder, bin, "signing-config", "create",
        "--fulcio", f"url={urls['fulcio']},api-version=1,{common}",
        "--oidc-provider", f"url={urls['oidc']},api-version=1,{common}",
        "--rekor", f"url={urls['rekor']},api-version=2,{common}", "--rekor-config", "ANY",
        "--tsa", f"url={tsa},api-version=1,{common}", "--tsa-config", "ANY",
        "--out", folder / "signing_config.json",
    )  # fmt: skip
    both = {
        "mediaType": TRUST_CONFIG_TYPE,
        "trustedRoot": json.loads((folder / "trusted_root.json").read_text()),
        "signingConfig": json.loads((folder / "signing_config.json").read_text()),
    }
    (folder / "trust_config.json").write_text(json.dumps(both))


def _cosign(folder: Path, bin: Path, *arguments: object) -> None:
    subprocess.run(
        [str(bin / "cosign"), *map(str, arguments)],
        env={"HOME": str(folder), "PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        timeout=60,
    )
