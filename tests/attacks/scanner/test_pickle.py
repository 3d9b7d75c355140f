"""Attacks by pickle, each a small story. Nothing here is ever loaded; every payload is inert."""

from __future__ import annotations

import _compat_pickle
import pickle
import struct

import pytest

from tuneguard.findings import Verdict
from tuneguard.scanner.allowed import ALLOWED
from world import pickles as p
from world.zips import Member, archive, torch_zip

SYSTEM = 'would call posix.system("echo tuneguard-inert") when the file is loaded'


def rules_of(scan) -> set[str]:
    return {finding.rule for finding in scan.findings}


def test_a_planted_call_is_refused_with_its_place(scan) -> None:
    data = p.stream(p.table(state=p.SYSTEM, step=p.integer(1)))

    result = scan("optimizer.pt", torch_zip(data))

    [finding] = result.findings
    assert result.verdict is Verdict.REFUSED
    assert (finding.rule, finding.severity) == ("TG-PKL-CALL", "high")
    assert finding.message == SYSTEM
    assert finding.location.path == "optimizer.pt"
    assert finding.location.member == "archive/data.pkl"
    assert finding.location.opcode == "REDUCE"
    assert data[finding.location.offset : finding.location.offset + 1] == b"R"
    assert finding.why
    assert finding.fix
    assert finding.reference == "CWE-502, docs/rules.md#tg-pkl-call"


GADGETS = """
os:system posix:system nt:system subprocess:Popen builtins:eval __builtin__:eval builtins:exec
builtins:getattr builtins:__import__ operator:attrgetter operator:methodcaller functools:partial
functools:reduce importlib:import_module runpy:_run_code code:InteractiveInterpreter pty:spawn
timeit:timeit cProfile:run pdb:run bdb:Bdb doctest:debug_script
idlelib.pyshell:ModifiedInterpreter lib2to3.pgen2.grammar:Grammar.loads ensurepip:_run_pip
pip:main pip._internal:main setuptools.sandbox:run_setup webbrowser:open
urllib.request:urlretrieve socket:create_connection ssl:get_server_certificate shutil:rmtree
pathlib:Path.unlink io:open _io:FileIO tempfile:mktemp ctypes:CDLL
multiprocessing.util:spawnv_passfds asyncio:create_subprocess_shell logging.config:dictConfig
logging:os.system collections:__builtins__ sys:modules types:CodeType types:FunctionType
marshal:loads pickle:loads _pickle:loads dill:loads cloudpickle:loads joblib:load torch:load
torch.storage:_load_from_bytes torch.hub:load torch.jit:load
torch.utils._config_module:ConfigModule.load_config torch.fx.experimental.symbolic_shapes:eval
torch._dynamo.guards:GuardBuilder.get torch.distributed.rpc:rpc_sync
torch._inductor.codecache:compile_file torch.utils.collect_env:run
torch.utils.bottleneck.__main__:run_cprofile torch._utils:_import_dotted_name
numpy.testing._private.utils:runstring numpy.f2py.crackfortran:getlincoef numpy:load
numpy.distutils.exec_command:exec_command pandas:read_pickle sympy:sympify yaml:unsafe_load
jinja2:Template mlflow.pyfunc:load_model hydra.utils:instantiate transformers:pipeline
transformers:AutoModel.from_pretrained
transformers.dynamic_module_utils:get_class_from_dynamic_module
transformers.training_args:os.system transformers.trainer_utils:os.system accelerate.utils:load
huggingface_hub:snapshot_download random:_os.system collections:OrderedDict.fromkeys
collections:namedtuple _codecs:decode torch:FloatStorage.from_file
torch._utils:_rebuild_tensor_v2.__globals__
"""
NAMES = [pair.split(":") for pair in GADGETS.split()]


