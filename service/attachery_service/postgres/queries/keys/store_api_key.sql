-- Stores a key. `attachery dev` stores its key again at each start, so an existing one is replaced.
INSERT INTO api_keys (key_id, name, secret_digest, tenants, scopes)
VALUES (:key_id, :name, :secret_digest, :tenants, :scopes)
ON CONFLICT (key_id) DO UPDATE
    SET name = excluded.name,
        secret_digest = excluded.secret_digest,
        tenants = excluded.tenants,
        scopes = excluded.scopes,
        revoke_time = NULL
