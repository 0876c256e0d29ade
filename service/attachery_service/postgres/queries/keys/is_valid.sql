-- Whether a key is valid: neither revoked nor expired.
coalesce({keys/end_time}, 'infinity') > now()
