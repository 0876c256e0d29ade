"""The composition roots: each process is put together here."""
