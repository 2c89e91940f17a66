-- USSD sessions, written together with their events like calls.
CREATE TABLE ussd_session (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    modem      TEXT    NOT NULL,
    alive      INTEGER NOT NULL,
    start_time INTEGER NOT NULL,
    body       TEXT    NOT NULL
) STRICT;

CREATE INDEX ussd_session_alive ON ussd_session (modem, number) WHERE alive;
CREATE INDEX ussd_session_start_time ON ussd_session (start_time);

-- A request may have made a session. SQLite cannot change a CHECK, so the table is made anew.
CREATE TABLE request_remade (
    request_id      TEXT    NOT NULL PRIMARY KEY,
    content_hash    BLOB    NOT NULL,
    -- What the request made: exactly one of the three.
    message_id      TEXT,
    call_id         TEXT,
    ussd_session_id TEXT,
    create_time     INTEGER NOT NULL,
    CHECK ((message_id IS NOT NULL) + (call_id IS NOT NULL) + (ussd_session_id IS NOT NULL) = 1)
) STRICT, WITHOUT ROWID;

INSERT INTO request_remade (request_id, content_hash, message_id, call_id, create_time)
SELECT request_id, content_hash, message_id, call_id, create_time FROM request;

DROP TABLE request;
ALTER TABLE request_remade RENAME TO request;
CREATE INDEX request_create_time ON request (create_time);