@pytest.mark.parametrize(("module", "name"), NAMES)
@pytest.mark.parametrize("version", [2, 4])
def test_no_name_that_runs_or_reaches_anything_passes(scan, module: str, name: str, version: int) -> None:
    target = p.named(module, name) if version == 2 else p.stack_named(module, name)

    result = scan("model.pkl", p.stream(p.call(target, p.text("x")), version=version))

    assert "TG-PKL-CALL" in rules_of(result)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"(iposix\nsystem\n", id="INST"),
        pytest.param(b"(cposix\nsystem\n" + p.text(p.COMMAND) + b"o", id="OBJ"),
        pytest.param(p.named("posix", "system") + p.row(p.text("x")) + p.NEWOBJ, id="NEWOBJ"),
        pytest.param(p.named("posix", "system") + p.row(p.text("x")) + b"}" + p.NEWOBJ_EX, id="NEWOBJ_EX"),
        pytest.param(b"\x8c\x05posix\x8c\x06system\x93(X\x01\x00\x00\x00xtR", id="STACK_GLOBAL"),
        pytest.param(b"S'posix'\nS'system'\n\x93(tR", id="names by STRING"),
        pytest.param(b"Vp\\u006fsix\nVsystem\n\x93(tR", id="names by UNICODE with escapes"),
        pytest.param(b"S'p\\x6fsix'\nS'system'\n\x93(tR", id="names by STRING with escapes"),
        pytest.param(
            p.text("posix")
            + p.put(0)
            + b"0"
            + p.text("system")
            + p.put(1)
            + b"0"
            + p.get(0)
            + p.get(1)
            + b"\x93(tR",
            id="names from the memo",
        ),
        pytest.param(
            p.text("posix") + p.DUP + b"0" + p.text("system") + b"\x93(tR", id="names by DUP and POP"
        ),
        pytest.param(
            p.named("posix", "system") + p.put(0) + b"0" + p.get(0) + b"(tR", id="the function from the memo"
        ),
        pytest.param(p.SYSTEM + b"0N", id="result popped"),
        pytest.param(b"(" + p.SYSTEM + b"1N", id="result popped with the mark"),
        pytest.param(p.row(p.SYSTEM), id="inside a tuple"),
    ],
)
@pytest.mark.parametrize("version", [None, 2, 4])
def test_every_opcode_that_calls_is_seen(scan, body: bytes, version: int | None) -> None:
    result = scan("model.pkl", p.stream(body, version=version))

    assert "TG-PKL-CALL" in rules_of(result)
    assert any("posix.system" in finding.message for finding in result.findings)


def test_a_name_that_is_computed_is_refused_though_nobody_can_know_it(scan) -> None:
    joined = p.call(p.named("_codecs", "encode"), p.text("posix"), p.text("latin1"))

    result = scan("model.pkl", p.stream(joined + p.text("system") + p.STACK_GLOBAL + b"(tR"))

    assert rules_of(result) == {"TG-PKL-COMPUTED"}


@pytest.mark.parametrize("body", [b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00"])
def test_an_extension_code_is_refused(scan, body: bytes) -> None:
    assert rules_of(scan("model.pkl", p.stream(body + b"(tR"))) == {"TG-PKL-COMPUTED"}


def test_importing_without_calling_is_refused(scan) -> None:
    [finding] = scan("model.pkl", p.stream(p.named("antigravity", "fly"))).findings

    assert finding.rule == "TG-PKL-IMPORT"
    assert finding.message == "would import antigravity.fly when the file is loaded"


def test_a_function_kept_as_a_value_for_later_is_refused(scan) -> None:
    allowed = p.named("torch._utils", "_rebuild_parameter")

    assert rules_of(scan("a.pkl", p.stream(p.table(hook=allowed)))) == {"TG-PKL-IMPORT"}


def test_calling_the_result_of_a_call_is_refused(scan) -> None:
    result = scan("model.pkl", p.stream(p.call(p.ordered_dict(), p.text("x"))))

    assert "TG-PKL-CALL" in rules_of(result)


def _settings(state: bytes) -> bytes:
    return p.named("transformers.training_args", "TrainingArguments") + b")" + p.NEWOBJ + state + p.BUILD


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            p.named("torch.nn.modules.module", "Module") + p.table(forward=p.text("x")) + p.BUILD,
            id="a class",
        ),
        pytest.param(
            p.named("transformers.training_args", "TrainingArguments")
            + p.table(to_dict=p.text("x"))
            + p.BUILD,
            id="an allowed class",
        ),
        pytest.param(
            p.named("torch._utils", "_rebuild_tensor_v2") + p.table(__code__=p.text("x")) + p.BUILD,
            id="an allowed function",
        ),
        pytest.param(_settings(p.table(__class__=p.text("x"))), id="an inner attribute"),
        pytest.param(_settings(p.row(b"N", p.table(forward=p.text("x")))), id="slots, which setattr sets"),
        pytest.param(_settings(p.integer(1)), id="no dictionary"),
        pytest.param(
            p.ordered_dict() + p.table(update=p.text("x")) + p.BUILD, id="an attribute that is a method"
        ),
        pytest.param(
            p.named("sys", "modules") + p.text("x") + p.integer(1) + p.SETITEM, id="an item of sys.modules"
        ),
        pytest.param(p.named("torch", "device") + p.integer(1) + p.APPEND, id="append on a class"),
    ],
)
def test_state_on_what_takes_none_is_refused(scan, body: bytes) -> None:
    assert "TG-PKL-STATE" in rules_of(scan("model.pkl", p.stream(body)))


