#!/usr/bin/env python3
"""Judges the simulator: do gammu, gammu-smsd, smstools, qmicli and libqmi, made for real modems, take it for one?

    check.py --programs DIR

The first three send and receive single, long and UCS2 messages through a virtual modem of their own, and the network's books
are compared with what they say; qmicli uses the QMI port, also by way of libqmi's own proxy, and libqmi itself the messages
there, which qmicli cannot. One line for each test: "ok …" or "FAILED …: why"; what went wrong is shown only then.

`gammu monitor` is not among the tests: gammu 1.42 ends it with "Unknown response" at AT+CBC, which a SIM7600 answers with a
voltage (+CBC: 3.843V, as owners report) and gammu expects as charge and percent. It does so with the real module too.
"""

import argparse
import os
import re
import shlex
import shutil
import sys
import threading
import time
from pathlib import Path

from virtual_modem import Failure, VirtualModem, require, run, until, whole_texts

IMEI = "867584030000017"
BOB = "+447700900123"
ALICE = "+447700900124"
# What each judge has to carry both ways: one PDU, several PDUs, and an alphabet that needs 16 bits.
SHORT = "Meet me at 5, platform 3?"
LONG = " ".join(f"{number} green bottles hanging on the wall," for number in range(12, 0, -1)).strip(",") + "."
FOREIGN = "Žąsys skrenda į Vilnių"
TEXTS = (SHORT, LONG, FOREIGN)
LIMIT_S = 50


def all_there(texts, where):
    """Which of the texts a text does not contain, whatever the line breaks."""
    flat = " ".join(where.split())
    return [text for text in texts if " ".join(text.split()) not in flat]


def deliver_all(modem):
    for text in TEXTS:
        modem.deliver(ALICE, text)


def all_deleted(modem):
    fates = modem.fates()
    return len(fates) >= len(TEXTS) and all(fate == "deleted" for fate in fates)


def all_sent(modem, wanted=TEXTS):
    """Every text reached the network once and whole."""
    expected = sorted((BOB, text) for text in wanted)

    def settled():
        try:
            return sorted(whole_texts(modem.submits())) == expected
        except Failure:
            return False

    try:
        until(LIMIT_S, "every text at the network", settled)
    except Failure as failure:
        raise Failure(f"{failure}; the network has {modem.submits()}") from None
    # A text that came twice would come now.
    time.sleep(0.5)
    require(settled(), f"more than was sent: {modem.submits()}")


class Gammu:
    """gammu, the command line."""

    def __init__(self, modem):
        self.modem = modem
        self.configuration = modem.directory / "gammurc"
        self.configuration.write_text(f"[gammu]\ndevice = {modem.at_port}\nconnection = at115200\n")

    def _run(self, *arguments):
        done = run(["gammu", "-c", str(self.configuration), *arguments], seconds=LIMIT_S)
        require(done.status == 0, f"gammu {arguments[0]}: status {done.status}: {done.stdout[-300:]}{done.stderr[-300:]}")
        return done.stdout

    def identify(self):
        said = self._run("identify")
        for fact in ("SIMCOM INCORPORATED", "SIMCOM_SIM7600G-H", "LE20B", IMEI, "001010000000001"):
            require(fact in said, f"gammu identify does not say {fact}: {said}")

    def receive(self):
        deliver_all(self.modem)
        said = self._run("geteachsms")
        missing = all_there(TEXTS, said)
        require(not missing, f"gammu geteachsms does not show {missing}: {said}")
        parts = self._run("getallsms")
        require(f"{len(self.modem.fates())} SMS parts" in parts, f"not every part: {parts[-200:]}")
        locations = re.findall(r"Location (\d+)", parts)
        self._run("deletesms", "0", locations[0], locations[-1])
        require(all_deleted(self.modem), f"not deleted: {self.modem.fates()}")

    def send(self):
        self._run("sendsms", "TEXT", BOB, "-text", SHORT, "-report")
        self._run("sendsms", "TEXT", BOB, "-len", "1000", "-text", LONG)
        self._run("sendsms", "TEXT", BOB, "-unicode", "-text", FOREIGN)
        all_sent(self.modem)
        require(self.modem.submits()[0]["report"] == 0, "no delivery report was sent back")

    TESTS = (("gammu identifies the module", identify), ("gammu reads and deletes", receive), ("gammu sends", send))


