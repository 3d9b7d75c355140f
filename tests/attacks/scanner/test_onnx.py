"""Attacks by ONNX models: foreign operators at every depth, numbers in other files, bytes of two readings."""

from __future__ import annotations

import pytest

from tuneguard import limits
from tuneguard.findings import Verdict
from tuneguard.formats import onnx
from world import pickles as p
from world import tars, zips
from world.frames import field
from world.graphs import attribute, elsewhere, function, graph, model, node, tensor
from world.scans import nearly, verdict

PYTHON = node(b"PyOp", domain=b"ai.onnx.contrib")


def rules_of(scan) -> set[str]:
    return {finding.rule for finding in scan.findings}


def inside(depth: int, innermost: bytes) -> bytes:
    """A node in graphs inside of each other."""
    body = innermost
    for _ in range(depth):
        body = node(b"If", attribute(b"then_branch", 6, graph(body)))
    return body


def test_a_plain_model_passes(scan) -> None:
    constant = node(b"Constant", attribute(b"value", 5, tensor()))
    many = node(b"Constant", attribute(b"value_floats", 7, b"\0" * 8), attribute(b"x", 2, 1.0))
    local = node(b"F", domain=b"local")
    body = graph(constant, many, local, node(b"MatMulNBits", domain=b"com.microsoft"), inside(3, constant))

    data = model(body, field(25, function(b"local", b"F", node(b"Relu"))), field(14, field(1, b"a")))

    assert scan("model.onnx", data).verdict is Verdict.PASSED
    assert scan("model.onnx", model()).verdict is Verdict.PASSED


PLACES = {
    "the graph": model(graph(PYTHON)),
    "a branch": model(graph(inside(1, PYTHON))),
    "a branch of a branch": model(graph(inside(5, PYTHON))),
    "one of several graphs": model(graph(node(b"X", attribute(b"g", 11, graph(PYTHON)), domain=b"local"))),
    "a function": model(None, field(25, function(b"local", b"F", PYTHON))),
    "a function's default": model(
        None, field(25, function(b"local", b"F") + field(11, attribute(b"g", 6, graph(PYTHON))))
    ),
    "the initialization of a training": model(None, field(20, field(1, graph(PYTHON)))),
    "the algorithm of a training": model(None, field(20, field(2, graph(PYTHON)))),
}


@pytest.mark.parametrize("data", PLACES.values(), ids=PLACES)
def test_attack_an_operator_of_a_library_that_is_loaded(scan, data: bytes) -> None:
    result = scan("model.onnx", data)

    assert "TG-ONNX-OPERATOR" in rules_of(result)
    assert "asks for the operator PyOp of ai.onnx.contrib" in {f.message for f in result.findings}


@pytest.mark.parametrize(
    ("domain", "name"),
    [
        (None, b"NoSuchOperator"),
        (b"", b"PyOp"),
        (b"com.microsoft", b"EPContext"),
        (b"com.microsoft", b"Snpe"),
        (b"com.microsoft", b"PyOp"),
        (b"pyopmulticpu", b"PyOp"),
        (b"org.pytorch.aten", b"ATen"),
        (b"AI.ONNX", b"Relu"),
        (b"local", b"F"),
        (None, b""),
    ],
)
def test_attack_an_operator_that_is_not_on_the_list(scan, domain: bytes | None, name: bytes) -> None:
    assert "TG-ONNX-OPERATOR" in rules_of(scan("model.onnx", model(graph(node(name, domain=domain)))))


def test_attack_a_function_in_the_place_of_a_standard_operator(scan) -> None:
    data = model(None, field(25, function(b"", b"Relu", node(b"Identity"))))

    assert "TG-TWO-READINGS" in rules_of(scan("model.onnx", data))


# --- numbers in other files ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location",
    [b"/etc/passwd", b"../other/weights", b"a/../../b", b"C:\\x", b"file:///etc/passwd", b"missing.bin", b""],
)
def test_attack_numbers_from_outside_of_the_tree(scan, location: bytes) -> None:
    for data in (
        model(graph(tensors=(elsewhere(location),))),
        model(graph(node(b"Constant", attribute(b"value", 5, elsewhere(location))))),
        model(graph(inside(2, node(b"Constant", attribute(b"sparse", 22, field(1, elsewhere(location))))))),
    ):
        result = scan("onnx/model.onnx", data)

        assert rules_of(result) == {"TG-CFG-PATH"}
        assert result.findings[0].message.startswith("a tensor opens ")


