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
-- the console, cannot leave a row that fits no state. Ids are COLLATE "C", so that their order is the order of their
-- bytes, as the program pages through them. Instants have whole microseconds. No constraint compares two instants
-- that two replicas may have taken from their own clocks, but for the one rule of the product: a code is claimed
-- before it expires.

CREATE TABLE devices (
    device_id       text COLLATE "C" PRIMARY KEY,
    merchant_id     uuid        NOT NULL,
    version         bigint      NOT NULL,
    provisioned_at  timestamptz NOT NULL,
    status          text        NOT NULL,
    pairing_code    text COLLATE "C",
    code_issued_at  timestamptz,
    code_expires_at timestamptz,
    claimed_by      text COLLATE "C",
    claimed_at      timestamptz,
    activated_at    timestamptz,
    app_version     text,
    os              text,
    model           text,
    seen_at         timestamptz,

    CONSTRAINT devices_id_form CHECK (octet_length(device_id) BETWEEN 4 AND 64 AND device_id ~ '^POS-[!-~]*$'),
    CONSTRAINT devices_version_counts CHECK (version >= 1),
    CONSTRAINT devices_status_word CHECK (status IN ('inactive', 'claimed', 'activated')),
    CONSTRAINT devices_code_form CHECK (pairing_code ~ '^[A-HJ-NP-Z2-9]{6}$'),
    CONSTRAINT devices_code_whole CHECK (num_nulls(pairing_code, code_issued_at, code_expires_at) IN (0, 3)),
    CONSTRAINT devices_claimed_by_form
        CHECK (octet_length(claimed_by) BETWEEN 1 AND 255 AND claimed_by !~ '[\u0001-\u001F\u007F-\u009F]'),
    CONSTRAINT devices_state_facts CHECK (
        CASE status
            WHEN 'inactive' THEN num_nonnulls(claimed_by, claimed_at, activated_at) = 0
            WHEN 'claimed' THEN num_nulls(pairing_code, claimed_by, claimed_at) = 0 AND activated_at IS NULL
            WHEN 'activated' THEN num_nulls(pairing_code, claimed_by, claimed_at, activated_at) = 0
            ELSE true -- devices_status_word refuses it
        END
    ),
    CONSTRAINT devices_claimed_in_time CHECK (claimed_at < code_expires_at),
    CONSTRAINT devices_sighting_whole CHECK (
        num_nulls(app_version, seen_at) IN (0, 2) AND (seen_at IS NOT NULL OR num_nonnulls(os, model) = 0)
    ),
    CONSTRAINT devices_sighting_bounded
        CHECK (octet_length(app_version) BETWEEN 1 AND 32 AND length(os) <= 64 AND length(model) <= 64)
) WITH (fillfactor = 85); -- room on each page for the sightings, which touch no index

COMMENT ON TABLE devices IS 'One row a terminal, with its current pairing code: one aggregate, changed by one conditional write.';
COMMENT ON COLUMN devices.device_id IS 'The name the terminal left the factory with: POS- and, for new ones, eight upper-case hex digits.';
COMMENT ON COLUMN devices.merchant_id IS 'The merchant it belongs to, claimed or not.';
COMMENT ON COLUMN devices.version IS 'How many changes it has seen, from 1; every change names the version it was made from.';
COMMENT ON COLUMN devices.provisioned_at IS 'When it was made known, by the server''s clock.';
COMMENT ON COLUMN devices.status IS 'inactive, claimed or activated.';
COMMENT ON COLUMN devices.pairing_code IS 'The current code: waiting or expired while inactive, the one it was claimed with afterwards.';
COMMENT ON COLUMN devices.code_issued_at IS 'When the current code was given out.';
COMMENT ON COLUMN devices.code_expires_at IS 'The first instant at which the current code is no longer valid.';
COMMENT ON COLUMN devices.claimed_by IS 'The user who claimed it: the identity provider''s subject.';
COMMENT ON COLUMN devices.claimed_at IS 'When it was claimed.';
COMMENT ON COLUMN devices.activated_at IS 'When the terminal reported that it is ready for payments.';
COMMENT ON COLUMN devices.app_version IS 'The application version it last sent; no rule reads it and no version counts it.';
COMMENT ON COLUMN devices.os IS 'The operating system it last sent.';
COMMENT ON COLUMN devices.model IS 'The hardware model it last sent.';
COMMENT ON COLUMN devices.seen_at IS 'When it sent these.';

