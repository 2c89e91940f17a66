"""grpcio: a C++ client behind Python that has never seen the contract and learns it by reflection."""

import queue

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

import call
import rpc_status
import with_json
from stand import MODEM, Failure, require, until

TIMEOUT_S = 20
STREAM_TIMEOUT_S = 60


class Client:
    """Methods by name, made from what reflection says."""

    def __init__(self, address):
        # For a unix socket grpcio would send the path as the authority, which HTTP/2 servers in Rust refuse.
        self.channel = grpc.insecure_channel(address, options=[("grpc.default_authority", "localhost")])
        grpc.channel_ready_future(self.channel).result(timeout=TIMEOUT_S)
        self.reflection = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = descriptor_pool.DescriptorPool(self.reflection)

    def close(self):
        """Closes the connection."""
        self.channel.close()

    def message(self, name, /, **fields):
        """A message of the contract."""
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(f"modembroker.v1.{name}"))(**fields)

    def enum(self, name, number):
        """The name of a value."""
        return self.pool.FindEnumTypeByName(f"modembroker.v1.{name}").values_by_number[number].name

    def method(self, service, name):
        """A callable for a method, unary or streaming as its descriptor says."""
        found = self.pool.FindServiceByName(f"modembroker.v1.{service}").FindMethodByName(name)
        proto = descriptor_pb2.MethodDescriptorProto()
        found.CopyToProto(proto)
        make = {
            (False, False): self.channel.unary_unary,
            (False, True): self.channel.unary_stream,
            (True, True): self.channel.stream_stream,
        }[proto.client_streaming, proto.server_streaming]
        return make(
            f"/modembroker.v1.{service}/{name}",
            request_serializer=message_factory.GetMessageClass(found.input_type).SerializeToString,
            response_deserializer=message_factory.GetMessageClass(found.output_type).FromString,
        )

    def call(self, service, name, **fields):
        """A unary call; the request is called like the method."""
        return self.method(service, name)(self.message(f"{name}Request", **fields), timeout=TIMEOUT_S)

    def error(self, service, name, **fields):
        """A unary call that fails: its code and its details by short name."""
        try:
            self.call(service, name, **fields)
        except grpc.RpcError as error:
            return error.code(), details_of(error)
        raise Failure("it was not refused")


def details_of(error):
    """The google.rpc.Status in the trailers of a failed call."""
    trailers = dict(error.trailing_metadata())
    require("grpc-status-details-bin" in trailers, f"no details in the trailers {sorted(trailers)}")
    status = rpc_status.MESSAGES["Status"].FromString(trailers["grpc-status-details-bin"])
    require(status.code == error.code().value[0], "the code of the details is another one")
    details = {}
    for detail in status.details:
        name = detail.type_url.rsplit(".", 1)[-1]
        if name in rpc_status.MESSAGES:
            details[name] = rpc_status.MESSAGES[name].FromString(detail.value)
    return details


def listing(client):
    """Reflection lists every service."""
    services = client.reflection.get_services()
    for service in [*with_json.SERVICES, with_json.HEALTH]:
        require(service in services, f"{service} is not listed")


def unary(client):
    """Requests that reach the modem and come back."""

    def ready():
        modems = client.call("ModemService", "ListModems").modems
        return modems and client.enum("ModemStage", modems[0].stage) == "MODEM_STAGE_READY"

    until(30, "the modem is ready", ready)
    status = client.call("NetworkService", "GetNetworkStatus", modem=MODEM, refresh=True).status
    require(status.registered and status.operator_plmn.isdigit(), f"not registered: {status}")
    answer = client.call("DiagnosticsService", "ExecuteAtCommand", command="AT+CSQ")
    require(answer.ok and any(line.startswith("+CSQ:") for line in answer.lines), f"AT+CSQ: {answer}")


