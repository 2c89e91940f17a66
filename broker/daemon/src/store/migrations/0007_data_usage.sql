-- The data that each modem carried in its current period, and what its interface's counters said at the last look.
CREATE TABLE data_usage (
    modem TEXT PRIMARY KEY,
    interface INTEGER NOT NULL,
    downlink_counter INTEGER NOT NULL,
    uplink_counter INTEGER NOT NULL,
    period_start INTEGER NOT NULL,
    downlink INTEGER NOT NULL,
    uplink INTEGER NOT NULL
) STRICT;
