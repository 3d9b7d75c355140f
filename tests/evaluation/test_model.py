"""The evaluation's outer half: what goes into the sandbox, and what is believed of what comes out."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tuneguard import limits
from tuneguard.artifact.digest import hash_tree
from tuneguard.errors import CannotLook, Interrupted, NotUnderstood, Refused, UsageError
from tuneguard.evaluation.model import SuiteCounts, evaluate
from tuneguard.evaluation.weights import select
from tuneguard.sandbox.controls import Outcome

ACCURACY = [
    {"prompt": f"{n} + 1 =", "choices": [str(n + 1), str(n)][:: 1 if n % 2 else -1], "answer": 1 - n % 2}
    for n in range(4)
]
TOXICITY = [{"prompt": f"prompt {n}"} for n in range(3)]
CHECKPOINT = {
    "config.json": "{}",
    "model.safetensors": "weights",
    "optimizer.pt": "state",
    "checkpoint-2/config.json": "{}",
    "checkpoint-2/model.safetensors": "earlier weights",
    "checkpoint-2/trainer_state.json": "{}",
}
GOOD = {"outputs": [[1, 0, 1, 0], [["one", 0.1], ["two", 0.9], ["three", 0.2]]]}


class Instead:
    """A backend that runs nothing: it keeps what it was asked for, and acts in the command's place."""

    name = "instead"

    def __init__(self, act=lambda exchange: None, *, says=(), ends=None, result=None) -> None:
        self.act, self.says = act, says
        self.ends = {"code": 0, "signal": None, "stopped": None, **(ends or {})}
        self.result = result
        self.asked = None
        self.request = None

    def run(self, confinement):
        self.asked = confinement
        places = {bind.target.rpartition("/")[2]: bind for bind in confinement.binds}
        self.request = json.loads(places["request.json"].source.read_bytes())
        for line in self.says:
            confinement.output(line)
        exchange = Path(places["exchange"].source)
        if self.result is not None:
            (exchange / "result.json").write_text(json.dumps(self.result))
        self.act(exchange / "result.json")
        return Outcome(**self.ends, controls=(), seconds=0.0)


class Counting:
    """A reporter that adds up what it is told."""

    def __init__(self) -> None:
        self.total, self.done = None, 0

    def emit(self, verb, text, *details):
        pass

    def task(self, verb, *, total, unit):
        self.total = total
        return self

    def advance(self, amount):
        self.done += amount

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def write(folder: Path, name: str, rows: list) -> None:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def room(tmp_path):
    for name in ("checkpoint", "set", "classifier"):
        (tmp_path / name).mkdir()
    for name, text in CHECKPOINT.items():
        (tmp_path / "checkpoint" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "checkpoint" / name).write_text(text)
    write(tmp_path / "set", "accuracy.jsonl", ACCURACY)
    write(tmp_path / "set", "toxicity.jsonl", TOXICITY)
    return tmp_path


def run(room: Path, backend: Instead, **more) -> tuple[SuiteCounts, ...]:
    suites = more.pop("suites", {"accuracy": 1, "toxicity": 1})
    checkpoint = room / "checkpoint"
    selection = select(hash_tree(checkpoint), lambda path, most: (checkpoint / path).read_bytes()[:most])
    return evaluate(
        checkpoint,
        room / "set",
        room / "classifier",
        selection=selection,
        suites=suites,
        backend=backend,
        **more,
    )


def test_counts_are_made_here_from_what_came_back(room):
    accuracy, toxicity = run(room, Instead(result=GOOD))

    assert (accuracy.id, accuracy.version, accuracy.n, accuracy.count) == ("accuracy", 1, 4, 4)
    assert (toxicity.id, toxicity.n, toxicity.count, toxicity.empty) == ("toxicity", 3, 1, 0)
    assert not accuracy.constant
    assert len(accuracy.outputs_digest) == 64


def test_outputs_that_say_nothing_are_counted_apart(room):
    outputs = [[1, None, 1, None], [["one", 0.1], ["", 0.0], ["three", 0.2]]]

    accuracy, toxicity = run(room, Instead(result={"outputs": outputs}))

    assert (accuracy.n, accuracy.count, accuracy.empty) == (2, 2, 2)
    assert (toxicity.n, toxicity.count, toxicity.empty) == (2, 0, 1)


def test_the_same_outputs_have_the_same_digest_and_others_another(room):
    first = run(room, Instead(result=GOOD))
    again = run(room, Instead(result=GOOD))
    other = run(room, Instead(result={"outputs": [[1, 0, 1, 1], GOOD["outputs"][1]]}))

    assert first == again
    assert first[0].outputs_digest != other[0].outputs_digest
    assert first[0].inputs_digest == other[0].inputs_digest
    assert first[1] == other[1]