NUMBERS = b"\xff\1\2\3" * 9
DATA = "onnx/model.onnx.data"


def placed(offset: int, length: int | None, location: bytes = b"model.onnx.data") -> bytes:
    """A tensor whose numbers lie at a place of another file."""
    said = {b"location": location, b"offset": b"%d" % offset}
    said |= {} if length is None else {b"length": b"%d" % length}
    return tensor(b"w", b"", *(field(13, field(1, key) + field(2, value)) for key, value in said.items()))


def beside(data: bytes, *tensors: bytes) -> dict[str, bytes]:
    """A model with these tensors, and the file that they name."""
    return {"onnx/model.onnx": model(graph(tensors=tensors)), DATA: data}


@pytest.mark.parametrize(
    "files",
    [
        beside(NUMBERS, placed(0, None)),
        beside(NUMBERS, placed(0, 36)),
        beside(NUMBERS, placed(0, 36), placed(0, 36)),
        beside(NUMBERS + bytes(4060) + NUMBERS + bytes(9), placed(4096, 36), placed(0, 36)),
        beside(bytes(2048) + NUMBERS, placed(0, 2084)),
    ],
)
def test_numbers_beside_a_model_pass_where_it_names_every_byte(scan, files: dict[str, bytes]) -> None:
    result = scan(files)

    assert (result.verdict, result.findings, result.skipped) == (Verdict.PASSED, (), ())
    assert result.understood == 2


@pytest.mark.parametrize(
    ("files", "rule"),
    [
        (beside(NUMBERS, placed(0, 4)), "TG-HIDDEN"),
        (beside(NUMBERS, placed(8, None)), "TG-HIDDEN"),
        (beside(NUMBERS, placed(0, 8), placed(4, None)), "TG-TWO-READINGS"),
        (beside(NUMBERS[:4] + p.PAYLOAD, placed(0, 4), placed(4, None)), "TG-PKL-CALL"),
        (beside(p.PAYLOAD, placed(0, None)), "TG-PKL-CALL"),
        (beside(b"\x7fELF\x02\x01\x01" + bytes(57), placed(0, None)), "TG-PROGRAM"),
        (beside(NUMBERS + zips.archive(zips.Member("a", b"b")), placed(0, None)), "TG-TWO-READINGS"),
        (beside(tars.header(start=NUMBERS) + bytes(1024), placed(0, None)), "TG-TWO-READINGS"),
    ],
)
def test_attack_something_else_in_the_place_of_the_numbers(scan, files: dict[str, bytes], rule: str) -> None:
    result = scan(files)

    assert rule in rules_of(result) or (rule == "TG-TWO-READINGS" and result.skipped)
    assert result.verdict is not Verdict.PASSED


@pytest.mark.parametrize(
    "files",
    [
        beside(NUMBERS, placed(0, 37)),
        beside(NUMBERS, placed(37, None)),
        beside(NUMBERS) | {"onnx/model.onnx": model()},
        beside(NUMBERS) | {"model.onnx": model(graph(tensors=(placed(0, None),)))},
        beside(NUMBERS, tensor(b"w", b"", field(13, field(1, b"offset") + field(2, b"-1")))),
        {"m.onnx": model(graph(tensors=(placed(0, None, b"m.pb"),))), "m.pb": NUMBERS},
        {"m.onnx": model(graph(tensors=(placed(0, None, b"m.h5"),))), "m.h5": b"\x89HDF\r\n\x1a\n" + NUMBERS},
        {DATA: NUMBERS},
    ],
)
def test_attack_bytes_that_are_numbers_only_by_what_a_model_says(scan, files: dict[str, bytes]) -> None:
    result = scan(files)

    assert result.verdict is not Verdict.PASSED
    assert result.skipped


def test_attack_a_tensor_that_names_two_files(scan) -> None:
    data = model(graph(tensors=(elsewhere(b"README.md", b"LICENSE"),)))

    assert "TG-TWO-READINGS" in rules_of(scan({"model.onnx": data, "README.md": b"a\n", "LICENSE": b"a\n"}))


# --- what is not plain ---------------------------------------------------------------------------------


def test_attack_a_payload_in_the_numbers(scan) -> None:
    for number in (6, 9):
        data = model(graph(tensors=(tensor(b"w", b"", field(number, p.PAYLOAD)),)))

        assert "TG-PKL-CALL" in rules_of(scan("model.onnx", data))


