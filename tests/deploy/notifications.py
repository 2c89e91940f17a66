"""Runs the broker as systemd runs it, with NOTIFY_SOCKET and WATCHDOG_USEC, and listens: PROGRAMS."""

import os
import socket
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "conformance"))
import stand  # noqa: E402


def main(programs):
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/tmp") as directory:
        address = Path(directory) / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(address))
            # A limit of 8 s makes a ping due every 2 s; an idle actor turns every 5 s.
            os.environ.update(NOTIFY_SOCKET=str(address), WATCHDOG_USEC="8000000")
            stand.ENVIRONMENT.update(NOTIFY_SOCKET=str(address), WATCHDOG_USEC="8000000")
            with stand.Stand(programs) as running:
                heard = hear(manager, {"READY=1", f"STATUS={stand.MODEM}: ready", "WATCHDOG=1"})
                # Another one: the first could have been sent for having started.
                hear(manager, {"WATCHDOG=1"})
                stand.stop(running.processes[-1])
                hear(manager, {"STOPPING=1"})
    stand.require(heard[0] == "READY=1" or heard[0].startswith("STATUS="), f"the first word was {heard[0]}")


def hear(manager, wanted, seconds=60):
    """Listens until every wanted beginning of a line was heard; returns all lines in their order."""
    wanted = set(wanted)
    heard = []
    deadline = time.monotonic() + seconds
    while wanted:
        manager.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            said = manager.recv(4096).decode()
        except TimeoutError:
            raise stand.Failure(f"not within {seconds} s: {', '.join(sorted(wanted))}; heard {heard}") from None
        heard += said.splitlines()
        # What follows a beginning is for people.
        wanted = {beginning for beginning in wanted if not any(line.startswith(beginning) for line in heard)}
    return heard


try:
    main(Path(sys.argv[1]))
except stand.Failure as failure:
    sys.exit(str(failure))