def test_state_that_changes_after_it_was_checked_is_refused(scan) -> None:
    state = b"}" + p.put(0) + p.text("a") + p.integer(1) + p.SETITEM
    late = p.get(0) + p.text("__class__") + p.integer(1) + p.SETITEM + b"0"

    assert "TG-PKL-ODD" in rules_of(scan("a.pkl", p.stream(_settings(state) + late)))


def _rebuilt_as(
    function: bytes = p.named("torch._utils", "_rebuild_tensor_v2"),
    kind: bytes = p.named("torch", "Tensor"),
    state: bytes = p.table(persistent=b"\x88", _is_buffer=b"\x88"),
    size: int = 2,
) -> bytes:
    """A tensor as ``torch.nn.Buffer`` is written."""
    numbers = (p.integer(0), p.row(p.integer(size)), p.row(p.integer(1)), b"\x89", p.ordered_dict())
    return p.call(
        p.named("torch._tensor", "_rebuild_from_type_v2"), function, kind, p.row(p.storage(), *numbers), state
    )


def test_attack_a_buffer_that_reaches_beyond_its_storage(scan) -> None:
    fits, beyond = (torch_zip(p.stream(_rebuilt_as(size=size)), {"0": b"\0" * 8}) for size in (2, 3))

    assert scan("a.pt", fits).verdict is Verdict.PASSED
    assert rules_of(scan("a.pt", beyond)) == {"TG-TORCH-STORAGE"}


@pytest.mark.parametrize(("module", "name"), [("argparse", "Namespace"), ("types", "SimpleNamespace")])
def test_attack_a_namespace_that_is_given_another_class(scan, module: str, name: str) -> None:
    made = p.call(p.named(module, name))

    assert rules_of(scan("a.pkl", p.stream(made + p.table(lr=p.integer(1)) + p.BUILD))) == set()
    assert rules_of(scan("a.pkl", p.stream(made + p.table(__class__=p.text("x")) + p.BUILD))) == {
        "TG-PKL-STATE"
    }
    assert rules_of(scan("a.pkl", p.stream(made + p.text("a") + p.integer(1) + p.SETITEM))) == {
        "TG-PKL-STATE"
    }


ARGUMENTS = [key for key in ALLOWED if key[1].endswith(("Config", "TrainingArguments"))]


@pytest.mark.parametrize("name", ARGUMENTS, ids="-".join)
def test_attack_a_trainers_arguments_constructed_or_given_a_class(scan, name: tuple[str, str]) -> None:
    made = p.named(*name) + b")" + p.NEWOBJ
    inner = p.stream(made + p.table(__class__=p.text("x")) + p.BUILD)

    assert rules_of(scan("a.bin", p.stream(made + p.table(lr=p.integer(1)) + p.BUILD))) == set()
    assert rules_of(scan("a.bin", p.stream(p.call(p.named(*name))))) == {"TG-PKL-CALL"}
    assert rules_of(scan("a.bin", p.stream(p.named(*name) + p.row(p.text("/")) + p.NEWOBJ))) == {
        "TG-PKL-CALL"
    }
    assert rules_of(scan("a.bin", inner)) == {"TG-PKL-STATE"}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            p.call(p.named("_codecs", "encode"), p.text("eA=="), p.text("base64")), id="another codec"
        ),
        pytest.param(p.call(p.named("torch", "device"), p.text("../../etc")), id="no device"),
        pytest.param(p.call(p.named("torch._utils", "_rebuild_tensor_v2"), p.text("x")), id="no storage"),
        pytest.param(
            p.call(p.named("numpy", "dtype"), p.text("O8"), b"\x89", b"\x88"), id="an array of objects"
        ),
        pytest.param(
            p.call(p.named("transformers.training_args", "TrainingArguments"), p.text("/")),
            id="a constructor",
        ),
        pytest.param(
            p.call(p.named("collections", "defaultdict"), p.named("builtins", "list"), p.text("x")),
            id="too many arguments",
        ),
        pytest.param(p.named("torch", "device") + p.text("cpu") + p.REDUCE, id="arguments that are no tuple"),
        pytest.param(p.call(p.named("argparse", "Namespace"), p.text("x")), id="a namespace with arguments"),
        pytest.param(
            p.call(p.named("types", "SimpleNamespace"), p.table(a=p.text("x"))), id="a namespace of a mapping"
        ),
        pytest.param(
            p.call(p.named("collections", "deque"), p.row(p.text("x")), p.integer(1)),
            id="a queue of something",
        ),
        pytest.param(p.call(p.named("pathlib", "PosixPath"), p.table(a=p.text("x"))), id="a path of no text"),
        pytest.param(p.call(p.named("datetime", "datetime"), p.integer(1)), id="a date of numbers"),
        pytest.param(
            p.call(p.named("datetime", "datetime"), p.data(b"x" * 10), p.ordered_dict()), id="no time zone"
        ),
        pytest.param(
            p.call(p.named("datetime", "timezone"), p.text("../../etc/shadow")), id="a time zone by its name"
        ),
        pytest.param(
            p.call(p.named("datetime", "timedelta"), b"G" + b"\0" * 8), id="a duration in fractions"
        ),
        pytest.param(_rebuilt_as(p.named("torch", "device")), id="a function that is no tensor's"),
        pytest.param(_rebuilt_as(kind=p.named("torch", "device")), id="another class than a tensor's"),
        pytest.param(_rebuilt_as(state=p.table(data=p.integer(1))), id="another attribute of a tensor"),
        pytest.param(_rebuilt_as(state=p.row(b"N", p.table(a=b"N"))), id="slots of a tensor"),
    ],
)
def test_an_allowed_name_in_another_form_is_refused(scan, body: bytes) -> None:
    assert "TG-PKL-CALL" in rules_of(scan("model.pkl", p.stream(body)))