class GammuDaemon:
    """gammu-smsd with files, polling as often as it can."""

    def __init__(self, modem):
        self.modem = modem
        self.spool = modem.directory / "gammu-smsd"
        for name in ("inbox", "outbox", "sent", "error"):
            (self.spool / name).mkdir(parents=True)
        self.configuration = self.spool / "rc"
        self.configuration.write_text(
            f"""[gammu]
device = {modem.at_port}
connection = at115200
[smsd]
service = files
logfile = {self.spool}/log
inboxpath = {self.spool}/inbox/
outboxpath = {self.spool}/outbox/
sentsmspath = {self.spool}/sent/
errorsmspath = {self.spool}/error/
commtimeout = 1
receivefrequency = 1
statusfrequency = 0
checksecurity = 0
checkbattery = 0
checksignal = 0
checknetwork = 0
"""
        )
        modem.spawn("judge", ["gammu-smsd", "-c", self.configuration])

    def inbox(self):
        """The texts: one file for each part, whose name has its time, number and part."""
        files = sorted((self.spool / "inbox").glob("IN*.txt"))
        return "".join(file.read_text(encoding="utf-8-sig", errors="replace") for file in files)

    def receive(self):
        deliver_all(self.modem)
        until(LIMIT_S, "every message deleted from the modem", lambda: all_deleted(self.modem))
        missing = all_there(TEXTS, self.inbox())
        require(not missing, f"not in the inbox: {missing}; there is {self.inbox()!r}")

    def send(self):
        inject = ["gammu-smsd-inject", "-c", str(self.configuration), "TEXT", BOB]
        for options in (["-report", "-text", SHORT], ["-len", "1000", "-text", LONG], ["-unicode", "-text", FOREIGN]):
            done = run(inject + options)
            require(done.status == 0, f"gammu-smsd-inject: {done.stderr}")
        all_sent(self.modem)
        # It asks the network for the report, and never the modem to show it (+CNMI), so that the books have to do.
        require(self.modem.submits()[0]["report"] == 0, "no delivery report was sent back")
        require(not any((self.spool / "error").iterdir()), "something is in the directory for errors")

    TESTS = (("gammu-smsd receives", receive), ("gammu-smsd sends", send))


class Smstools:
    """smstools' smsd, as fast as it can be configured."""

    def __init__(self, modem):
        self.modem = modem
        self.spool = modem.directory / "smstools"
        for name in ("outgoing", "checked", "incoming", "report", "sent", "failed"):
            (self.spool / name).mkdir(parents=True)
        self.configuration = self.spool / "smsd.conf"
        self.configuration.write_text(
            f"""devices = SIM
loglevel = 6
logfile = {self.spool}/log
infofile = {self.spool}/running
pidfile = {self.spool}/pid
outgoing = {self.spool}/outgoing
checked = {self.spool}/checked
incoming = {self.spool}/incoming
report = {self.spool}/report
sent = {self.spool}/sent
failed = {self.spool}/failed
delaytime = 1
delaytime_mainprocess = 1
autosplit = 3
incoming_utf8 = yes
receive_before_send = no
[SIM]
device = {modem.at_port}
incoming = high
report = yes
pre_init = no
init = AT+CNMI=2,1,0,2,0
primary_memory = SM
secondary_memory = SR
secondary_memory_max = 20
check_network = 0
check_memory_method = 31
poll_faster = 10
decode_unicode_text = yes
cs_convert = yes
"""
        )
        modem.spawn("judge", [shutil.which("smsd") or "/usr/sbin/smsd", "-c", self.configuration, "-t"])

    def incoming(self):
        return "\n".join(
            file.read_text(encoding="utf-8", errors="replace") for file in (self.spool / "incoming").iterdir()
        )

    def receive(self):
        deliver_all(self.modem)
        until(LIMIT_S, "every message deleted from the modem", lambda: all_deleted(self.modem))
        until(LIMIT_S, "every text in a file", lambda: not all_there(TEXTS, self.incoming()))

    def send(self):
        for number, (text, alphabet) in enumerate(((SHORT, "UTF-8"), (LONG, "UTF-8"), (FOREIGN, "UCS"))):
            header = f"To: {BOB.lstrip('+')}\nAlphabet: {alphabet}\nReport: yes\n\n".encode()
            body = text.encode("utf-16-be") if alphabet == "UCS" else text.encode()
            # The spooler must not see half a file.
            unfinished = self.spool / f"message{number}"
            unfinished.write_bytes(header + body)
            unfinished.rename(self.spool / "outgoing" / unfinished.name)
        all_sent(self.modem)
        until(LIMIT_S, "all in sent", lambda: len(list((self.spool / "sent").iterdir())) == len(TEXTS))
        until(LIMIT_S, "delivery reports", lambda: len(list((self.spool / "report").iterdir())) >= len(TEXTS))
        require(not any((self.spool / "failed").iterdir()), "something failed")

    TESTS = (("smstools receives", receive), ("smstools sends, and gets the reports", send))


