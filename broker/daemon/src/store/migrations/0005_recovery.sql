-- What was tried to recover a modem. The number of the step is that of the ladder, from 0 upwards.
CREATE TABLE recovery_attempt (
    modem TEXT NOT NULL,
    step INTEGER NOT NULL,
    time INTEGER NOT NULL
) STRICT;
CREATE INDEX recovery_attempt_by_modem ON recovery_attempt (modem, time);
