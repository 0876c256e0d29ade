(n.expire_time - least(interval '1 minute', (n.expire_time - n.create_time) / 4))