class Qmicli:
    """libqmi's command line on the control channel, which is a pseudo terminal here, and libqmi's proxy before it."""

    def __init__(self, modem):
        self.modem = modem
        self.port = modem.dev / "cdc-wdm0"

    def _run(self, *arguments, proxy=False):
        options = ["--device-open-qmi", *(["--device-open-proxy"] if proxy else [])]
        return ["qmicli", "-d", str(self.port.resolve()), *options, *arguments]

    def _ask(self, *arguments, says=()):
        done = run(self._run(*arguments), seconds=LIMIT_S)
        require(done.status == 0, f"qmicli {arguments[0]}: status {done.status}: {done.stdout[-300:]}{done.stderr[-300:]}")
        for fact in says:
            require(fact in done.stdout, f"qmicli {arguments[0]} does not say {fact}: {done.stdout}")
        return done.stdout

    def identify(self):
        self._ask("--get-service-version-info", says=("wds (1.67)", "nas (1.25)"))
        self._ask("--dms-get-ids", says=(IMEI,))
        self._ask("--dms-get-model", says=("SIMCOM_SIM7600G-H",))

    def network(self):
        serving = lambda: "registered" in self._ask("--nas-get-serving-system")
        until(LIMIT_S, "a registered modem", serving)
        self._ask("--nas-get-serving-system", says=("Registration state: 'registered'", "Test Network"))
        self._ask("--nas-get-signal-info", says=("RSRP: '-95 dBm'", "SNR: '12.0 dB'"))
        self._ask("--nas-network-scan", says=("Test Network", "Other Network", "forbidden"))
        self._ask("--nas-set-system-selection-preference=lte|umts")
        self._ask("--nas-get-system-selection-preference", says=("umts, lte",))
        self._ask("--nas-set-system-selection-preference=gsm|umts|lte")

    def data(self):
        until(LIMIT_S, "a registered modem", lambda: "'registered'" in self._ask("--nas-get-serving-system"))
        self._ask("--wda-set-data-format=raw-ip", says=("raw-ip",))
        said = self._ask("--wds-start-network=apn=internet,ip-type=4", "--client-no-release-cid", says=("handle",))
        client = re.search(r"CID: '(\d+)'", said).group(1)
        kept = (f"--client-cid={client}", "--client-no-release-cid")
        self._ask("--wds-get-packet-service-status", *kept, says=("'connected'",))
        self._ask("--wds-get-current-settings", *kept, says=("10.64.0.2", "192.0.2.53", "1420"))
        handle = re.search(r"handle: '(\d+)'", said).group(1)
        self._ask(f"--wds-stop-network={handle}", f"--client-cid={client}")

    def proxy(self):
        """The proxy's name belongs to a network namespace, so that this one is nobody else's."""
        program = next((path for path in PROXIES if Path(path).exists()), None)
        if program is None:
            raise Skipped("qmi-proxy is not installed")
        if os.geteuid() != 0:
            raise Skipped("qmi-proxy serves root only")
        asked = shlex.join(self._run("--dms-get-ids", proxy=True))
        script = f"{program} --no-exit & proxy=$!; sleep 0.5; {asked}; status=$?; kill $proxy; exit $status"
        done = run(["unshare", "--net", "sh", "-c", script], seconds=LIMIT_S)
        require(done.status == 0 and IMEI in done.stdout, f"qmi-proxy: {done.stdout[-300:]}{done.stderr[-300:]}")

    def card(self):
        self._ask("--uim-get-card-status", says=("Card state: 'present'", "Application state: 'ready'", "usim"))
        self._ask("--uim-sim-power-off=1")
        self._ask("--uim-get-card-status", says=("power-down",))
        require("NOT INSERTED" in " ".join(self.modem.said()), "the AT ports do not miss the SIM")
        self._ask("--uim-sim-power-on=1")
        ready = lambda: "Application state: 'ready'" in self._ask("--uim-get-card-status")
        until(LIMIT_S, "the SIM is ready again", ready)

    def radio(self):
        until(LIMIT_S, "a registered modem", lambda: "'registered'" in self._ask("--nas-get-serving-system"))
        self._ask("--nas-get-cell-location-info", says=("PLMN: '00101'", "Serving Cell ID: '448'", "RSRP: '-95.0' dBm"))
        self._ask("--nas-get-lte-cphy-ca-info", says=("eutran-1", "eutran-3", "DL Bandwidth: '20'"))
        self._ask("--nas-get-tx-rx-info=lte", says=("RX Chain 1", "13.5 dBm"))
        self._ask("--wds-get-profile-list=3gpp", says=("[2] 3gpp", "APN: 'ims'"))

    TESTS = (
        ("qmicli identifies the module", identify),
        ("qmicli sees the network", network),
        ("qmicli connects", data),
        ("qmicli sees the card and switches it off and on", card),
        ("qmicli sees the radio", radio),
        ("qmicli by way of qmi-proxy", proxy),
    )


