-- The queue has an order beyond that of creation, and messages wait for their time.
ALTER TABLE message ADD COLUMN address TEXT NOT NULL DEFAULT '';
-- Of a queued message: the higher, the sooner. One of which some parts are out already is above every priority.
ALTER TABLE message ADD COLUMN rank INTEGER NOT NULL DEFAULT 1;
-- NULL: at once.
ALTER TABLE message ADD COLUMN send_time INTEGER;
-- 1 to 7 for a message that replaces an earlier one (23.040 9.2.3.9).
ALTER TABLE message ADD COLUMN replace_type INTEGER;
-- Whether a later one took its place.
ALTER TABLE message ADD COLUMN replaced INTEGER NOT NULL DEFAULT 0;

UPDATE message SET address = coalesce(json_extract(body, '$.address'), '');

CREATE INDEX message_queue ON message (modem, rank DESC, number) WHERE state = 'queued';
CREATE INDEX message_replaceable ON message (modem, address, replace_type) WHERE replace_type IS NOT NULL;

-- The words of every text, by the number of its message. Only the index is kept: the text itself is in the body. Marks are
-- part of a word, as the scripts of India need it.
CREATE VIRTUAL TABLE message_text USING fts5 (
    text, content = '', contentless_delete = 1, prefix = '2 3',
    tokenize = "unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc'"
);

INSERT INTO message_text (rowid, text) SELECT number, json_extract(body, '$.text') FROM message;

ALTER TABLE message DROP COLUMN folded_text;

-- Reports that overtook the final result of the part they are about, whose TP-MR nobody knows before that result.
CREATE TABLE early_report (
    number       INTEGER PRIMARY KEY,
    modem        TEXT    NOT NULL,
    receive_time INTEGER NOT NULL,
    report       TEXT    NOT NULL
) STRICT;

-- What clients handed over for sending, for the limits; kept as long as a limit looks back, whatever becomes of the message.
CREATE TABLE charge (
    message_id  TEXT    NOT NULL PRIMARY KEY,
    time        INTEGER NOT NULL,
    destination TEXT    NOT NULL,
    client      TEXT    NOT NULL,
    parts       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX charge_destination ON charge (destination, time);
CREATE INDEX charge_client ON charge (client, time);
CREATE INDEX charge_time ON charge (time);
