"""The servers that `attachery dev` and the tests start for themselves."""

from __future__ import annotations
