"""A virtual SIM7600 of its own for a program that believes to have a modem, and the network's view of what it did."""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "conformance"))
from stand import ENVIRONMENT, Failure, require, run, stop, until  # noqa: E402,F401

START_S = 30


class VirtualModem:
    """`modem-sim` in a directory of its own, and its network from outside."""

    def __init__(self, programs, *options):
        self.programs = Path(programs)
        self.directory = Path(tempfile.mkdtemp(prefix="mb-", dir="/tmp"))
        self.dev = self.directory / "modem" / "dev"
        self._options = options
        self._processes = []

    def __enter__(self):
        try:
            self.spawn("simulator", [self.programs / "modem-sim", "--dir", self.directory / "modem", *self._options])
            until(START_S, "the simulator answers", lambda: self._ask("status").status == 0)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # Whoever has the ports open goes first.
        for process in reversed(self._processes):
            stop(process)
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def at_port(self):
        """The AT port for messages."""
        return self.dev / "ttyUSB2"

    def spawn(self, name, command, **options):
        """Starts a program that ends with this modem; what it says goes to a file of that name."""
        with open(self.directory / f"{name}.log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=ENVIRONMENT,
                **options,
            )
        self._processes.append(process)
        return process

    def log(self, name, lines=15):
        """The end of what a program said."""
        path = self.directory / f"{name}.log"
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        return text.splitlines()[-lines:]

    def _ask(self, *action):
        command = [self.programs / "modem-sim", "ctl", "--dir", self.directory / "modem", *action]
        return run([str(part) for part in command])

    def control(self, *action):
        """Acts on the modem and its network."""
        done = self._ask(*action)
        require(done.status == 0, f"modem-sim ctl {action[0]}: {done.stderr.strip()}")
        return done.stdout

    def deliver(self, number, text):
        """The network delivers a text, in parts if it is long."""
        self.control("sms", "--from", number, "--text", text)

    def books(self):
        """The ledger of the network."""
        return json.loads(self.control("books", "--json"))

    def submits(self):
        """What the network accepted from the modem, in order."""
        return self.books()["submits"]["records"]

    def fates(self):
        """The last step of every message for the modem: a word, or an object for what is stored."""
        return [delivery["steps"][-1][1] for delivery in self.books()["deliveries"]["records"]]

    def said(self):
        """What crossed the ports lately, line by line."""
        return self.control("transcript").splitlines()

    def commands(self):
        """The AT command lines so far."""
        return [record["line"] for record in self.books()["commands"]["records"]]


def whole_texts(submits):
    """The texts as the recipients see them: parts put together in their order."""
    texts, parts = [], {}
    for submit in submits:
        concatenation = submit["concatenation"]
        if concatenation is None:
            texts.append((submit["destination"], submit["text"]))
            continue
        reference, count, number = concatenation
        key = (submit["destination"], reference)
        parts.setdefault(key, {})[number] = submit["text"]
        if len(parts[key]) == count:
            whole = parts.pop(key)
            texts.append((submit["destination"], "".join(whole[n] for n in sorted(whole))))
    require(not parts, f"parts without the others: {parts}")
    return texts
