"""Detection of file types from bytes: pure functions without input or output."""

from __future__ import annotations
