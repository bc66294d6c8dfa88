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
-- Instants are whole microseconds since 1970-01-01T00:00:00Z; ids are hyphenated lower-case UUIDs.

-- Files of devices that were sent, each kept as long as its key answers.
CREATE TABLE imports (
    -- Its id.
    import_id       TEXT    NOT NULL PRIMARY KEY,
    -- On whose behalf: operator, or merchant: or reseller: and the id.
    owner           TEXT    NOT NULL,
    -- What one refused row means for the others: all_or_nothing or best_effort.
    mode            TEXT    NOT NULL,
    -- Who sent it: operator, or user: and the subject. The first event of each device says so too.
    actor           TEXT    NOT NULL,
    -- From which IP address; none from the command line.
    origin          TEXT,
    -- By which call; none from the command line.
    trace_id        TEXT,
    -- The caller's name for it.
    idempotency_key TEXT,
    -- SHA-256 over what was asked for, the whole file included.
    fingerprint     BLOB,
    -- How many rows it has.
    row_count       INTEGER,
    -- uploading, sealed, applied, refused or forgotten.
    state           TEXT    NOT NULL,
    -- The first refused row, because of which nothing was imported.
    refused_row     INTEGER,
    -- When the upload began, by the server's clock.
    created_at      INTEGER NOT NULL,
    -- From when on it may be forgotten.
    keep_until      INTEGER NOT NULL,

    CONSTRAINT imports_id_form CHECK (
        length(CAST(import_id AS BLOB)) = 36
        AND import_id GLOB '????????-????-????-????-????????????'
        AND replace(import_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(import_id, '-', '')) = 32
    ),
    CONSTRAINT imports_owner_form CHECK (
        owner = 'operator'
        OR (substr(owner, 1, 9) IN ('merchant:', 'reseller:')
            AND length(CAST(owner AS BLOB)) = 45
            AND substr(owner, 10) GLOB '????????-????-????-????-????????????'
            AND replace(substr(owner, 10), '-', '') NOT GLOB '*[^0-9a-f]*'
            AND length(replace(substr(owner, 10), '-', '')) = 32)
    ),
    CONSTRAINT imports_mode_word CHECK (mode IN ('all_or_nothing', 'best_effort')),
    CONSTRAINT imports_actor_word CHECK (
        actor = 'operator'
        OR (actor GLOB 'user:*' AND length(CAST(actor AS BLOB)) BETWEEN 6 AND 260
            AND actor NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
            AND instr(actor, char(0)) = 0)
    ),
    CONSTRAINT imports_origin_form CHECK (length(origin) BETWEEN 2 AND 45 AND origin NOT GLOB '*[^0-9a-f:.]*'),
    CONSTRAINT imports_trace_form
        CHECK (length(trace_id) = 32 AND trace_id NOT GLOB '*[^0-9a-f]*' AND trace_id GLOB '*[^0]*'),
    CONSTRAINT imports_key_form CHECK (
        length(CAST(idempotency_key AS BLOB)) BETWEEN 1 AND 255 AND idempotency_key NOT GLOB '*[^!-~]*'
    ),
    CONSTRAINT imports_fingerprint_form CHECK (length(fingerprint) = 32),
    CONSTRAINT imports_counts CHECK (row_count >= 0 AND (refused_row IS NULL OR refused_row BETWEEN 1 AND row_count)),
    CONSTRAINT imports_state_word CHECK (state IN ('uploading', 'sealed', 'applied', 'refused', 'forgotten')),
    CONSTRAINT imports_state_facts CHECK (
        (fingerprint IS NULL) = (state IN ('uploading', 'forgotten'))
        AND (row_count IS NULL) = (state IN ('uploading', 'forgotten'))
        AND (refused_row IS NOT NULL) = (state = 'refused')
        AND (state <> 'forgotten' OR idempotency_key IS NULL)
    )
) STRICT, WITHOUT ROWID;

-- Of uploads with one key, one is sealed.
CREATE UNIQUE INDEX imports_key ON imports (owner, idempotency_key) WHERE state <> 'uploading';
CREATE INDEX imports_to_forget ON imports (keep_until);

-- The rows of imports, as they were read, and what became of them.
CREATE TABLE import_rows (
    -- Which import.
    import_id   TEXT    NOT NULL REFERENCES imports,
    -- Its number among the data rows of the file, from 1.
    row_number  INTEGER NOT NULL,
    -- The terminal it names; none when it names none that can be shown.
    device_id   TEXT,
    -- Whom it is for; none when the row could not be read.
    merchant_id TEXT,
    -- What people call it.
    label       TEXT,
    -- Where it is to stand.
    location_id TEXT,
    -- provisioned, or why not; none while nothing was decided about it alone.
    outcome     TEXT,
    -- What is wrong with a malformed row, or the earlier row of a duplicate.
    detail      TEXT,

    PRIMARY KEY (import_id, row_number),
    CONSTRAINT import_rows_numbers_count CHECK (row_number >= 1),
    CONSTRAINT import_rows_id_form CHECK (
        length(CAST(device_id AS BLOB)) BETWEEN 4 AND 64 AND device_id GLOB 'POS-*' AND device_id NOT GLOB '*[^!-~]*'
    ),
    CONSTRAINT import_rows_merchant_form CHECK (
        length(CAST(merchant_id AS BLOB)) = 36
        AND merchant_id GLOB '????????-????-????-????-????????????'
        AND replace(merchant_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(merchant_id, '-', '')) = 32
    ),
    CONSTRAINT import_rows_label_form CHECK (
        length(label) BETWEEN 1 AND 200
        AND label NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
        AND instr(label, char(0)) = 0
    ),
    CONSTRAINT import_rows_location_form CHECK (
        length(CAST(location_id AS BLOB)) = 36
        AND location_id GLOB '????????-????-????-????-????????????'
        AND replace(location_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(location_id, '-', '')) = 32
    ),
    CONSTRAINT import_rows_outcome_word
        CHECK (outcome IN ('provisioned', 'malformed', 'invalid_device_id', 'invalid_merchant_id', 'invalid_label',
            'invalid_location_id', 'unknown_merchant', 'unknown_location', 'duplicate', 'taken')),
    CONSTRAINT import_rows_detail_form
        CHECK ((detail IS NOT NULL) = (coalesce(outcome, '') IN ('malformed', 'duplicate')) AND length(detail) <= 200),
    CONSTRAINT import_rows_facts CHECK (
        (outcome IS NOT NULL AND outcome <> 'provisioned') OR (device_id IS NOT NULL AND merchant_id IS NOT NULL)
    )
) STRICT, WITHOUT ROWID;

-- Rows that name one terminal; and all, in the order in which terminals are created.
CREATE INDEX import_rows_of_device ON import_rows (import_id, device_id, row_number);
