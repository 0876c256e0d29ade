"""Upload sessions, from start to completion."""
