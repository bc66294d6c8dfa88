//! Statements that count refused claims and store their audit events.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use pos_domain::pairing::RefusedClaim;
use pos_domain::shared::AttemptLimit;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::shared::instants::EARLIEST;
use crate::postgres::statements::{Input, statement};
use crate::rows::audit::{client_ip_text, detail_text, digest_bytes, subject_text, trace_text};
use crate::rows::pairing::merchant_subject;

/// The parameters of both statements.
struct Refused {
    merchant: String,
    user: String,
    now: OffsetDateTime,
    oldest: OffsetDateTime,
    latest: OffsetDateTime,
    most: i64,
    merchant_id: Uuid,
    actor: String,
    client_ip: Option<String>,
    trace_id: Option<String>,
    kind: &'static str,
    about: Option<String>,
    detail: String,
    detail_of_too_many: String,
    hash: Vec<u8>,
    hash_of_too_many: Vec<u8>,
}

impl Refused {
    fn of(refused: &RefusedClaim, limit: &AttemptLimit) -> Self {
        let event = refused.event();
        Self {
            merchant: merchant_subject(&refused.by),
            user: refused.by.user_id.as_str().to_owned(),
            now: refused.at,
            oldest: refused.at.saturating_sub(limit.window).max(EARLIEST),
            latest: refused.at.saturating_add(AttemptLimit::MAX_CLOCK_SKEW),
            most: limit.max_failures.into(),
            merchant_id: refused.by.merchant_id.0,
            actor: event.audit_context.actor.to_string(),
            client_ip: client_ip_text(&event.audit_context),
            trace_id: trace_text(&event.audit_context),
            kind: event.kind.as_str(),
            about: subject_text(&event),
            detail: detail_text(&event),
            detail_of_too_many: detail_text(&refused.as_too_many().event()),
            hash: digest_bytes(&event),
            hash_of_too_many: digest_bytes(&refused.as_too_many().event()),
        }
    }

    /// The event's subject is the parameter `about`: the column `subject` is the merchant or user whose failures are counted.
    fn input<'a, 'b>(&'b self, out: AstPass<'a, 'b, Pg>) -> QueryResult<Input<'a, 'b>> {
        let mut input = Input::of(out);
        input.bind::<Text, _>("merchant", &self.merchant)?;
        input.bind::<Text, _>("claimant", &self.user)?;
        input.bind::<Timestamptz, _>("moment", &self.now)?;
        input.bind::<Timestamptz, _>("oldest", &self.oldest)?;
        input.bind::<Timestamptz, _>("latest", &self.latest)?;
        input.bind::<BigInt, _>("most", &self.most)?;
        input.bind::<SqlUuid, _>("merchant_id", &self.merchant_id)?;
        input.bind::<Text, _>("actor", &self.actor)?;
        input.bind::<Nullable<Text>, _>("client_ip", &self.client_ip)?;
        input.bind::<Nullable<Text>, _>("trace_id", &self.trace_id)?;
        input.bind::<Text, _>("kind", &self.kind)?;
        input.bind::<Nullable<Text>, _>("about", &self.about)?;
        input.bind::<Text, _>("detail", &self.detail)?;
        input.bind::<Text, _>("detail_of_too_many", &self.detail_of_too_many)?;
        input.bind::<Binary, _>("hash", &self.hash)?;
        input.bind::<Binary, _>("hash_of_too_many", &self.hash_of_too_many)?;
        Ok(input)
    }
}

/// Counts a refused claim for its merchant and its user, and stores its audit event. Returns both updated rows.
pub(crate) struct CountFailure(Refused);

impl CountFailure {
    pub(crate) fn of(refused: &RefusedClaim, limit: &AttemptLimit) -> Self {
        Self(Refused::of(refused, limit))
    }
}

statement!(CountFailure -> (Text, Text, Timestamptz, BigInt));

impl QueryFragment<Pg> for CountFailure {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // A window is open while now < start + length, that is start > now - length, unless a fast clock started it: the
        // rule of AttemptLimit::is_open. All callers lock the merchant's row first, so they cannot deadlock. The new start
        // of a window comes from the row proposed for insertion (`excluded`); only the bounds come from `input`. The rule
        // of AttemptLimit::record_of decides which audit event is stored.
        self.0.input(out)?.then(
            "), counted AS (
                INSERT INTO claim_failures AS kept (scope, subject, window_started_at, failures)
                SELECT scope, subject, moment, 1
                FROM (SELECT 1, 'merchant', merchant, moment FROM input
                      UNION ALL SELECT 2, 'user', claimant, moment FROM input) AS failed (place, scope, subject, moment)
                ORDER BY place
                ON CONFLICT (scope, subject) DO UPDATE SET
                    failures = CASE WHEN kept.window_started_at > (SELECT oldest FROM input)
                            AND kept.window_started_at <= (SELECT latest FROM input)
                        THEN least(kept.failures + 1, 4294967295) ELSE 1 END,
                    window_started_at = CASE WHEN kept.window_started_at > (SELECT oldest FROM input)
                            AND kept.window_started_at <= (SELECT latest FROM input)
                        THEN kept.window_started_at ELSE excluded.window_started_at END
                RETURNING scope, subject, window_started_at, failures
            ), audited AS (
                INSERT INTO audit_events (at, actor, client_ip, trace_id, merchant_id, kind, subject, detail, hash)
                SELECT moment, actor, client_ip, trace_id, merchant_id, kind, about,
                    CASE WHEN peak <= most THEN detail ELSE detail_of_too_many END,
                    CASE WHEN peak <= most THEN hash ELSE hash_of_too_many END
                FROM input, (SELECT max(failures) AS peak, bool_or(failures = most + 1) AS first_beyond
                             FROM counted, input) AS seen
                WHERE peak <= most OR first_beyond
            )
            SELECT scope, subject, window_started_at, failures FROM counted",
        )
    }
}

/// Stores the audit event of a claim that the limit refused, if it is the first one in a full window. Returns 1, else 0.
pub(crate) struct RecordBlocked(Refused);

impl RecordBlocked {
    pub(crate) fn of(refused: &RefusedClaim, limit: &AttemptLimit) -> Self {
        Self(Refused::of(refused, limit))
    }
}

statement!(RecordBlocked -> BigInt);

impl QueryFragment<Pg> for RecordBlocked {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // Rows are locked in the same order as in CountFailure. After a lock wait the server evaluates the row again, so only
        // one of two callers finds the window just full.
        self.0.input(out)?.then(
            "), just_full AS (
                SELECT scope, subject FROM claim_failures, input
                WHERE ((scope = 'merchant' AND subject = merchant) OR (scope = 'user' AND subject = claimant))
                    AND failures = most AND window_started_at > oldest AND window_started_at <= latest
                ORDER BY scope
                FOR UPDATE OF claim_failures
            ), counted AS (
                UPDATE claim_failures AS kept SET failures = least(kept.failures + 1, 4294967295)
                FROM just_full WHERE kept.scope = just_full.scope AND kept.subject = just_full.subject
                RETURNING 1
            ), audited AS (
                INSERT INTO audit_events (at, actor, client_ip, trace_id, merchant_id, kind, subject, detail, hash)
                SELECT moment, actor, client_ip, trace_id, merchant_id, kind, about, detail_of_too_many,
                    hash_of_too_many
                FROM input
                WHERE EXISTS (SELECT FROM counted)
                RETURNING 1
            )
            SELECT count(*) FROM audited",
        )
    }
}
