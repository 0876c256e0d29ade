"""Accepts calls from gRPC, or sheds them."""
