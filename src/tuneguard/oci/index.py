"""``index.json`` of an OCI image layout, as a value: which manifests there are, and which tags name them.

Pure: bytes in, an `Index` out, and a changed one's bytes. What other tools wrote into it is kept as it
is. A tag is an entry's ``org.opencontainers.image.ref.name`` annotation (image specification v1.1,
image-layout.md).

    >>> from tuneguard.oci.descriptor import MANIFEST_TYPE
    >>> one = Descriptor(MANIFEST_TYPE, "sha256:" + "1" * 64, 10)
    >>> two = Descriptor(MANIFEST_TYPE, "sha256:" + "2" * 64, 20)
    >>> index = Index.parse(EMPTY_INDEX, "demo").with_manifest(one).with_manifest(two).with_tag("v1", one)
    >>> moved = index.with_tag("v1", two)
    >>> index.resolve("v1") == one.digest, moved.resolve("v1") == two.digest, len(moved.entries)
    (True, True, 2)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from tuneguard import limits
from tuneguard.errors import NotUnderstood, Refused
from tuneguard.files import printable
from tuneguard.oci.descriptor import INDEX_TYPE, Descriptor
from tuneguard.records import read_json, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

REF_NAME = "org.opencontainers.image.ref.name"
EMPTY_INDEX = to_json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []})


@dataclass(frozen=True, slots=True)
class Index:
    """The entries in their order, and the other fields of the file as they were found."""

    entries: tuple[Mapping[str, Any], ...]
    rest: Mapping[str, Any]
    where: str

    @classmethod
    def parse(cls, data: bytes, where: str) -> Self:
        """From the file's bytes.

        Raises:
            NotUnderstood: not an image index, or one of its entries is no descriptor.
            Refused: a tag names two manifests.
        """
        found = read_json(data, where, limit=limits.OCI_INDEX_BYTES)
        if not isinstance(found, dict) or found.get("schemaVersion") != 2:
            raise NotUnderstood("is not an OCI image index", where=printable(where))
        listed = found.pop("manifests", ())
        if found.get("mediaType") not in (None, INDEX_TYPE) or not isinstance(listed, list | None):
            raise NotUnderstood("is not an OCI image index", where=printable(where))
        index = cls(tuple(listed or ()), found, where)
        index.tags()
        return index

    def encode(self) -> bytes:
        """The file's bytes.

        Raises:
            Refused: they are more than we would read again.
        """
        data = to_json({**self.rest, "manifests": list(self.entries)})
        if len(data) > limits.OCI_INDEX_BYTES:
            raise Refused(
                f"the layout's index would be larger than {limits.OCI_INDEX_BYTES:,} bytes",
                where=printable(self.where),
                help="push to another folder",
            )
        return data

    def descriptors(self) -> tuple[Descriptor, ...]:
        """Every entry as a descriptor."""
        return tuple(Descriptor.from_plain(entry, self.where) for entry in self.entries)

    def tags(self) -> dict[str, str]:
        """The digest that each tag names.

        Raises:
            Refused: a tag stands at two entries, and tools would differ in which they take.
        """
        named: dict[str, str] = {}
        for entry in self.descriptors():
            tag = entry.annotations.get(REF_NAME)
            if tag is None:
                continue
            if tag in named:
                raise Refused(f"the tag {printable(tag)} is given twice", where=printable(self.where))
            named[tag] = entry.digest
        return named

    def resolve(self, tag: str) -> str | None:
        """The digest that a tag names, or None."""
        return self.tags().get(tag)

    def with_manifest(self, descriptor: Descriptor) -> Self:
        """With an entry for a manifest; unchanged if it has one."""
        if any(entry.digest == descriptor.digest for entry in self.descriptors()):
            return self
        return replace(self, entries=(*self.entries, descriptor.to_plain()))

    def with_tag(self, tag: str, descriptor: Descriptor) -> Self:
        """With a tag that names a manifest, and no longer any other. No manifest loses its last entry."""
        entries = [_named(entry, None) if _tag_of(entry) == tag else entry for entry in self.entries]
        target = next((entry for entry in entries if entry["digest"] == descriptor.digest), None)
        named = _named(target if target is not None else descriptor.to_plain(), tag)
        return replace(self, entries=_without_spares([*entries, named]))


def is_index(data: bytes, *, sure: bool) -> bool:
    """Whether bytes are an image index, and can be read as no manifest instead.

    One without a media type, which the specification allows, is one if the reader is `sure`.
    """
    try:
        found = read_json(data, "an index", limit=limits.OCI_INDEX_BYTES)
    except NotUnderstood:
        return False
    return (
        isinstance(found, dict)
        and found.get("schemaVersion") == 2
        and found.get("mediaType") in ((None, INDEX_TYPE) if sure else (INDEX_TYPE,))
        and "manifests" in found
        and "layers" not in found
    )


def _tag_of(entry: Mapping[str, Any]) -> str | None:
    name: str | None = (entry.get("annotations") or {}).get(REF_NAME)
    return name


def _named(entry: Mapping[str, Any], tag: str | None) -> dict[str, Any]:
    """The entry with another tag, or with none."""
    notes = {key: text for key, text in (entry.get("annotations") or {}).items() if key != REF_NAME}
    if tag is not None:
        notes[REF_NAME] = tag
    changed = {key: value for key, value in entry.items() if key != "annotations"}
    return {**changed, "annotations": notes} if notes else changed


def _without_spares(entries: list[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Without doubles, and without untagged entries that a tagged one repeats in all else."""
    repeated = {to_json(_named(entry, None)) for entry in entries if _tag_of(entry) is not None}
    kept: dict[bytes, Mapping[str, Any]] = {}
    for entry in entries:
        encoded = to_json(entry)
        if _tag_of(entry) is not None or encoded not in repeated:
            kept.setdefault(encoded, entry)
    return tuple(kept.values())
