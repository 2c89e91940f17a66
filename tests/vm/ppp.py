#!/usr/bin/python3
"""Judges the simulator: does pppd, made for real modems, take its modem port for one?

    ppp.py --programs DIR

pppd dials a data call in a composition that has neither QMI nor MBIM. It takes a kernel with PPP: tests/vm/run runs this in one.
One line for each test, as tests/judges/check.py writes them.
"""

import argparse
import re
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "judges"))
from virtual_modem import Failure, VirtualModem, require, until  # noqa: E402

# Diagnostics, NMEA, AT and modem: nothing else carries data.
OPTIONS = ("--composition", "9006")
MODEM_PORT = "ttyUSB3"

INTERFACE = "ppp0"
HOST_V4 = "192.0.2.1"
HOST_V6 = "2001:db8:0:7::1"

# pppd(8), EXIT STATUS
TERMINATED_BY_SIGNAL = 5
CONNECT_SCRIPT_FAILED = 8
HUNG_UP = 16
REFUSED_BY_PEER = 19

LIMIT_S = 40
REPLY_S = 2


class Dialled:
    """pppd on the modem port."""

    def __init__(self, modem, *options, number="*99#"):
        chat = f"chat -t 20 ABORT ERROR ABORT 'NO CARRIER' '' AT OK 'ATD{number}' CONNECT ''"
        self.modem = modem
        self.process = modem.spawn(
            "pppd",
            [
                *("/usr/sbin/pppd", modem.dev / MODEM_PORT, "115200", "connect", chat),
                *("nodetach", "debug", "local", "nocrtscts", "noauth", "noipdefault", "nodefaultroute", "usepeerdns"),
                *("lcp-restart", "2", *options),
            ],
        )

    def log(self):
        return "\n".join(self.modem.log("pppd", 400))

    def says(self, what):
        """Waits until pppd said it; the match."""

        def found():
            match = re.search(what, self.log())
            require(match or self.process.poll() is None, f"pppd ended with {self.process.poll()} before it said {what}")
            return match

        return until(LIMIT_S, f"pppd says {what}", found)

    def ended(self):
        """Waits until it is over; its exit status."""
        until(LIMIT_S, "pppd ends", lambda: self.process.poll() is not None)
        return self.process.returncode

    def hang_up(self):
        self.process.terminate()
        status = self.ended()
        require(status == TERMINATED_BY_SIGNAL, f"pppd ended with {status}")