def _member(enum: tuple[str, str], name: str, module: str = "__builtin__") -> bytes:
    """An enumeration's member as Python 3.11.0 to 3.11.3 writes it: getattr(its class, its name)."""
    return p.call(p.named(module, "getattr"), p.named(*enum), p.text(name))


SCHEDULER = ("transformers.trainer_utils", "SchedulerType")


@pytest.mark.parametrize("module", ["builtins", "__builtin__"])
def test_a_member_of_a_known_enumeration_passes_as_older_pythons_write_it(scan, module: str) -> None:
    assert scan("training_args.bin", p.stream(_member(SCHEDULER, "COSINE", module))).findings == ()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(_member(SCHEDULER, "__class__"), id="an inner name"),
        pytest.param(_member(SCHEDULER, "mro"), id="a method"),
        pytest.param(_member(("os", "path"), "SYSTEM"), id="another object"),
        pytest.param(
            _member(("transformers.training_args", "TrainingArguments"), "PUSH"), id="no enumeration"
        ),
        pytest.param(p.call(_member(SCHEDULER, "COSINE"), p.text("x")), id="calling what came of it"),
    ],
)
def test_any_other_getattr_is_refused(scan, body: bytes) -> None:
    assert "TG-PKL-CALL" in rules_of(scan("training_args.bin", p.stream(body)))


# --- streams that break, and streams that readers take differently ---------------------------------


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"", id="no STOP"),
        pytest.param(b"\xff\xff\xff", id="no opcode"),
        pytest.param(b"00000000", id="stack underflow"),
        pytest.param(b"e", id="a missing mark"),
        pytest.param(b"\x96" + struct.pack("<Q", 1 << 62), id="a length beyond the file"),
        pytest.param(b"\x8b" + struct.pack("<i", -5), id="a negative length"),
        pytest.param(b"X\xff\xff\xff\x7f", id="a string beyond the file"),
        pytest.param(b"\x80\x09", id="an unknown protocol"),
        pytest.param(b"S'no end\n", id="a string without its quote"),
    ],
)
def test_a_payload_before_the_break_is_seen(scan, rest: bytes) -> None:
    result = scan("model.pkl", p.proto(2) + p.SYSTEM + rest)

    assert [finding.message for finding in result.findings] == [SYSTEM]
    assert "breaks" in result.skipped[0].reason
    assert result.verdict is Verdict.REFUSED


def test_a_broken_stream_without_payload_is_not_understood(scan) -> None:
    result = scan("optimizer.pt", torch_zip(p.BENIGN[:-1]))

    assert result.verdict is Verdict.NOT_UNDERSTOOD
    assert "ends without STOP" in result.skipped[0].reason


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(b"S'\xc3\xa9'\n0", id="a STRING that is not ASCII"),
        pytest.param(b"U\x01\xff0", id="a binary string that is not ASCII"),
        pytest.param(b"I0x10\n0", id="a number in hexadecimal"),
        pytest.param(b"I1_0\n0", id="a number with an underscore"),
        pytest.param(b"L1\x00\n0", id="a number with a zero byte"),
        pytest.param(b"F1e5_0\n0", id="a float with an underscore"),
        pytest.param(b"K\x01" + p.proto(2) + b"0", id="a protocol mark in the middle"),
        pytest.param(b"K\x01q\x00K\x02q\x00" + b"00", id="a memo slot written twice"),
        pytest.param(b"K\x01q\x05" + b"0", id="memo numbers out of order"),
        pytest.param(b"h\x00" + b"0", id="a memo slot of the pickle before"),
        pytest.param(b"\x95" + struct.pack("<Q", 1 << 40), id="a frame longer than the stream"),
        pytest.param(b"\x97" + b"0", id="a buffer outside of the file"),
        pytest.param(b"N", id="values left on the stack"),
    ],
)
def test_what_readers_take_differently_is_refused_and_read_on(scan, before: bytes) -> None:
    result = scan("model.pkl", p.stream(before, p.SYSTEM))

    assert rules_of(result) == {"TG-PKL-CALL", "TG-PKL-ODD"}


