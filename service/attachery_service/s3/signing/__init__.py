"""Presigned URLs and forms."""
