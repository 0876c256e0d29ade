"""Logs, metrics and the HTTP endpoint for operators."""
