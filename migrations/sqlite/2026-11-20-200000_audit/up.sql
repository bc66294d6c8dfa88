-- The whole audit trail: from where and by which call, a chain over the events of each device, and a table for what is
-- no change of a device.
--
--    device_events    1 ──▶ 2 ──▶ 3 ──▶ 4      each hash is of its own row and of the hash before it
--    devices          chain_start = 1, chain_head = the hash of event 4
--
-- Nothing is computed here: what was written before has no hash, and neither has what a program of the version before
-- writes afterwards. A device's chain starts with the first event that a newer program writes.

-- The sequence of the first event in its chain; none before there is one.
ALTER TABLE devices ADD COLUMN chain_start INTEGER;
-- The hash of the last event in its chain, so that a chain cut short is seen.
ALTER TABLE devices ADD COLUMN chain_head BLOB
    CONSTRAINT devices_chain_whole CHECK ((chain_start IS NULL) = (chain_head IS NULL))
    CONSTRAINT devices_chain_form CHECK (chain_start BETWEEN 1 AND version AND length(chain_head) = 32);

-- From which IP address; none from the command line.
ALTER TABLE device_events ADD COLUMN origin TEXT
    CONSTRAINT device_events_origin_form CHECK (length(origin) BETWEEN 2 AND 45 AND origin NOT GLOB '*[^0-9a-f:.]*');
-- By which call, as in the log and in X-Trace-Id; none from the command line.
ALTER TABLE device_events ADD COLUMN trace_id TEXT
    CONSTRAINT device_events_trace_form
        CHECK (length(trace_id) = 32 AND trace_id NOT GLOB '*[^0-9a-f]*' AND trace_id GLOB '*[^0]*');
-- SHA-256 of this event and of the hash before it; none outside the chain.
ALTER TABLE device_events ADD COLUMN hash BLOB
    CONSTRAINT device_events_hash_form CHECK (length(hash) = 32);

-- The export reads all devices' events in the order of time, page by page.
CREATE INDEX device_events_by_time ON device_events (at, device_id, sequence);

-- What is on record beside the changes of terminals: refused claims, administrative acts. Never a code, a token or a
-- secret.
CREATE TABLE audit_events (
    -- Counts up; orders what happened at one instant. Gaps mean nothing.
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    -- When, by the server's clock.
    at          INTEGER NOT NULL,
    -- Who: terminal, operator, or user: and the subject.
    actor       TEXT    NOT NULL,
    -- From which IP address; none from the command line.
    origin      TEXT,
    -- By which call; none from the command line.
    trace_id    TEXT,
    -- In whose affairs, when it was a merchant's.
    merchant_id TEXT,
    -- What: claim_refused, and whatever is added later.
    kind        TEXT    NOT NULL,
    -- To what: its sort, a colon, its id, like device:POS-8F3A2C91.
    subject     TEXT,
    -- What else there is to say: a JSON object of texts.
    detail      TEXT    NOT NULL DEFAULT '{}',

    CONSTRAINT audit_events_actor_word CHECK (
        actor IN ('terminal', 'operator')
        OR (actor GLOB 'user:*' AND length(CAST(actor AS BLOB)) BETWEEN 6 AND 260
            AND actor NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
            AND instr(actor, char(0)) = 0)
    ),
    CONSTRAINT audit_events_origin_form CHECK (length(origin) BETWEEN 2 AND 45 AND origin NOT GLOB '*[^0-9a-f:.]*'),
    CONSTRAINT audit_events_trace_form
        CHECK (length(trace_id) = 32 AND trace_id NOT GLOB '*[^0-9a-f]*' AND trace_id GLOB '*[^0]*'),
    CONSTRAINT audit_events_merchant_form CHECK (
        length(CAST(merchant_id AS BLOB)) = 36
        AND merchant_id GLOB '????????-????-????-????-????????????'
        AND replace(merchant_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(merchant_id, '-', '')) = 32
    ),
    CONSTRAINT audit_events_kind_form CHECK (length(kind) BETWEEN 1 AND 64 AND kind NOT GLOB '*[^a-z_]*'),
    CONSTRAINT audit_events_subject_form CHECK (
        subject GLOB '[a-z_]*:?*' AND substr(subject, 1, instr(subject, ':') - 1) NOT GLOB '*[^a-z_]*'
        AND length(CAST(subject AS BLOB)) <= 320
    ),
    CONSTRAINT audit_events_detail_form CHECK (json_valid(detail) AND json_type(detail) = 'object')
) STRICT;

CREATE INDEX audit_events_by_time ON audit_events (at, number);
-- What is on record about one terminal or merchant.
CREATE INDEX audit_events_of_subject ON audit_events (subject, at, number);
