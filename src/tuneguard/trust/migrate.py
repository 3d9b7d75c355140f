"""A policy of an earlier version in the words of today: its author's comments and layout stay.

Only keys are renamed, at their places in the text, and the version is raised; the result is read again and
must hold the same values under the new keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneguard.errors import UsageError
from tuneguard.files import printable
from tuneguard.records import read_yaml
from tuneguard.trust.policy import API_VERSION, OLD_API_VERSIONS, Policy, parse_policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ANY = "*"
_RENAMED: Mapping[tuple[str, ...], Mapping[str, str]] = {
    (): {"apart": "separationOfDuties", "walls": "controls"},
    ("metadata",): {"grace": "gracePeriod"},
    ("identities", _ANY): {"from": "validFrom", "until": "validUntil", "form": "format"},
    ("roles", _ANY): {"says": "evidence"},
}
"""What v1alpha2 calls the keys of v1alpha1, by the place of their mapping."""


def migrate(data: bytes, file: str = "policy.yaml") -> tuple[bytes, Policy]:
    """The policy `data` of an earlier version as one of today, its version raised by one, and what it states.

    Raises:
        ConfigurationError: `data` is wrong as it is.
        UsageError: it is not of an earlier version, or its layout cannot be edited here.
    """
    import yaml

    before = read_yaml(data, file).plain()
    where = printable(file)
    version = before.get("apiVersion") if isinstance(before, dict) else None
    if version == API_VERSION:
        raise UsageError(f"is a policy of {API_VERSION} already", where=where)
    if not isinstance(before, dict) or version not in OLD_API_VERSIONS:
        raise UsageError(f"is not a policy of {' or '.join(OLD_API_VERSIONS)}", where=where)
    text = data.decode("utf-8")
    root = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    for start, end, word in sorted(_edits(root, ()), reverse=True):
        text = text[:start] + word + text[end:]
    after = text.encode("utf-8")
    policy = parse_policy(after, file)
    if read_yaml(after, file).plain() != _meant(before, ()):
        raise UsageError(
            "cannot edit this file's layout", where=where, help="rename its keys by hand: docs/policy.md"
        )
    return after, policy


def _edits(mapping: Any, path: tuple[str, ...]) -> Iterator[tuple[int, int, str]]:
    """What to write between which places of the text: new keys, the new version of both kinds."""
    for key, value in mapping.value:
        at = (*path, key.value)
        new = _new(at)
        if new != key.value:
            yield key.start_mark.index, key.end_mark.index, _quoted(key, new)
        if at == ("apiVersion",):
            yield value.start_mark.index, value.end_mark.index, _quoted(value, API_VERSION)
        elif at == ("metadata", "version") and value.tag == "tag:yaml.org,2002:int":
            yield value.start_mark.index, value.end_mark.index, str(int(value.value) + 1)
        elif value.id == "mapping" and len(at) <= max(map(len, _RENAMED)):
            yield from _edits(value, at)


def _new(path: tuple[str, ...]) -> str:
    """The key at a path as it is called today."""
    for place, words in _RENAMED.items():
        mapping = path[:-1]
        if len(mapping) == len(place) and all(w in (_ANY, p) for w, p in zip(place, mapping, strict=True)):
            return words.get(path[-1], path[-1])
    return path[-1]


def _quoted(node: Any, word: str) -> str:
    """A word in the quotes of what it replaces; `word` holds nothing that needs any."""
    return f"{node.style or ''}{word}{node.style or ''}"


def _meant(value: Any, path: tuple[str, ...]) -> Any:
    """What the migrated file must hold: the same values under the new keys."""
    if path == ("apiVersion",):
        return API_VERSION
    if path == ("metadata", "version") and isinstance(value, int):
        return value + 1
    if not isinstance(value, dict):
        return value
    return {_new((*path, key)): _meant(each, (*path, key)) for key, each in value.items()}
