"""Rate limits: counting calls, in memory or in a Redis that a fleet shares."""
