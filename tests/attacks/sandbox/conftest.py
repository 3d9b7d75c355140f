"""Another user, and a folder that they can reach."""

from __future__ import annotations

from world.users import as_root, shared

__all__ = ["as_root", "shared"]
