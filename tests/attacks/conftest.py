"""The projects of tests/journey, to be attacked."""

from __future__ import annotations

from projects import Project, made, made_pushed, made_trained, open_project, project, pushed, trained

__all__ = ["Project", "made", "made_pushed", "made_trained", "open_project", "project", "pushed", "trained"]
