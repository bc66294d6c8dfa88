-- Terminals, their pairing codes, what happened to them, and who guessed wrong.
--
--                       a new code (the one before goes to ended_pairing_codes)
--                            ┌────┐
--    provisioned ──▶ inactive ─┴────┴─ claim ──▶ claimed ── activate ──▶ activated
--                     ▲                           │                        │
--                     └───────── release ─────────┴────────────────────────┘
--
--    status      pairing_code, its instants    claimed_by, claimed_at    activated_at
--    inactive    all or none                   none                      none
--    claimed     all                           both                      none
--    activated   all                           both                      there
--
-- The program decides which step is legal. The constraints below make sure that a program that is wrong, or a hand at
-- the console, cannot leave a row that fits no state. Instants are whole microseconds since 1970-01-01T00:00:00Z, so
-- that they compare as numbers; merchants are hyphenated lower-case UUIDs. No constraint compares two instants that
-- two servers may have taken from their own clocks, but for the one rule of the product: a code is claimed before it
-- expires.

-- One row a terminal, with its current pairing code: one aggregate, changed by one conditional write.
CREATE TABLE devices (
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

-- No two devices show the same code. An expired code that was not replaced counts, since it is still on a screen.
CREATE UNIQUE INDEX devices_waiting_code ON devices (pairing_code) WHERE status = 'inactive';
-- "That code has been used": the device that was claimed with it.
CREATE INDEX devices_used_code ON devices (pairing_code, claimed_at) WHERE status IN ('claimed', 'activated');
-- One merchant's devices, page by page.
CREATE INDEX devices_of_merchant ON devices (merchant_id, device_id);

-- The audit trail: what happened to each terminal, never a code, a token or a key.
CREATE TABLE device_events (
    -- Which terminal.
    device_id   TEXT    NOT NULL REFERENCES devices,
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

-- Codes that left their terminals, so that typing one later is told apart from typing nonsense.
CREATE TABLE ended_pairing_codes (
    -- The terminal that showed it.
    device_id    TEXT    NOT NULL,
    -- The change that put it out of use, which ends one code at most.
    sequence     INTEGER NOT NULL,
    -- The code. It may have been given out again since.
    pairing_code TEXT    NOT NULL,
    -- retired (a new code took its place) or used (the terminal was claimed with it, and released since).
    ended_as     TEXT    NOT NULL,
    -- When it left the terminal.
    ended_at     INTEGER NOT NULL,

    PRIMARY KEY (device_id, sequence),
    FOREIGN KEY (device_id, sequence) REFERENCES device_events,
    CONSTRAINT ended_pairing_codes_code_form CHECK (
        length(CAST(pairing_code AS BLOB)) = 6 AND pairing_code NOT GLOB '*[^A-HJ-NP-Z2-9]*'
    ),
    CONSTRAINT ended_pairing_codes_end_word CHECK (ended_as IN ('retired', 'used'))
) STRICT, WITHOUT ROWID;

CREATE INDEX ended_pairing_codes_latest ON ended_pairing_codes (pairing_code, ended_at DESC);

-- Failed claims in the current window, for each merchant and each user.
CREATE TABLE claim_failures (
    -- merchant or user.
    scope             TEXT    NOT NULL,
    -- The merchant's id, or the user's subject.
    subject           TEXT    NOT NULL,
    -- When the first failure of the window happened.
    window_started_at INTEGER NOT NULL,
    -- How many there were since.
    failures          INTEGER NOT NULL,

    PRIMARY KEY (scope, subject),
    CONSTRAINT claim_failures_scope_word CHECK (scope IN ('merchant', 'user')),
    CONSTRAINT claim_failures_subject_form CHECK (length(CAST(subject AS BLOB)) BETWEEN 1 AND 255),
    CONSTRAINT claim_failures_counts CHECK (failures BETWEEN 1 AND 4294967295)
) STRICT, WITHOUT ROWID;
