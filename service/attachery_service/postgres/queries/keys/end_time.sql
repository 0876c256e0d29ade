-- The time at which a key is revoked or expires, whichever is earlier; NULL if neither is planned.
least(revoke_time, expire_time)
