-- The file of sysfs by which a modem's USB device was switched off, from before that until it is on again.
CREATE TABLE switched_off (
    modem TEXT NOT NULL,
    switch TEXT NOT NULL,
    PRIMARY KEY (modem, switch)
) STRICT;
