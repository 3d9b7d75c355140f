"""A key in a Kubernetes secret: ``k8s://NAMESPACE/SECRET``, with the members that cosign gives it.

``cosign.key`` is the private key (cosign's form or PKCS#8), ``cosign.password`` its passphrase, and
``cosign.pub`` the public key, which must be the private one's. The cluster and who we are come from the
kubeconfig, or from the pod. Needs ``get`` on this one secret. Anyone who can read the secret can sign: a key
service is better.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from typing import TYPE_CHECKING, Any

from tuneguard.errors import NotUnderstood, Refused, UsageError
from tuneguard.files import printable
from tuneguard.signing.key import PublicKey
from tuneguard.signing.remote import CONNECT_SECONDS, READ_SECONDS, Faltered, attempts, faltered, library
from tuneguard.signing.signer import SignerKind
from tuneguard.signing.signers.file import FileSigner, open_pem

if TYPE_CHECKING:
    from tuneguard.signing.signer import PassphraseSource

_NAME = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"
_URI = re.compile(rf"k8s://(?P<namespace>{_NAME})/(?P<secret>{_NAME})", re.IGNORECASE)


def open_secret(uri: str, _: PassphraseSource) -> FileSigner:
    """Fetch the secret and open its key.

    Raises:
        UsageError: no cluster, no such secret, no permission, or a passphrase that does not open the key.
        NotUnderstood: the secret holds no key.
        Refused: its two halves are not of one key.
        CannotLook: the cluster cannot be reached, or falters.
    """
    found = _URI.fullmatch(uri)
    where = printable(uri)[:600]
    if found is None:
        raise UsageError("is not a secret of Kubernetes", where=where, help="write k8s://NAMESPACE/SECRET")
    data = attempts(where, lambda: _secret(where, found["namespace"], found["secret"]))
    signer = open_pem(
        _member(data, "cosign.key", where), where, lambda _: _member(data, "cosign.password", where)
    )
    if (
        "cosign.pub" in data
        and PublicKey.from_pem(_member(data, "cosign.pub", where), where) != signer.public_key
    ):
        raise Refused(
            "cosign.pub is not the public half of cosign.key",
            where=where,
            help="find out who wrote to the secret",
        )
    return signer


def _secret(where: str, namespace: str, name: str) -> dict[str, str]:
    kubernetes = library("kubernetes", "kubernetes")
    urllib3 = library("urllib3.exceptions", "kubernetes")
    settings = kubernetes.client.Configuration()
    file = os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config")
    try:
        if os.path.exists(file):
            kubernetes.config.load_kube_config(file, client_configuration=settings)
        else:
            kubernetes.config.load_incluster_config(client_configuration=settings)
    except kubernetes.config.ConfigException as error:
        raise UsageError("there is no cluster to ask", where=where, help="set KUBECONFIG") from error
    settings.retries = False
    try:
        with kubernetes.client.ApiClient(settings) as client:
            secret = kubernetes.client.CoreV1Api(client).read_namespaced_secret(
                name, namespace, _request_timeout=(CONNECT_SECONDS, READ_SECONDS)
            )
    except kubernetes.client.ApiException as error:
        raise _refusal(error.status or 0, where) from error
    except (urllib3.HTTPError, OSError) as error:
        raise faltered(error, "check KUBECONFIG") from error
    return dict(secret.data or {})


def _refusal(status: int, where: str) -> Exception:
    if status == 429 or status >= 500:
        return Faltered("is throttled" if status == 429 else f"answers {status}")
    what, help = {
        401: ("the cluster does not know who we are", "log in to the cluster again"),
        403: ("no permission to read the secret", "grant get on this one secret, by its resourceNames"),
        404: ("there is no such secret", "check namespace and name, and which cluster KUBECONFIG names"),
    }.get(status, (f"the cluster refuses ({status})", "try: kubectl get secret"))
    return UsageError(what, where=where, help=help)


def _member(data: dict[str, Any], name: str, where: str) -> bytes:
    try:
        return base64.b64decode(data[name], validate=True)
    except KeyError:
        raise NotUnderstood(
            f"the secret has no {name}", where=where, help="make it with cosign generate-key-pair k8s://…"
        ) from None
    except (binascii.Error, ValueError, TypeError):
        raise NotUnderstood(f"the secret's {name} is not base64", where=where) from None


SIGNER = SignerKind(id="k8s", schemes=("k8s",), open=open_secret, needs_passphrase=lambda _: False)
