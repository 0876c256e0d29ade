-- Whether the deadline asked for is one that the session's purpose allows.
({sessions/deadline} BETWEEN now() + w.min_ttl AND now() + w.max_ttl)
