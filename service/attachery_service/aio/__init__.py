"""Asyncio building blocks: deadlines, timeouts, tasks, fan-out, caches."""
