"""A small model pushed into a real image layout, with two pieces of evidence."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

from tuneguard.artifact.manifest import File, Manifest
from tuneguard.oci import client
from tuneguard.oci import manifest as oci
from tuneguard.oci.layout import Layout

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "config.json": b"{}",
    "empty": b"",
    "model.safetensors": b"w" * 1_200_000,
    "same.safetensors": b"w" * 1_200_000,
}
TREE = Manifest(
    tuple(File(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in FILES.items())
)
MODEL = oci.build(TREE)
EVIDENCE = [b'{"piece":1}', b'{"piece":2}']


def push(path: Path, tag: str = "v1") -> Layout:
    """Everything of a promotion that a registry sees, in the order of TRUST.md rule 25."""
    registry = Layout(path)
    for layer in MODEL.layers:
        registry.put_blob(layer.digest, layer.size, lambda path=layer.path: io.BytesIO(FILES[path]))
    registry.put_blob(MODEL.config_descriptor.digest, len(MODEL.config), lambda: io.BytesIO(MODEL.config))
    registry.put_manifest(MODEL.data)
    for piece in EVIDENCE:
        client.attach(registry, oci.referrer(MODEL.descriptor, piece))
    registry.tag(tag, MODEL.digest)
    return registry


def content(path: Path) -> dict[str, bytes]:
    """Every file of a folder: its path below it, and its bytes."""
    return {
        str(found.relative_to(path)): found.read_bytes()
        for found in sorted(path.rglob("*"))
        if found.is_file()
    }