def test_a_name_that_only_cpython_reads_shorter_is_refused(scan) -> None:
    # A frame that ends behind the first letter: `_pickle.c` loses that letter, all others keep it.
    body = b"\x95" + struct.pack("<Q", 2) + b"ctorch\ndevice\n"

    assert "TG-PKL-ODD" in rules_of(scan("a.pkl", p.stream(body, version=4)))


def test_memo_numbers_count_filled_slots_and_not_the_highest(scan) -> None:
    # PUT 1 first leaves slot 0 empty; MEMOIZE then writes slot 1 again, not 2.
    body = b"K\x07q\x01" + p.text("posix") + b"\x94" + p.get(1) + p.text("system") + b"\x93(tR"

    result = scan("a.pkl", p.stream(body, version=4))

    assert any("posix.system" in finding.message for finding in result.findings)


# --- more than one pickle, and pickles inside of things --------------------------------------------


def test_a_second_pickle_behind_the_first_is_seen(scan) -> None:
    result = scan("model.pkl", p.BENIGN + p.PAYLOAD)

    assert rules_of(result) == {"TG-PKL-CALL", "TG-PKL-STACKED"}


def test_bytes_behind_the_end_are_refused(scan) -> None:
    assert rules_of(scan("model.pkl", p.BENIGN + b"hidden")) == {"TG-HIDDEN"}


def test_a_pickle_inside_bytes_is_looked_into(scan) -> None:
    result = scan("model.pkl", p.stream(p.data(p.PAYLOAD)))

    [finding] = result.findings
    assert finding.message == SYSTEM
    assert finding.location.member == "bytes at 2"


def test_a_pickle_inside_latin1_text_is_looked_into(scan) -> None:
    inner = p.text(p.PAYLOAD.decode("latin-1"))

    result = scan("m.pkl", p.stream(p.call(p.named("_codecs", "encode"), inner, p.text("latin1"))))

    assert [finding.message for finding in result.findings] == [SYSTEM]


