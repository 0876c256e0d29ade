"""Conversion between domain values and protobuf messages."""