def checksum(octets):
    total = sum(octets[at] << 8 | octets[at + 1] for at in range(0, len(octets), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def is_answered(host):
    """Whether a host behind the modem answers a ping through the link."""
    is_v6 = ":" in host
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if is_v6 else (socket.AF_INET, socket.IPPROTO_ICMP)
    request, reply = (128, 129) if is_v6 else (8, 0)
    payload = b"is anybody there"
    with socket.socket(family, socket.SOCK_RAW, protocol) as ping:
        ping.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, INTERFACE.encode())
        ping.settimeout(REPLY_S)
        # The kernel sums what goes by IPv6.
        summed = checksum(bytes([request, 0, 0, 0, 0, 1, 0, 1]) + payload)
        packet = bytes([request, 0, summed >> 8, summed & 0xFF, 0, 1, 0, 1]) + payload
        try:
            ping.sendto(packet, (host, 0))
            while True:
                message = ping.recv(256)[0 if is_v6 else 20 :]
                if message[:1] == bytes([reply]) and message.endswith(payload):
                    return True
        except OSError:
            return False


def global_addresses():
    """IPv6 addresses of the link that reach beyond it."""
    lines = Path("/proc/net/if_inet6").read_text(encoding="utf-8").splitlines()
    fields = [line.split() for line in lines]
    return [field[0] for field in fields if field[-1] == INTERFACE and not field[0].startswith("fe8")]


def addresses(modem):
    dialled = Dialled(modem)
    dialled.says(r"local +IP address 10\.64\.0\.2")
    dialled.says(r"primary +DNS address 192\.0\.2\.53")
    dialled.says(r"secondary +DNS address 198\.51\.100\.53")
    require(is_answered(HOST_V4), "nobody answers a ping")
    require("10.64.0.2" in modem.control("status", "--json"), "the network knows of no session")
    dialled.hang_up()
    require("10.64.0.2" not in modem.control("status", "--json"), "the session goes on")


def context(modem):
    for number in ("*99***1#", "T*99**PPP*1#"):
        dialled = Dialled(modem, number=number)
        dialled.says(r"local +IP address")
        dialled.hang_up()
    # A context that is not defined.
    require(Dialled(modem, number="*99***15#").ended() == CONNECT_SCRIPT_FAILED, "an undefined context was dialled")


def pap(modem):
    modem.control("packet", "--credentials", "web:open sesame")
    dialled = Dialled(modem, "refuse-chap", "user", "web", "password", "open sesame")
    dialled.says("PAP authentication succeeded")
    dialled.says(r"local +IP address")
    require(is_answered(HOST_V4), "nobody answers a ping")
    dialled.hang_up()


def chap(modem):
    modem.control("packet", "--credentials", "web:open sesame")
    dialled = Dialled(modem, "refuse-pap", "user", "web", "password", "open sesame")
    dialled.says("CHAP authentication succeeded")
    dialled.says(r"local +IP address")
    require(is_answered(HOST_V4), "nobody answers a ping")
    dialled.hang_up()


def refused(modem):
    modem.control("packet", "--credentials", "web:open sesame")
    for protocol in ("refuse-pap", "refuse-chap"):
        status = Dialled(modem, protocol, "user", "web", "password", "wrong").ended()
        require(status == REFUSED_BY_PEER, f"with {protocol} pppd ended with {status}")


def defining(kind):
    """Options with which the context is of this kind, with an access point."""
    return "init", f"chat '' AT OK 'AT+CGDCONT=1,\"{kind}\",\"internet\"' OK"


def wrong_access_point(modem):
    modem.control("packet", "--apn", "another")
    status = Dialled(modem, *defining("IP")).ended()
    require(status == HUNG_UP, f"pppd ended with {status}")
    # 27 is the cause for an unknown access point (24.008 10.5.6.6).
    require("number: 27" in modem.control("books"), "the network refused nothing")


def advertised(modem, kind, *options):
    """A call over a context of this kind whose kernel hears the router."""
    dialled = Dialled(modem, "+ipv6", *defining(kind), *options)
    dialled.says(r"local +LL address fe80::")
    until(LIMIT_S, "the kernel forms an address in the prefix that is advertised", global_addresses)
    require(global_addresses()[0].startswith("20010db800000001"), f"another prefix: {global_addresses()}")
    require(is_answered(HOST_V6), "nobody answers a ping by IPv6")
    return dialled


def ipv6(modem):
    advertised(modem, "IPV6", "noip").hang_up()
    both = advertised(modem, "IPV4V6")
    both.says(r"local +IP address")
    require(is_answered(HOST_V4), "nobody answers a ping")
    both.hang_up()


def network_ends(modem):
    dialled = Dialled(modem)
    dialled.says(r"local +IP address")
    modem.control("end-sessions")
    status = dialled.ended()
    require(status == HUNG_UP, f"pppd ended with {status}")
    # The port is there again.
    again = Dialled(modem)
    again.says(r"local +IP address")
    again.hang_up()


TESTS = (
    ("pppd gets an address and name servers, and packets go", addresses),
    ("pppd dials contexts by their number", context),
    ("pppd proves who it is by PAP", pap),
    ("pppd proves who it is by CHAP", chap),
    ("pppd with a wrong password is refused", refused),
    ("pppd learns that the network knows no such access point", wrong_access_point),
    ("pppd has IPv6, with the prefix that the router advertises", ipv6),
    ("pppd ends when the network ends the session", network_ends),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=Path, required=True, help="directory with modem-sim")
    programs = parser.parse_args().programs.resolve()
    failures = 0
    for name, test in TESTS:
        try:
            with VirtualModem(programs, *OPTIONS) as modem:
                try:
                    test(modem)
                    print(f"ok {name}", flush=True)
                except Failure as failure:
                    failures += 1
                    print(f"FAILED {name}: {str(failure)[:600]}", flush=True)
                    for line in modem.log("pppd", 40) + modem.commands()[-12:]:
                        print(f"    {line}", flush=True)
        except Failure as failure:
            failures += 1
            print(f"FAILED {name}: {failure}", flush=True)
    return 1 if failures else 0


sys.exit(main())
