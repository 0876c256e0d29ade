"""What can be told from the bytes alone: pure functions, no storage and no network."""

from __future__ import annotations
