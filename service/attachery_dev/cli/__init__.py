"""The commands of `attachery` for development."""
