DROP INDEX ended_pairing_codes_to_reclaim;
DROP INDEX claim_failures_to_reclaim;
DROP INDEX client_failures_to_reclaim;
DROP INDEX sessions_to_reclaim;
DROP TABLE reclaimed_events;
