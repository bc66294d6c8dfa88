//! diesel schema of the PostgreSQL tables. `migrations/postgres` documents them.

diesel::table! {
    devices (device_id) {
        device_id -> Text,
        merchant_id -> Uuid,
        version -> BigInt,
        provisioned_at -> Timestamptz,
        status -> Text,
        pairing_code -> Nullable<Text>,
        code_issued_at -> Nullable<Timestamptz>,
        code_expires_at -> Nullable<Timestamptz>,
        claimed_by -> Nullable<Text>,
        claimed_at -> Nullable<Timestamptz>,
        activated_at -> Nullable<Timestamptz>,
        app_version -> Nullable<Text>,
        os -> Nullable<Text>,
        model -> Nullable<Text>,
        seen_at -> Nullable<Timestamptz>,
        chain_start -> Nullable<BigInt>,
        chain_tip -> Nullable<Binary>,
        decommissioned_at -> Nullable<Timestamptz>,
        label -> Nullable<Text>,
        location_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    device_events (device_id, sequence) {
        device_id -> Text,
        sequence -> BigInt,
        merchant_id -> Uuid,
        at -> Timestamptz,
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
        ended_at -> Timestamptz,
    }
}

diesel::table! {
    claim_failures (scope, subject) {
        scope -> Text,
        subject -> Text,
        window_started_at -> Timestamptz,
        failures -> BigInt,
    }
}

diesel::table! {
    audit_events (number) {
        number -> BigInt,
        at -> Timestamptz,
        actor -> Text,
        client_ip -> Nullable<Text>,
        trace_id -> Nullable<Text>,
        merchant_id -> Nullable<Uuid>,
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
        at -> Timestamptz,
        hash -> Binary,
    }
}

diesel::table! {
    audit_checkpoint_entries (number) {
        number -> BigInt,
        checkpoint -> BigInt,
        at -> Timestamptz,
        hash -> Binary,
    }
}

diesel::allow_tables_to_appear_in_same_query!(audit_events, audit_checkpoint_entries);

diesel::table! {
    resellers (reseller_id) {
        reseller_id -> Uuid,
        name -> Text,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    merchants (merchant_id) {
        merchant_id -> Uuid,
        reseller_id -> Nullable<Uuid>,
        name -> Text,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    locations (location_id) {
        location_id -> Uuid,
        merchant_id -> Uuid,
        name -> Text,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    idempotency_keys (party_kind, party_id, idempotency_key) {
        party_kind -> Text,
        party_id -> Uuid,
        idempotency_key -> Text,
        fingerprint -> Binary,
        response -> Text,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    memberships (grant_id) {
        grant_id -> Uuid,
        user_id -> Text,
        merchant_id -> Nullable<Uuid>,
        reseller_id -> Nullable<Uuid>,
        role -> Text,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    api_clients (client_id) {
        client_id -> Text,
        grant_id -> Uuid,
        merchant_id -> Nullable<Uuid>,
        reseller_id -> Nullable<Uuid>,
        role -> Text,
        secret_hash -> Text,
        created_at -> Timestamptz,
        revoked_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    sessions (session_key) {
        session_key -> Text,
    }
}

diesel::table! {
    client_failures (subject) {
        subject -> Text,
        window_started_at -> Timestamptz,
        failures -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(devices, device_events, locations, merchants);

diesel::table! {
    imports (import_id) {
        import_id -> Uuid,
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
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    import_rows (import_id, row_number) {
        import_id -> Uuid,
        row_number -> BigInt,
        device_id -> Nullable<Text>,
        merchant_id -> Nullable<Uuid>,
        label -> Nullable<Text>,
        location_id -> Nullable<Uuid>,
        outcome -> Nullable<Text>,
        detail -> Nullable<Text>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(imports, import_rows);
