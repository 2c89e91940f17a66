"""What can be seen of programs and their virtual modem from outside: times, files, processor and memory."""

import ctypes
import json
import os
import queue
import select
import socket
import struct
import threading
import time
from pathlib import Path

IN_CLOSE_WRITE, IN_MOVED_TO = 0x8, 0x80
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def percentiles(values):
    """Values that were measured, of which so many percent are no greater."""
    ordered = sorted(values)

    def at(percent):
        return ordered[max(1, -(-len(ordered) * percent // 100)) - 1] if ordered else None

    return {"n": len(ordered), "p50": at(50), "p95": at(95), "p99": at(99)}


class Directory:
    """Files of a directory at the moment they are complete."""

    def __init__(self, path):
        self.path = Path(path)
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if libc.inotify_add_watch(self._fd, os.fsencode(self.path), IN_CLOSE_WRITE | IN_MOVED_TO) < 0:
            raise OSError(ctypes.get_errno(), f"inotify on {path}")

    def completed(self, deadline):
        """Moments and paths of files that are complete now, waiting for the first."""
        ready, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
        moment = time.monotonic()
        if not ready:
            return
        events = os.read(self._fd, 65536)
        while events:
            _, _, _, length = struct.unpack_from("iIII", events)
            yield moment, self.path / os.fsdecode(events[16 : 16 + length].rstrip(b"\0"))
            events = events[16 + length :]

    def close(self):
        """Ends the watch."""
        os.close(self._fd)


class ControlSocket:
    """One connection to the control socket of a virtual modem: a JSON object per line, each way."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("r", encoding="utf-8")

    def ask(self, request):
        """Asks and waits for the answer."""
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        answer = json.loads(self._lines.readline())
        if "error" in answer or answer.get("result") == "error":
            raise RuntimeError(f"{request}: {answer}")
        return answer

    def close(self):
        """Closes the connection."""
        self._lines.close()
        self._socket.close()


class Commands:
    """AT commands with the moment at which they were seen at the modem."""

    def __init__(self, control):
        self._control = control
        self._seen = queue.Queue()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self):
        after = 0
        try:
            while True:
                answer = self._control.ask({"op": "transcript", "after": after, "wait_ms": 1000})
                moment = time.monotonic()
                answer = answer.get("transcript", answer)
                after = answer["next"]
                for entry in answer["entries"]:
                    if entry["way"] == "to_modem":
                        self._seen.put((moment, entry["text"]))
        except (OSError, ValueError, RuntimeError):
            return

    def clear(self):
        """Forgets what was seen."""
        while not self._seen.empty():
            self._seen.get_nowait()

    def wait(self, beginning, seconds):
        """When a command with this beginning was seen; none within the time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                moment, text = self._seen.get(timeout=left)
            except queue.Empty:
                return None
            if text.upper().startswith(beginning):
                return moment
        return None


class Usage:
    """Processor time and memory of processes and their children."""

    def __init__(self, pids):
        self._pids = pids
        self._begun = time.monotonic()
        self._ticks = self._spent()

    def _all(self):
        found, waiting = [], list(self._pids)
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                waiting += [int(child) for child in task.read_text().split()]
        return found

    def _spent(self):
        spent = 0
        for pid in self._all():
            # The name may hold blanks; what is counted comes after it. Children that ended count too.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            spent += sum(int(field) for field in fields[11:15])
        return spent

    def measure(self):
        """Percent of one core since the beginning, and proportional set size in MiB."""
        cpu = (self._spent() - self._ticks) / CLOCK_TICKS / (time.monotonic() - self._begun) * 100
        pss = 0
        for pid in self._all():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    pss += int(line.split()[1])
        return cpu, pss / 1024
