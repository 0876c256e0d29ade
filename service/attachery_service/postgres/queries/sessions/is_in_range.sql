-- Whether the session's purpose permits the requested deadline.
({sessions/deadline} BETWEEN now() + w.min_ttl AND now() + w.max_ttl)
