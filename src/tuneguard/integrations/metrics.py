"""Says how far a training is: one JSON object a line, to the file that ``$TUNEGUARD_METRICS`` names.

This file needs Python alone. A training imports it where Tuneguard is installed beside it, or takes a copy of
it into its code, such as ``code/tuneguard_metrics.py``::

    from tuneguard_metrics import MetricsCallback
    trainer.add_callback(MetricsCallback())      # Transformers, TRL, PEFT, sentence-transformers

    from tuneguard_metrics import report
    report(step, steps, {"loss": loss})          # anything else

Where the variable is not set, nothing is written: the same code runs outside of Tuneguard.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

try:
    from transformers import TrainerCallback
except ImportError:
    TrainerCallback = object


def report(step: int, steps: int | None, numbers: Mapping[str, Any]) -> None:
    """Report that `step` of `steps` is done, with `numbers`; what is no number is left out."""
    path = os.environ.get("TUNEGUARD_METRICS")
    if path:
        said: dict[str, Any] = {"step": step}
        if steps is not None and steps > 0:
            said["steps"] = steps
        for name, value in numbers.items():
            try:
                said[name] = float(value)
            except (TypeError, ValueError):  # a text, or a tensor of several numbers
                continue
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(said) + "\n")


class MetricsCallback(TrainerCallback):  # type: ignore[misc]
    """A Transformers callback: what the Trainer logs is reported, by the first process alone."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
        """Report what was logged."""
        del args, control, more
        if state.is_world_process_zero and logs:
            report(state.global_step, state.max_steps, logs)
