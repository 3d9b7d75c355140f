"""Which weights of a checkpoint are measured, and whether a loader could take others instead.

The choice is made here, outside of the sandbox and by names alone, as Transformers makes it: in a folder
``model.safetensors``, else the shards of ``model.safetensors.index.json``. A tree with ``modules.json`` is
one set of several folders; beside weights at the top these hold heads, and no model of their own. The sandbox
is shown these weights and the files that hold none, and nothing else.

Everything else must be of a kind that holds no weights (by name and by its first bytes), or a file in which
Trainer keeps its own state, or lie in a complete checkpoint of its own (``checkpoint-20/``), which is not
measured and is named. What is left refuses: another flag, framework or version would load it.

Pure: the caller reads files. Orders of preference: transformers 5.23, ``_get_resolved_checkpoint_files``;
sentence-transformers 5, ``Module.load_torch_weights``; PEFT 0.21, ``load_peft_weights``.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.files import printable
from tuneguard.formats import image, log, sentencepiece, tensorboard, wandb
from tuneguard.formats.json_document import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tuneguard.artifact.manifest import File, Manifest

    Read = Callable[[str, int], bytes]

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
CONFIG, ADAPTER = "config.json", "adapter_config.json"
HEAD = 4096
"""Bytes by which a file is known to hold no weights."""

_WITHOUT = re.compile(
    r".*\.(?:json|jsonl|jinja2?|j2|txt|md|rst|csv|tsv|ya?ml|py|vocab|merges|bpe|tiktoken|spm|bib|cff|log|sha256|"
    r"sig|pem|png|jpe?g|gif|webp|toml|ipynb|html?|out|err|ini|cfg|diff|patch|prom|wandb)|.*\.tfevents\..*|"
    r"(?:.*(?:tokenizer|spiece|spm|bpe|tiktoken|unigram).*)\.model(?:\.v[0-9a-z]+)?|"
    r"licen[sc]e.*|copying.*|notice.*|readme.*|authors|changelog|citation|vocab|merges|latest|"
    r"version|commit_hash|\.done|_success|\.git(?:attributes|ignore)",
    re.ASCII | re.IGNORECASE,
)
"""Names of files that hold no weights."""
_STATE = re.compile(
    r"optimizer\.(?:pt|bin)|scheduler\.pt|scaler\.pt|rng_state(?:_[0-9]+)?\.pth|training_args\.bin", re.ASCII
)
"""Where Trainer keeps the state of a training: no loader takes these for a model's weights."""
_INDEX = re.compile(r".*\.index(?:\..*)?\.json", re.ASCII | re.IGNORECASE)
_CHECKPOINT = re.compile(r"checkpoint-[0-9]+", re.ASCII)
_OF_A_MODEL = re.compile(
    r"(?:tokenizer|sentence_.*_config|(?:.*tokenizer|wordembedding)_config|vocab|tekken)\.(?:json|txt|model)",
    re.ASCII | re.IGNORECASE,
)
"""Files beside a component's weights with which it turns text into numbers by itself, as no head does."""
_PICTURES = (image.PNG, image.JPEG, b"GIF87a", b"GIF89a", b"RIFF")


@dataclass(frozen=True)
class Selection:
    """What is measured of a tree.

    ``weights`` are the paths of the weights, ``measured`` all files that the evaluation sees; ``apart`` the
    folders of complete checkpoints that it does not see. ``faults`` are (path, what is wrong with it): a tree
    with one is not measured.
    """

    weights: tuple[str, ...]
    measured: tuple[File, ...]
    apart: tuple[str, ...] = ()
    faults: tuple[tuple[str, str], ...] = ()

    @property
    def bytes(self) -> int:
        """Bytes of the weights."""
        chosen = set(self.weights)
        return sum(file.size for file in self.measured if file.path in chosen)


def select(manifest: Manifest, read: Read) -> Selection:
    """What of the tree is measured. `read` gives a file's first bytes, at most as many as it is asked for."""
    tree = _Tree(manifest, read)
    sets = {folder: tree.weights(folder) for folder in tree.components()}
    chosen = {path for paths in sets.values() for path in paths}
    apart = tuple(folder for folder in tree.checkpoints() if folder not in sets)
    outside = tuple(f"{folder}/" for folder in apart)
    here = [file for file in manifest.files if file.path in chosen or not file.path.startswith(outside)]
    measured = tuple(file for file in here if file.path in chosen or tree.holds_none(file))
    shown = {file.path for file in measured}
    for file in here:
        folder, name = posixpath.split(file.path)
        if file.path not in shown and not _STATE.fullmatch(name):
            tree.fault(file.path, "is neither among the measured weights nor known to hold none")
        if _INDEX.fullmatch(name) and sets.get(folder, ()) != tree.shards(folder, file.path):
            tree.fault(file.path, "names other weights than those that are measured")
    for folder, weights in sets.items():
        if folder and weights and sets[""] and tree.is_model(folder):
            tree.fault(folder, "is a model of its own that modules.json lists beside the one at the top")
    if not chosen:
        tree.fault("", _without_weights(tree, sets))
    if len(measured) > limits.EVALUATION_SHOWN:
        tree.fault("", f"holds more than {limits.EVALUATION_SHOWN:,} files to show to the evaluation")
    return Selection(tuple(sorted(chosen)), measured, apart, tuple(sorted(tree.faults)))


