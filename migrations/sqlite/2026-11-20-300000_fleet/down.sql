-- Refused while a terminal is decommissioned or an event is of a kind or by an actor that the version before does not
-- know. The tables are made anew, as on the way up; what the versions before take away again stands at its column, since
-- SQLite drops no column that a constraint of the table names.
DROP TABLE creation_answers;

CREATE TABLE next_devices (
    -- The name the terminal left the factory with: POS- and, for new ones, eight upper-case hex digits.
    device_id       TEXT    NOT NULL PRIMARY KEY,
    -- The merchant it belongs to, claimed or not.
    merchant_id     TEXT    NOT NULL,
    -- How many changes it has seen, from 1; every change names the version it was made from.
    version         INTEGER NOT NULL,
    -- When it was made known, by the server's clock.
    provisioned_at  INTEGER NOT NULL,
    -- inactive, claimed or activated.
    status          TEXT    NOT NULL,
    -- The current code: waiting or expired while inactive, the one it was claimed with afterwards.
    pairing_code    TEXT,
    -- When the current code was given out.
    code_issued_at  INTEGER,
    -- The first instant at which the current code is no longer valid.
    code_expires_at INTEGER,
    -- The user who claimed it: the identity provider's subject.
    claimed_by      TEXT,
    -- When it was claimed.
    claimed_at      INTEGER,
    -- When the terminal reported that it is ready for payments.
    activated_at    INTEGER,
    -- The application version it last sent; no rule reads it and no version counts it.
    app_version     TEXT,
    -- The operating system it last sent.
    os              TEXT,
    -- The hardware model it last sent.
    model           TEXT,
    -- When it sent these.
    seen_at         INTEGER,
    -- The sequence of the first event in its chain; none before there is one.
    chain_start     INTEGER,
    -- The hash of the last event in its chain, so that a chain cut short is seen.
    chain_head      BLOB
        CONSTRAINT devices_chain_whole CHECK ((chain_start IS NULL) = (chain_head IS NULL))
        CONSTRAINT devices_chain_form CHECK (chain_start BETWEEN 1 AND version AND length(chain_head) = 32),

    CONSTRAINT devices_id_form CHECK (
        length(CAST(device_id AS BLOB)) BETWEEN 4 AND 64 AND device_id GLOB 'POS-*' AND device_id NOT GLOB '*[^!-~]*'
    ),
    CONSTRAINT devices_merchant_form CHECK (
        length(CAST(merchant_id AS BLOB)) = 36
        AND merchant_id GLOB '????????-????-????-????-????????????'
        AND replace(merchant_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(merchant_id, '-', '')) = 32
    ),
    CONSTRAINT devices_version_counts CHECK (version >= 1),
    CONSTRAINT devices_status_word CHECK (status IN ('inactive', 'claimed', 'activated')),
    CONSTRAINT devices_code_form CHECK (
        length(CAST(pairing_code AS BLOB)) = 6 AND pairing_code NOT GLOB '*[^A-HJ-NP-Z2-9]*'
    ),
    CONSTRAINT devices_code_whole CHECK (
        (pairing_code IS NULL) = (code_issued_at IS NULL) AND (pairing_code IS NULL) = (code_expires_at IS NULL)
    ),
    CONSTRAINT devices_claimed_by_form CHECK (
        length(CAST(claimed_by AS BLOB)) BETWEEN 1 AND 255
        AND claimed_by NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
        AND instr(claimed_by, char(0)) = 0
    ),
    CONSTRAINT devices_state_facts CHECK (
        CASE status
            WHEN 'inactive' THEN claimed_by IS NULL AND claimed_at IS NULL AND activated_at IS NULL
            WHEN 'claimed' THEN pairing_code IS NOT NULL AND claimed_by IS NOT NULL AND claimed_at IS NOT NULL
                AND activated_at IS NULL
            WHEN 'activated' THEN pairing_code IS NOT NULL AND claimed_by IS NOT NULL AND claimed_at IS NOT NULL
                AND activated_at IS NOT NULL
            ELSE TRUE -- devices_status_word refuses it
        END
    ),
    CONSTRAINT devices_claimed_in_time CHECK (claimed_at < code_expires_at),
    CONSTRAINT devices_sighting_whole CHECK (
        (app_version IS NULL) = (seen_at IS NULL) AND (seen_at IS NOT NULL OR (os IS NULL AND model IS NULL))
    ),
    CONSTRAINT devices_sighting_bounded CHECK (
        length(CAST(app_version AS BLOB)) BETWEEN 1 AND 32 AND length(os) <= 64 AND length(model) <= 64
    )
) STRICT, WITHOUT ROWID;