def bad_argument(client):
    """A field out of range is named."""
    code, details = client.error("SmsService", "ListMessages", page_size=100000)
    require(code == grpc.StatusCode.INVALID_ARGUMENT, f"code {code}")
    info = details["ErrorInfo"]
    require((info.reason, info.domain) == ("FIELD_INVALID", "modembroker.v1"), f"ErrorInfo {info}")
    require(dict(info.metadata) == {"field": "page_size"}, f"metadata {dict(info.metadata)}")
    violations = [violation.field for violation in details["BadRequest"].field_violations]
    require(violations == ["page_size"], f"BadRequest {violations}")


def enum_fields(descriptor, path=()):
    """The ways from a request to each of its enums."""
    for field in descriptor.fields:
        if field.enum_type:
            yield (*path, field.name)
        elif field.message_type and field.message_type.full_name.startswith("modembroker."):
            yield from enum_fields(field.message_type, (*path, field.name))


def refusal_of(client, service, method, path):
    """What a broker says to a request whose enum at `path` has a number of the future."""
    request = message_factory.GetMessageClass(method.input_type)()
    holder = request
    for name in path[:-1]:
        holder = getattr(holder, name)
    if hasattr(getattr(holder, path[-1]), "append"):
        getattr(holder, path[-1]).append(99)
    else:
        setattr(holder, path[-1], 99)
    proto = descriptor_pb2.MethodDescriptorProto()
    method.CopyToProto(proto)
    ask = client.method(service, method.name)
    try:
        answer = ask(iter([request]) if proto.client_streaming else request, timeout=TIMEOUT_S)
        if proto.server_streaming:
            next(answer)
    except grpc.RpcError as error:
        return error.code(), details_of(error)["ErrorInfo"]
    raise Failure(f"{method.name} took 99 for {'.'.join(path)}")


