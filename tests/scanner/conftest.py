"""Bytes are scanned as if they were files of a checkpoint."""

from __future__ import annotations

from world.scans import scan

__all__ = ["scan"]