def test_a_pickle_in_a_tensor_is_looked_into(scan) -> None:
    inner = p.PAYLOAD + b"\0" * (-len(p.PAYLOAD) % 4)
    outer = p.stream(p.table(weight=p.tensor("0", len(inner) // 4)))

    result = scan("model.pt", torch_zip(outer, {"0": inner}))

    assert "TG-PKL-CALL" in rules_of(result)
    assert result.findings[0].location.member == "archive/data/0"


def test_numbers_that_begin_like_a_pickle_by_chance_are_no_finding(scan) -> None:
    numbers = b"\x80\x02" + bytes(range(1, 63))
    outer = p.stream(p.table(weight=p.tensor("0", 16)))

    assert scan("model.pt", torch_zip(outer, {"0": numbers})).verdict is Verdict.PASSED


def test_a_program_in_a_tensor_is_refused(scan) -> None:
    outer = p.stream(p.table(weight=p.tensor("0", 16)))

    result = scan("model.pt", torch_zip(outer, {"0": b"\x7fELF" + b"\0" * 60}))

    assert rules_of(result) == {"TG-PROGRAM"}


# --- torch's persistent ids and its legacy form ----------------------------------------------------


@pytest.mark.parametrize(
    "identifier",
    [
        pytest.param(p.text("anything"), id="a string"),
        pytest.param(
            p.row(p.text("module"), p.named("torch.nn", "Linear"), p.text("a.py"), p.text("x")),
            id="a module, whose source torch patches",
        ),
        pytest.param(
            p.row(p.text("storage"), p.named("os", "FloatStorage"), p.text("0"), p.text("cpu"), p.integer(2)),
            id="a foreign class",
        ),
        pytest.param(
            p.row(
                p.text("storage"),
                p.named("torch", "FloatStorage"),
                p.text("../../x"),
                p.text("cpu"),
                p.integer(2),
            ),
            id="a path as key",
        ),
        pytest.param(
            p.row(
                p.text("storage"),
                p.named("torch", "FloatStorage"),
                p.text("0"),
                p.text("cpu;x"),
                p.integer(2),
            ),
            id="a strange location",
        ),
        pytest.param(
            p.row(
                p.text("storage"), p.named("torch", "FloatStorage"), p.text("0"), p.text("cpu"), p.integer(-2)
            ),
            id="a negative count",
        ),
    ],
)
def test_a_foreign_persistent_id_is_refused(scan, identifier: bytes) -> None:
    result = scan("model.pt", torch_zip(p.stream(identifier + p.BINPERSID)))

    assert "TG-PKL-PERSISTENT" in rules_of(result)


def test_a_persistent_id_outside_of_torch_is_refused(scan) -> None:
    assert "TG-PKL-PERSISTENT" in rules_of(scan("a.pkl", p.stream(p.storage())))


def _legacy(parts: list[bytes], storages: bytes = b"") -> bytes:
    return b"".join(parts) + storages


LEGACY = [
    p.MAGIC,
    p.stream(b"M\xe9\x03"),
    p.stream(p.table(little_endian=b"\x88")),
    p.stream(p.table(weight=p.tensor("94", 2, legacy=True))),
    p.stream(b"]" + p.text("94") + b"a"),
]
NUMBERS = struct.pack("<q", 2) + b"\0" * 8


def test_a_plain_legacy_file_passes(scan) -> None:
    assert scan("model.pt", _legacy(LEGACY, NUMBERS)).verdict is Verdict.PASSED


@pytest.mark.parametrize("which", [1, 2, 3, 4])
def test_a_payload_in_any_pickle_of_a_legacy_file_is_seen(scan, which: int) -> None:
    parts = [*LEGACY]
    parts[which] = parts[which][:2] + p.SYSTEM + b"0" + parts[which][2:]

    result = scan("model.pt", _legacy(parts, NUMBERS))

    assert SYSTEM in [finding.message for finding in result.findings]


@pytest.mark.parametrize(
    ("storages", "rule"),
    [
        pytest.param(NUMBERS + b"more", "TG-HIDDEN", id="bytes behind"),
        pytest.param(struct.pack("<q", 1) + b"\0" * 4, "TG-TORCH-STORAGE", id="another length"),
    ],
)
def test_a_legacy_file_whose_numbers_do_not_fit_is_refused(scan, storages: bytes, rule: str) -> None:
    assert rule in rules_of(scan("model.pt", _legacy(LEGACY, storages)))


def test_a_magic_number_that_is_computed_makes_no_legacy_file(scan) -> None:
    magic = p.stream(p.call(p.named("builtins", "int"), p.text("1950a86a20f9469cfc6c")))

    assert "TG-PKL-CALL" in rules_of(scan("model.pt", _legacy([magic, *LEGACY[1:]], NUMBERS)))


def test_a_pickle_that_is_a_tar_archive_as_well_is_refused(scan) -> None:
    # torch tries tar first: the name field of the tar header is where the pickle stands.
    block = bytearray(512)
    block[: len(p.BENIGN)] = p.BENIGN
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)

    assert "TG-TWO-READINGS" in rules_of(scan("model.pt", bytes(block)))


# --- named as something else -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "config.json",
        "merges.txt",
        "README.md",
        "data.jsonl",
        "picture.png",
        "noext",
        "a.dat",
        "x.gguf",
    ],
)
@pytest.mark.parametrize("version", [None, 2, 4])
def test_a_payload_under_any_name_is_seen(scan, name: str, version: int | None) -> None:
    result = scan(name, p.stream(p.SYSTEM, version=version))

    assert "TG-PKL-CALL" in rules_of(result)


def test_a_pickle_of_text_opcodes_is_seen_in_a_text_file(scan) -> None:
    result = scan("vocab.txt", b"cposix\nsystem\n(S'echo tuneguard-inert'\ntR.")

    assert SYSTEM in [finding.message for finding in result.findings]


# --- objects of frameworks ---------------------------------------------------------------------------

OBJECTS = [
    ("sklearn.linear_model._logistic", "LogisticRegression", "a model of scikit-learn"),
    ("xgboost.sklearn", "XGBClassifier", "a model of XGBoost"),
    ("torch.nn.modules.linear", "Linear", "a whole module of torch"),
    ("omegaconf.dictconfig", "DictConfig", "a configuration of OmegaConf"),
    ("torchao.quantization", "Int8Tensor", "a tensor class of torchao"),
    ("torch._utils", "_rebuild_nested_tensor", "a nested tensor"),
    ("numpy.random._pickle", "__randomstate_ctor", "a random generator of NumPy"),
]


