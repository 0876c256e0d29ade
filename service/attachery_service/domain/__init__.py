"""The values and rules of the service, without input or output."""
