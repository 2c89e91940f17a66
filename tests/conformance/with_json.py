"""The checks that every command-line client passes: grpcurl and buf curl differ only in how they are called."""

import uuid

import call
from stand import MODEM, Conversation, require, until

CALLER = "+4915550100"
HEALTH = "grpc.health.v1.Health"
SERVICES = [
    f"modembroker.v1.{noun}Service"
    for noun in ("Modem", "Sim", "Sms", "Voice", "Ussd", "Network", "Location", "Event", "Diagnostics")
]
# Something that the contract defines and that is not built yet.


def require_ready(client):
    """Waits until the modem came up, through the client itself."""

    def ready():
        modems = client.call("modembroker.v1.ModemService/ListModems").get("modems", [])
        return modems and modems[0]["stage"] == "MODEM_STAGE_READY" and modems[0]

    modem = until(30, "the modem is ready", ready)
    require(modem["name"] == MODEM, f"the modem is called {modem['name']}")
    require(modem["progressPercent"] == 100, f"ready at {modem['progressPercent']} %")


def unary(client):
    """Requests that reach the modem and come back."""
    require_ready(client)
    status = client.call("modembroker.v1.NetworkService/GetNetworkStatus", {"modem": MODEM, "refresh": True})["status"]
    require(status["registered"] and status["operatorName"], f"not registered: {status}")
    answer = client.call("modembroker.v1.DiagnosticsService/ExecuteAtCommand", {"command": "AT+CSQ"})
    require(answer["ok"] and answer["result"] == "OK", f"AT+CSQ: {answer}")
    require(any(line.startswith("+CSQ:") for line in answer["lines"]), f"AT+CSQ: {answer}")


def send_once(client):
    """The same `request_id` is the same message."""
    request = {"address": "+4915550123", "text": "Grüße, €5 и привет", "requestId": str(uuid.uuid4())}
    first = client.call("modembroker.v1.SmsService/SendMessage", request)["message"]
    again = client.call("modembroker.v1.SmsService/SendMessage", request)["message"]
    require(first["messageId"] == again["messageId"], "the repeated request made a second message")

    def sent():
        message = client.call("modembroker.v1.SmsService/GetMessage", {"messageId": first["messageId"]})["message"]
        return message["state"] == "MESSAGE_STATE_SENT" and message

    message = until(20, "the message is sent", sent)
    require(message["text"] == request["text"], f"the text became {message['text']!r}")
    require(message["coding"] == "MESSAGE_CODING_UCS2", f"coded as {message['coding']}")


def bad_argument(client):
    """A field out of range is named."""
    code, details = client.error("modembroker.v1.SmsService/ListMessages", {"pageSize": 100000})
    require(code == "INVALID_ARGUMENT", f"code {code}")
    info = details["ErrorInfo"]
    require("reason" in info, f"the client cannot read ErrorInfo, because reflection does not describe it: {info}")
    require(info["reason"] == "FIELD_INVALID" and info["domain"] == "modembroker.v1", f"ErrorInfo {info}")
    require(info["metadata"] == {"field": "page_size"}, f"metadata {info['metadata']}")
    violations = details["BadRequest"]["fieldViolations"]
    require([violation["field"] for violation in violations] == ["page_size"], f"BadRequest {violations}")


def health(client):
    """The standard health service knows the process and its services."""
    for service in ("", "modembroker.v1.VoiceService"):
        status = client.call(f"{HEALTH}/Check", {"service": service}).get("status")
        require(status == "SERVING", f"{service or 'the process'} is {status}")


def watch(client, stand):
    """Events from the beginning, then one that happens meanwhile, on one stream."""
    text = f"watched by {client.name}"
    method = "modembroker.v1.EventService/WatchEvents"
    with Conversation(client.streaming(method, {"beginning": {}})) as stream:
        stream.process.stdin.close()
        stream.expect("caught_up", lambda batch: batch.get("caughtUp"))
        require(any(batch.get("events") for batch in stream.seen), "nothing from the beginning")
        stand.deliver_message(CALLER, text)

        def delivered(batch):
            messages = [event.get("messageChanged", {}) for event in batch.get("events", [])]
            return any(message.get("text") == text for message in messages)

        stream.expect("the message that came meanwhile", delivered)
        sequences = [int(event["sequence"]) for batch in stream.seen for event in batch.get("events", [])]
        require(sequences == sorted(set(sequences)), f"sequences do not grow: {sequences}")
        cursor = int(stream.seen[-1]["cursor"])
        require(cursor >= sequences[-1], f"cursor {cursor} is behind event {sequences[-1]}")


def stream_call(client, stand):
    """A call: answered, heard, talked to, hung up."""
    stand.ring(CALLER)

    def ringing():
        calls = client.call("modembroker.v1.VoiceService/ListCalls", {"aliveOnly": True}).get("calls", [])
        return calls and calls[0]["state"] == "CALL_STATE_INCOMING" and calls[0]

    ringing = until(20, "the call rings", ringing)
    require(ringing.get("number") in ("", None, CALLER), f"called by {ringing.get('number')}")
    with Conversation(client.streaming("modembroker.v1.VoiceService/StreamCall")) as conversation:
        call.converse(conversation, ringing["callId"])


def on_a_free_line(check, client, stand):
    """Runs a check with calls and ends what it left."""
    try:
        check(client, stand)
    finally:
        stand.hang_up_all()
