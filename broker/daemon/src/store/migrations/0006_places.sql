-- Two messages may be equal in everything. What tells them apart is where they lie in the modem: a received PDU has its
-- identity until it is known to be gone from its place there, and the same identity at another place is another message.
CREATE TABLE incoming_part_with_place (
    number              INTEGER PRIMARY KEY AUTOINCREMENT,
    modem               TEXT    NOT NULL,
    -- What the PDU is; NULL once the modem no longer has it.
    identity            TEXT,
    -- The storage of the modem or of its SIM, and the index in it. NULL for what the modem did not store, and for what an
    -- earlier version received.
    storage             TEXT,
    place               INTEGER,
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
    UNIQUE (modem, identity, storage, place)
) STRICT;

INSERT INTO incoming_part_with_place
       (number, modem, identity, message_id, address, reference, part_count, part, service_centre_time, receive_time, pdu)
SELECT  number, modem, identity, message_id, address, reference, part_count, part, service_centre_time, receive_time, pdu
FROM incoming_part;

DROP TABLE incoming_part;
ALTER TABLE incoming_part_with_place RENAME TO incoming_part;

CREATE INDEX incoming_part_message ON incoming_part (message_id);
CREATE INDEX incoming_part_concatenation ON incoming_part (modem, address, reference, part_count)
    WHERE reference IS NOT NULL;
CREATE INDEX incoming_part_place ON incoming_part (modem, storage, place) WHERE identity IS NOT NULL;
