"""What a configuration makes its loader open: other files, other models, and where those lie.

A value that is opened as a path must be a plain relative path to a file of the same tree, or lie where
the sandbox of a run shows what the provenance binds: `BASE`, and `CHECKPOINT` for the tree itself. Keys
were taken from the loaders (transformers 5.23, accelerate 1.15, PEFT 0.21, sentence-transformers 5,
diffusers, timm, open_clip, vLLM's speculators); in a file that loaders read, every other value that has
the form of a path out of the folder is judged as well.
"""

from __future__ import annotations

import functools
import itertools
import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from tuneguard import limits
from tuneguard.formats.json_document import Object, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tuneguard.scanner.rule import Context

BASE = "/tuneguard/base"
"""Where a run's sandbox shows the base whose digest the provenance holds."""
CHECKPOINT = "/tuneguard/checkpoint"
"""Where it shows the tree that the run writes."""


class _Use(Enum):
    """What a loader does with a value."""

    OPENS = auto()  # a file, or a folder, by its path
    JOINS = auto()  # the name of a part's folder, which may be missing
    LOADS = auto()  # a model or tokenizer, by path or by its name on a hub
    TELLS = auto()  # nothing: it names an origin


_BY_KEY = {
    key: use
    for use, keys in {
        _Use.OPENS: (
            "added_tokens_file chat_template_file configuration_files emoji_file entity_vocab_file "
            "fast_tokenizer_files gguf_file index_path merges_file monolingual_vocab_file passages_path "
            "prompt_tuning_init_state_dict_path source_spm sp_model_file spm_file target_spm "
            "target_vocab_file tokenizer_config_file tokenizer_file transformers_weights vocab_file"
        ),
        _Use.LOADS: (
            "audio_tokenizer_name_or_path base_model_name_or_path hf_hub_id hf_model_name hf_tokenizer_name "
            "repo_or_path tokenizer_name_or_path"
        ),
        _Use.TELLS: (
            "_name_or_path best_model_checkpoint model_name_or_path name_or_path special_tokens_map_file"
        ),
    }.items()
    for key in keys.split()
}
_LIKE_A_PATH = re.compile(
    r"(?:^|_)(?:files?|paths?|file_?names?|dir|directory|(?:sub)?folder|spm|gguf|ckpt)$", re.ASCII
)
_NO_PATHS = re.compile(r"(?:.*_)?(?:tokens?|template|templates|content|pattern|regex)", re.ASCII)
"""Keys of text that a tokenizer reads or writes."""

_READ_BY_LOADERS = re.compile(
    r"(?:config(?:\..*|_sentence_transformers)?|(?:tokenizer|adapter|generation|processor|router|scheduler|"
    r"(?:.*_)?preprocessor|image_processor|audio_tokenizer|sentence_.*|cnn|lstm|wordembedding|open_clip|"
    r"whitespacetokenizer|phrasetokenizer|quantize|(?:hf_)?quant)_config|modules|model_index|params|export|"
    r"decision|(?:decision|judge)_config|speaker_embeddings.*|"
    r"special_tokens_map|.*\.index(?:\..*)?)\.json",
    re.ASCII,
)
_OF_A_MODEL = frozenset(
    {"_class_name", "architectures", "image_processor_type", "model_type", "peft_type", "processor_class"}
    | {"quantization_config", "tokenizer_class"}
)
"""A document with one of these is read as a configuration, whatever its name."""

