-- What version 1 made, with an event. Never changed.

-- Times are microseconds since 1970-01-01T00:00:00Z. `change` and `body` hold the whole resource as JSON; the columns
-- beside them exist only to be searched by.

CREATE TABLE event (
    -- AUTOINCREMENT, because a cursor must never point at another event after the newest ones were deleted.
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    time     INTEGER NOT NULL,
    modem    TEXT    NOT NULL,
    kind     INTEGER NOT NULL,
    change   TEXT    NOT NULL
) STRICT;

CREATE TABLE journal (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    -- Every event up to this one was deleted by retention: the oldest cursor that can be read from.
    pruned_to INTEGER NOT NULL
) STRICT;

INSERT INTO journal (singleton, pruned_to) VALUES (1, 0);

CREATE TABLE message (
    -- The order of creation, for paging.
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT    NOT NULL UNIQUE,
    modem       TEXT    NOT NULL,
    direction   TEXT    NOT NULL,
    state       TEXT    NOT NULL,
    -- The text in lower case, for searches.
    folded_text TEXT    NOT NULL,
    update_time INTEGER NOT NULL,
    body        TEXT    NOT NULL
) STRICT;

CREATE INDEX message_state ON message (modem, state, number);
CREATE INDEX message_update_time ON message (update_time);

CREATE TABLE incoming_part (
    number              INTEGER PRIMARY KEY AUTOINCREMENT,
    modem               TEXT    NOT NULL,
    -- Which PDU in the modem's storage this was; NULL once the modem no longer has it.
    identity            TEXT,
    -- NULL once the message was deleted: the row then only keeps the PDU from being received again.
    message_id          TEXT,
    address             TEXT    NOT NULL,
    -- NULL for a message that is not concatenated (23.040 9.2.3.24.1).
    reference           INTEGER,
    part_count          INTEGER,
    part                INTEGER,
    service_centre_time INTEGER,
    receive_time        INTEGER NOT NULL,
    pdu                 TEXT    NOT NULL,
    UNIQUE (modem, identity)
) STRICT;

CREATE INDEX incoming_part_message ON incoming_part (message_id);
CREATE INDEX incoming_part_concatenation ON incoming_part (modem, address, reference, part_count)
    WHERE reference IS NOT NULL;

CREATE TABLE outgoing_part (
    -- The order of acceptance by the network: TP-MR has 8 bits and repeats, so the newest one is meant.
    number            INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id        TEXT    NOT NULL,
    position          INTEGER NOT NULL,
    modem             TEXT    NOT NULL,
    message_reference INTEGER NOT NULL,
    recipient         TEXT    NOT NULL,
    -- NULL until a final status report came: 'delivered' or 'failed'.
    outcome           TEXT,
    UNIQUE (message_id, position)
) STRICT;

CREATE INDEX outgoing_part_reference ON outgoing_part (modem, message_reference, number);

CREATE TABLE call (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    modem      TEXT    NOT NULL,
    alive      INTEGER NOT NULL,
    start_time INTEGER NOT NULL,
    body       TEXT    NOT NULL
) STRICT;

CREATE INDEX call_alive ON call (modem, number) WHERE alive;
CREATE INDEX call_start_time ON call (start_time);

CREATE TABLE request (
    request_id   TEXT    NOT NULL PRIMARY KEY,
    content_hash BLOB    NOT NULL,
    -- What the request made: exactly one of the two.
    message_id   TEXT,
    call_id      TEXT,
    create_time  INTEGER NOT NULL,
    CHECK ((message_id IS NULL) <> (call_id IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX request_create_time ON request (create_time);

CREATE TABLE consumer (
    name        TEXT    NOT NULL PRIMARY KEY,
    position    INTEGER NOT NULL,
    update_time INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO event (time, modem, kind, change)
VALUES (1700000000000000, 'sim1', 9, '{"dtmf":{"call_id":"c","tone":"5"}}');

INSERT INTO message (id, modem, direction, state, folded_text, update_time, body)
VALUES ('m', 'sim1', 'incoming', 'received', 'grüsse, gültig', 1700000000000000,
        '{"id":"m","modem":"sim1","direction":"incoming","state":"received","address":"+491700000001","text":"Grüsse, gültig",'
     || '"data":[],"encoding":"gsm7","part_count":1,"parts_done":1,"create_time":"2023-11-14T22:13:20Z",'
     || '"update_time":"2023-11-14T22:13:20Z","service_centre_time":null,"message_references":[],"failure":"",'
     || '"request_id":null,"message_class":null,"pdus":[],"delivery_report_requested":false}');
