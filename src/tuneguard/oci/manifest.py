"""A tree as a model in a registry: CNCF ModelPack v0.0.7 on OCI 1.1, and evidence as its referrers.

::

    Manifest (a tree)  ──build──▶  ModelManifest          one raw layer a file, its path in annotations
    bytes of a registry ──read──▶  ModelManifest  ──tree──▶  the Manifest that they claim
    bundle             ──refer──▶  Referrer               artifactType: Sigstore bundle; subject: the model

`build` is a pure function of the tree: no time, no name, nothing from outside goes in. So a holder of
the tree digest's manifest derives the OCI digest, and a verdict can name it before anything is pushed
(TRUST.md rule 21). A raw layer's digest is the file's own SHA-256.

    >>> from tuneguard.artifact.manifest import File, Manifest
    >>> tree = Manifest((File("config.json", 2, "44" * 32), File("model.safetensors", 9, "ab" * 32)))
    >>> model = build(tree)
    >>> model.digest == build(tree).digest and read(model.data, "demo").tree == tree
    True
    >>> [layer.media_type.split(".model.")[1] for layer in model.layers]
    ['weight.config.v1.raw', 'weight.v1.raw']
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tuneguard import limits
from tuneguard.artifact import tree as trees
from tuneguard.artifact.manifest import File, Manifest
from tuneguard.errors import NotUnderstood, Refused
from tuneguard.files import printable
from tuneguard.oci.descriptor import (
    EMPTY_BLOB,
    EMPTY_TYPE,
    MANIFEST_TYPE,
    TITLE,
    Descriptor,
    annotations_of,
    digest_of,
    of_bytes,
)
from tuneguard.records import read_json, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MODEL_TYPE = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
WEIGHT_TYPE = "application/vnd.cncf.model.weight.v1.raw"
WEIGHT_CONFIG_TYPE = "application/vnd.cncf.model.weight.config.v1.raw"
DOC_TYPE = "application/vnd.cncf.model.doc.v1.raw"
CODE_TYPE = "application/vnd.cncf.model.code.v1.raw"
DATASET_TYPE = "application/vnd.cncf.model.dataset.v1.raw"
FILEPATH = "org.cncf.model.filepath"
UNPACK = "io.deis.oras.content.unpack"
"""What ``oras push`` writes at a folder, which its readers unpack."""
_MODEL_LAYERS = "application/vnd.cncf.model."
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"

_RAW_TYPES = frozenset({WEIGHT_TYPE, WEIGHT_CONFIG_TYPE, DOC_TYPE, CODE_TYPE, DATASET_TYPE})
_BY_SUFFIX = {
    **dict.fromkeys(
        (".json", ".yaml", ".yml", ".toml", ".txt", ".model", ".jinja", ".cfg", ".ini"), WEIGHT_CONFIG_TYPE
    ),
    **dict.fromkeys((".md", ".rst", ".pdf", ".html"), DOC_TYPE),
    **dict.fromkeys(
        (".py", ".ipynb", ".sh", ".c", ".cc", ".cpp", ".cu", ".h", ".js", ".ts", ".go", ".rs"), CODE_TYPE
    ),
    **dict.fromkeys((".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow"), DATASET_TYPE),
}
_NAME_BYTES = 255  # Linux NAME_MAX; it also bounds what comparing two names without case costs
_DOC_NAMES = ("readme", "license", "licence", "notice", "copying", "changelog")


@dataclass(frozen=True, slots=True)
class Layer:
    """A file of the tree as a blob: ``sha256`` in lower hex is the file's and the blob's."""

    path: str
    sha256: str
    size: int
    media_type: str

    @property
    def digest(self) -> str:
        """The digest as OCI writes it."""
        return f"sha256:{self.sha256}"


@dataclass(frozen=True)
class ModelManifest:
    """A model's OCI manifest: its exact bytes, and what they state.

    ``config`` holds the config blob's bytes where they follow from the layers, as they do for every
    manifest of ours; None where somebody else's config must be fetched.
    """

    data: bytes
    layers: tuple[Layer, ...]
    config_descriptor: Descriptor
    config: bytes | None

    @cached_property
    def digest(self) -> str:
        """``sha256:…`` of the bytes: what a registry names the model by."""
        return digest_of(self.data)

    @property
    def is_derived(self) -> bool:
        """Whether these are the bytes that `build` makes of the tree, and not another tool's for it."""
        return build(self.tree).data == self.data

    @property
    def descriptor(self) -> Descriptor:
        """The manifest as the subject of a referrer, or as an entry of an index."""
        return Descriptor(MANIFEST_TYPE, self.digest, len(self.data), MODEL_TYPE)

    @cached_property
    def tree(self) -> Manifest:
        """The tree that the layers make, so its digest is known before a layer is fetched."""
        files = (File(layer.path, layer.size, layer.sha256) for layer in self.layers)
        return Manifest(tuple(sorted(files, key=lambda file: file.path.encode())))


