"""grpcurl 1.8: a Go client that knows reflection v1alpha."""

import json
from functools import partial

import with_json
from stand import require, run


class Grpcurl:
    """Calls over TCP, or over the unix socket."""

    name = "grpcurl"

    def __init__(self, program, stand, unix=False):
        options = ["-plaintext", "-max-time", "60", "-connect-timeout", "10"]
        address = stand.tcp
        if unix:
            self.name = "grpcurl over the unix socket"
            # The path is the address; without an authority of its own grpcurl would send the path as one, which HTTP/2
            # servers in Rust refuse.
            options += ["-unix", "-authority", "localhost"]
            address = str(stand.socket)
        self.command = [str(program), *options]
        self.address = address

    def _request(self, method, request, *options):
        return [*self.command, *options, "-d", json.dumps(request or {}), self.address, method]

    def call(self, method, request=None):
        """A unary call that succeeds."""
        return run(self._request(method, request, "-emit-defaults")).document()

    def error(self, method, request):
        """A unary call that fails: its code and its details by short name."""
        done = run(self._request(method, request, "-format-error"))
        # It exits with 64 and the code, and shows the status as JSON.
        require(done.status > 64, f"status {done.status}, although it should be refused")
        status = json.loads(done.stderr[done.stderr.index("{"):])
        details = {detail["@type"].rsplit(".", 1)[-1]: detail for detail in status.get("details", [])}
        return CODES[status["code"]], details

    def streaming(self, method, request=None):
        """The command line of a stream; without a request its messages come from standard input."""
        data = "@" if request is None else json.dumps(request)
        return [*self.command, "-d", data, self.address, method]

    def inspect(self, *words):
        """`list` and `describe`."""
        done = run([*self.command, self.address, *words])
        require(done.status == 0, f"{words}: {done.stderr.strip()}")
        return done.stdout


CODES = {3: "INVALID_ARGUMENT", 5: "NOT_FOUND", 9: "FAILED_PRECONDITION", 12: "UNIMPLEMENTED"}


def listing(client):
    """`list` shows every service, and the methods of one."""
    services = client.inspect("list").split()
    for service in [*with_json.SERVICES, with_json.HEALTH, "grpc.reflection.v1alpha.ServerReflection"]:
        require(service in services, f"{service} is not listed")
    methods = client.inspect("list", "modembroker.v1.VoiceService").split()
    require("modembroker.v1.VoiceService.StreamCall" in methods, f"StreamCall is not among {methods}")


def description(client):
    """`describe` shows a method and a message as the contract defines them."""
    method = client.inspect("describe", "modembroker.v1.VoiceService.StreamCall")
    require("stream .modembroker.v1.StreamCallRequest" in method, f"described as {method.strip()}")
    message = client.inspect("describe", "modembroker.v1.AudioFrame")
    require("uint64 first_sample = 1;" in message, f"described as {message.strip()}")


def checks(program, stand):
    """What grpcurl has to be able to do, by name."""
    tcp, unix = Grpcurl(program, stand), Grpcurl(program, stand, unix=True)
    yield "list", lambda: listing(tcp)
    yield "describe", lambda: description(tcp)
    yield "unary over TCP", lambda: with_json.unary(tcp)
    yield "unary over the unix socket", lambda: with_json.unary(unix)
    yield "send a message once", lambda: with_json.send_once(tcp)
    yield "error with details", lambda: with_json.bad_argument(tcp)
    yield "health", lambda: with_json.health(tcp)
    yield "server stream WatchEvents", lambda: with_json.watch(tcp, stand)
    for place, client in (("", tcp), (" over the unix socket", unix)):
        check = partial(with_json.on_a_free_line, with_json.stream_call, client, stand)
        yield f"bidirectional StreamCall{place}", check
