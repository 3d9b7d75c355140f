"""The allow list: every name that a pickle may import, and exactly how it may use it.

Data, not code: each entry names a module, a name, and the forms in which it may be called, be given
state, be filled, or be kept as a value. What is not here is refused; what is here in another form is
refused as well. An entry is added when a file that a trusted program really wrote needs it, with a
test that makes such a file (docs/add/rule.md).

Each entry was taken from what the named program writes, and its callee was read: it builds a value
from its arguments and reaches nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneguard.formats.torch_storage import ITEM_SIZES
from tuneguard.scanner.forms import (
    BOOL,
    BYTES,
    DICT,
    EMPTY,
    FLOAT,
    INT,
    INTS,
    LIST,
    STORAGE,
    TEXT,
    Form,
    keys,
    made_by,
    named,
    nothing,
    number,
    one_of,
    row,
    state,
    text,
    tuple_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneguard.formats.pickle.values import Global


@dataclass(frozen=True, slots=True)
class Allowed:
    """One name and its uses. An entry without any may only be imported, and handed on as an argument.

    ``calls`` are the forms of arguments to REDUCE, ``news`` those to NEWOBJ, which runs no
    constructor; ``states`` those that BUILD may set on what was made.
    """

    module: str
    name: str
    calls: tuple[Form, ...] = ()
    news: tuple[Form, ...] = ()
    states: tuple[Form, ...] = ()
    fills: bool = False
    held: bool = False


def _entries(*groups: Iterable[Allowed]) -> dict[tuple[str, str], Allowed]:
    return {(entry.module, entry.name): entry for group in groups for entry in group}


# --- torch: tensors and what torch.save writes around them (torch 2.13, torch/_utils.py) ------------------

_DTYPES = (
    *("bool", "bfloat16", "float16", "float32", "float64", "complex32", "complex64", "complex128"),
    *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("qint8", "qint32", "quint8", "quint2x4", "quint4x2"),
)
_QSCHEMES = ("per_channel_affine", "per_channel_affine_float_qparams", "per_tensor_affine")

_HOOKS = made_by("collections.OrderedDict")
_DTYPE = named(*(f"torch.{name}" for name in _DTYPES))
_LAYOUT = made_by("torch.serialization._get_layout")
_SIZE = one_of(INTS, made_by("torch.Size"))
_TENSOR = made_by(
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
)
_QPARAMS = one_of(
    row(named("torch.per_tensor_affine"), FLOAT, INT),
    row(named("torch.per_channel_affine", "torch.per_channel_affine_float_qparams"), _TENSOR, _TENSOR, INT),
)

_TORCH = (
    Allowed("torch._utils", "_rebuild_tensor", calls=(row(STORAGE, INT, INTS, INTS),)),
    Allowed(
        "torch._utils",
        "_rebuild_tensor_v2",
        calls=(row(STORAGE, INT, INTS, INTS, BOOL, _HOOKS, then=(DICT,)),),
    ),
    Allowed(
        "torch._utils",
        "_rebuild_tensor_v3",
        calls=(row(STORAGE, INT, INTS, INTS, BOOL, _HOOKS, _DTYPE, then=(DICT,)),),
    ),
    Allowed("torch._utils", "_rebuild_parameter", calls=(row(_TENSOR, BOOL, _HOOKS),)),
    # ``torch.nn.Buffer``: a plain tensor with two attributes. Any other would be set as well, by its name.
    Allowed(
        "torch._tensor",
        "_rebuild_from_type_v2",
        calls=(
            row(
                named("torch._utils._rebuild_tensor_v2"),
                named("torch.Tensor"),
                row(STORAGE, INT, INTS, INTS, BOOL, _HOOKS, then=(DICT,)),
                keys("persistent", "_is_buffer"),
            ),
        ),
    ),
    Allowed("torch", "Tensor"),
    Allowed(
        "torch._utils",
        "_rebuild_qtensor",
        calls=(row(STORAGE, INT, INTS, INTS, _QPARAMS, BOOL, _HOOKS),),
    ),
    Allowed(
        "torch._utils",
        "_rebuild_sparse_tensor",
        calls=(
            row(_LAYOUT, row(_TENSOR, _TENSOR, _SIZE, then=(BOOL,))),
            row(_LAYOUT, row(_TENSOR, _TENSOR, _TENSOR, _SIZE)),
        ),
    ),
    Allowed("torch._utils", "_rebuild_meta_tensor_no_storage", calls=(row(_DTYPE, _SIZE, INTS, BOOL),)),
    Allowed("torch.serialization", "_get_layout", calls=(row(text(r"torch\.[a-z_]{1,32}")),)),
    Allowed("torch", "Size", calls=(row(INTS),)),
    Allowed("torch", "device", calls=(row(text(r"[a-z]{1,16}(:[0-9]{1,4})?"), then=(INT,)),)),
    *(Allowed("torch", name, held=True) for name in _DTYPES),
    *(Allowed("torch", name) for name in _QSCHEMES),
    *(Allowed(module, name) for module, name in ITEM_SIZES),
)

# --- Python's own values, as pickle writes them (CPython Lib/pickle.py, each type's __reduce_ex__) ----------

_LATIN = row(TEXT, text("latin1|latin-1"))
_BYTES = one_of(BYTES, made_by("_codecs.encode", "__builtin__.bytes", "builtins.bytes"))

_ZONE = made_by("datetime.timezone")

_PYTHON = (
    Allowed("_codecs", "encode", calls=(_LATIN,)),
    # ``_metadata`` is where torch keeps the versions of a state dict's modules.
    Allowed(
        "collections",
        "OrderedDict",
        calls=(EMPTY, row(LIST)),
        states=(keys("_metadata"),),
        fills=True,
    ),
    Allowed("collections", "Counter", calls=(EMPTY, row(DICT)), fills=True),
    Allowed(
        "collections",
        "defaultdict",
        calls=(EMPTY, row(named("builtins.dict", "__builtin__.dict", "builtins.list", "__builtin__.list"))),
        fills=True,
    ),
    Allowed(
        "collections",
        "deque",
        calls=(EMPTY, row(EMPTY), row(EMPTY, one_of(INT, nothing))),
        fills=True,
    ),
    Allowed("argparse", "Namespace", calls=(EMPTY,), news=(EMPTY,), states=(state,)),
    Allowed("types", "SimpleNamespace", calls=(EMPTY,), states=(state,)),
    # As bytes, or as numbers of days, seconds and microseconds. A zone by its name would open a file.
    Allowed("datetime", "date", calls=(row(_BYTES),)),
    Allowed("datetime", "datetime", calls=(row(_BYTES, then=(_ZONE,)),)),
    Allowed("datetime", "time", calls=(row(_BYTES, then=(_ZONE,)),)),
    Allowed("datetime", "timedelta", calls=(row(INT, INT, INT),)),
    Allowed("datetime", "timezone", calls=(row(made_by("datetime.timedelta"), then=(TEXT,)),)),
    *(
        Allowed(module, name, calls=(tuple_of(str),))
        for module in ("pathlib", "pathlib._local")  # and in Python 3.13
        for name in ("PosixPath", "PurePosixPath")
    ),
    *(
        entry
        for module in ("builtins", "__builtin__")  # Python 3's name, and protocol 2's
        for entry in (
            Allowed(module, "bytearray", calls=(EMPTY, row(_BYTES), _LATIN)),
            Allowed(module, "bytes", calls=(EMPTY,)),
            Allowed(module, "complex", calls=(row(FLOAT, FLOAT),)),
            Allowed(module, "dict"),
            Allowed(module, "frozenset", calls=(EMPTY, row(LIST))),
            Allowed(module, "list"),
            Allowed(module, "set", calls=(EMPTY, row(LIST))),
        )
    ),
)

# --- NumPy: arrays and scalars of plain numbers (numpy 2.4, _core/multiarray.py, _core/numeric.py) --

# No ``O``: an array of objects is a list of anything.
_CODE = text(r"[<>|=]?(?:[?bBhHiIlLqQefdgFDG]|[biufc](?:1|2|4|8|16)|[SU][0-9]{1,4}|b1)")
_DTYPE_OF_NUMPY = made_by("numpy.dtype")
# The last number is NumPy's flags: one of them makes it take numbers for pointers to objects.
_NUMBERS = row(number(3), text("[<>|=]"), nothing, nothing, nothing, number(-1), number(-1), number(0))
_STRINGS = row(number(3), text("[<>|=]"), nothing, nothing, nothing, INT, number(1, 4), number(0, 8))

_NUMPY = (
    Allowed(
        "numpy",
        "dtype",
        calls=(row(_CODE, BOOL, BOOL), row(_CODE, INT, INT)),
        states=(_NUMBERS, _STRINGS),
    ),
    Allowed("numpy", "ndarray"),
    *(
        entry
        for core in ("numpy.core", "numpy._core")  # before NumPy 2, and since
        for entry in (
            Allowed(
                f"{core}.multiarray",
                "_reconstruct",
                calls=(row(named("numpy.ndarray"), row(number(0)), _BYTES),),
                states=(row(number(1), INTS, _DTYPE_OF_NUMPY, BOOL, _BYTES),),
            ),
            Allowed(f"{core}.multiarray", "scalar", calls=(row(_DTYPE_OF_NUMPY, _BYTES),)),
            Allowed(
                f"{core}.numeric", "_frombuffer", calls=(row(_BYTES, _DTYPE_OF_NUMPY, INTS, text("C|F")),)
            ),
        )
    ),
)

# --- Trainer: training_args.bin (transformers 5.23, accelerate 1.15, trl 1.16) ---------------------------

_ENUM = row(text(r"[A-Za-z0-9_. -]{0,64}"))


def _settings(module: str, name: str) -> Allowed:
    """A class whose object is restored by its attributes alone, without running its constructor."""
    return Allowed(module, name, news=(EMPTY,), states=(state,))


_ENUMS = (
    ("sentence_transformers.base.sampler", "BatchSamplers"),
    ("sentence_transformers.base.sampler", "MultiDatasetBatchSamplers"),
    ("transformers.debug_utils", "DebugOption"),
    ("transformers.trainer_utils", "EvaluationStrategy"),
    ("transformers.trainer_utils", "FSDPOption"),
    ("transformers.trainer_utils", "HubStrategy"),
    ("transformers.trainer_utils", "IntervalStrategy"),
    ("transformers.trainer_utils", "SaveStrategy"),
    ("transformers.trainer_utils", "SchedulerType"),
    ("transformers.training_args", "OptimizerNames"),
    ("accelerate.utils.dataclasses", "DistributedType"),
)

_TRAINER = (
    _settings("transformers.training_args", "TrainingArguments"),
    _settings("transformers.training_args_seq2seq", "Seq2SeqTrainingArguments"),
    _settings("transformers.generation.configuration_utils", "GenerationConfig"),
    *(
        _settings(f"trl.trainer.{name.lower()}_config", f"{name}Config")
        for name in ("DPO", "GRPO", "KTO", "Reward", "RLOO", "SFT")
    ),
    _settings("trl.experimental.kto", "KTOConfig"),  # where it was before TRL 2
    *(
        _settings(f"sentence_transformers.{package}.training_args", f"{name}TrainingArguments")
        for package, name in (
            ("cross_encoder", "CrossEncoder"),
            ("sentence_transformer", "SentenceTransformer"),
            ("sparse_encoder", "SparseEncoder"),
        )
    ),
    _settings("transformers.trainer_pt_utils", "AcceleratorConfig"),
    _settings("accelerate.state", "PartialState"),
    *(Allowed(module, name, calls=(_ENUM,)) for module, name in _ENUMS),
    # Python 3.11.0 to 3.11.3 writes a member as getattr(ITS CLASS, ITS NAME). Of a class above and a
    # plain name that is all it can be; any other getattr is refused.
    *(
        Allowed(module, "getattr", calls=(row(named(*map(".".join, _ENUMS)), text(r"[A-Z][A-Z0-9_]{0,63}")),))
        for module in ("builtins", "__builtin__")
    ),
)

# --- torch.distributed.checkpoint: .metadata (torch 2.13, distributed/checkpoint/metadata.py) ------------
# The content of these objects is not read, so that a file which holds them is not understood
# (formats/pickle_file.py); making them runs nothing.

_METADATA = "torch.distributed.checkpoint.metadata"

_DISTRIBUTED = (
    *(
        _settings(_METADATA, name)
        for name in (
            *("BytesStorageMetadata", "ChunkStorageMetadata", "Metadata", "MetadataIndex", "StorageMeta"),
            "TensorStorageMetadata",
        )
    ),
    _settings("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    Allowed(_METADATA, "_MEM_FORMAT_ENCODING", calls=(row(number(0, 1, 2)),)),
    Allowed(
        _METADATA,
        "TensorProperties",
        news=(EMPTY,),
        states=(row(_DTYPE, _LAYOUT, BOOL, made_by(f"{_METADATA}._MEM_FORMAT_ENCODING"), BOOL),),
    ),
)

ALLOWED: dict[tuple[str, str], Allowed] = _entries(_TORCH, _PYTHON, _NUMPY, _TRAINER, _DISTRIBUTED)
"""Every allowed name by (module, name), as the stream spells them."""


def allowed(value: Global) -> Allowed | None:
    """The entry for a name, or None."""
    return ALLOWED.get((value.module, value.name))
