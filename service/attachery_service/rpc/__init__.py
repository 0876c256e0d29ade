"""Everything gRPC: messages to domain and back, and the one place where errors become statuses."""