@pytest.mark.parametrize(("module", "name", "what"), OBJECTS)
def test_objects_of_a_framework_are_refused_for_one_reason(scan, module: str, name: str, what: str) -> None:
    made = p.call(p.named(module, name), p.integer(1)) + p.table(a=p.integer(1)) + p.BUILD

    result = scan("m.pkl", p.stream(p.row(made, made, p.named(module, name))))

    [finding] = result.findings
    assert (finding.rule, finding.severity) == ("TG-PKL-FRAMEWORK", "high")
    assert finding.message.startswith(f"holds {what}, which only running its code restores: ")


@pytest.mark.parametrize("module", [each[0] for each in OBJECTS])
@pytest.mark.parametrize("name", ["os.system", "check_output", "Linear.forward", "subprocess.Popen"])
def test_attack_a_call_behind_the_name_of_a_framework(scan, module: str, name: str) -> None:
    result = scan("m.pkl", p.stream(p.call(p.named(module, name), p.text("x"))))

    assert rules_of(result) == {"TG-PKL-CALL"}
    assert f"{module}.{name}" in result.findings[0].message


@pytest.mark.parametrize(("module", "name", "what"), OBJECTS)
def test_attack_a_call_among_the_objects_of_a_framework(scan, module: str, name: str, what: str) -> None:
    made = p.call(p.named(module, name))

    result = scan("m.pkl", p.stream(p.row(made, p.SYSTEM, made)))

    assert rules_of(result) == {"TG-PKL-FRAMEWORK", "TG-PKL-CALL"}
    assert SYSTEM in [finding.message for finding in result.findings]


def test_attack_another_member_is_not_explained_by_a_frameworks_objects(scan) -> None:
    odd = p.call(p.named("numpy", "dtype"), p.text("O8"), b"\x89", b"\x88")
    forest = p.call(p.named("sklearn.tree._tree", "Tree"), odd)

    result = scan("m.zip", archive(Member("a.pkl", p.stream(forest)), Member("b.pkl", p.stream(odd))))

    told = {(finding.location.member, finding.rule) for finding in result.findings}
    assert told == {("a.pkl", "TG-PKL-FRAMEWORK"), ("b.pkl", "TG-PKL-CALL")}


# --- denial of service -----------------------------------------------------------------------------


def test_a_billion_laughs_cost_nothing(scan) -> None:
    # Ten references to the level below, two hundred levels: ten to the power of two hundred values.
    levels = b"".join(p.MARK + p.get(i) * 10 + p.TUPLE + p.put(i + 1) + p.POP for i in range(200))

    result = scan(
        "a.pkl", p.stream(p.text("lol"), p.put(0), p.POP, levels, p.call(p.named("os", "open"), p.get(200)))
    )

    assert "os.open" in result.findings[0].message


def test_a_tuple_nested_a_million_deep_is_described_and_not_followed(scan) -> None:
    deep = b")" + b"\x85" * 1_000_000

    result = scan("a.pkl", p.stream(p.named("posix", "system") + deep + b"R"))

    assert "posix.system" in result.findings[0].message
    assert len(result.findings[0].message) < 200


def test_one_reason_is_told_once_with_how_often_it_was_met(scan) -> None:
    calls = b"".join(p.call(p.named("posix", "system"), p.integer(i)) + b"0" for i in range(3000))

    [finding] = scan("a.pkl", p.stream(calls, b"N")).findings

    assert finding.message == "would call posix.system(0) when the file is loaded (3,000 times)"
    assert finding.location.opcode == "REDUCE"


def test_a_hundred_thousand_bad_calls_are_twenty_findings_and_a_count(scan) -> None:
    calls = b"".join(p.call(p.named("posix", f"system{i}")) + b"0" for i in range(3000))

    findings = scan("a.pkl", p.stream(calls, b"N")).findings

    assert len(findings) == 21
    assert findings[-1].message == "and 2,980 more of this kind in the file"


