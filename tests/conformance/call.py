"""What every client does with a call: the messages it sends, and what has to come back."""

import base64

from stand import require

FRAME_BYTES = 320
FRAME_SAMPLES = 160
# 200 ms in 20 ms pieces: long enough to be found in an echo that begins anywhere in a frame.
FRAMES_UP = 10
# Neither silence nor noise: these samples occur in no other place.
PATTERN = b"".join(value.to_bytes(2, "little", signed=True) for value in (1111, -2222, 3333, -4444) * 40)


def frames_up():
    """The audio that a client sends."""
    return [PATTERN] * FRAMES_UP


def heard_echo(pcm):
    """Whether the caller's echo of `frames_up` is in it."""
    return PATTERN in pcm


def require_continuous(frames):
    """Downlink frames follow each other without a gap: (first_sample, octets)."""
    for (first, pcm), (next_first, _) in zip(frames, frames[1:]):
        require(len(pcm) == FRAME_BYTES, f"a frame of {len(pcm)} octets")
        require(first + FRAME_SAMPLES == next_first, f"sample {next_first} follows a frame that began with {first}")


def converse(conversation, call_id):
    """A call through a program that speaks JSON: answered, heard, echoed, hung up."""
    conversation.send({"attach": {"callId": call_id, "answer": True}})
    attached = conversation.expect("the attachment", lambda message: "attached" in message)["attached"]
    require(attached["frameBytes"] == FRAME_BYTES, f"frames of {attached['frameBytes']} octets")
    require(attached["format"]["sampleRateHz"] == 8000, f"{attached['format']} is not 8000 Hz")
    conversation.expect("audio from the caller", lambda message: "audio" in message)
    for pcm in frames_up():
        conversation.send({"audio": {"pcm": base64.b64encode(pcm).decode()}})
    conversation.send({"mark": {"name": "said"}})
    heard = bytearray()
    marks = []

    def answered(message):
        if "mark" in message:
            marks.append(message["mark"])
        if "audio" in message:
            heard.extend(base64.b64decode(message["audio"]["pcm"]))
        return marks and heard_echo(heard)

    conversation.expect("the mark and the caller's echo", answered)
    require(marks == [{**marks[0], "name": "said"}], f"marks {marks}")
    require(not marks[0].get("cleared"), "the mark says that its audio was dropped")
    conversation.send({"hangUp": {}})
    ended = conversation.expect(
        "the end of the call", lambda message: message.get("call", {}).get("state") == "CALL_STATE_DISCONNECTED"
    )["call"]
    require(ended["callId"] == call_id, "the end of another call")
    require(ended["endCause"] == "CALL_END_CAUSE_LOCAL", f"ended by {ended.get('endCause')}")
    conversation.expect_end()
    require_continuous(
        [
            (int(message["audio"].get("firstSample", 0)), base64.b64decode(message["audio"]["pcm"]))
            for message in conversation.seen
            if "audio" in message
        ]
    )
