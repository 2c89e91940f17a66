"""buf curl: another Go client, with a gRPC of its own (connect-go), that asks for reflection v1 first."""

import base64
import json
from functools import partial

from google.protobuf import json_format

import rpc_status
import with_json
from stand import require, run


class BufCurl:
    """Calls over TCP, or over the unix socket."""

    name = "buf curl"

    def __init__(self, program, stand, unix=False):
        self.command = [str(program), "curl", "--protocol", "grpc", "--http2-prior-knowledge"]
        if unix:
            self.name = "buf curl over the unix socket"
            self.command += ["--unix-socket", str(stand.socket)]
        self.base = f"http://{'localhost' if unix else stand.tcp}"

    def _request(self, method, request, *options):
        return [*self.command, *options, "-d", json.dumps(request or {}), f"{self.base}/{method}"]

    def call(self, method, request=None):
        """A unary call that succeeds."""
        return run(self._request(method, request, "--emit-defaults")).document()

    def error(self, method, request):
        """A unary call that fails: its code and its details by short name."""
        done = run(self._request(method, request))
        # Its own mistakes exit below 8, the server's with the code shifted by three bits.
        require(done.status >= 8, f"status {done.status}: {done.stderr.strip()}")
        status = json.loads(done.stderr)
        details = {}
        for detail in status.get("details", []):
            # buf shows the octets only, in base64 without its padding.
            name, octets = detail["type"].rsplit(".", 1)[-1], base64.b64decode(detail["value"] + "==")
            if name in rpc_status.MESSAGES:
                details[name] = json_format.MessageToDict(rpc_status.MESSAGES[name].FromString(octets))
        return status["code"].upper(), details

    def streaming(self, method, request=None):
        """The command line of a stream; without a request its messages come from standard input."""
        data = "@-" if request is None else json.dumps(request)
        return [*self.command, "-d", data, f"{self.base}/{method}"]


def listing(client):
    """Reflection lists every method."""
    done = run([*client.command, "--list-methods", client.base])
    require(done.status == 0, done.stderr.strip())
    methods = done.stdout.split()
    for method in ("VoiceService/StreamCall", "EventService/WatchEvents", "SmsService/SendMessage"):
        require(f"modembroker.v1.{method}" in methods, f"{method} is not listed")


def checks(program, stand):
    """What buf curl has to be able to do, by name."""
    tcp, unix = BufCurl(program, stand), BufCurl(program, stand, unix=True)
    yield "list methods", lambda: listing(tcp)
    yield "unary over TCP", lambda: with_json.unary(tcp)
    yield "unary over the unix socket", lambda: with_json.unary(unix)
    yield "send a message once", lambda: with_json.send_once(tcp)
    yield "error with details", lambda: with_json.bad_argument(tcp)
    yield "health", lambda: with_json.health(tcp)
    yield "server stream WatchEvents", lambda: with_json.watch(tcp, stand)
    for place, client in (("", tcp), (" over the unix socket", unix)):
        check = partial(with_json.on_a_free_line, with_json.stream_call, client, stand)
        yield f"bidirectional StreamCall{place}", check
