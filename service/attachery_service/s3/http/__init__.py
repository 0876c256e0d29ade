"""HTTP requests to object storage beside those of the SDK."""
