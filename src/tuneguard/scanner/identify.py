"""What a file is, by its content; its name only shows what a reader will take it for.

Content decides the format. For text, which has no marks, the name decides the use: the same bytes
are data in ``notes.txt`` and a program in ``setup.py``. Where the two sides disagree, rule
``TG-NAME`` reports it.
"""

from __future__ import annotations

import re
from enum import StrEnum

from tuneguard.formats import (
    gguf,
    image,
    log,
    numpy_array,
    onnx,
    pickle_file,
    safetensors,
    sentencepiece,
    tensorboard,
    text,
    wandb,
)
from tuneguard.formats.executable import program_of
from tuneguard.formats.facts import Fact
from tuneguard.formats.pointer import pointer_of

HEAD = 1 << 20
"""Bytes by which a file is identified."""


class Kind(StrEnum):
    """What a file's bytes are, in words that people read."""

    EMPTY = "empty"
    ZIP = "a zip archive"
    PICKLE = "a pickle"
    SAFETENSORS = "safetensors"
    PROGRAM = "a program"
    JSON = "JSON"
    TEMPLATE = "a Jinja template"
    PYTHON = "Python source"
    SITE = "a site path file, which Python runs at start-up"
    SCRIPT = "a script"
    TEXT = "text"
    LOG = "a log"
    YAML = "YAML"
    TOML = "TOML"
    NOTEBOOK = "a notebook"
    HTML = "a web page"
    EVENTS = "TensorBoard events"
    WANDB = "the file of a W&B run"
    NUMPY = "a NumPy array"
    GGUF = "GGUF"
    ONNX = "ONNX"
    NUMBERS = "numbers of an ONNX model"
    TOKENIZER = "a SentencePiece model"
    PNG = "a PNG picture"
    JPEG = "a JPEG picture"
    GIF = "a GIF picture"
    WEBP = "a WebP picture"
    POINTER = "a pointer to a file that is kept elsewhere"
    OTHER = "of a format that is not read yet"
    UNKNOWN = "unknown"


class Identified(Fact, frozen=True, eq=False):
    """A file's kind and name. ``what`` is more precise where the kind is not read."""

    kind: Kind
    name: str
    what: str = ""


UNNAMED = "text"
"""What is reported of text whose name does not show its use."""
ONNX_NUMBERS = "a file of numbers without the ONNX model that names them"
_ONNX_NUMBERS = re.compile(r".*\.onnx[._]data(?:_[0-9]+)?")
"""The names under which exporters keep an ONNX model's numbers, and no other loader looks for its own."""
UBJSON = "UBJSON of XGBoost"
HDF5 = b"\x89HDF\r\n\x1a\n"
"""How HDF5 begins."""
_MARKS: tuple[tuple[int, bytes, Kind, str], ...] = (
    (0, image.PNG, Kind.PNG, ""),
    (0, image.JPEG, Kind.JPEG, ""),
    (0, b"GIF87a", Kind.GIF, ""),
    (0, b"GIF89a", Kind.GIF, ""),
    (8, b"WEBP", Kind.WEBP, ""),
    (0, gguf.MARK, Kind.GGUF, ""),
    (0, wandb.MARK, Kind.WANDB, ""),
    (0, numpy_array.MARK, Kind.NUMPY, ""),
    (0, b"{L\0\0\0\0\0\0\0\7learner", Kind.OTHER, UBJSON),
    (0, HDF5, Kind.OTHER, "HDF5"),
    (0, b"\x1f\x8b", Kind.OTHER, "gzip"),
    (0, b"BZh", Kind.OTHER, "bzip2"),
    (0, b"\xfd7zXZ\0", Kind.OTHER, "xz"),
    (0, b"\x28\xb5\x2f\xfd", Kind.OTHER, "zstandard"),
    (0, b"\x04\x22\x4d\x18", Kind.OTHER, "lz4"),
    (0, b"7z\xbc\xaf\x27\x1c", Kind.OTHER, "7z"),
    (0, b"Rar!\x1a\x07", Kind.OTHER, "rar"),
    (257, b"ustar", Kind.OTHER, "tar"),
    (0, b"PAR1", Kind.OTHER, "Parquet"),
    (0, b"ARROW1", Kind.OTHER, "Arrow"),
    (0, b"SQLite format 3\0", Kind.OTHER, "SQLite"),
    (4, b"TFL3", Kind.OTHER, "TensorFlow Lite"),
    (0, b"%PDF-", Kind.OTHER, "PDF"),
)


