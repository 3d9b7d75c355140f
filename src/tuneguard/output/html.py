"""A result as one self-contained HTML page: the report of a promotion, or any other result.

One file without scripts, fonts, pictures or links to anywhere. Its content security policy forbids
everything but the page's own style sheet, which it names by hash, so that not even a style attribute
could be smuggled in. Values are text: Jinja2 escapes each (autoescape), after `shown` made visible
what people cannot see and cut what is too long; lists are bounded and show how much they leave out.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from tuneguard import __version__, limits
from tuneguard.facts import DecideFacts
from tuneguard.output import gate_rows, lineage, manual_verification, report, report_values, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment
    from markupsafe import Markup

    from tuneguard.facts import Facts
    from tuneguard.findings import Result


def render(result: Result[Facts]) -> bytes:
    """The page, in UTF-8."""
    page = _environment().get_template("report.html.j2").render(**values(result))
    return page.encode("utf-8")


def values(result: Result[Facts]) -> dict[str, Any]:
    """What the templates show."""
    from markupsafe import Markup

    style = files("tuneguard.output").joinpath("templates", "report.css").read_text("utf-8")
    return {
        "result": result,
        "version": __version__,
        "style": Markup(style),  # noqa: S704 (a file of ours)
        "style_hash": base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        "band": report.band(result),
        "refusing": report_values.refusing(result),
        "steps": lineage.steps(result),
        "stages": lineage.stages(result),
        "circumstances": lineage.circumstances(result),
        "gates": gate_rows.gates(result),
        "measures": gate_rows.measures(result),
        "controls": report.controls(result),
        "uncounted": report.uncounted(result),
        "others": report.others(result),
        "by_hand": manual_verification.blocks(result),
        "judges": result.command in report.JUDGES or result.findings or result.skipped,
        "decided": result.facts.decided if isinstance(result.facts, DecideFacts) else None,
    }


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tuneguard.output", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "bounded": bounded,
        "code": code,
        "place": text.place,
        "plain": plain,
        "rest": rest,
        "short": short,
        "when": report_values.when,
    }
    return environment


def shown(value: object) -> object:
    """What any expression of the templates prints: text made visible and bounded; markup as it is."""
    if type(value) is not str:
        return value
    if len(value) > limits.REPORT_TEXT:
        cut = len(value) - limits.REPORT_TEXT
        return f"{text.visible(value[: limits.REPORT_TEXT])}… and {cut:,} characters more"
    return text.visible(value)


def plain(value: object) -> str:
    """A fact of any kind as text: nothing for None, JSON for what has parts."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or isinstance(value, str | int | float):
        return "" if value is None else str(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def bounded(rows: Sequence[Any], limit: int = limits.REPORT_ROWS) -> Sequence[Any]:
    """As many rows as a report shows."""
    return rows[:limit]


def rest(rows: Sequence[Any], limit: int = limits.REPORT_ROWS) -> int:
    """How many rows `bounded` leaves out."""
    return max(0, len(rows) - limit)


def short(digest: str) -> str:
    """The first 12 hex digits of ``KIND:HEX``."""
    return digest.rpartition(":")[2][:12]


def code(commands: str) -> Markup:
    """Commands with their lines kept, escaped as text is."""
    from markupsafe import escape

    return escape("\n".join(text.visible(line) for line in commands.rstrip("\n").split("\n")))