-- No two devices show the same code. An expired code that was not replaced counts, since it is still on a screen.
CREATE UNIQUE INDEX devices_waiting_code ON devices (pairing_code) WHERE status = 'inactive';
-- "That code has been used": the device that was claimed with it.
CREATE INDEX devices_used_code ON devices (pairing_code, claimed_at) WHERE status IN ('claimed', 'activated');
-- One merchant's devices, page by page.
CREATE INDEX devices_of_merchant ON devices (merchant_id, device_id);

CREATE TABLE device_events (
    device_id   text COLLATE "C" NOT NULL REFERENCES devices,
    sequence    bigint      NOT NULL,
    merchant_id uuid        NOT NULL,
    at          timestamptz NOT NULL,
    actor       text        NOT NULL,
    kind        text        NOT NULL,

    -- Also the last word on concurrency: two changes of one version cannot both be kept.
    PRIMARY KEY (device_id, sequence),
    CONSTRAINT device_events_sequence_counts CHECK (sequence >= 1),
    CONSTRAINT device_events_actor_word
        CHECK (actor IN ('terminal', 'operator')
            OR (actor ~ '^user:' AND octet_length(actor) BETWEEN 6 AND 260 AND actor !~ '[\u0001-\u001F\u007F-\u009F]')),
    CONSTRAINT device_events_kind_word
        CHECK (kind IN ('provisioned', 'pairing_code_issued', 'claimed', 'activated', 'released')),
    CONSTRAINT device_events_provisioned_first CHECK ((kind = 'provisioned') = (sequence = 1))
);

COMMENT ON TABLE device_events IS 'The audit trail: what happened to each terminal, never a code, a token or a key.';
COMMENT ON COLUMN device_events.device_id IS 'Which terminal.';
COMMENT ON COLUMN device_events.sequence IS 'Its version after the change: 1, 2, 3 … without a gap.';
COMMENT ON COLUMN device_events.merchant_id IS 'The merchant it belonged to then.';
COMMENT ON COLUMN device_events.at IS 'When, by the server''s clock.';
COMMENT ON COLUMN device_events.actor IS 'Who: terminal, operator, or user: and the subject.';
COMMENT ON COLUMN device_events.kind IS 'What: provisioned, pairing_code_issued, claimed, activated or released.';

CREATE TABLE ended_pairing_codes (
    device_id    text COLLATE "C" NOT NULL,
    sequence     bigint           NOT NULL,
    pairing_code text COLLATE "C" NOT NULL,
    ended_as     text             NOT NULL,
    ended_at     timestamptz      NOT NULL,

    PRIMARY KEY (device_id, sequence),
    FOREIGN KEY (device_id, sequence) REFERENCES device_events,
    CONSTRAINT ended_pairing_codes_code_form CHECK (pairing_code ~ '^[A-HJ-NP-Z2-9]{6}$'),
    CONSTRAINT ended_pairing_codes_end_word CHECK (ended_as IN ('retired', 'used'))
);

COMMENT ON TABLE ended_pairing_codes IS 'Codes that left their terminals, so that typing one later is told apart from typing nonsense.';
COMMENT ON COLUMN ended_pairing_codes.device_id IS 'The terminal that showed it.';
COMMENT ON COLUMN ended_pairing_codes.sequence IS 'The change that put it out of use, which ends one code at most.';
COMMENT ON COLUMN ended_pairing_codes.pairing_code IS 'The code. It may have been given out again since.';
COMMENT ON COLUMN ended_pairing_codes.ended_as IS 'retired (a new code took its place) or used (the terminal was claimed with it, and released since).';
COMMENT ON COLUMN ended_pairing_codes.ended_at IS 'When it left the terminal.';

CREATE INDEX ended_pairing_codes_latest ON ended_pairing_codes (pairing_code, ended_at DESC);

CREATE TABLE claim_failures (
    scope             text             NOT NULL,
    subject           text COLLATE "C" NOT NULL,
    window_started_at timestamptz      NOT NULL,
    failures          bigint           NOT NULL,

    PRIMARY KEY (scope, subject),
    CONSTRAINT claim_failures_scope_word CHECK (scope IN ('merchant', 'user')),
    CONSTRAINT claim_failures_subject_form CHECK (octet_length(subject) BETWEEN 1 AND 255),
    CONSTRAINT claim_failures_counts CHECK (failures BETWEEN 1 AND 4294967295)
) WITH (fillfactor = 70);

COMMENT ON TABLE claim_failures IS 'Failed claims in the current window, for each merchant and each user, counted by all replicas together.';
COMMENT ON COLUMN claim_failures.scope IS 'merchant or user.';
COMMENT ON COLUMN claim_failures.subject IS 'The merchant''s id, or the user''s subject.';
COMMENT ON COLUMN claim_failures.window_started_at IS 'When the first failure of the window happened.';
COMMENT ON COLUMN claim_failures.failures IS 'How many there were since.';
