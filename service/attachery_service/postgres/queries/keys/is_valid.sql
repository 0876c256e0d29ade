-- Whether a key is valid: neither revoked nor expired. Both times may be in the future, or NULL.
least(revoke_time, expire_time, 'infinity') > now()
