//! diesel schema of the SQLite tables. `migrations/sqlite` documents them. Instants are microseconds since the epoch.

diesel::table! {
    devices (device_id) {
        device_id -> Text,
        merchant_id -> Text,
        version -> BigInt,
        provisioned_at -> BigInt,
        status -> Text,
        pairing_code -> Nullable<Text>,
        code_issued_at -> Nullable<BigInt>,
        code_expires_at -> Nullable<BigInt>,
        claimed_by -> Nullable<Text>,
        claimed_at -> Nullable<BigInt>,
        activated_at -> Nullable<BigInt>,
        app_version -> Nullable<Text>,
        os -> Nullable<Text>,
        model -> Nullable<Text>,
        seen_at -> Nullable<BigInt>,
        chain_start -> Nullable<BigInt>,
        chain_tip -> Nullable<Binary>,
        decommissioned_at -> Nullable<BigInt>,
        label -> Nullable<Text>,
        location_id -> Nullable<Text>,
    }
}

diesel::table! {
    device_events (device_id, sequence) {
        device_id -> Text,
        sequence -> BigInt,
        merchant_id -> Text,
        at -> BigInt,
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
        ended_at -> BigInt,
    }
}

diesel::table! {
    claim_failures (scope, subject) {
        scope -> Text,
        subject -> Text,
        window_started_at -> BigInt,
        failures -> BigInt,
    }
}

diesel::table! {
    audit_events (number) {
        number -> BigInt,
        at -> BigInt,
        actor -> Text,
        client_ip -> Nullable<Text>,
        trace_id -> Nullable<Text>,
        merchant_id -> Nullable<Text>,
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
        at -> BigInt,
        hash -> Binary,
    }
}

diesel::table! {
    audit_checkpoint_entries (number) {
        number -> BigInt,
        checkpoint -> BigInt,
        at -> BigInt,
        hash -> Binary,
    }
}

diesel::allow_tables_to_appear_in_same_query!(audit_events, audit_checkpoint_entries);

diesel::table! {
    resellers (reseller_id) {
        reseller_id -> Text,
        name -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    merchants (merchant_id) {
        merchant_id -> Text,
        reseller_id -> Nullable<Text>,
        name -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    locations (location_id) {
        location_id -> Text,
        merchant_id -> Text,
        name -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    idempotency_keys (party_kind, party_id, idempotency_key) {
        party_kind -> Text,
        party_id -> Text,
        idempotency_key -> Text,
        fingerprint -> Binary,
        response -> Text,
        created_at -> BigInt,
        expires_at -> BigInt,
    }
}

diesel::table! {
    memberships (grant_id) {
        grant_id -> Text,
        user_id -> Text,
        merchant_id -> Nullable<Text>,
        reseller_id -> Nullable<Text>,
        role -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    api_clients (client_id) {
        client_id -> Text,
        grant_id -> Text,
        merchant_id -> Nullable<Text>,
        reseller_id -> Nullable<Text>,
        role -> Text,
        secret_hash -> Text,
        created_at -> BigInt,
        revoked_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    sessions (session_key) {
        session_key -> Text,
        grant_id -> Text,
        user_id -> Text,
        merchant_id -> Nullable<Text>,
        reseller_id -> Nullable<Text>,
        role -> Text,
        application -> Text,
        channel -> Text,
        client_id -> Nullable<Text>,
        token_issued_at -> BigInt,
        started_at -> BigInt,
        ends_at -> BigInt,
        token_key -> Nullable<Text>,
    }
}

diesel::table! {
    revoked_tokens (session_key, token_key) {
        session_key -> Text,
        token_key -> Text,
        issued_at -> BigInt,
        expires_at -> BigInt,
    }
}

diesel::table! {
    logouts (kind, subject) {
        kind -> Text,
        subject -> Text,
        issued_until -> Nullable<BigInt>,
        expires_at -> BigInt,
    }
}

diesel::table! {
    client_failures (subject) {
        subject -> Text,
        window_started_at -> BigInt,
        failures -> BigInt,
    }
}

diesel::joinable!(sessions -> merchants (merchant_id));
diesel::allow_tables_to_appear_in_same_query!(sessions, merchants);
diesel::allow_tables_to_appear_in_same_query!(devices, device_events, locations, merchants);

diesel::table! {
    imports (import_id) {
        import_id -> Text,
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
        created_at -> BigInt,
        expires_at -> BigInt,
    }
}

diesel::table! {
    import_rows (import_id, row_number) {
        import_id -> Text,
        row_number -> BigInt,
        device_id -> Nullable<Text>,
        merchant_id -> Nullable<Text>,
        label -> Nullable<Text>,
        location_id -> Nullable<Text>,
        outcome -> Nullable<Text>,
        detail -> Nullable<Text>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(imports, import_rows);