def _words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


_BY_NAME: dict[str, Kind] = {
    ".json": Kind.JSON,
    ".jinja": Kind.TEMPLATE,
    ".jinja2": Kind.TEMPLATE,
    ".j2": Kind.TEMPLATE,
    ".py": Kind.PYTHON,
    ".pyi": Kind.PYTHON,
    ".pyx": Kind.PYTHON,
    ".ipynb": Kind.NOTEBOOK,
    ".yaml": Kind.YAML,
    ".yml": Kind.YAML,
    ".toml": Kind.TOML,
    ".html": Kind.HTML,
    ".htm": Kind.HTML,
    ".pth": Kind.SITE,
    ".egg-link": Kind.SITE,
} | dict.fromkeys(
    _words(
        ".sh .bash .zsh .fish .bat .cmd .ps1 .js .mjs .ts .rb .pl .lua .php .r .c .cc .cpp .cu .cuh .h",
        ".hpp .rs .go .java .vbs .scpt .service .desktop",
    ),
    Kind.SCRIPT,
)
"""What text is used for, by the end of its name."""

_LOG_ENDS = _words(".log .out .err")
_PLAIN_ENDS = _words(
    ".txt .md .rst .csv .tsv .jsonl .vocab .merges .bib .cff .tiktoken .sha256 .ini .cfg .diff .patch .prom",
)
_PLAIN_NAMES = _words(
    "license licence notice readme authors changelog copying citation vocab merges .gitattributes",
    ".gitignore latest version commit_hash .done _success projector_config.pbtxt",
)
_RECIPE = re.compile(
    r"(?:.*/)?(?:pyproject\.toml|setup\.cfg|tox\.ini|pytest\.ini|(?:docker-)?compose(?:\..*)?\.ya?ml|"
    r"(?:\.gitlab-ci|\.travis|\.pre-commit-config|\.drone|appveyor|azure-pipelines|bitbucket-pipelines|"
    r"action|cloudbuild|taskfile|snapcraft)\.ya?ml)|(?:.*/)?\.(?:github|circleci)/.*",
    re.IGNORECASE,
)
"""Settings by which a program that is called in the folder runs commands: a build, a test, a pipeline."""


def identify(head: bytes, size: int, name: str) -> Identified:
    """The kind of a file of `size` bytes that begins with `head` and is called `name`."""
    lower = name.rsplit("/", 1)[-1].lower()
    if not size:
        return Identified(Kind.EMPTY, name)
    marked = _by_mark(head, size)
    if marked is not None:
        return Identified(marked[0], name, marked[1])
    if (pointer := pointer_of(head, size)) is not None:
        return Identified(Kind.POINTER, name, pointer.what)
    end = _end(lower)
    if text.looks_like(head) or (end in _LOG_ENDS and log.looks_like(head)):
        kind = _text_kind(head, size, lower)
        if kind is not Kind.PICKLE and _RECIPE.fullmatch(name):
            kind = Kind.SCRIPT
        return Identified(kind, name, UNNAMED if kind is Kind.UNKNOWN else "")
    if pickle_file.probe(head, size):
        return Identified(Kind.PICKLE, name)
    if _ONNX_NUMBERS.fullmatch(lower):
        return Identified(Kind.OTHER, name, ONNX_NUMBERS)
    return Identified(Kind.UNKNOWN, name)