def unknown_enum_numbers(client):
    """No request takes a number of an enum that this broker does not know for "not set"."""
    walked = 0
    for full_name in client.reflection.get_services():
        package, _, service = full_name.rpartition(".")
        if package != "modembroker.v1":
            continue
        for method in client.pool.FindServiceByName(full_name).methods:
            for path in enum_fields(method.input_type):
                code, info = refusal_of(client, service, method, path)
                what = f"{method.name} {'.'.join(path)}: {code} {info.reason} {dict(info.metadata)}"
                require((code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID"), what)
                named = info.metadata["field"]
                require(".".join(path) == named or ".".join(path).endswith(f".{named}"), what)
                walked += 1
    require(walked >= 15, f"{walked} enums in all requests")


def not_found(client):
    """A modem that is not there is named."""
    code, details = client.error("ModemService", "GetModem", modem="nobody")
    require(code == grpc.StatusCode.NOT_FOUND, f"code {code}")
    info = details["ErrorInfo"]
    require((info.reason, dict(info.metadata)) == ("MODEM_NOT_FOUND", {"modem": "nobody"}), f"ErrorInfo {info}")


def health(client):
    """Check and Watch of the standard health service."""
    stub = health_pb2_grpc.HealthStub(client.channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    for service in ("", "modembroker.v1.VoiceService"):
        request = health_pb2.HealthCheckRequest(service=service)
        require(stub.Check(request, timeout=TIMEOUT_S).status == serving, f"{service or 'the process'} is not serving")
        watch = stub.Watch(request, timeout=TIMEOUT_S)
        require(next(watch).status == serving, f"the watch of {service or 'the process'} does not begin with SERVING")
        watch.cancel()
    try:
        stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        require(error.code() == grpc.StatusCode.NOT_FOUND, f"code {error.code()}")
    else:
        raise Failure("a service that does not exist is healthy")


def watch(client, stand):
    """Events from the beginning, then one that happens meanwhile, then the rest again from a cursor."""
    text = "watched by grpcio"
    request = client.message("WatchEventsRequest")
    request.beginning.SetInParent()
    stream = client.method("EventService", "WatchEvents")(request, timeout=STREAM_TIMEOUT_S)
    sequences = []
    middle = None
    for batch in stream:
        sequences.extend(event.sequence for event in batch.events)
        if batch.caught_up and middle is None:
            middle = batch.cursor
            stand.deliver_message(with_json.CALLER, text)
        if any(event.message_changed.text == text for event in batch.events):
            break
    stream.cancel()
    require(middle is not None, "the message came before caught_up")
    require(sequences == sorted(set(sequences)), f"sequences do not grow: {sequences}")
    again = client.call("EventService", "ListEvents", cursor=middle).events
    listed = [event.sequence for event in again][: len(sequences)]
    later = [sequence for sequence in sequences if sequence > middle]
    require(listed[: len(later)] == later, f"{later} were streamed after {middle}, {listed} are listed")


def stream_call(client, stand):
    """A call: answered, heard, talked to, hung up."""
    stand.ring(with_json.CALLER)

    def ringing():
        calls = client.call("VoiceService", "ListCalls", alive_only=True).calls
        return calls and client.enum("CallState", calls[0].state) == "CALL_STATE_INCOMING" and calls[0]

    call_id = until(20, "the call rings", ringing).call_id
    outbox = queue.Queue()
    stream = client.method("VoiceService", "StreamCall")(iter(outbox.get, None), timeout=STREAM_TIMEOUT_S)
    say = lambda **fields: outbox.put(client.message("StreamCallRequest", **fields))
    say(attach=client.message("StreamCallAttach", call_id=call_id, answer=True))
    frames, heard, marked, ended = [], bytearray(), False, None
    try:
        for position, message in enumerate(stream):
            kind = message.WhichOneof("response")
            require((kind == "attached") == (position == 0), f"message {position} is {kind}")
            if kind == "attached":
                frame_bytes = message.attached.frame_bytes
                require(frame_bytes == call.FRAME_BYTES, f"frames of {frame_bytes} octets")
                for pcm in call.frames_up():
                    say(audio=client.message("UplinkAudioFrame", pcm=pcm))
                say(mark=client.message("StreamCallMark", name="said"))
            elif kind == "audio":
                frames.append((message.audio.first_sample, message.audio.pcm))
                heard.extend(message.audio.pcm)
            elif kind == "mark":
                marked = message.mark.name == "said" and not message.mark.cleared
            elif kind == "call":
                ended = message.call
            if marked and call.heard_echo(heard):
                say(hang_up=client.message("StreamCallHangUp"))
                marked = False
    finally:
        outbox.put(None)
        stream.cancel()
    require(call.heard_echo(heard), f"no echo in {len(frames)} frames")
    require(ended is not None, "no change of the call was told")
    require(client.enum("CallState", ended.state) == "CALL_STATE_DISCONNECTED", "no end of the call")
    require(client.enum("CallEndCause", ended.end_cause) == "CALL_END_CAUSE_LOCAL", "ended by somebody else")
    require(stream.code() == grpc.StatusCode.OK, f"the stream ended with {stream.code()}")
    call.require_continuous(frames)


def checks(stand):
    """What a stock client has to be able to do, by name."""
    client = Client(stand.tcp)
    yield "list services", lambda: listing(client)
    yield "unary over TCP", lambda: unary(client)
    yield "error with details in the trailers", lambda: bad_argument(client)
    yield "enum numbers of the future are refused", lambda: unknown_enum_numbers(client)
    yield "error that names a modem", lambda: not_found(client)
    yield "health Check and Watch", lambda: health(client)
    yield "server stream WatchEvents", lambda: watch(client, stand)
    yield "bidirectional StreamCall", lambda: with_json.on_a_free_line(stream_call, client, stand)
    client.close()
    client = Client(f"unix:{stand.socket}")
    yield "unary over the unix socket", lambda: unary(client)
    yield "bidirectional StreamCall over the unix socket", lambda: with_json.on_a_free_line(stream_call, client, stand)
    client.close()
