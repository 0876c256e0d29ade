-- Every key there ever was, the oldest first; never what its secret could be guessed from.
SELECT key_id, name, tenants, scopes, create_time, revoke_time
FROM api_keys
ORDER BY create_time, key_id
