"""The fixtures of `projects` and `kills`."""

from __future__ import annotations

from kills import before, counted, killer
from projects import Project, made, made_pushed, made_trained, open_project, project, pushed, trained

__all__ = [
    "Project",
    "before",
    "counted",
    "killer",
    "made",
    "made_pushed",
    "made_trained",
    "open_project",
    "project",
    "pushed",
    "trained",
]