@dataclass(frozen=True, slots=True)
class Referrer:
    """A manifest that attaches a bundle to a subject. ``blobs`` are what it names, by digest."""

    data: bytes
    digest: str
    blobs: Mapping[str, bytes]
    subject: str
    bundle: Descriptor


def build(manifest: Manifest) -> ModelManifest:
    """The OCI manifest and config of a tree: the same bytes on every machine, for ever.

    Raises:
        Refused: the tree is empty, or has too many files for a manifest that registries accept.
    """
    if not manifest.files:
        raise Refused("an empty tree cannot be a model", help="check the folder's name")
    layers = tuple(Layer(file.path, file.sha256, file.size, media_type(file.path)) for file in manifest.files)
    config = _config(layers)
    config_descriptor = of_bytes(config, CONFIG_TYPE)
    data = to_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": MODEL_TYPE,
            "config": config_descriptor.to_plain(),
            "layers": [_layer_descriptor(layer).to_plain() for layer in layers],
        }
    )
    if len(data) > limits.OCI_MANIFEST_BYTES:
        raise Refused(
            f"{len(layers):,} files need an OCI manifest of {len(data):,} bytes, and registries accept "
            f"{limits.OCI_MANIFEST_BYTES:,}",
            help="pack the many small files into fewer",
        )
    return ModelManifest(data, layers, config_descriptor, config)


def read(data: bytes, where: str) -> ModelManifest:
    """A model manifest that a registry gave.

    Its two file names must be equal, relative and unique, so that every tool writes the same file.

    Raises:
        NotUnderstood: it is not a ModelPack manifest with raw layers.
        Refused: its layers could not be written as one tree.
    """
    found = _manifest(data, where)
    if found.get("artifactType") != MODEL_TYPE:
        raise NotUnderstood("is not a model: another artifactType", where=printable(where))
    config_descriptor = Descriptor.from_plain(found.get("config"), where)
    if config_descriptor.media_type != CONFIG_TYPE:
        raise NotUnderstood("has another config than a model's", where=printable(where))
    listed = found.get("layers")
    if not isinstance(listed, list) or not listed:
        raise NotUnderstood("has no layers", where=printable(where))
    layers = tuple(_layer(Descriptor.from_plain(each, where), where) for each in listed)
    _check_paths([layer.path for layer in layers], where)
    config = _config(layers)
    return ModelManifest(
        data, layers, config_descriptor, config if digest_of(config) == config_descriptor.digest else None
    )


def read_files(data: bytes, where: str) -> ModelManifest:
    """Any tool's manifest whose layers are files, each under its title, as ``oras push`` makes it.

    A model's manifest (ModelPack) is read as strictly as by `read`. The config's content is not read.

    Raises:
        NotUnderstood: a layer is no plain file: it has no name, or is a folder that was packed.
        Refused: its layers could not be written as one tree.
    """
    found = _manifest(data, where)
    if found.get("artifactType") == MODEL_TYPE:
        return read(data, where)
    listed = found.get("layers")
    if not isinstance(listed, list) or not listed:
        raise NotUnderstood("has no layers", where=printable(where))
    layers = tuple(_file_layer(Descriptor.from_plain(each, where), where) for each in listed)
    _check_paths([layer.path for layer in layers], where)
    return ModelManifest(data, layers, Descriptor.from_plain(found.get("config"), where), None)


def referrer(
    subject: Descriptor, bundle: bytes, *, name: str | None = None, predicate: str | None = None
) -> Referrer:
    """A manifest that attaches `bundle` to `subject`, as cosign's bundle specification lays it out.

    `name` becomes the file name that ``oras pull`` gives the bundle; `predicate` is its statement's
    type, which lets a reader choose. Both are hints, and nothing that we decide hangs on them.
    """
    notes = {} if name is None else {TITLE: name}
    layer = of_bytes(bundle, BUNDLE_TYPE, annotations=notes)
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": BUNDLE_TYPE,
        "config": of_bytes(EMPTY_BLOB, EMPTY_TYPE).to_plain(),
        "layers": [layer.to_plain()],
        "subject": Descriptor(subject.media_type, subject.digest, subject.size).to_plain(),
    }
    if predicate is not None:
        document["annotations"] = {
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": predicate,
        }
    data = to_json(document)
    blobs = {digest_of(EMPTY_BLOB): EMPTY_BLOB, layer.digest: bundle}
    return Referrer(data, digest_of(data), blobs, subject.digest, layer)


def read_referrer(data: bytes, where: str) -> tuple[Descriptor, Descriptor]:
    """Subject and bundle of a referrer that a registry gave.

    Raises:
        NotUnderstood: it does not attach exactly one bundle to a subject.
    """
    found = _manifest(data, where)
    layers = found.get("layers")
    if not isinstance(layers, list) or len(layers) != 1:
        raise NotUnderstood("does not attach exactly one bundle", where=printable(where))
    bundle = Descriptor.from_plain(layers[0], where)
    if bundle.media_type != BUNDLE_TYPE:
        raise NotUnderstood("attaches something else than a Sigstore bundle", where=printable(where))
    return Descriptor.from_plain(found.get("subject"), where), bundle


