"""A simulator and a broker in a directory of their own, started, awaited and ended within bounds."""

import json
import os
import queue
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

READY_S = 60
STOP_S = 10
MODEM = "sim1"


class Failure(Exception):
    """Something is not as the contract says."""


def require(condition, why):
    """A failed `assert` that python -O cannot remove."""
    if not condition:
        raise Failure(why)


def until(seconds, what, attempt):
    """Calls `attempt` until it returns something true, and returns that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = attempt()
        if found:
            return found
        time.sleep(0.05)
    raise Failure(f"not within {seconds} s: {what}")


class Finished:
    """What a program that ran to its end said."""

    def __init__(self, status, stdout, stderr):
        self.status = status
        self.stdout = stdout
        self.stderr = stderr

    def documents(self):
        """The JSON documents on its standard output."""
        require(self.status == 0, f"status {self.status}: {excerpt(self.stderr)}")
        documents, rest = split_documents(self.stdout)
        require(not rest.strip(), f"not JSON: {excerpt(rest)}")
        return documents

    def document(self):
        """Its only JSON document."""
        documents = self.documents()
        require(len(documents) == 1, f"{len(documents)} JSON documents instead of one")
        return documents[0]


# Errors are quoted in one line, which has no room for a backtrace, and logs without colours.
ENVIRONMENT = {**os.environ, "RUST_BACKTRACE": "0", "NO_COLOR": "1"}


def run(command, seconds=20):
    """Runs a program to its end."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, env=ENVIRONMENT
        )
    except subprocess.TimeoutExpired:
        raise Failure(f"not done after {seconds} s: {' '.join(command[:3])}") from None
    return Finished(done.returncode, done.stdout, done.stderr)


def excerpt(text, length=300):
    """The end of a text on one line, where programs put what went wrong."""
    line = " | ".join(part.strip() for part in text.splitlines() if part.strip())
    return line if len(line) <= length else "…" + line[-length:]


def split_documents(text):
    """The complete JSON documents at the beginning of a text, and what follows them."""
    decoder = json.JSONDecoder()
    documents = []
    while text := text.lstrip():
        try:
            document, end = decoder.raw_decode(text)
        except ValueError:
            break
        documents.append(document)
        text = text[end:]
    return documents, text


class Conversation:
    """A program that streams JSON documents: read as they come, while its standard input stays open."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
        )
        self.seen = []
        self._said = queue.Queue()
        self._complaint = []
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._read_complaint, daemon=True).start()

    def _read(self):
        text = ""
        for line in self.process.stdout:
            # A document ends with its line; trying earlier would parse a long one again and again.
            documents, text = split_documents(text + line) if line.rstrip().endswith("}") else ([], text + line)
            for document in documents:
                self._said.put(document)
        self._said.put(None)

    def _read_complaint(self):
        self._complaint.extend(self.process.stderr)

    def send(self, document):
        """Sends one message."""
        try:
            self.process.stdin.write(json.dumps(document) + "\n")
            self.process.stdin.flush()
        except OSError:
            raise Failure(f"it ended early: {excerpt(''.join(self._complaint))}") from None

    def expect(self, what, wanted, seconds=20):
        """Reads until a document is wanted, and returns it."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                document = self._said.get(timeout=left)
            except queue.Empty:
                break
            if document is None:
                raise Failure(f"the stream ended before {what}: {excerpt(''.join(self._complaint))}")
            self.seen.append(document)
            if wanted(document):
                return document
        raise Failure(f"not within {seconds} s: {what}; seen {len(self.seen)} messages")

    def expect_end(self, seconds=10):
        """Waits until the stream ended without an error. These programs wait for their own standard input as well."""
        try:
            self.process.stdin.close()
            status = self.process.wait(timeout=seconds)
        except OSError:
            raise Failure("it ended in the middle of a message") from None
        except subprocess.TimeoutExpired:
            raise Failure(f"the stream did not end within {seconds} s") from None
        require(status == 0, f"status {status} at the end: {excerpt(''.join(self._complaint))}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(self.process)


def stop(process):
    """Ends a program of ours, gently first."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=STOP_S)
    for pipe in (process.stdin, process.stdout, process.stderr):
        # A broken pipe is what is left of a program that is gone.
        if pipe is not None and not pipe.closed:
            try:
                pipe.close()
            except OSError:
                pass


class Stand:
    """A virtual SIM7600 and a broker that holds it."""

    def __init__(self, programs):
        self.programs = programs
        # Short, because the path of a unix socket has at most 107 octets.
        self.directory = Path(tempfile.mkdtemp(prefix="mb-", dir="/tmp"))
        self.simulator_directory = self.directory / "sim"
        self.socket = self.directory / "broker.sock"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.processes = []

    @property
    def tcp(self):
        """Where the broker listens on TCP."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # The broker first: it lets go of ports that are still there.
        for process in reversed(self.processes):
            stop(process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _start(self):
        self._spawn("simulator", [self.programs / "modem-sim", "--dir", self.simulator_directory])
        until(READY_S, "the simulator answers", lambda: self._alive() and self._simulator_answers())
        configuration = self.directory / "broker.toml"
        configuration.write_text(
            f"""
            [broker]
            listen = ["unix:{self.socket}", "tcp:{self.tcp}"]
            loopback_scopes = ["all"]
            state_directory = "{self._made("state")}"
            lock_directory = "{self._made("lock")}"
            [diagnostics]
            raw_at = true
            [discovery]
            sysfs = "{self.simulator_directory}/sys"
            dev = "{self.simulator_directory}/dev"
            [[modem]]
            name = "{MODEM}"
            """
        )
        self._spawn("broker", [self.programs / "modem-broker", "--config", configuration])
        until(READY_S, "the broker accepts connections", lambda: self._alive() and self._accepts())

    def _made(self, name):
        directory = self.directory / name
        directory.mkdir()
        return directory

    def _spawn(self, name, command):
        with open(self.directory / f"{name}.log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=ENVIRONMENT,
            )
        self.processes.append(process)

    def _alive(self):
        for process in self.processes:
            require(process.poll() is None, f"{Path(process.args[0]).name} ended with status {process.returncode}")
        return True

    def _simulator_answers(self):
        return self._control("status").status == 0

    def _accepts(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return self.socket.exists()

    def _control(self, *action):
        command = [str(self.programs / "modem-sim"), "ctl", "--dir", str(self.simulator_directory)]
        return run(command + [str(part) for part in action])

    def control(self, *action):
        """Acts on the virtual modem and its network."""
        done = self._control(*action)
        require(done.status == 0, f"modem-sim ctl {action[0]}: {excerpt(done.stderr)}")
        return done.stdout

    def ring(self, number):
        """Somebody calls who says what he hears."""
        self.control("ring", "--from", number, "--audio", "echo")

    def hang_up_all(self):
        """Nobody calls any more, so that a check that failed leaves the next one a free line."""
        self._control("call", "hang-up")

    def deliver_message(self, number, text):
        """The network delivers a text."""
        self.control("sms", "--from", number, "--text", text)

    def logs(self):
        """The last lines of both programs, for whoever wonders why."""
        for name in ("simulator", "broker"):
            path = self.directory / f"{name}.log"
            if path.exists():
                for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]:
                    yield f"{name}: {line}"
