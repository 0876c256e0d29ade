"""`attachery dev`: the whole service on one machine, with nothing else installed."""

from __future__ import annotations

import shlex
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import structlog

from attachery_dev.running import running_dev
from attachery_dev.servers import DevOptions, settings_before_start
from attachery_service.cli.ready_file import DEFAULT_DATA_DIR, READY_FILE, Ready
from attachery_service.cli.signals import stop_signals
from attachery_service.observability.logs import configure_logs
from attachery_service.settings.service import address

_log = structlog.get_logger("attachery.dev")


def add_arguments(parser: ArgumentParser) -> None:
    parser.set_defaults(run=run)
    parser.add_argument("--listen", type=address, default="127.0.0.1:50051", metavar="HOST:PORT")
    parser.add_argument(
        "--metrics-listen", type=address, default="127.0.0.1:0", metavar="HOST:PORT"
    )
    parser.add_argument("--data-dir", type=Path, default=DEFAULT_DATA_DIR, metavar="DIR")
    parser.add_argument("--ready-file", type=Path, metavar="FILE", help="written when ready")
    parser.add_argument("--database-url", metavar="URL", help="in place of embedded PostgreSQL")
    parser.add_argument("--s3-endpoint", metavar="URL", help="in place of embedded object storage")
    parser.add_argument("--s3-bucket", default="attachery", metavar="NAME")


async def run(options: Namespace) -> int:
    """Run the service until a signal stops the process."""
    asked = DevOptions(
        listen=options.listen,
        metrics_listen=options.metrics_listen,
        data_dir=options.data_dir,
        ready_file=options.ready_file,
        database_url=options.database_url,
        s3_endpoint=options.s3_endpoint,
        s3_bucket=options.s3_bucket,
    )
    configure_logs(settings_before_start(asked).log_level, human=sys.stderr.isatty())
    with stop_signals() as stop:
        async with running_dev(asked) as ready:
            print(welcome(ready, asked.data_dir), flush=True)
            await stop.wait()
            return 0
    _log.info("stopped before it served")
    return 0


def welcome(ready: Ready, data_dir: Path) -> str:
    """Describe the next commands to try, and the addresses and files of this run."""
    start = '{"tenant_id": "demo", "filename": "a.txt", "content_type": "text/plain"}'
    grpcurl = _grpcurl()
    return (
        f"\nAttachery serves on {ready.listen}. Paste into another terminal:\n\n"
        f"export ATTACHERY={ready.listen} KEY={ready.api_key}\n"
        f'{grpcurl} -plaintext "$ATTACHERY" list\n'
        f"{grpcurl} -plaintext -H \"authorization: Bearer $KEY\" -d '{start}' "
        '"$ATTACHERY" attachery.v1.UploadSessionService/StartUploadSession\n'
        "make demo FILE=README.md    # one file through the whole flow, in a folder of its own\n\n"
        f"metrics        http://{ready.metrics}/metrics\n"
        f"object storage {ready.s3_endpoint or 'AWS'}, bucket {ready.s3_bucket}\n"
        f"data folder    {data_dir.absolute()}\n"
        f"ready file     {data_dir.absolute() / READY_FILE}"
        "  (`attachery check`, `keys`, `audit` and `bucket` find it from here)\n\n"
        "Ctrl-C stops it; the data stays.\n"
    )


def _grpcurl() -> str:
    """Find grpcurl in this environment, which need not be on PATH."""
    beside = Path(sys.executable).with_name("grpcurl")
    return shlex.quote(str(beside)) if beside.exists() else "grpcurl"
