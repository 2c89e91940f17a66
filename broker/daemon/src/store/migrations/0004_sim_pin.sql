-- PINs that were tried without anybody asking for it, so that a wrong one costs one attempt and not one for each start.
CREATE TABLE sim_pin (
    -- The card by its ICCID; where that cannot be read, the modem by its name.
    card            TEXT    NOT NULL PRIMARY KEY,
    salt            BLOB    NOT NULL,
    -- SHA-256, many times over, of salt, card and PIN.
    digest          BLOB    NOT NULL,
    -- How many attempts were left before it was tried, and whether the card is known to have refused it. Without the latter
    -- the same number later means that the attempt never reached the card.
    attempts_before INTEGER NOT NULL,
    refused         INTEGER NOT NULL,
    time            INTEGER NOT NULL
) STRICT;
