-- Failed claims, counted for the attempt limit of a merchant and of a user.
--
--                                            failure (counts 1 more)
--                                                   +----+
--                                                   |    |
--                                                   |    v
--    no window ---- first failure ----> window with failures ---- end of the window ----> no window
--
-- Instants are microseconds since 1970-01-01T00:00:00Z.

-- Failed claims in the current window of each merchant and each user.
CREATE TABLE claim_failures (
    -- merchant or user.
    scope             TEXT    NOT NULL,
    -- Id of the merchant, or the user's subject.
    subject           TEXT    NOT NULL,
    -- When the first failure of the window happened.
    window_started_at INTEGER NOT NULL,
    -- Number of failures in the window.
    failures          INTEGER NOT NULL,

    PRIMARY KEY (scope, subject),
    CONSTRAINT claim_failures_scope_word CHECK (scope IN ('merchant', 'user')),
    CONSTRAINT claim_failures_subject_form CHECK (length(CAST(subject AS BLOB)) BETWEEN 1 AND 255),
    CONSTRAINT claim_failures_counts CHECK (failures BETWEEN 1 AND 4294967295)
) STRICT, WITHOUT ROWID;

-- Expired windows, oldest first.
CREATE INDEX claim_failures_purge ON claim_failures (window_started_at);
