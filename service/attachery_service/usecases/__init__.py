"""The use cases: one file per verb, each a frozen dataclass of ports with `__call__`."""
