-- A journal has an identity, so that a cursor of another one is told apart. Filled in when the file is opened.
ALTER TABLE journal ADD COLUMN id TEXT NOT NULL DEFAULT '';
-- The file that the journal lives in. Another one is a copy that was restored, and gets an identity of its own.
ALTER TABLE journal ADD COLUMN inode INTEGER;
-- The sequence before the first event.
ALTER TABLE journal ADD COLUMN beginning INTEGER NOT NULL DEFAULT 0;
-- Up to when retention has looked back: a clock that jumps ahead must not delete everything at once.
ALTER TABLE journal ADD COLUMN prune_time INTEGER;
-- What the journal of a restored copy leaves out: a cursor in between is of the journal that it was copied from.
ALTER TABLE journal ADD COLUMN gap_after INTEGER NOT NULL DEFAULT 0;
ALTER TABLE journal ADD COLUMN gap_until INTEGER NOT NULL DEFAULT 0;

-- The event before this one that tells of the same message, so that a deleted text can leave the journal as well.
ALTER TABLE event ADD COLUMN previous INTEGER;

ALTER TABLE message ADD COLUMN create_time INTEGER NOT NULL DEFAULT 0;
-- Who handed it over; empty for an incoming one.
ALTER TABLE message ADD COLUMN client TEXT NOT NULL DEFAULT '';
-- Whom it is exchanged with: the address, an international number where the country is known.
ALTER TABLE message ADD COLUMN conversation TEXT NOT NULL DEFAULT '';
ALTER TABLE message ADD COLUMN unread INTEGER NOT NULL DEFAULT 0;
-- The newest event that tells of it.
ALTER TABLE message ADD COLUMN last_sequence INTEGER;

-- What cannot be read is left to the first reader, who sets it aside.
UPDATE message
SET create_time = coalesce(CAST(unixepoch(json_extract(body, '$.create_time'), 'subsec') * 1000000 AS INTEGER), update_time),
    client = coalesce(json_extract(body, '$.client'), ''),
    conversation = address
WHERE json_valid(body);

CREATE TEMP TABLE told AS
SELECT json_extract(change, '$.message.id') AS id, sequence FROM event WHERE kind = 3 AND json_valid(change);
CREATE INDEX temp.told_of ON told (id, sequence);
UPDATE event SET previous = (
    SELECT max(told.sequence) FROM temp.told
    WHERE told.id = json_extract(event.change, '$.message.id') AND told.sequence < event.sequence)
WHERE kind = 3 AND json_valid(change);
UPDATE message SET last_sequence = (SELECT max(told.sequence) FROM temp.told WHERE told.id = message.id);
DROP TABLE temp.told;

-- The PDUs of an outgoing message, by its number. They are written once, and read to send it and to show it alone.
CREATE TABLE outgoing_pdu (
    number INTEGER PRIMARY KEY,
    pdus   TEXT NOT NULL
) STRICT;
INSERT INTO outgoing_pdu (number, pdus)
SELECT number, json_extract(body, '$.pdus') FROM message
WHERE json_valid(body) AND direction = 'outgoing' AND json_array_length(body, '$.pdus') > 0;
-- Those of an incoming one are with its parts.
UPDATE message SET body = json_remove(body, '$.pdus') WHERE json_valid(body) AND state <> 'raw';

-- Rows that cannot be read, as they were. They must not hold up the others.
CREATE TABLE unreadable (
    number INTEGER PRIMARY KEY,
    source TEXT    NOT NULL,
    id     TEXT    NOT NULL,
    time   INTEGER NOT NULL,
    body   BLOB    NOT NULL
) STRICT;

-- Only what is looked for has an index; each costs a page of every message that is stored.
DROP INDEX message_state;
DROP INDEX message_update_time;
CREATE INDEX message_create_time ON message (create_time);
CREATE INDEX message_conversation ON message (conversation, number);
CREATE INDEX message_client ON message (client, number) WHERE client <> '';
-- The states in which few messages are.
CREATE INDEX message_state ON message (state, number)
    WHERE state IN ('queued', 'sending', 'failed', 'outcome_unknown', 'cancelled', 'incomplete', 'raw');

CREATE TABLE conversation (
    name          TEXT    NOT NULL PRIMARY KEY,
    -- The newest message.
    last_number   INTEGER NOT NULL,
    message_count INTEGER NOT NULL,
    unread_count  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX conversation_last ON conversation (last_number);
INSERT INTO conversation (name, last_number, message_count, unread_count)
SELECT conversation, max(number), count(*), sum(unread) FROM message GROUP BY conversation;

CREATE TRIGGER message_inserted AFTER INSERT ON message BEGIN
    INSERT INTO conversation (name, last_number, message_count, unread_count)
    VALUES (new.conversation, new.number, 1, new.unread)
    ON CONFLICT (name) DO UPDATE SET
        last_number = new.number, message_count = message_count + 1, unread_count = unread_count + new.unread;
END;
CREATE TRIGGER message_read AFTER UPDATE OF unread ON message WHEN new.unread <> old.unread BEGIN
    UPDATE conversation SET unread_count = unread_count + new.unread - old.unread WHERE name = new.conversation;
END;
CREATE TRIGGER message_removed AFTER DELETE ON message BEGIN
    DELETE FROM conversation WHERE name = old.conversation AND message_count = 1;
    UPDATE conversation SET
        message_count = message_count - 1,
        unread_count = unread_count - old.unread,
        last_number = (SELECT max(number) FROM message WHERE conversation = old.conversation)
    WHERE name = old.conversation;
END;

-- Where a received PDU lies matters only while it lies there, so one small index serves every question about it.
CREATE TABLE incoming_part_remade (
    number              INTEGER PRIMARY KEY AUTOINCREMENT,
    modem               TEXT    NOT NULL,
    -- What the PDU is; NULL once the modem no longer has it.
    identity            TEXT,
    -- The storage of the modem or of its SIM, and the index in it. NULL for what the modem did not store.
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
    pdu                 TEXT    NOT NULL
) STRICT;
INSERT INTO incoming_part_remade SELECT number, modem, identity, storage, place, message_id, address, reference, part_count,
    part, service_centre_time, receive_time, pdu FROM incoming_part;
DROP TABLE incoming_part;
ALTER TABLE incoming_part_remade RENAME TO incoming_part;
CREATE INDEX incoming_part_message ON incoming_part (message_id);
CREATE INDEX incoming_part_concatenation ON incoming_part (modem, address, reference, part_count)
    WHERE reference IS NOT NULL;
CREATE INDEX incoming_part_held ON incoming_part (modem, storage, identity, place) WHERE identity IS NOT NULL;
