//! Refused claims: counted and put on record by one statement each.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use pos_domain::{ClaimLimit, RefusedClaim};
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

use super::statements::{Input, statement};
use crate::storage::audit_rows::{detail_text, digest_bytes, origin_text, subject_text, trace_text};
use crate::storage::rows::merchant_subject;

/// Windows that started before this are as good as any other that has passed; PostgreSQL knows no year before it.
pub(super) const BEGINNING: OffsetDateTime = datetime!(-4000-01-01 00:00 UTC);

/// What both statements are told.
struct Refused {
    merchant: String,
    user: String,
    now: OffsetDateTime,
    oldest: OffsetDateTime,
    latest: OffsetDateTime,
    most: i64,
    merchant_id: Uuid,
    actor: String,
    origin: Option<String>,
    trace_id: Option<String>,
    kind: &'static str,
    about: Option<String>,
    detail: String,
    detail_of_too_many: String,
    hash: Vec<u8>,
    hash_of_too_many: Vec<u8>,
}

impl Refused {
    fn of(refused: &RefusedClaim, limit: &ClaimLimit) -> Self {
        let event = refused.event();
        Self {
            merchant: merchant_subject(&refused.by),
            user: refused.by.user_id.as_str().to_owned(),
            now: refused.at,
            oldest: refused.at.saturating_sub(limit.window).max(BEGINNING),
            latest: refused.at.saturating_add(ClaimLimit::MAX_CLOCK_SKEW),
            most: limit.max_failures.into(),
            merchant_id: refused.by.merchant_id.0,
            actor: event.act.actor.to_string(),
            origin: origin_text(&event.act),
            trace_id: trace_text(&event.act),
            kind: event.kind.as_str(),
            about: subject_text(&event),
            detail: detail_text(&event),
            detail_of_too_many: detail_text(&refused.as_too_many().event()),
            hash: digest_bytes(&event),
            hash_of_too_many: digest_bytes(&refused.as_too_many().event()),
        }
    }

    /// The parameters. The event's subject is `about`: `subject` is whose failures a row counts.
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
        input.bind::<Nullable<Text>, _>("origin", &self.origin)?;
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

/// Counts a refused claim for its merchant and its user and puts it on record; answers both rows as they are then.
pub(super) struct CountFailure(Refused);

impl CountFailure {
    pub(super) fn of(refused: &RefusedClaim, limit: &ClaimLimit) -> Self {
        Self(Refused::of(refused, limit))
    }
}

statement!(CountFailure -> (Text, Text, Timestamptz, BigInt));

impl QueryFragment<Pg> for CountFailure {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // A window is open while now < start + length, that is while start > now - length, unless a fast clock began it:
        // the rule of ClaimLimit::is_open. The merchant's row is locked
        // first by everyone, so two callers never wait for each other in a circle. The reset time travels in the row
        // proposed for insertion (`excluded`); only the bound needs a look back at the input. What goes on record is
        // the rule of ClaimLimit::record_of.
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
            ), told AS (
                INSERT INTO audit_events (at, actor, origin, trace_id, merchant_id, kind, subject, detail, hash)
                SELECT moment, actor, origin, trace_id, merchant_id, kind, about,
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

/// Puts a claim that the limit refused on record if it is the first of a full window. Answers 1, or 0 if it is not.
pub(super) struct TellBlocked(Refused);

impl TellBlocked {
    pub(super) fn of(refused: &RefusedClaim, limit: &ClaimLimit) -> Self {
        Self(Refused::of(refused, limit))
    }
}

statement!(TellBlocked -> BigInt);

impl QueryFragment<Pg> for TellBlocked {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // The rows are locked in the order in which CountFailure locks them. Who waits for a lock looks at the row
        // again, so of two callers one finds it just full.
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
            ), told AS (
                INSERT INTO audit_events (at, actor, origin, trace_id, merchant_id, kind, subject, detail, hash)
                SELECT moment, actor, origin, trace_id, merchant_id, kind, about, detail_of_too_many,
                    hash_of_too_many
                FROM input
                WHERE EXISTS (SELECT FROM counted)
                RETURNING 1
            )
            SELECT count(*) FROM told",
        )
    }
}
