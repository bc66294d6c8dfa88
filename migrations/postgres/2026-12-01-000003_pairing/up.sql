-- Failed claims, counted for the attempt limit of a merchant and of a user.
--
--                                            failure (counts 1 more)
--                                                   +----+
--                                                   |    |
--                                                   |    v
--    no window ---- first failure ----> window with failures ---- end of the window ----> no window
--
-- All replicas count in the same rows, in the statement that rejects the claim.

CREATE TABLE claim_failures (
    scope             text             NOT NULL,
    subject           text COLLATE "C" NOT NULL,
    window_started_at timestamptz      NOT NULL,
    failures          bigint           NOT NULL,

    PRIMARY KEY (scope, subject),
    CONSTRAINT claim_failures_scope_word CHECK (scope IN ('merchant', 'user')),
    CONSTRAINT claim_failures_subject_form CHECK (octet_length(subject) BETWEEN 1 AND 255),
    CONSTRAINT claim_failures_counts CHECK (failures BETWEEN 1 AND 4294967295)
) WITH (fillfactor = 70); -- free space on each page for updates of the counters

COMMENT ON TABLE claim_failures IS
    'Failed claims in the current window of each merchant and each user, counted across all replicas.';
COMMENT ON COLUMN claim_failures.scope IS 'merchant or user.';
COMMENT ON COLUMN claim_failures.subject IS 'Id of the merchant, or the user''s subject.';
COMMENT ON COLUMN claim_failures.window_started_at IS 'When the first failure of the window happened.';
COMMENT ON COLUMN claim_failures.failures IS 'Number of failures in the window.';

-- Expired windows, oldest first.
CREATE INDEX claim_failures_purge ON claim_failures (window_started_at);
