"""Numbered, additive changes of the schema; see `attachery_service.postgres.migrate`."""