CREATE TABLE next_device_events (
    -- Which terminal.
    device_id   TEXT    NOT NULL REFERENCES next_devices,
    -- Its version after the change: 1, 2, 3 … without a gap.
    sequence    INTEGER NOT NULL,
    -- The merchant it belonged to then.
    merchant_id TEXT    NOT NULL,
    -- When, by the server's clock.
    at          INTEGER NOT NULL,
    -- Who: terminal, operator, or user: and the subject.
    actor       TEXT    NOT NULL,
    -- What: provisioned, pairing_code_issued, claimed, activated or released.
    kind        TEXT    NOT NULL,
    -- From which IP address; none from the command line.
    origin      TEXT
        CONSTRAINT device_events_origin_form CHECK (length(origin) BETWEEN 2 AND 45 AND origin NOT GLOB '*[^0-9a-f:.]*'),
    -- By which call, as in the log and in X-Trace-Id; none from the command line.
    trace_id    TEXT
        CONSTRAINT device_events_trace_form
            CHECK (length(trace_id) = 32 AND trace_id NOT GLOB '*[^0-9a-f]*' AND trace_id GLOB '*[^0]*'),
    -- SHA-256 of this event and of the hash before it; none outside the chain.
    hash        BLOB
        CONSTRAINT device_events_hash_form CHECK (length(hash) = 32),

    -- Also the last word on concurrency: two changes of one version cannot both be kept.
    PRIMARY KEY (device_id, sequence),
    CONSTRAINT device_events_sequence_counts CHECK (sequence >= 1),
    CONSTRAINT device_events_merchant_form CHECK (
        length(CAST(merchant_id AS BLOB)) = 36
        AND merchant_id GLOB '????????-????-????-????-????????????'
        AND replace(merchant_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(merchant_id, '-', '')) = 32
    ),
    CONSTRAINT device_events_actor_word CHECK (
        actor IN ('terminal', 'operator')
        OR (actor GLOB 'user:*' AND length(CAST(actor AS BLOB)) BETWEEN 6 AND 260
            AND actor NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
            AND instr(actor, char(0)) = 0)
    ),
    CONSTRAINT device_events_kind_word
        CHECK (kind IN ('provisioned', 'pairing_code_issued', 'claimed', 'activated', 'released')),
    CONSTRAINT device_events_provisioned_first CHECK ((kind = 'provisioned') = (sequence = 1))
) STRICT, WITHOUT ROWID;

CREATE TABLE next_ended_pairing_codes (
    -- The terminal that showed it.
    device_id    TEXT    NOT NULL,
    -- The change that put it out of use, which ends one code at most.
    sequence     INTEGER NOT NULL,
    -- The code. It may have been given out again since.
    pairing_code TEXT    NOT NULL,
    -- retired (a new code took its place, or the terminal left its merchant) or used (it was claimed with it).
    ended_as     TEXT    NOT NULL,
    -- When it left the terminal.
    ended_at     INTEGER NOT NULL,

    PRIMARY KEY (device_id, sequence),
    FOREIGN KEY (device_id, sequence) REFERENCES next_device_events,
    CONSTRAINT ended_pairing_codes_code_form CHECK (
        length(CAST(pairing_code AS BLOB)) = 6 AND pairing_code NOT GLOB '*[^A-HJ-NP-Z2-9]*'
    ),
    CONSTRAINT ended_pairing_codes_end_word CHECK (ended_as IN ('retired', 'used'))
) STRICT, WITHOUT ROWID;

CREATE TABLE next_audit_events (
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
    -- What: claim_refused, or an administrative act.
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

INSERT INTO next_devices (device_id, merchant_id, version, provisioned_at, status, pairing_code, code_issued_at,
    code_expires_at, claimed_by, claimed_at, activated_at, app_version, os, model, seen_at, chain_start, chain_head)
SELECT device_id, merchant_id, version, provisioned_at, status, pairing_code, code_issued_at,
    code_expires_at, claimed_by, claimed_at, activated_at, app_version, os, model, seen_at, chain_start, chain_head
FROM devices;
INSERT INTO next_device_events (device_id, sequence, merchant_id, at, actor, kind, origin, trace_id, hash)
SELECT device_id, sequence, merchant_id, at, actor, kind, origin, trace_id, hash FROM device_events;
INSERT INTO next_ended_pairing_codes (device_id, sequence, pairing_code, ended_as, ended_at)
SELECT device_id, sequence, pairing_code, ended_as, ended_at FROM ended_pairing_codes;
-- Numbers go on where they were, even if the last rows are gone.
INSERT INTO sqlite_sequence (name, seq) SELECT 'next_audit_events', seq FROM sqlite_sequence WHERE name = 'audit_events';
INSERT INTO next_audit_events (number, at, actor, origin, trace_id, merchant_id, kind, subject, detail)
SELECT number, at, actor, origin, trace_id, merchant_id, kind, subject, detail FROM audit_events;

DROP TABLE ended_pairing_codes;
DROP TABLE device_events;
DROP TABLE devices;
DROP TABLE audit_events;
ALTER TABLE next_devices RENAME TO devices;
ALTER TABLE next_device_events RENAME TO device_events;
ALTER TABLE next_ended_pairing_codes RENAME TO ended_pairing_codes;
ALTER TABLE next_audit_events RENAME TO audit_events;

-- No two devices show the same code. An expired code that was not replaced counts, since it is still on a screen.
CREATE UNIQUE INDEX devices_waiting_code ON devices (pairing_code) WHERE status = 'inactive';
-- "That code has been used": the device that was claimed with it.
CREATE INDEX devices_used_code ON devices (pairing_code, claimed_at) WHERE status IN ('claimed', 'activated');
-- One merchant's devices, page by page.
CREATE INDEX devices_of_merchant ON devices (merchant_id, device_id);
-- The export reads all devices' events in the order of time, page by page.
CREATE INDEX device_events_by_time ON device_events (at, device_id, sequence);
CREATE INDEX ended_pairing_codes_latest ON ended_pairing_codes (pairing_code, ended_at DESC);
CREATE INDEX audit_events_by_time ON audit_events (at, number);
-- What is on record about one terminal or merchant.
CREATE INDEX audit_events_of_subject ON audit_events (subject, at, number);

DROP TABLE locations;
