"""The gRPC layer: converts messages to domain values and back, and errors to statuses."""
