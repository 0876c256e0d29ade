-- API keys that expire. NULL: valid until it is revoked. The previous release accepts an expired key.
ALTER TABLE api_keys ADD COLUMN expire_time timestamptz;