def _without_weights(tree: _Tree, folders: Iterable[str]) -> str:
    found = {name for folder in folders for name in (ADAPTER, *PICKLED) if tree.has(folder, name)}
    if ADAPTER in found:
        return "is an adapter, which is no model by itself: merge it into its base"
    if found:
        return f"has its weights in {min(found)} only: save them as safetensors"
    return f"holds no {WHOLE} and no {INDEX}, so there is nothing to measure"


class _Tree:
    """A tree's names, what its documents state, and the faults found so far."""

    def __init__(self, manifest: Manifest, read: Read) -> None:
        self._files = {file.path: file for file in manifest.files}
        self._read = read
        self.faults: set[tuple[str, str]] = set()

    def fault(self, path: str, what: str) -> None:
        self.faults.add((path, what))

    def has(self, folder: str, name: str) -> bool:
        return posixpath.join(folder, name) in self._files

    def holds_none(self, file: File) -> bool:
        """Whether a file is of a kind that holds no weights, by its name and its first bytes."""
        if not _WITHOUT.fullmatch(posixpath.basename(file.path)):
            return False
        head = self._read(file.path, HEAD)
        return (
            log.looks_like(head)
            or sentencepiece.looks_like(head)
            or tensorboard.looks_like(head, file.size)
            or head.startswith((*_PICTURES, wandb.MARK))
        )

    def checkpoints(self) -> Iterator[str]:
        """Folders at the top in which Trainer saved a complete checkpoint."""
        for folder in sorted({path.partition("/")[0] for path in self._files if "/" in path}):
            whole = self.has(folder, CONFIG) and any(
                self.has(folder, name) for name in (WHOLE, INDEX, *PICKLED)
            )
            adapter = self.has(folder, ADAPTER) and any(
                self.has(folder, f"adapter_model.{end}") for end in ("safetensors", "bin")
            )
            if (
                _CHECKPOINT.fullmatch(folder)
                and self.has(folder, "trainer_state.json")
                and (whole or adapter)
            ):
                yield folder

    def components(self) -> tuple[str, ...]:
        """The folders of one model: the top, what ``modules.json`` lists, and the routes in these."""
        listed = self._document("modules.json") if self.has("", "modules.json") else None
        parts = (part for part in listed if isinstance(part, dict)) if isinstance(listed, list) else ()
        waiting = ["", *_texts(part.get("path") for part in parts)]
        folders: dict[str, None] = {}
        while waiting:
            folder = waiting.pop()
            if folder not in folders and self.has(folder, "router_config.json"):
                routes = self._document(posixpath.join(folder, "router_config.json"))
                types = routes.get("types") if isinstance(routes, dict) else None
                waiting += [posixpath.join(folder, name) for name in types or () if isinstance(types, dict)]
            folders[folder] = None
        return tuple(folders)

    def is_model(self, folder: str) -> bool:
        """Whether a component can be a model by itself, and not only a head behind one."""
        config = posixpath.join(folder, CONFIG)
        settings = self._document(config) if config in self._files else None
        if isinstance(settings, dict) and not settings.keys().isdisjoint({"model_type", "architectures"}):
            return True
        beside = (posixpath.split(path) for path in self._files)
        return any(at == folder and _OF_A_MODEL.fullmatch(name) for at, name in beside)

    def weights(self, folder: str) -> tuple[str, ...]:
        """The weights that a loader takes in one folder; none where it holds none."""
        chosen = next((name for name in (WHOLE, INDEX) if self.has(folder, name)), None)
        config = posixpath.join(folder, CONFIG)
        named = _named(self._document(config)) if config in self._files else None
        if named is not None and named != chosen:
            if chosen is None and self.has(folder, named):
                chosen = named
            else:
                self.fault(config, f"names {printable(named)} as the weights (transformers_weights)")
        adapter = posixpath.join(folder, ADAPTER)
        if chosen is not None and adapter in self._files:
            self.fault(adapter, "lies beside full weights: loaders add the adapter to them")
        if chosen is None:
            return ()
        path = posixpath.join(folder, chosen)
        return self.shards(folder, path) if _INDEX.fullmatch(chosen) else (path,)

    def shards(self, folder: str, index: str) -> tuple[str, ...]:
        """The files of the tree that an index names as weights."""
        document = self._document(index)
        mapped = document.get("weight_map") if isinstance(document, dict) else None
        if not isinstance(mapped, dict) or not mapped:
            self.fault(index, "has no weight_map, so it names no weights")
            return ()
        paths = {posixpath.join(folder, shard) for shard in _texts(mapped.values())}
        for path in sorted(paths):
            if path not in self._files or not path.endswith(".safetensors"):
                self.fault(index, f"names {printable(path)}, which is no safetensors file of the tree")
        return tuple(sorted(path for path in paths if path in self._files))

    def _document(self, path: str) -> Any:
        """A JSON file's value; None, and a fault, where readers could not agree on one."""
        data = self._read(path, limits.SCAN_JSON_BYTES + 1)
        if len(data) > limits.SCAN_JSON_BYTES:
            self.fault(path, f"is JSON of over {limits.SCAN_JSON_BYTES:,} bytes")
            return None
        try:
            document = parse(data)
        except NotUnderstood as error:
            self.fault(path, error.what)
            return None
        if document.duplicates:
            self.fault(path, f"gives the key {document.duplicates[0]} twice")
        return document.value


def _named(config: object) -> str | None:
    """The weights that a configuration names itself."""
    named = config.get("transformers_weights") if isinstance(config, dict) else None
    return None if named is None else str(named)


def _texts(values: Iterable[object]) -> Iterator[str]:
    return (value for value in values if isinstance(value, str))
