"""A result as one self-contained HTML page: the report of a promotion, or any other result.

Jinja2 with autoescape and StrictUndefined; no script, no file from elsewhere. Every name in it came
through `files.printable` before, and autoescape makes of it text, never markup.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from tuneguard import __version__
from tuneguard.output import text

if TYPE_CHECKING:
    from tuneguard.findings import Result


def render(result: Result) -> bytes:
    """The page, in UTF-8."""
    from jinja2 import Environment, StrictUndefined

    folder = files("tuneguard.output").joinpath("templates")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"place": text.place, "short": short, "percent": percent}
    template = environment.from_string(folder.joinpath("report.html.j2").read_text("utf-8"))
    return template.render(**page(result)).encode("utf-8")


def page(result: Result) -> dict[str, Any]:
    """The values of the page."""
    facts = result.facts
    return {
        "result": result,
        "version": __version__,
        "facts": facts,
        "gates": facts.get("gates", ()),
        "walls": facts.get("walls", ()),
        "lineage": facts.get("lineage"),
        "policy": facts.get("policy"),
    }


def short(digest: str | None) -> str:
    """The first 12 hex digits of a digest."""
    return (digest or "").removeprefix("sha256:")[:12]


def percent(value: float) -> str:
    """A share as a CSS length of a bar."""
    return f"{max(0.0, min(1.0, value)) * 100:.2f}%"
