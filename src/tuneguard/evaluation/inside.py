"""What runs in the sandbox: loads the checkpoint, has each suite measure, writes one JSON file.

    python -P -m tuneguard.evaluation.inside REQUEST CHECKPOINT CLASSIFIER RESULT

REQUEST is ``{"suites": [[id, asked], …]}``, RESULT becomes ``{"outputs": [[…], …]}`` or
``{"fault": [kind, sentence]}``. Lines ``rows N`` on standard output state how far it is. There is no
network, no key and no right answer here, and whatever is written is read as untrusted.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tuneguard.evaluation.loaded import Fault, Loaded
from tuneguard.evaluation.suite import suites


def main(request: str, checkpoint: str, classifier: str, result: str) -> None:
    """Answer the request. A `Fault` is an answer too; anything else ends with a traceback."""
    asked = json.loads(Path(request).read_bytes())
    known = suites()
    try:
        models = Loaded(Path(checkpoint), Path(classifier), advance=_advance)
        answer: dict[str, list[object]] = {
            "outputs": [known[id].measure(models, rows) for id, rows in asked["suites"]]
        }
    except Fault as fault:
        answer = {"fault": [fault.kind, str(fault)]}
    Path(result).write_text(json.dumps(answer), encoding="ascii")


def _advance(rows: int) -> None:
    print(f"rows {rows}", flush=True)  # noqa: T201 (the supervisor reads it)


if __name__ == "__main__":
    main(*sys.argv[1:])
