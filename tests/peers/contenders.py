"""The programs that are measured, each with a virtual modem of its own."""

import shutil
import sys
import threading
import time
import queue
from pathlib import Path

from observation import Commands, ControlSocket, Directory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "judges"))
from virtual_modem import Failure, VirtualModem, require, run, stop, until  # noqa: E402,F401

ALICE, BOB = "+447700900124", "+447700900123"
READY_S = 60


class Modem(VirtualModem):
    """The virtual modem through one open connection, which costs no process for each request."""

    def __enter__(self):
        super().__enter__()
        path = self.directory / "modem" / "control.sock"
        self._control = ControlSocket(path)
        self.commands = Commands(ControlSocket(path))
        return self

    def ask(self, request):
        return self._control.ask(request)

    def deliver(self, text):
        self.ask({"op": "deliver_text", "from": ALICE, "text": text})

    def fault(self, trigger, action, times=1):
        self.ask({"op": "inject", "fault": {"trigger": trigger, "action": action, "count": times}})

    def clear_faults(self):
        self.ask({"op": "clear_faults"})

    def _books(self):
        return self.ask({"op": "books"})["books"]

    @staticmethod
    def _total(ledger):
        return ledger["forgotten"] + len(ledger["records"])

    def submit_count(self):
        return self._total(self._books()["submits"])

    def command_count(self):
        return self._total(self._books()["commands"])

    def until_submits(self, count, seconds):
        """Waits until the network has so many; returns how many it has."""
        deadline = time.monotonic() + seconds
        while (found := self.submit_count()) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        return found


