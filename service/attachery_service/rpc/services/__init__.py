"""One servicer per gRPC service."""
