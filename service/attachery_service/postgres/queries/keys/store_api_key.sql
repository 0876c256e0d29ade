-- Stores a key that expires after :ttl, or never if that is NULL. `attachery dev` stores its key again at each
-- start, so an existing one is replaced.
INSERT INTO api_keys (key_id, name, secret_digest, tenants, scopes, expire_time)
VALUES (:key_id, :name, :secret_digest, :tenants, :scopes, now() + :ttl::interval)
ON CONFLICT (key_id) DO UPDATE
    SET name = excluded.name,
        secret_digest = excluded.secret_digest,
        tenants = excluded.tenants,
        scopes = excluded.scopes,
        expire_time = excluded.expire_time,
        revoke_time = NULL
