"""Measures a checkpoint on a sealed evaluation set, in the sandbox, and returns raw counts.

1. Read each suite's rows, strictly; an unusable set is refused before anything is loaded.
2. Write what may be asked (never the right answers) into a private folder.
3. Run `inside` in the sandbox on the files of the checkpoint that are to be measured and on the classifier,
   read-only, in folders whose names nobody can guess, until it is dead.
4. Read the one file that it wrote as untrusted: bounded, checked value by value.
5. Count, here.

Whether the counts are good enough is the gate's affair: nothing here knows a bound.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneguard import limits
from tuneguard.errors import CannotLook, NotUnderstood, Refused, TuneguardError, UsageError
from tuneguard.evaluation.suite import Suite
from tuneguard.evaluation.suite import suites as known_suites
from tuneguard.files import directory, printable, read_bounded
from tuneguard.progress import SILENT
from tuneguard.records import read_json, to_json
from tuneguard.sandbox.controls import Bind, Confinement
from tuneguard.sandbox.environment import clean_environment, shown_for
from tuneguard.sandbox.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tuneguard.evaluation.weights import Selection
    from tuneguard.progress import Reporter
    from tuneguard.sandbox.controls import Backend

MEMORY = 4 * limits.GIB
"""Bytes for the libraries and one batch; four times the weights come on top."""
PROCESSES = 256
"""Processes and threads."""
DEADLINE = 3600.0
"""Seconds that an evaluation may take."""

PLACE = "/evaluation"
"""Where the sandbox has everything."""


@dataclass(frozen=True, slots=True)
class SuiteCounts:
    """What one suite counted: `count` of `n` outputs (right answers, or toxic ones).

    `n` counts only outputs with visible characters, and `empty` is the number of the others, so
    that ``n + empty`` is the number of rows. `constant` means that several outputs were all the
    same. `outputs_digest` is the SHA-256 in hex over the outputs as canonical JSON, `inputs_digest`
    that over the bytes of the suite's file.
    """

    id: str
    version: int
    n: int
    count: int
    outputs_digest: str
    constant: bool
    empty: int
    inputs_digest: str


@dataclass(frozen=True, slots=True)
class _Sheet:
    """One suite with its rows, read."""

    suite: Suite
    rows: Sequence[Any]
    inputs_digest: str


def evaluate(
    checkpoint: Path,
    evaluation_set: Path,
    classifier: Path,
    *,
    selection: Selection,
    suites: Mapping[str, int],
    backend: Backend,
    minimum_rows: int = 1,
    deadline: float = DEADLINE,
    memory: int | None = None,
    parent: Path | None = None,
    reporter: Reporter = SILENT,
) -> tuple[SuiteCounts, ...]:
    """The counts of each suite in `suites` (id → version), in the order of the ids.

    The three trees are copies that nobody else writes to, and checkpoint and classifier were
    scanned clean: the caller owes both. Of the checkpoint the sandbox is shown what `selection` lists and
    nothing else. `deadline` is in seconds, `memory` in bytes (by default
    what the weights' size suggests). `parent` is where questions and answers pass through, by default
    the system's temporary folder.

    Raises:
        UsageError: no suite is named, or one in a version that is not here.
        Refused: the set lacks rows, or the model is not whole.
        NotUnderstood: a row, a model or what came back does not parse.
        CannotLook: the measuring ended without a result.
        Interrupted: the person stopped it.
    """
    sheets = [_read_sheet(evaluation_set, suite, minimum_rows) for suite in wanted(suites)]
    allowed = memory if memory is not None else MEMORY + 4 * (selection.bytes + _weight(classifier))
    with tempfile.TemporaryDirectory(prefix="tuneguard-evaluation-", dir=parent) as made:
        folder = Path(made)
        (folder / "request.json").write_bytes(_request(sheets))
        (folder / "exchange").mkdir(0o700)
        # A configuration that names a path of the sandbox cannot know this one.
        measured, judge = f"{PLACE}/{secrets.token_hex(16)}", f"{PLACE}/{secrets.token_hex(16)}"
        binds = (
            Bind(folder / "request.json", f"{PLACE}/request.json"),
            *(Bind(checkpoint / file.path, f"{measured}/{file.path}") for file in selection.measured),
            Bind(classifier, judge),
            Bind(folder / "exchange", f"{PLACE}/exchange", writable=True),
        )
        total = sum(sheet.suite.questions(sheet.rows) for sheet in sheets)
        with reporter.task("Evaluating", total=total, unit="rows") as task:
            rows = Rows(task, total)
            outcome = backend.run(_confinement(measured, judge, binds, deadline, allowed, rows.hear))
        help = "give it more time, or a smaller evaluation set"
        rows.check_ended(outcome, "evaluation", deadline, help)
        outputs = _read_outputs(folder / "exchange" / "result.json", sheets)
    return tuple(_counted(sheet, given) for sheet, given in zip(sheets, outputs, strict=True))


def wanted(suites: Mapping[str, int]) -> list[Suite]:
    """The suites of these ids and versions, in the order of the ids.

    Raises:
        UsageError: none is named, or one is not here in that version.
    """
    known = known_suites()
    if not suites:
        raise UsageError(
            "no suite is named, and empty means no", help="name suites in the policy's evaluation"
        )
    for id, version in suites.items():
        if id not in known:
            raise UsageError(f"no suite is called {printable(id)}", help=f"there are {', '.join(known)}")
        if known[id].version != version:
            raise UsageError(
                f"version {version} of the suite {id} is wanted, and this Tuneguard has {known[id].version}",
                help="use the Tuneguard that the policy was made for, or have the policy name this version",
            )
    return [known[id] for id in sorted(suites)]


def _read_sheet(folder: Path, suite: Suite, minimum: int) -> _Sheet:
    """The suite's rows from the top of the evaluation set, at least `minimum` of them."""
    where = f"{printable(str(folder))}/{suite.file}"
    with directory(folder) as descriptor:
        try:
            data = read_bounded(suite.file, limits.EVALUATION_FILE, dir_fd=descriptor)
        except UsageError:
            raise Refused(
                f"the evaluation set has no {suite.file}",
                where=printable(str(folder)),
                help=f"the suite {suite.id} reads it: add it and seal the set again",
            ) from None
    rows = suite.read(data, where)
    if len(rows) < minimum:
        raise Refused(
            f"{len(rows):,} rows are fewer than the policy's {minimum:,}",
            where=where,
            help="add rows and seal the set again: an interval over few rows is too wide to judge",
        )
    return _Sheet(suite, rows, hashlib.sha256(data).hexdigest())


def _weight(folder: Path) -> int:
    """Bytes of the weights at the top of the classifier's folder."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _request(sheets: list[_Sheet]) -> bytes:
    asked = [[sheet.suite.id, sheet.suite.ask(sheet.rows)] for sheet in sheets]
    return json.dumps({"suites": asked}).encode("ascii")


def _confinement(
    checkpoint: str,
    classifier: str,
    binds: tuple[Bind, ...],
    deadline: float,
    memory: int,
    output: Callable[[bytes], None],
) -> Confinement:
    return Confinement(
        command=(
            sys.executable,
            "-P",  # the working folder is no place to import from
            "-m",
            "tuneguard.evaluation.inside",
            f"{PLACE}/request.json",
            checkpoint,
            classifier,
            f"{PLACE}/exchange/result.json",
        ),
        binds=binds,
        workdir="/tmp",  # noqa: S108 (the sandbox's own)
        environment=clean_environment(),
        deadline=deadline,
        memory=memory,
        processes=PROCESSES,
        output=output,
        packages=shown_for("tuneguard"),
    )


def _read_outputs(path: Path, sheets: list[_Sheet]) -> list[list[Any]]:
    """What the sandbox wrote: a list of outputs for each suite, each as long as its rows."""
    try:
        data = read_bounded(path, limits.EVALUATION_RESULT)
    except UsageError:
        raise CannotLook("the evaluation ended without a result") from None
    match read_json(data, "the evaluation's result", limit=limits.EVALUATION_RESULT):
        case {"fault": [str(kind), str(sentence)]}:
            raise _fault(kind, printable(sentence[: limits.EVALUATION_FAULT]))
        case {"outputs": [*outputs]} if len(outputs) == len(sheets) and all(
            isinstance(given, list) and len(given) == len(sheet.rows)
            for given, sheet in zip(outputs, sheets, strict=True)
        ):
            return outputs
        case _:
            raise NotUnderstood("the evaluation's result is not one output for each row")


def _fault(kind: str, sentence: str) -> TuneguardError:
    return Refused(sentence) if kind == "refused" else NotUnderstood(sentence)


def _counted(sheet: _Sheet, outputs: list[Any]) -> SuiteCounts:
    counted = sheet.suite.count(sheet.rows, outputs)
    return SuiteCounts(
        id=sheet.suite.id,
        version=sheet.suite.version,
        n=len(sheet.rows) - counted.empty,
        count=counted.count,
        outputs_digest=hashlib.sha256(to_json(outputs)).hexdigest(),
        constant=counted.constant,
        empty=counted.empty,
        inputs_digest=sheet.inputs_digest,
    )
