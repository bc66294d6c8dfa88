-- Room is taken back: rows that are over are found by their instants, and a device's oldest events may go.
--
--    device_events       1 ── 2 ── 3 │ 4 ── 5 ── 6      the hash of 4 is of the hash of 3
--    reclaimed_events    through = 3, hash = that of 3
--
-- Servers of the version before go on as they are; their `audit verify` does not know the anchors, and says that events
-- are missing. Nothing is removed by this migration. The anchors refer to no row of `devices`, so that writing one locks
-- none.

CREATE TABLE reclaimed_events (
    device_id text COLLATE "C" PRIMARY KEY,
    through   bigint NOT NULL,
    hash      bytea,

    CONSTRAINT reclaimed_events_counts CHECK (through >= 1),
    CONSTRAINT reclaimed_events_hash_form CHECK (octet_length(hash) = 32)
);

COMMENT ON TABLE reclaimed_events IS 'What is left of the oldest events of a terminal after they were reclaimed, so that the chain of the others can be followed.';
COMMENT ON COLUMN reclaimed_events.device_id IS 'Which terminal.';
COMMENT ON COLUMN reclaimed_events.through IS 'The sequence of the last event that went; so did all before it.';
COMMENT ON COLUMN reclaimed_events.hash IS 'The last hash among those that went; none when they were outside the chain.';

-- What is over, the oldest first. The other tables have theirs since they were made.
CREATE INDEX ended_pairing_codes_to_reclaim ON ended_pairing_codes (ended_at);
CREATE INDEX claim_failures_to_reclaim ON claim_failures (window_started_at);
CREATE INDEX client_failures_to_reclaim ON client_failures (window_started_at);
CREATE INDEX sessions_to_reclaim ON sessions (ends_at);
