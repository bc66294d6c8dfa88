//! diesel schema of both engines: the same tables and columns, with the engine's types of ids and instants. `migrations`
//! documents the tables.

/// Defines the tables. `$id` is the SQL type of ids, `$instant` that of instants.
macro_rules! tables {
    ($id:ident, $instant:ident) => {
        diesel::table! {
            devices (device_id) {
                device_id -> Text,
                merchant_id -> $id,
                version -> BigInt,
                provisioned_at -> $instant,
                status -> Text,
                pairing_code -> Nullable<Text>,
                code_issued_at -> Nullable<$instant>,
                code_expires_at -> Nullable<$instant>,
                claimed_by -> Nullable<Text>,
                claimed_at -> Nullable<$instant>,
                activated_at -> Nullable<$instant>,
                app_version -> Nullable<Text>,
                os -> Nullable<Text>,
                model -> Nullable<Text>,
                seen_at -> Nullable<$instant>,
                chain_start -> Nullable<BigInt>,
                chain_tip -> Nullable<Binary>,
                decommissioned_at -> Nullable<$instant>,
                label -> Nullable<Text>,
                location_id -> Nullable<$id>,
            }
        }

        diesel::table! {
            device_events (device_id, sequence) {
                device_id -> Text,
                sequence -> BigInt,
                merchant_id -> $id,
                at -> $instant,
                actor -> Text,
                kind -> Text,
                client_ip -> Nullable<Text>,
                trace_id -> Nullable<Text>,
                hash -> Nullable<Binary>,
            }
        }

        diesel::table! {
            chain_checkpoints (device_id) {
                device_id -> Text,
                through -> BigInt,
                hash -> Nullable<Binary>,
            }
        }

        diesel::table! {
            past_pairing_codes (device_id, sequence) {
                device_id -> Text,
                sequence -> BigInt,
                pairing_code -> Text,
                ended_as -> Text,
                ended_at -> $instant,
            }
        }

        diesel::table! {
            claim_failures (scope, subject) {
                scope -> Text,
                subject -> Text,
                window_started_at -> $instant,
                failures -> BigInt,
            }
        }

        diesel::table! {
            audit_events (number) {
                number -> BigInt,
                at -> $instant,
                actor -> Text,
                client_ip -> Nullable<Text>,
                trace_id -> Nullable<Text>,
                merchant_id -> Nullable<$id>,
                kind -> Text,
                subject -> Nullable<Text>,
                detail -> Text,
                hash -> Nullable<Binary>,
            }
        }

        diesel::table! {
            audit_checkpoints (sequence) {
                sequence -> BigInt,
                through -> BigInt,
                events -> BigInt,
                at -> $instant,
                hash -> Binary,
            }
        }

        diesel::table! {
            audit_checkpoint_entries (number) {
                number -> BigInt,
                checkpoint -> BigInt,
                at -> $instant,
                hash -> Binary,
            }
        }

        diesel::allow_tables_to_appear_in_same_query!(audit_events, audit_checkpoint_entries);

        diesel::table! {
            resellers (reseller_id) {
                reseller_id -> $id,
                name -> Text,
                created_at -> $instant,
            }
        }

        diesel::table! {
            merchants (merchant_id) {
                merchant_id -> $id,
                reseller_id -> Nullable<$id>,
                name -> Text,
                created_at -> $instant,
            }
        }

        diesel::table! {
            locations (location_id) {
                location_id -> $id,
                merchant_id -> $id,
                name -> Text,
                created_at -> $instant,
            }
        }

        diesel::table! {
            idempotency_keys (party_kind, party_id, idempotency_key) {
                party_kind -> Text,
                party_id -> $id,
                idempotency_key -> Text,
                fingerprint -> Binary,
                response -> Text,
                created_at -> $instant,
                expires_at -> $instant,
            }
        }

        diesel::table! {
            memberships (grant_id) {
                grant_id -> $id,
                user_id -> Text,
                merchant_id -> Nullable<$id>,
                reseller_id -> Nullable<$id>,
                role -> Text,
                created_at -> $instant,
            }
        }

        diesel::table! {
            api_clients (client_id) {
                client_id -> Text,
                grant_id -> $id,
                merchant_id -> Nullable<$id>,
                reseller_id -> Nullable<$id>,
                role -> Text,
                secret_hash -> Text,
                created_at -> $instant,
                revoked_at -> Nullable<$instant>,
            }
        }

        diesel::table! {
            sessions (session_key) {
                session_key -> Text,
                grant_id -> $id,
                user_id -> Text,
                merchant_id -> Nullable<$id>,
                reseller_id -> Nullable<$id>,
                role -> Text,
                application -> Text,
                channel -> Text,
                client_id -> Nullable<Text>,
                token_issued_at -> $instant,
                started_at -> $instant,
                ends_at -> $instant,
                token_key -> Nullable<Text>,
            }
        }

        diesel::table! {
            revoked_tokens (session_key, token_key) {
                session_key -> Text,
                token_key -> Text,
                issued_at -> $instant,
                expires_at -> $instant,
            }
        }

        diesel::table! {
            logouts (kind, subject) {
                kind -> Text,
                subject -> Text,
                issued_until -> Nullable<$instant>,
                expires_at -> $instant,
            }
        }

        diesel::table! {
            client_failures (subject) {
                subject -> Text,
                window_started_at -> $instant,
                failures -> BigInt,
            }
        }

        diesel::joinable!(sessions -> merchants (merchant_id));
        diesel::allow_tables_to_appear_in_same_query!(sessions, merchants);
        diesel::allow_tables_to_appear_in_same_query!(devices, device_events, locations, merchants);

        diesel::table! {
            imports (import_id) {
                import_id -> $id,
                owner -> Text,
                mode -> Text,
                actor -> Text,
                client_ip -> Nullable<Text>,
                trace_id -> Nullable<Text>,
                idempotency_key -> Nullable<Text>,
                fingerprint -> Nullable<Binary>,
                row_count -> Nullable<BigInt>,
                state -> Text,
                refused_row -> Nullable<BigInt>,
                created_at -> $instant,
                expires_at -> $instant,
            }
        }

        diesel::table! {
            import_rows (import_id, row_number) {
                import_id -> $id,
                row_number -> BigInt,
                device_id -> Nullable<Text>,
                merchant_id -> Nullable<$id>,
                label -> Nullable<Text>,
                location_id -> Nullable<$id>,
                outcome -> Nullable<Text>,
                detail -> Nullable<Text>,
            }
        }

        diesel::allow_tables_to_appear_in_same_query!(imports, import_rows);
    };
}

pub(crate) use tables;