def test_attack_a_second_graph_which_readers_put_together(scan) -> None:
    assert "TG-TWO-READINGS" in rules_of(scan("model.onnx", model(None, field(7, graph(node(b"Relu"))))))


@pytest.mark.parametrize(
    "data",
    [
        model()[:-1],
        model() + b"\0",
        model(None, field(99, b"hidden")),
        model(graph() + field(99, b"hidden")),
        model(graph(node(b"Relu") + field(99, b"hidden"))),
        model(graph(tensors=(tensor(b"w", b"", field(99, b"hidden")),))),
        model(graph(tensors=(tensor(b"w", b"", field(9, 1)),))),
        model(graph(inside(limits.ONNX_DEPTH + 2, node(b"Relu")))),
        model(graph(node(b"\xff"))),
        model(graph(node(b"x" * (limits.ONNX_NAME + 1)))),
        model(graph(tensors=(tensor(b"w", b"", field(13, field(1, b"basepath") + field(2, b"/"))),))),
        b"\x08\x07\x12\x07pytorch" + b"\0" * 20,
    ],
)
def test_a_model_that_is_not_plain_is_not_understood(scan, data: bytes) -> None:
    result = scan("model.onnx", data)

    assert result.verdict is Verdict.NOT_UNDERSTOOD
    assert "Tuneguard failed" not in result.skipped[0].reason


def test_more_fields_than_are_walked_are_not_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ONNX_FIELDS", 30)

    assert verdict("m.onnx", model()) is Verdict.PASSED
    assert verdict("m.onnx", model(graph(*[node(b"Relu")] * 30))) is Verdict.NOT_UNDERSTOOD


# --- another kind that is a model as well --------------------------------------------------------------

# A graph in front whose only tensor lies elsewhere, without a version: text from its first byte to its last.
LEADS = field(13, field(1, b"location") + field(2, b"/etc/passwd"))


def test_attack_text_that_is_a_model_as_well(scan) -> None:
    name = b"n" * (0x20 - 2)
    body = field(2, name) + field(5, field(8, b"w" * 10) + LEADS)
    data = field(7, body)

    assert data.decode()
    for path in ("notes.txt", "README.md", "a.log"):
        result = scan(path, data)
        assert "TG-TWO-READINGS" in rules_of(result) or result.verdict is Verdict.NOT_UNDERSTOOD
        assert result.verdict is not Verdict.PASSED


def test_attack_a_model_behind_fields_that_no_schema_knows() -> None:
    for filler in (b"0 " * 5_000, field(99, b"x" * 70_000), b"\x7b0 \x7c" * 9):
        data = filler + field(7, graph(node(b"Relu")))
        assert onnx.parses(len(data), lambda at, amount, data=data: data[at : at + amount])


def test_endless_fields_are_taken_for_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ONNX_HOPS", 100)
    data = b"0 " * 200

    assert onnx.parses(len(data), lambda at, amount: data[at : at + amount])
    assert not onnx.parses(100, lambda at, amount: data[at : at + amount])


@pytest.mark.parametrize(
    "text", ["# Card: model\n", "a: b\n", ":" * 40, "loss: 0.5 step: 1\n" * 50, "t" * 99]
)
def test_ordinary_text_is_no_model(text: str) -> None:
    data = text.encode()

    assert not onnx.parses(len(data), lambda at, amount: data[at : at + amount])


# --- against the ONNX library, where it is installed ---------------------------------------------------


def test_whatever_onnx_reads_is_a_model_to_us_and_its_operators_are_judged() -> None:
    library = pytest.importorskip("onnx")
    seeds = [model(), *PLACES.values(), model(graph(tensors=(elsewhere(b"/etc/passwd"),)))]
    read = 0
    for data in nearly(seeds, 2_000, seed=16):
        try:
            loaded = library.load_model_from_string(data)
        except Exception:  # noqa: BLE001 (ONNX reads nothing here)
            continue
        if loaded.graph.node or loaded.graph.initializer:
            read += 1
            assert onnx.parses(len(data), lambda at, amount, data=data: data[at : at + amount])
        if verdict("m.onnx", data) is Verdict.PASSED:
            assert b"PyOp" not in {each.op_type.encode() for each in loaded.graph.node}
            entries = [entry for each in loaded.graph.initializer for entry in each.external_data]
            assert {entry.key for entry in entries} <= {"location", "offset", "length", "checksum"}
            assert not any(entry.value.startswith("/") or ".." in entry.value for entry in entries)

    assert read > 300
