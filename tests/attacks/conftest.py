"""The projects of tests/journey, to be attacked."""

from __future__ import annotations

from projects import ProjectFolder, made, made_pushed, made_trained, open_project, project, pushed, trained

__all__ = [
    "ProjectFolder",
    "made",
    "made_pushed",
    "made_trained",
    "open_project",
    "project",
    "pushed",
    "trained",
]