def test_a_million_values_that_begin_like_pickles_come_to_an_end(
    scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuneguard.limits.NESTED_BYTES_IN_ALL", 5_000_000)
    values = b"C\x04\x80\x04N.0" * 100

    result = scan("a.pkl", p.stream(values, b"N"))

    assert "more inside of each other" in result.skipped[0].reason


@pytest.mark.parametrize(
    "limit", ["PICKLE_OPCODES", "PICKLE_MEMO", "PICKLE_STACK", "PICKLE_GRAPH", "PICKLE_NAMES"]
)
def test_a_stream_beyond_a_bound_is_not_understood(scan, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"tuneguard.limits.{limit}", 10)
    monkeypatch.setattr("tuneguard.formats.pickle.machine.WINDOW", 64)
    names = b"".join(p.named("collections", f"N{i}") + b")\x85\x94" for i in range(40))

    result = scan("a.pkl", p.proto(4) + names + b".")

    assert result.skipped
    assert result.verdict is not Verdict.PASSED


def test_real_pickles_of_plain_values_pass_in_every_protocol(scan) -> None:
    value = {
        "a": [1, 2.5, None, True, 10**30, -1],
        "täxt": ("x", (), {"y": b"bytes", "z": bytearray(b"q")}),
        "s": {1, 2},
    }
    files = {f"p{version}.pkl": pickle.dumps(value, protocol=version) for version in range(6)}

    result = scan(files)

    assert result.verdict is Verdict.PASSED
    assert result.understood == result.files == 6


# --- two things at once ----------------------------------------------------------------------------


def test_safetensors_that_is_a_pickle_as_well_needs_the_name_of_safetensors(scan) -> None:
    # BINUNICODE takes the header for a string of 256 × less; here the header is long enough for both.
    header = b'{"__metadata__":{"a":"' + b" " * 600 + b'"}}'
    header += b" " * (0x0458 - len(header))  # a length whose first byte is X
    data = struct.pack("<Q", len(header)) + header
    assert data[:1] == b"X"

    assert rules_of(scan("weights.dat", data)) == {"TG-NAME"}
    assert rules_of(scan({"model.safetensors": data, "weights.dat": b""})) == set()


def test_a_picture_that_is_a_pickle_as_well_needs_the_name_of_a_picture(scan) -> None:
    # G is BINFLOAT: eight bytes of header pass as a number, and opcodes follow where sizes stand.
    picture = b"GIF89a" + b"\1\0\1" + b"0" + b"\x80\0\0" + b"\0" * 6 + b";"

    assert rules_of(scan("weights", picture)) == {"TG-NAME"}


def test_a_call_behind_a_long_line_of_text_is_seen(scan) -> None:
    filler = b"V" + b"a" * 1_500_000 + b"\n0"

    assert "TG-PKL-CALL" in rules_of(scan("notes.txt", filler + p.SYSTEM + b"."))


# --- arguments that corrupt memory ---------------------------------------------------------------------


def _rebuilt(offset: int, size: int, stride: int, *, legacy: bool = False) -> bytes:
    return p.call(
        p.named("torch._utils", "_rebuild_tensor_v2"),
        p.storage("0", 2, legacy=legacy),
        p.integer(offset),
        p.row(p.integer(size)),
        p.row(p.integer(stride)),
        b"\x89",
        p.ordered_dict(),
    )


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [(0, 3, 1), (1, 2, 1), (2, 1, 1), (0, 2, 2), (-1, 1, 1), (0, -1, 1), (0, 2, -1)],
)
def test_a_tensor_that_reaches_beyond_its_storage_is_refused(
    scan, offset: int, size: int, stride: int
) -> None:
    data = p.stream(p.table(weight=_rebuilt(offset, size, stride)))

    assert rules_of(scan("model.pt", torch_zip(data, {"0": b"\0" * 8}))) == {"TG-TORCH-STORAGE"}


@pytest.mark.parametrize(
    ("offset", "size", "stride"), [(0, 2, 1), (1, 1, 1), (0, 0, 1), (0, 5, 0), (0, 1, 9)]
)
def test_a_tensor_within_its_storage_passes(scan, offset: int, size: int, stride: int) -> None:
    data = p.stream(p.table(weight=_rebuilt(offset, size, stride)))

    assert scan("model.pt", torch_zip(data, {"0": b"\0" * 8})).verdict is Verdict.PASSED


def test_numpy_flags_that_turn_numbers_into_pointers_are_refused(scan) -> None:
    dtype = p.call(p.named("numpy", "dtype"), p.text("i8"), b"\x89", b"\x88")
    state = p.row(*map(p.integer, [3]), p.text("<"), b"N", b"N", b"N", *map(p.integer, [-1, -1, 1]))

    assert rules_of(scan("a.pkl", p.stream(dtype + state + p.BUILD))) == {"TG-PKL-STATE"}


def test_a_name_that_older_pickles_map_to_another_stays_allowed_only_if_both_are() -> None:
    for module, name in ALLOWED:
        target = _compat_pickle.NAME_MAPPING.get(
            (module, name), (_compat_pickle.IMPORT_MAPPING.get(module, module), name)
        )
        assert target in ALLOWED