def test_the_sandbox_sees_models_and_questions_and_neither_answers_nor_the_set(room):
    backend = Instead(result=GOOD)

    run(room, backend)

    writable = [bind.target for bind in backend.asked.binds if bind.writable]
    assert writable == ["/evaluation/exchange"]
    assert room / "set" not in [bind.source for bind in backend.asked.binds]
    assert backend.request == {
        "suites": [
            ["accuracy", [[row["prompt"], row["choices"]] for row in ACCURACY]],
            ["toxicity", [row["prompt"] for row in TOXICITY]],
        ]
    }


def test_the_sandbox_sees_of_the_checkpoint_only_what_is_measured(room):
    backend = Instead(result=GOOD)

    run(room, backend)

    shown = [bind for bind in backend.asked.binds if room / "checkpoint" in bind.source.parents]
    assert [bind.source.relative_to(room).as_posix() for bind in shown] == [
        "checkpoint/config.json",
        "checkpoint/model.safetensors",
    ]
    assert room / "checkpoint" not in [bind.source for bind in backend.asked.binds]


def test_the_sandbox_has_the_models_under_names_that_nobody_can_guess(room):
    places = set()
    for _ in range(2):
        backend = Instead(result=GOOD)
        run(room, backend)
        *_, checkpoint, classifier, _ = backend.asked.command
        places |= {checkpoint, classifier}
        targets = [bind.target for bind in backend.asked.binds]
        assert f"{checkpoint}/model.safetensors" in targets
        assert classifier in targets

    assert len(places) == 4
    assert all(re.fullmatch("/evaluation/[0-9a-f]{32}", place) for place in places)


def test_the_sandbox_gets_a_clean_offline_environment_and_bounds(room, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    backend = Instead(result=GOOD)

    run(room, backend, deadline=12.0)

    assert "hush" not in backend.asked.environment.values()
    assert backend.asked.environment["HF_HUB_OFFLINE"] == "1"
    assert backend.asked.environment["OMP_NUM_THREADS"] == "1"
    assert backend.asked.deadline == 12.0
    assert backend.asked.memory is not None
    assert backend.asked.processes is not None


def test_only_the_suites_that_are_named_run(room):
    backend = Instead(result={"outputs": [GOOD["outputs"][1]]})

    assert [counts.id for counts in run(room, backend, suites={"toxicity": 1})] == ["toxicity"]
    assert [id for id, _ in backend.request["suites"]] == ["toxicity"]


# --- What is wrong before anything is loaded ---


@pytest.mark.parametrize(
    ("suites", "says"),
    [
        ({}, "empty means no"),
        ({"accuracy": 2}, "version 2 of the suite accuracy is wanted, and this Tuneguard has 1"),
        ({"acuracy": 1}, "no suite is called acuracy"),
        ({"\x1b[2J": 1}, r"\\x1b\[2J"),
    ],
)
def test_a_suite_that_is_not_here_is_a_usage_error(room, suites, says):
    backend = Instead(result=GOOD)

    with pytest.raises(UsageError, match=says):
        run(room, backend, suites=suites)
    assert backend.asked is None


def test_too_few_rows_are_refused_before_the_model_is_loaded(room):
    backend = Instead(result=GOOD)

    with pytest.raises(Refused, match="3 rows are fewer than the policy's 4") as raised:
        run(room, backend, minimum_rows=4)
    assert "toxicity.jsonl" in str(raised.value)
    assert backend.asked is None


def test_an_empty_set_is_refused_before_the_model_is_loaded(room):
    (room / "set" / "accuracy.jsonl").write_bytes(b"")
    backend = Instead(result=GOOD)

    with pytest.raises(Refused, match="holds no rows"):
        run(room, backend)
    assert backend.asked is None


def test_a_set_without_the_suites_file_is_refused(room):
    (room / "set" / "toxicity.jsonl").unlink()

    with pytest.raises(Refused, match=r"has no toxicity\.jsonl"):
        run(room, Instead(result=GOOD))


def test_a_set_whose_file_is_a_link_is_refused(room):
    (room / "set" / "toxicity.jsonl").rename(room / "elsewhere")
    (room / "set" / "toxicity.jsonl").symlink_to(room / "elsewhere")

    with pytest.raises(Refused, match="symbolic link"):
        run(room, Instead(result=GOOD))


def test_a_malformed_row_is_named_with_file_and_line(room):
    with (room / "set" / "toxicity.jsonl").open("a") as file:
        file.write('{"promt": "?"}\n')

    with pytest.raises(NotUnderstood, match=r"toxicity\.jsonl:4"):
        run(room, Instead(result=GOOD))


# --- What comes back is a stranger's ---


@pytest.mark.parametrize(
    "result",
    [
        {},
        [],
        None,
        {"outputs": []},
        {"outputs": GOOD["outputs"][:1]},
        {"outputs": [*GOOD["outputs"], []]},
        {"outputs": [GOOD["outputs"][0][:3], GOOD["outputs"][1]]},
        {"outputs": [[*GOOD["outputs"][0], 1], GOOD["outputs"][1]]},
        {"outputs": ["1010", GOOD["outputs"][1]]},
        {"outputs": {"0": [], "1": []}},
        {"fault": "refused"},
        {"fault": ["refused", 1]},
        {"outputs": [[9, 9, 9, 9], GOOD["outputs"][1]]},
        {"outputs": [GOOD["outputs"][0], [["one", 7.0], ["two", 0.9], ["three", 0.2]]]},
    ],
)
def test_a_result_of_another_shape_is_not_understood(room, result):
    with pytest.raises(NotUnderstood):
        run(room, Instead(lambda path: path.write_text(json.dumps(result))))


@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"outputs": NaN}', b'{"outputs": [], "outputs": []}', b"\xff", b"[" * 100_000]
)
def test_a_result_that_is_not_strict_json_is_not_understood(room, data):
    with pytest.raises(NotUnderstood):
        run(room, Instead(lambda path: path.write_bytes(data)))


