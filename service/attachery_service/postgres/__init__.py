"""Everything Postgres: plain SQL in files, one statement per use case, rows become domain here."""