def _by_mark(head: bytes, size: int) -> tuple[Kind, str] | None:
    """The kind of a file whose first bytes show it."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Kind.ZIP, ""
    if safetensors.looks_like(head, size):
        return Kind.SAFETENSORS, ""
    if pickle_file.begins_pickle(head):
        return Kind.PICKLE, ""
    if (program := program_of(head)) is not None:
        return Kind.PROGRAM, program.what
    for at, mark, kind, what in _MARKS:
        if head.startswith(mark, at):
            return kind, what
    if sentencepiece.looks_like(head):
        return Kind.TOKENIZER, ""
    if tensorboard.looks_like(head, size):
        return Kind.EVENTS, ""
    if onnx.looks_like(head, size):
        return Kind.ONNX, ""
    return None


def _text_kind(head: bytes, size: int, lower: str) -> Kind:
    """What text is used for. A pickle of protocol 0 is text as well."""
    if pickle_file.probe(head, size):
        return Kind.PICKLE
    end = _end(lower)
    if end in _BY_NAME:
        return _BY_NAME[end]
    if end in _LOG_ENDS:
        return Kind.LOG
    if end in _PLAIN_ENDS or lower in _PLAIN_NAMES:
        return Kind.TEXT
    return Kind.UNKNOWN


def _end(lower: str) -> str:
    return "." + lower.rsplit(".", 1)[-1] if "." in lower else ""


EXPECTED: dict[str, frozenset[Kind]] = {
    ".safetensors": frozenset({Kind.SAFETENSORS}),
    ".json": frozenset({Kind.JSON}),
    ".pt": frozenset({Kind.ZIP, Kind.PICKLE}),
    ".ckpt": frozenset({Kind.ZIP, Kind.PICKLE}),
    ".bin": frozenset({Kind.ZIP, Kind.PICKLE}),
    ".pkl": frozenset({Kind.ZIP, Kind.PICKLE}),
    ".pickle": frozenset({Kind.PICKLE}),
    ".pth": frozenset({Kind.ZIP, Kind.PICKLE, Kind.SITE}),
    ".npz": frozenset({Kind.ZIP}),
    ".npy": frozenset({Kind.NUMPY}),
    ".gguf": frozenset({Kind.GGUF}),
    ".onnx": frozenset({Kind.ONNX}),
    ".model": frozenset({Kind.TOKENIZER, Kind.ZIP}),
    ".png": frozenset({Kind.PNG}),
    ".jpg": frozenset({Kind.JPEG}),
    ".jpeg": frozenset({Kind.JPEG}),
    ".gif": frozenset({Kind.GIF}),
    ".webp": frozenset({Kind.WEBP}),
    ".txt": frozenset({Kind.TEXT}),
    ".md": frozenset({Kind.TEXT}),
    ".csv": frozenset({Kind.TEXT}),
    ".jsonl": frozenset({Kind.TEXT}),
    ".jinja": frozenset({Kind.TEMPLATE}),
    ".tsv": frozenset({Kind.TEXT}),
    ".log": frozenset({Kind.LOG}),
    ".out": frozenset({Kind.LOG}),
    ".err": frozenset({Kind.LOG}),
    ".yaml": frozenset({Kind.YAML}),
    ".yml": frozenset({Kind.YAML}),
    ".toml": frozenset({Kind.TOML}),
    ".ipynb": frozenset({Kind.NOTEBOOK}),
    ".html": frozenset({Kind.HTML}),
    ".htm": frozenset({Kind.HTML}),
    ".wandb": frozenset({Kind.WANDB}),
}
"""What readers take a file for by the end of its name. Unlisted ends promise nothing."""


def expected_kinds(name: str) -> frozenset[Kind] | None:
    """The kinds that a name promises, or None where it promises nothing."""
    if _RECIPE.fullmatch(name):
        return frozenset({Kind.SCRIPT})
    lower = name.rsplit("/", 1)[-1].lower()
    if lower.startswith("tokenizer.model."):  # with a version behind, as Mistral names it
        return EXPECTED[".model"]
    return EXPECTED.get(_end(lower))
