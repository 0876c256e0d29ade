"""Rate limits: sliding-window counters, in memory or in a Redis that the servers share."""
