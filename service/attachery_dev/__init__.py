"""The whole service on one machine: embedded PostgreSQL and object storage, `dev` and `demo`."""
