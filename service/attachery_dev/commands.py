"""The commands `dev` and `demo`, registered as entry points in the group `attachery.commands`."""

from __future__ import annotations

from attachery_service.commands import ServiceCommand

dev = ServiceCommand(
    "dev", "serve with embedded PostgreSQL and object storage", "attachery_dev.cli.dev"
)
demo = ServiceCommand("demo", "take one file through the whole flow", "attachery_dev.cli.demo")

COMMANDS = {command.name: command for command in (dev, demo)}
