-- Files of devices on their way in, row by row, and what became of each row.
--
--    imports:      uploading ── the file has ended ──▶ sealed ──▶ applied
--                      │                                 └──────▶ refused    (all or nothing, and a row was refused)
--                      └── nobody goes on: forgotten once keep_until is over, as all are
--
-- What is forgotten nobody finds any more; its rows go in pieces, and then it goes itself. Everything else has all its
-- rows.
--
--    import_rows:  read    ── outcome NULL ──▶ provisioned, or why not
--                  unread  ── why not, from the start
--
-- A row whose outcome is still NULL when its import has ended shares the import's: provisioned when that is applied,
-- not imported when that is refused. So an import of a million rows that is all or nothing ends with one row changed.

CREATE TABLE imports (
    import_id       uuid             PRIMARY KEY,
    owner           text COLLATE "C" NOT NULL,
    mode            text             NOT NULL,
    actor           text             NOT NULL,
    origin          text,
    trace_id        text,
    idempotency_key text COLLATE "C",
    fingerprint     bytea,
    row_count       bigint,
    state           text             NOT NULL,
    refused_row     bigint,
    created_at      timestamptz      NOT NULL,
    keep_until      timestamptz      NOT NULL,

    CONSTRAINT imports_owner_form
        CHECK (owner = 'operator' OR owner ~ '^(merchant|reseller):[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'),
    CONSTRAINT imports_mode_word CHECK (mode IN ('all_or_nothing', 'best_effort')),
    CONSTRAINT imports_actor_word
        CHECK (actor = 'operator'
            OR (actor ~ '^user:' AND octet_length(actor) BETWEEN 6 AND 260 AND actor !~ '[\u0001-\u001F\u007F-\u009F]')),
    CONSTRAINT imports_origin_form CHECK (origin ~ '^[0-9a-f:.]{2,45}$'),
    CONSTRAINT imports_trace_form CHECK (trace_id ~ '^[0-9a-f]{32}$' AND trace_id ~ '[^0]'),
    CONSTRAINT imports_key_form CHECK (idempotency_key ~ '^[!-~]{1,255}$'),
    CONSTRAINT imports_fingerprint_form CHECK (octet_length(fingerprint) = 32),
    CONSTRAINT imports_counts CHECK (row_count >= 0 AND (refused_row IS NULL OR refused_row BETWEEN 1 AND row_count)),
    CONSTRAINT imports_state_word CHECK (state IN ('uploading', 'sealed', 'applied', 'refused', 'forgotten')),
    CONSTRAINT imports_state_facts CHECK (
        num_nonnulls(fingerprint, row_count) = CASE WHEN state IN ('uploading', 'forgotten') THEN 0 ELSE 2 END
        AND (refused_row IS NOT NULL) = (state = 'refused')
        AND (state <> 'forgotten' OR idempotency_key IS NULL)
    )
);

COMMENT ON TABLE imports IS 'Files of devices that were sent, each kept as long as its key answers.';
COMMENT ON COLUMN imports.import_id IS 'Its id.';
COMMENT ON COLUMN imports.owner IS 'On whose behalf: operator, or merchant: or reseller: and the id.';
COMMENT ON COLUMN imports.mode IS 'What one refused row means for the others: all_or_nothing or best_effort.';
COMMENT ON COLUMN imports.actor IS 'Who sent it: operator, or user: and the subject. The first event of each device says so too.';
COMMENT ON COLUMN imports.origin IS 'From which IP address; none from the command line.';
COMMENT ON COLUMN imports.trace_id IS 'By which call; none from the command line.';
COMMENT ON COLUMN imports.idempotency_key IS 'The caller''s name for it.';
COMMENT ON COLUMN imports.fingerprint IS 'SHA-256 over what was asked for, the whole file included.';
COMMENT ON COLUMN imports.row_count IS 'How many rows it has.';
COMMENT ON COLUMN imports.state IS 'uploading, sealed, applied, refused or forgotten.';
COMMENT ON COLUMN imports.refused_row IS 'The first refused row, because of which nothing was imported.';
COMMENT ON COLUMN imports.created_at IS 'When the upload began, by the server''s clock.';
COMMENT ON COLUMN imports.keep_until IS 'From when on it may be forgotten.';

-- Of uploads with one key, one is sealed.
CREATE UNIQUE INDEX imports_key ON imports (owner, idempotency_key) WHERE state <> 'uploading';
CREATE INDEX imports_to_forget ON imports (keep_until);

CREATE TABLE import_rows (
    import_id   uuid   NOT NULL REFERENCES imports,
    row_number  bigint NOT NULL,
    device_id   text COLLATE "C",
    merchant_id uuid,
    label       text,
    location_id uuid,
    outcome     text,
    detail      text,

    PRIMARY KEY (import_id, row_number),
    CONSTRAINT import_rows_numbers_count CHECK (row_number >= 1),
    CONSTRAINT import_rows_id_form CHECK (octet_length(device_id) BETWEEN 4 AND 64 AND device_id ~ '^POS-[!-~]*$'),
    CONSTRAINT import_rows_label_form
        CHECK (length(label) BETWEEN 1 AND 200 AND label !~ '[\u0001-\u001F\u007F-\u009F]'),
    CONSTRAINT import_rows_outcome_word
        CHECK (outcome IN ('provisioned', 'malformed', 'invalid_device_id', 'invalid_merchant_id', 'invalid_label',
            'invalid_location_id', 'unknown_merchant', 'unknown_location', 'duplicate', 'taken')),
    CONSTRAINT import_rows_detail_form
        CHECK ((detail IS NOT NULL) = (coalesce(outcome, '') IN ('malformed', 'duplicate')) AND length(detail) <= 200),
    CONSTRAINT import_rows_facts
        CHECK ((outcome IS NOT NULL AND outcome <> 'provisioned') OR num_nulls(device_id, merchant_id) = 0)
) WITH (fillfactor = 85); -- room on each page for the outcomes, which touch no index

COMMENT ON TABLE import_rows IS 'The rows of imports, as they were read, and what became of them.';
COMMENT ON COLUMN import_rows.import_id IS 'Which import.';
COMMENT ON COLUMN import_rows.row_number IS 'Its number among the data rows of the file, from 1.';
COMMENT ON COLUMN import_rows.device_id IS 'The terminal it names; none when it names none that can be shown.';
COMMENT ON COLUMN import_rows.merchant_id IS 'Whom it is for; none when the row could not be read.';
COMMENT ON COLUMN import_rows.label IS 'What people call it.';
COMMENT ON COLUMN import_rows.location_id IS 'Where it is to stand.';
COMMENT ON COLUMN import_rows.outcome IS 'provisioned, or why not; none while nothing was decided about it alone.';
COMMENT ON COLUMN import_rows.detail IS 'What is wrong with a malformed row, or the earlier row of a duplicate.';

-- Rows that name one terminal; and all, in the order in which terminals are created.
CREATE INDEX import_rows_of_device ON import_rows (import_id, device_id, row_number);
