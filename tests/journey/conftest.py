"""The fixtures of `projects` and `kills`."""

from __future__ import annotations

from kills import before, counted, killer
from projects import ProjectFolder, made, made_pushed, made_trained, open_project, project, pushed, trained

__all__ = [
    "ProjectFolder",
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
