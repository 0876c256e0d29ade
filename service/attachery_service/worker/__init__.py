"""Background jobs, which run for as long as the process does."""

from __future__ import annotations