_PLAIN = re.compile(r"(?![~ ])[^\x00-\x1f\x7f\\:%?#*<>|\"]+", re.ASCII)
_LEAVES = re.compile(
    r"/[^/].*|~[^/\\]*[/\\].*|(?:.*[/\\])?\.\.(?:[/\\].*)?|[A-Za-z]:[/\\].*|\\\\.*|"
    r"(?:file|hf[-_]hub|local[-_]dir):.*|"
    r".*%(?:2[eEfF]|5[cC]).*",
    re.ASCII | re.DOTALL,
)
_RELATIVE = re.compile(r"\.\.?/.*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Followed:
    """A value that leads somewhere: its key, and what is to be reported about it.

    ``refuses`` is false for what nobody opens, and for what a scan of one file alone cannot judge.
    """

    key: str
    message: str
    refuses: bool


@functools.lru_cache(maxsize=1)
def followed(fact: Object, context: Context) -> tuple[Followed, ...]:
    """What in one object of a configuration leads elsewhere than to a file of the tree.

    Two rules ask about each object, and get the same answer.
    """
    return tuple(itertools.islice(_followed(fact, context), limits.SCAN_FINDINGS_COUNTED))


def _followed(fact: Object, context: Context) -> Iterator[Followed]:
    if fact.step is not None and fact.step[1] == "weight_map":
        return  # judged with what holds it
    root = fact.document.value
    read = _READ_BY_LOADERS.fullmatch(context.name) is not None or (
        isinstance(root, dict) and not _OF_A_MODEL.isdisjoint(root)
    )
    for key, value in fact.value.items():
        if not value or not isinstance(value, (str, list, dict)):
            continue  # in a vocabulary the same word is a key with a number
        use = _use(key, fact, context)
        if use is None and not read:
            continue
        for item in dict.fromkeys(_items(key, value, fact, context)):
            said = _judged(item, use, key, context)
            if said is not None:
                message, refuses = said
                yield Followed(key, f"{message} ({fact.place_of(key)})", refuses)


def _use(key: str, fact: Object, context: Context) -> _Use | None:
    """What the loader of this document does with the values of a key; None: nothing that is known."""
    above = None if fact.step is None else fact.step[1]
    if key == "weight_map" or (fact.step is None and _is_map(fact, context)):
        return _Use.OPENS
    if above == "verifier" and key == "name_or_path":
        return _Use.LOADS
    if above == "pretrained_cfg" and key == "url":
        return _Use.LOADS
    if key == "types" and "structure" in fact.value:
        return _Use.OPENS
    if key == "adapter" and context.name == "decision.json":
        return _Use.OPENS
    if context.name == "model_index.json" and fact.step is None and isinstance(fact.value[key], list):
        return _Use.JOINS
    return _BY_KEY.get(key)


def _is_map(fact: Object, context: Context) -> bool:
    """Whether a document is an index without a ``weight_map``, which accelerate takes for the map itself."""
    return context.name.endswith(".index.json") and "weight_map" not in fact.value


def _items(key: str, value: Any, fact: Object, context: Context) -> Iterator[str | None]:
    """The texts of a value that are names of something; None for what can be none."""
    if key == "types" or (context.name == "model_index.json" and isinstance(value, list)):
        inner: Iterable[Any] = value if key == "types" else (key,)  # here the keys are the folders
    elif not isinstance(value, dict):
        inner = _flat(value)
    elif key == "weight_map":
        inner = value.values()
    elif _BY_KEY.get(key) is _Use.OPENS:
        inner = value  # a loader that goes through a list of names goes through these keys as well
    else:
        return  # an object of its own
    asked = key == "weight_map" or (fact.step is None and _is_map(fact, context))
    for item in inner:
        if isinstance(item, str):
            yield item
        elif asked:
            yield None


def _flat(value: Any) -> Iterator[Any]:
    """A value, or everything in a list of lists."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += reversed(item)
        else:
            yield item


def _judged(value: str | None, use: _Use | None, key: str, context: Context) -> tuple[str, bool] | None:
    """What is to be reported about one value, and whether it refuses; None where it leads nowhere else."""
    if value is None:
        return "names no file where a file belongs", True
    if _is_bound(value, context):
        return None
    if use is _Use.TELLS:
        known = context.tree is not None and context.tree.holds(value, context.path)
        return None if known else (f"names {shown(value)} as its origin, which was not looked at", False)
    if use is _Use.LOADS:
        return _loaded(value)
    if use is _Use.JOINS:
        return None if _is_plain(value) else (f"looks for a part in {shown(value)}", True)
    if use is None and _LIKE_A_PATH.search(key) is None:
        if _NO_PATHS.fullmatch(key) or _LEAVES.fullmatch(value) is None:
            return None
        return f"names {shown(value)}, which leads out of the folder", True
    return opened(value, context)


def _is_bound(value: str, context: Context) -> bool:
    """Whether a value is a place that a run's sandbox shows: in the base, or there in this tree."""
    if value in (BASE, CHECKPOINT):
        return True
    if value.startswith(f"{BASE}/"):
        return _is_plain(value.removeprefix(f"{BASE}/"))
    below, tree = value.removeprefix(f"{CHECKPOINT}/"), context.tree
    return below != value and _is_plain(below) and (tree is None or tree.holds(tree.prefix + below))


def _loaded(value: str) -> tuple[str, bool]:
    if _RELATIVE.fullmatch(value):
        return f"loads {shown(value)}, seen from wherever it is loaded, which was not looked at", False
    return f"loads {shown(value)}, and nothing fixes which bytes that is", True


def opened(value: str, context: Context) -> tuple[str, bool] | None:
    """What to say of a value that is opened as a file, and whether it refuses; None if it is in the tree."""
    if not _is_plain(value):
        return f"opens {shown(value)}, which is no plain path within the folder", True
    if context.tree is None:
        return f"opens {shown(value)} beside it: scan the folder, one file does not show it", False
    if not context.tree.holds(value, context.path):
        return f"opens {shown(value)}, which is not in the tree", True
    return None


def _is_plain(value: str) -> bool:
    """Whether every reader takes a text for the same path below a folder, on every system."""
    return _PLAIN.fullmatch(value) is not None and not {"", ".", ".."} & set(value.split("/"))