class Contender:
    """A program and its modem, ready when it is entered."""

    MODES = ("default", "fast")
    # Messages that the modem's storages hold; none for those of a real SIM7600.
    ROOM = None

    def __init__(self, mode, programs):
        self.mode = mode
        self.name = self.name_of(mode)
        self.modem = Modem(programs)
        self.processes = []

    @classmethod
    def name_of(cls, mode):
        return f"{cls.NAME} {mode}"

    @classmethod
    def names(cls):
        return [cls.name_of(mode) for mode in cls.MODES]

    def __enter__(self):
        self.modem.__enter__()
        try:
            for storage in ("ME", "SM") if self.ROOM else ():
                self.modem.ask({"op": "set_capacity", "storage": storage, "capacity": self.ROOM})
            self.start()
            # It is ready once it has read a message, which also is its warm-up.
            self.modem.deliver("warm-up;")
            deadline = time.monotonic() + READY_S
            while not any("warm-up;" in text for _, text in self.arrivals(deadline)):
                require(time.monotonic() < deadline, f"{self.name} does not become ready: {self.modem.log(self.NAME)}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.modem.__exit__()

    def spawn(self, name, command):
        self.processes.append(self.modem.spawn(name, command))

    def pids(self):
        return [process.pid for process in self.processes]

    def repeated(self, texts):
        """How often texts were delivered again without a new arrival being seen; files of one name are."""
        del texts
        return 0


class Spooler(Contender):
    """A program with directories for what comes in and what is to go out."""

    def directories(self, *names):
        self.spool = self.modem.directory / "spool"
        for name in names:
            (self.spool / name).mkdir(parents=True)
        self.watch = Directory(self.spool / self.INCOMING)

    def __exit__(self, *_):
        super().__exit__()
        if hasattr(self, "watch"):
            self.watch.close()

    def arrivals(self, deadline):
        for moment, path in self.watch.completed(deadline):
            try:
                text = path.read_text(encoding="utf-8-sig", errors="replace")
            except FileNotFoundError:
                continue
            # smstools makes the file, empty, before it makes it again.
            if text.strip():
                yield moment, text

    def put(self, name, content):
        """A complete file into the outbox at once."""
        unfinished = self.spool / f"unfinished-{name}"
        unfinished.write_text(content)
        unfinished.rename(self.spool / self.OUTGOING / name)


class Gammu(Spooler):
    NAME, INCOMING, OUTGOING = "gammu-smsd", "inbox", "outbox"
    # At +SMS FULL, an announcement of this module that it does not know, gammu stops for ever; with room for every burst
    # there is more to see. smstools in turn reads slot by slot, so that the same room would only slow it down.
    ROOM = 500
    FAST = "commtimeout = 1\nreceivefrequency = 1\nstatusfrequency = 0\n" + "".join(
        f"check{what} = 0\n" for what in ("security", "battery", "signal", "network")
    )

    @staticmethod
    def is_installed(_programs):
        return shutil.which("gammu-smsd") is not None

    def start(self):
        self.directories("inbox", "outbox", "sent", "error")
        self.sent = 0
        paths = "".join(
            f"{key} = {self.spool}/{name}/\n"
            for key, name in (("inboxpath", "inbox"), ("outboxpath", "outbox"), ("sentsmspath", "sent"), ("errorsmspath", "error"))
        )
        configuration = self.spool / "rc"
        configuration.write_text(
            f"[gammu]\ndevice = {self.modem.at_port}\nconnection = at115200\n[smsd]\nservice = files\n{paths}"
            + (self.FAST if self.mode == "fast" else "")
        )
        self.spawn(self.NAME, ["gammu-smsd", "-c", configuration, "-f", "10"])

    def submit(self, text):
        self.sent += 1
        # Priority, date, time, serial number, recipient, anything.
        self.put(f"OUTA20260101_000000_{self.sent:06}_{BOB}_x.txt", text)


class Smstools(Spooler):
    NAME, INCOMING, OUTGOING = "smstools", "incoming", "outgoing"
    # What Debian's own configuration says, and the fastest that the manual offers.
    GLOBAL = {
        "default": "delaytime = 10\nerrorsleeptime = 10\nreceive_before_send = no\nautosplit = 3\n",
        "fast": "delaytime = 1\ndelaytime_mainprocess = 1\nnotifier = yes\nerrorsleeptime = 1\nblocktime = 5\nreceive_before_send = no\nautosplit = 3\n",
    }
    DEVICE = {
        "default": "incoming = yes\n",
        "fast": "incoming = high\ncheck_memory_method = 31\ncheck_network = 0\npre_init = no\npoll_faster = 10\n"
        "device_open_retries = -1\n",
    }

    @staticmethod
    def is_installed(_programs):
        return shutil.which("smsd") is not None or Path("/usr/sbin/smsd").exists()

    def start(self):
        self.directories("outgoing", "checked", "incoming", "sent", "failed")
        self.sent = 0
        paths = "".join(f"{name} = {self.spool}/{name}\n" for name in ("outgoing", "checked", "incoming", "sent", "failed"))
        configuration = self.spool / "smsd.conf"
        configuration.write_text(
            f"devices = SIM\nlogfile = {self.spool}/log\ninfofile = {self.spool}/running\npidfile = {self.spool}/pid\n"
            f"{paths}{self.GLOBAL[self.mode]}[SIM]\ndevice = {self.modem.at_port}\n{self.DEVICE[self.mode]}"
        )
        self.spawn(self.NAME, [shutil.which("smsd") or "/usr/sbin/smsd", "-c", configuration, "-t"])

    def submit(self, text):
        self.sent += 1
        self.put(f"message{self.sent:06}", f"To: {BOB.lstrip('+')}\n\n{text}")


class Broker(Contender):
    """modem-broker with a gRPC client that was not made for it."""

    NAME, MODES = "modem-broker", ("fast",)

    @classmethod
    def name_of(cls, mode):
        del mode
        return cls.NAME

    @staticmethod
    def is_installed(programs):
        return (programs / "modem-broker").exists()

    def start(self):
        # Only here, so that the others can be measured without grpcio.
        sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "conformance"))
        from with_python import Client

        directory = self.modem.directory
        for name in ("state", "lock"):
            (directory / name).mkdir()
        configuration = directory / "broker.toml"
        configuration.write_text(
            f'[broker]\nlisten = ["unix:{directory}/broker.sock"]\nstate_directory = "{directory}/state"\n'
            f'lock_directory = "{directory}/lock"\n[discovery]\nsysfs = "{directory}/modem/sys"\n'
            f'dev = "{self.modem.dev}"\n[[modem]]\nname = "sim1"\n'
        )
        self.spawn(self.NAME, [self.modem.programs / "modem-broker", "--config", configuration])
        until(READY_S, "the broker listens", (directory / "broker.sock").exists)
        self.client = Client(f"unix:{directory}/broker.sock")
        until(READY_S, "the modem is ready", self._is_ready)
        self.send = self.client.method("SmsService", "SendMessage")
        self.heard = queue.Queue()
        threading.Thread(target=self._watch, daemon=True).start()

    def _is_ready(self):
        modem = self.client.call("ModemService", "GetModem", modem="sim1").modem
        return self.client.enum("ModemStage", modem.stage) == "MODEM_STAGE_READY"

    def _watch(self):
        # The contract's error type belongs to a module that only this contender needs.
        import grpc

        cursor = self.client.call("ModemService", "ListModems").cursor
        request = self.client.message("WatchEventsRequest", cursor=cursor)
        seen = set()
        try:
            for response in self.client.method("EventService", "WatchEvents")(request):
                moment = time.monotonic()
                for event in response.events:
                    message = event.message_changed
                    if event.WhichOneof("change") != "message_changed" or message.message_id in seen:
                        continue
                    if self.client.enum("MessageState", message.state) == "MESSAGE_STATE_RECEIVED":
                        # The same one changes later, when it is read; one that came twice would have another id.
                        seen.add(message.message_id)
                        self.heard.put((moment, message.text))
        except grpc.RpcError:
            return

    def arrivals(self, deadline):
        try:
            yield self.heard.get(timeout=max(0.001, deadline - time.monotonic()))
            while True:
                yield self.heard.get_nowait()
        except queue.Empty:
            return

    def submit(self, text):
        self.send(self.client.message("SendMessageRequest", modem="sim1", to=BOB, text=text), timeout=20)

    def __exit__(self, *_):
        if hasattr(self, "client"):
            self.client.close()
        super().__exit__()


CONTENDERS = (Broker, Gammu, Smstools)
