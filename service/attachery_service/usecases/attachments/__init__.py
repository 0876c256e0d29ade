"""Attachments: reading, downloading, deleting."""
