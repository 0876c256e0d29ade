"""Holds on attachments."""
