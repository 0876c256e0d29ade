"""The commands of `attachery`."""