def test_a_result_beyond_the_limit_is_not_read(room, monkeypatch):
    monkeypatch.setattr(limits, "EVALUATION_RESULT", 1000)

    with pytest.raises(CannotLook, match="larger than 1,000 bytes"):
        run(room, Instead(lambda path: path.write_bytes(b" " * 1001)))


def test_a_result_that_is_a_link_to_a_file_of_ours_is_refused(room):
    (room / "secret").write_text(json.dumps(GOOD))

    with pytest.raises(Refused, match="symbolic link"):
        run(room, Instead(lambda path: path.symlink_to(room / "secret")))


def test_a_result_that_is_a_pipe_does_not_hang(room):
    with pytest.raises(Refused, match="not a regular file"):
        run(room, Instead(os.mkfifo))


def test_no_result_is_no_pass(room):
    with pytest.raises(CannotLook, match="without a result"):
        run(room, Instead())


@pytest.mark.parametrize(("kind", "error"), [("refused", Refused), ("not-understood", NotUnderstood)])
def test_why_nothing_was_measured_is_told_in_one_harmless_line(room, kind, error):
    fault = {"fault": [kind, "the checkpoint\n\x1b[31m lacks " + "x" * 5000]}

    with pytest.raises(error, match="the checkpoint") as raised:
        run(room, Instead(result=fault))
    assert "\n" not in str(raised.value)
    assert "\x1b" not in str(raised.value)
    assert len(str(raised.value)) < 1100


# --- How it ended ---


def test_a_crash_tells_the_last_thing_that_was_said(room):
    backend = Instead(
        says=[b"Traceback (most recent call last):", b"MemoryError\x07", b""], ends={"code": 1}, result=GOOD
    )

    with pytest.raises(CannotLook, match=r"exit code 1: MemoryError\\x07"):
        run(room, backend)


def test_a_kill_for_want_of_memory_says_so(room):
    ends = {"code": None, "signal": 9, "note": "the kernel ended a process at the memory limit"}

    with pytest.raises(CannotLook, match="signal 9: the kernel ended a process at the memory limit"):
        run(room, Instead(ends=ends, result=GOOD))


def test_a_deadline_is_no_pass_even_with_a_result(room):
    with pytest.raises(CannotLook, match="stopped after 60 s"):
        run(room, Instead(ends={"stopped": "deadline"}, result=GOOD), deadline=60.0)


def test_an_interrupt_is_an_interrupt(room):
    with pytest.raises(Interrupted):
        run(room, Instead(ends={"code": None, "signal": 15, "stopped": "interrupt"}, result=GOOD))


def test_progress_is_shown_and_a_liar_cannot_overrun_the_bar(room):
    reporter = Counting()

    run(room, Instead(says=[b"rows 4", b"rows 3", b"rows 999999999"], result=GOOD), reporter=reporter)

    assert reporter.total == 8 + 3  # eight choices, three prompts
    assert reporter.done == 11