def subject_of(data: bytes, where: str) -> tuple[str | None, str | None, Mapping[str, str]]:
    """The subject's digest, the artifact type and the annotations of any manifest.

    The artifact type of a manifest without one is its config's media type (distribution
    specification, section Listing referrers).

    Raises:
        NotUnderstood: it is not a manifest.
    """
    found = read_json(data, where, limit=limits.OCI_MANIFEST_BYTES)
    if not isinstance(found, dict):
        raise NotUnderstood("is not a manifest", where=printable(where))
    subject = found.get("subject")
    kind = found.get("artifactType") or None
    if kind is None and isinstance(found.get("config"), dict):
        kind = found["config"].get("mediaType")
    return (
        None if subject is None else Descriptor.from_plain(subject, where).digest,
        kind if isinstance(kind, str) else None,
        annotations_of(found.get("annotations"), where),
    )


def media_type(path: str) -> str:
    """What kind of file a path is, by its name alone: a courtesy to readers, which nothing relies on.

    >>> media_type("a/README.md").split(".")[3], media_type("optimizer.pt").split(".")[3]
    ('doc', 'weight')
    """
    name = path.rpartition("/")[2].lower()
    if name.startswith(_DOC_NAMES):
        return DOC_TYPE
    return _BY_SUFFIX.get(name[name.rfind(".") :] if "." in name else "", WEIGHT_TYPE)


def _config(layers: Iterable[Layer]) -> bytes:
    """ModelPack's config: all three mappings are required, and only ``modelfs`` follows from a tree."""
    diff_ids = [layer.digest for layer in layers]
    return to_json({"config": {}, "descriptor": {}, "modelfs": {"type": "layers", "diffIds": diff_ids}})


def _layer_descriptor(layer: Layer) -> Descriptor:
    notes = {FILEPATH: layer.path, TITLE: layer.path}
    return Descriptor(layer.media_type, layer.digest, layer.size, annotations=notes)


def _manifest(data: bytes, where: str) -> dict[str, Any]:
    found = read_json(data, where, limit=limits.OCI_MANIFEST_BYTES)
    if not isinstance(found, dict) or found.get("schemaVersion") != 2:
        raise NotUnderstood("is not an OCI manifest", where=printable(where))
    if found.get("mediaType") != MANIFEST_TYPE:  # so that nobody can read it as an index instead
        raise NotUnderstood(f"does not state that it is {MANIFEST_TYPE}", where=printable(where))
    return found


def _layer(found: Descriptor, where: str) -> Layer:
    path, title = found.annotations.get(FILEPATH), found.annotations.get(TITLE)
    if path is None or title is None:
        raise NotUnderstood(f"a layer lacks {FILEPATH} or {TITLE}", where=printable(where))
    if path != title:
        raise Refused(
            f"a layer has two names, {printable(path)} and {printable(title)}",
            where=printable(where),
            help="have it pushed again by a tool that writes one",
        )
    if found.media_type not in _RAW_TYPES:
        raise NotUnderstood(
            f"the layer {printable(path)} is {printable(found.media_type)}, not a raw file",
            where=printable(where),
            help="push it with raw layers",
        )
    return Layer(path, found.hex, found.size, found.media_type)


def _file_layer(found: Descriptor, where: str) -> Layer:
    notes = found.annotations
    path = notes.get(TITLE)
    if path is None:
        raise NotUnderstood(f"a layer has no name ({TITLE})", where=printable(where))
    if FILEPATH in notes or found.media_type.startswith(_MODEL_LAYERS):
        return _layer(found, where)
    if notes.get(UNPACK, "false") != "false":
        raise NotUnderstood(
            f"{printable(path)} is a folder that was packed into one layer",
            where=printable(where),
            help="have its files pushed by their names, as in: oras push REFERENCE folder/*",
        )
    return Layer(path, found.hex, found.size, found.media_type)


def _check_paths(paths: Iterable[str], where: str) -> None:
    """Refuse paths that a tree cannot hold, or that two file systems would write differently."""
    exact: dict[str, str] = {}
    files: set[str] = set()
    folders: set[str] = set()
    for path in paths:
        fault = trees.fault_of_path(path)
        if fault is None and any(len(name.encode()) > _NAME_BYTES for name in path.split("/")):
            fault = f"has a part longer than {_NAME_BYTES} bytes"
        if fault is not None:
            raise Refused(f"the layer name {printable(path)[:200]} {fault}", where=printable(where))
        if path in files:
            raise Refused(f"two layers are named {printable(path)}", where=printable(where))
        files.add(path)
        folders.update(_folders(path))
        for prefix in (*_folders(path), path):
            if exact.setdefault("/".join(map(trees.fold, prefix.split("/"))), prefix) != prefix:
                raise Refused(
                    f"the layer name {printable(path)} differs from another only in case or Unicode form",
                    where=printable(where),
                )
    for both in sorted(files & folders):
        raise Refused(f"the layer {printable(both)} is also a folder of others", where=printable(where))


def _folders(path: str) -> list[str]:
    """The folders that a path lies in: ``a/b/c`` → ``a``, ``a/b``."""
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]