class Libqmi:
    """libqmi itself, from Python, for the messages that qmicli leaves out."""

    def __init__(self, modem):
        self.modem = modem

    def _command(self, *words):
        script = Path(__file__).resolve().parent / "libqmi_messages.py"
        # Its own Python: the library's introspection is a package of the system.
        return [SYSTEM_PYTHON, str(script), str((self.modem.dev / "cdc-wdm0").resolve()), *words]

    def _ask(self, *words):
        done = run(self._command(*words), seconds=LIMIT_S)
        if done.status == 2:
            raise Skipped("python3-gi or gir1.2-qmi-1.0 is not installed")
        require(done.status == 0, f"libqmi {words}: status {done.status}: {done.stdout[-300:]}{done.stderr[-300:]}")
        return done.stdout.splitlines()

    def receive(self):
        self._ask("list", "nv")
        for number, text in enumerate(TEXTS[:1] + TEXTS[2:]):
            self.modem.deliver(ALICE, text)
            listed = []
            listening = lambda: listed.extend(self._ask("list", "nv")) or len(listed) > 0
            until(LIMIT_S, "the message is listed", listening)
            index, tag = listed[0].split()
            require(tag == "mt-not-read", f"it is {tag}")
            tag, pdu = self._ask("read", "nv", index)[0].split()
            delivered = self.modem.books()["deliveries"]["records"][number]["pdu"]
            require(pdu == delivered, f"{pdu} was read, {delivered} delivered")
            require(self._ask("list", "nv")[0].split()[1] == "mt-read", "reading does not count")
            require(self._ask("delete", "nv", index, "list", "nv") == [], "it is still there")
        require(all(fate == "deleted" for fate in self.modem.fates()), f"not deleted: {self.modem.fates()}")

    def report(self):
        listener = self.modem.spawn("report", self._command("report"))
        until(LIMIT_S, "libqmi listens", lambda: any("listening" in line for line in self.modem.log("report")))
        self.modem.deliver(ALICE, SHORT)
        until(LIMIT_S, "libqmi hears of it", lambda: any("new nv 0" in line for line in self.modem.log("report")))
        until(LIMIT_S, "libqmi ends", lambda: listener.poll() is not None)
        require(self._ask("routes")[-1] == "none nv store-and-notify", "the routes are others")

    def send(self):
        # TS 23.040: to +447700900123, the default alphabet, "hello".
        require(self._ask("send", "0011000C914477000910320000AA05E8329BFD06") == ["sent 0"], "no reference")
        all_sent(self.modem, ("hello",))

    TESTS = (
        ("libqmi lists, reads and deletes messages", receive),
        ("libqmi hears of a new message", report),
        ("libqmi sends a message", send),
    )


class Skipped(Exception):
    """Why a test cannot be held here."""


PROXIES = ("/usr/libexec/qmi-proxy", "/usr/lib/libqmi/qmi-proxy")
SYSTEM_PYTHON = "/usr/bin/python3"
JUDGES = {"gammu": Gammu, "gammu-smsd": GammuDaemon, "smsd": Smstools, "qmicli": Qmicli, SYSTEM_PYTHON: Libqmi}
tell = threading.Lock()
failures = []


def sit(judge, programs):
    """All tests of one judge, with a modem of its own."""
    names = [name for name, _ in judge.TESTS]
    try:
        with VirtualModem(programs, "--imei", IMEI) as modem:
            bench = judge(modem)
            for name, test in judge.TESTS:
                names.remove(name)
                try:
                    test(bench)
                except Skipped as why:
                    report(f"skipped {name}: {why}")
                except Failure as failure:
                    report(f"FAILED {name}: {str(failure)[:600]}", modem.log("judge") + modem.commands()[-12:])
                else:
                    report(f"ok {name}")
    except Exception as error:  # a judge that cannot sit fails its tests, not the other judges
        for name in names:
            report(f"FAILED {name}: {error}")


def report(line, details=()):
    with tell:
        print(line, flush=True)
        for detail in details:
            print(f"    {detail}", flush=True)
        if line.startswith("FAILED"):
            failures.append(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=Path, required=True, help="directory with modem-sim")
    arguments = parser.parse_args()
    threads = []
    for program, judge in JUDGES.items():
        if shutil.which(program) or Path(f"/usr/sbin/{program}").exists():
            thread = threading.Thread(target=sit, args=(judge, arguments.programs.resolve()))
            thread.start()
            threads.append(thread)
        else:
            for name, _ in judge.TESTS:
                report(f"skipped {name}: {program} is not installed")
    for thread in threads:
        thread.join()
    return 1 if failures else 0


sys.exit(main())
