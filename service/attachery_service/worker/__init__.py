"""What runs without being called: rounds in the background, for as long as the process does."""

from __future__ import annotations
