#!/usr/bin/env python3
"""Messages by the real libqmi, which qmicli cannot do: list, read, send, delete, and the report of a new one.

    libqmi_messages.py PORT COMMAND…

PORT is a control channel (a pseudo terminal here). Commands, in order:

    list STORAGE            one line "INDEX TAG" for each message; STORAGE is uim or nv
    read STORAGE INDEX      "TAG PDU"
    send PDU                "sent REFERENCE"; the PDU has its service centre
    delete STORAGE INDEX
    routes                  one line "CLASS STORAGE ACTION" for each
    report                  says "listening", then waits for a new message: "new STORAGE INDEX"

Status 1 and a line on the standard error if libqmi says that something failed, 2 if libqmi is not installed.
"""

import sys

try:
    import gi

    gi.require_version("Qmi", "1.0")
    from gi.repository import Gio, GLib, Qmi
except (ImportError, ValueError) as error:
    print(f"libqmi cannot be used from Python: {error}", file=sys.stderr)
    sys.exit(2)

LIMIT_S = 20
STORAGES = {"uim": Qmi.WmsStorageType.UIM, "nv": Qmi.WmsStorageType.NV}
NAMES = {number: name for name, number in STORAGES.items()}


class Dialogue:
    """Asynchronous calls of libqmi, one after the other."""

    def __init__(self, path):
        self.loop = GLib.MainLoop()
        self.outcome = None
        device = self.finish(
            lambda ready: Qmi.Device.new(Gio.File.new_for_path(path), None, ready),
            lambda _, result: Qmi.Device.new_finish(result),
        )
        flags = Qmi.DeviceOpenFlags.NONE
        self.finish(
            lambda ready: device.open(flags, LIMIT_S, None, ready), lambda _, result: device.open_finish(result)
        )
        self.device = device
        self.client = self.finish(
            lambda ready: device.allocate_client(Qmi.Service.WMS, Qmi.CID_NONE, LIMIT_S, None, ready),
            lambda _, result: device.allocate_client_finish(result),
        )

    def finish(self, start, end):
        """Starts a call and waits for its end."""

        def ready(source, result, *_):
            try:
                self.outcome = end(source, result), None
            except GLib.Error as error:
                self.outcome = None, error
            self.loop.quit()

        self.outcome = None
        start(ready)
        self.wait("an answer")
        value, error = self.outcome
        if error is not None:
            raise error
        return value

    def wait(self, what):
        """Runs until somebody has put something into the outcome."""
        timer = GLib.timeout_add_seconds(LIMIT_S, self.loop.quit)
        if self.outcome is None:
            self.loop.run()
        if self.outcome is None:
            raise SystemExit(f"no {what} within {LIMIT_S} s")
        GLib.source_remove(timer)

    def ask(self, name, request):
        """A request of the service by its name."""
        output = self.finish(
            lambda ready: getattr(self.client, name)(request, LIMIT_S, None, ready),
            lambda client, result: getattr(client, f"{name}_finish")(result),
        )
        output.get_result()
        return output

    def release(self):
        flags = Qmi.DeviceReleaseClientFlags.RELEASE_CID
        self.finish(
            lambda ready: self.device.release_client(self.client, flags, LIMIT_S, None, ready),
            lambda _, result: self.device.release_client_finish(result),
        )


def say(text):
    print(text, flush=True)


def list_messages(dialogue, storage):
    request = Qmi.MessageWmsListMessagesInput()
    request.set_storage_type(STORAGES[storage])
    request.set_message_mode(Qmi.WmsMessageMode.GSM_WCDMA)
    for message in dialogue.ask("list_messages", request).get_message_list():
        say(f"{message.memory_index} {message.message_tag.value_nick}")


def read(dialogue, storage, index):
    request = Qmi.MessageWmsRawReadInput()
    request.set_message_memory_storage_id(STORAGES[storage], int(index))
    request.set_message_mode(Qmi.WmsMessageMode.GSM_WCDMA)
    *_, tag, _format, pdu = dialogue.ask("raw_read", request).get_raw_message_data()
    say(f"{tag.value_nick} {bytes(pdu).hex().upper()}")


def send(dialogue, pdu):
    request = Qmi.MessageWmsRawSendInput()
    request.set_raw_message_data(Qmi.WmsMessageFormat.GSM_WCDMA_POINT_TO_POINT, list(bytes.fromhex(pdu)))
    say(f"sent {as_number(dialogue.ask('raw_send', request).get_message_id())}")


def delete(dialogue, storage, index):
    request = Qmi.MessageWmsDeleteInput()
    request.set_memory_storage(STORAGES[storage])
    request.set_memory_index(int(index))
    request.set_message_mode(Qmi.WmsMessageMode.GSM_WCDMA)
    dialogue.ask("delete", request)


def routes(dialogue):
    for route in dialogue.ask("get_routes", None).get_route_list():
        action = route.receipt_action.value_nick
        say(f"{route.message_class.value_nick} {NAMES.get(route.storage, route.storage)} {action}")


def report(dialogue):
    def told(_client, indication):
        *_, storage, index = indication.get_mt_message()
        dialogue.outcome = f"new {NAMES.get(storage, storage)} {index}"
        dialogue.loop.quit()

    dialogue.client.connect("event-report", told)
    request = Qmi.MessageWmsSetEventReportInput()
    request.set_new_mt_message_indicator(True)
    dialogue.ask("set_event_report", request)
    dialogue.outcome = None
    say("listening")
    dialogue.wait("report")
    say(dialogue.outcome)


def as_number(value):
    return value[-1] if isinstance(value, tuple) else value


COMMANDS = {"list": (list_messages, 1), "read": (read, 2), "send": (send, 1), "delete": (delete, 2)}
COMMANDS |= {"routes": (routes, 0), "report": (report, 0)}


def main():
    path, *words = sys.argv[1:]
    try:
        dialogue = Dialogue(path)
        while words:
            command, count = COMMANDS[words[0]]
            command(dialogue, *words[1 : 1 + count])
            words = words[1 + count :]
        dialogue.release()
    except GLib.Error as error:
        print(f"libqmi: {error.message}", file=sys.stderr)
        return 1
    return 0


sys.exit(main())
