-- The keys that session tokens are signed with. The first is made here: one migration is applied by
-- one process, so every replica finds the same one. A further one is
-- INSERT INTO session_token_keys DEFAULT VALUES. The random numbers are the server's strong ones;
-- two UUIDs hold 244 bits of them. Made inside the database, no secret passes through a statement.
CREATE TABLE session_token_keys (
    key_id      text        NOT NULL PRIMARY KEY
                DEFAULT right(replace(gen_random_uuid()::text, '-', ''), 12),
    secret      bytea       NOT NULL
                DEFAULT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())),
    create_time timestamptz NOT NULL DEFAULT now(),
    revoke_time timestamptz
);

INSERT INTO session_token_keys DEFAULT VALUES;
