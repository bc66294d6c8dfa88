//! Rows of the tables around `devices` that cannot be.

use super::rows::{Dialect, Illegal, MERCHANT, Row, claimed, inactive, insert, text, waiting, with};

pub(super) fn illegal_neighbours(dialect: Dialect) -> Vec<Illegal> {
    let at = dialect.instant;
    let device = |row: Row, id: &str| insert("devices", &with(row, [("device_id", text(id))]));
    let event = |changes: &[(&'static str, String)]| {
        let mut row: Row = vec![
            ("device_id", text("POS-00000001")),
            ("sequence", "1".to_owned()),
            ("merchant_id", MERCHANT.to_owned()),
            ("at", at(1)),
            ("actor", text("operator")),
            ("kind", text("provisioned")),
        ];
        for (column, value) in changes {
            row = with(row, [(*column, value.clone())]);
        }
        insert("device_events", &row)
    };
    let ended = |changes: &[(&'static str, String)]| {
        let mut row: Row = vec![
            ("device_id", text("POS-00000001")),
            ("sequence", "1".to_owned()),
            ("pairing_code", text("ABC234")),
            ("ended_as", text("retired")),
            ("ended_at", at(1)),
        ];
        for (column, value) in changes {
            row = with(row, [(*column, value.clone())]);
        }
        insert("ended_pairing_codes", &row)
    };
    let told_of = |changes: &[(&'static str, &str)]| {
        let mut row: Row = vec![("at", at(1)), ("actor", text("operator")), ("kind", text("claim_refused"))];
        for (column, value) in changes {
            row = with(row, [(*column, text(value))]);
        }
        insert("audit_events", &row)
    };
    let failure = |scope: &str, subject: &str, failures: &str| {
        let row: Row = vec![
            ("scope", text(scope)),
            ("subject", text(subject)),
            ("window_started_at", at(1)),
            ("failures", failures.to_owned()),
        ];
        insert("claim_failures", &row)
    };
    let one = || vec![insert("devices", &inactive(dialect))];
    let told = || vec![insert("devices", &inactive(dialect)), event(&[])];
    let both = |before: Vec<String>, statement: String, name: &'static str| Illegal {
        before,
        statement,
        postgres: name,
        sqlite: name,
    };
    let second = [("sequence", "2".to_owned()), ("kind", text("claimed"))];
    let actor = |word: &str| event(&[("actor", text(word))]);
    vec![
        Illegal {
            before: one(),
            statement: insert("devices", &waiting(dialect)),
            postgres: "devices_pkey",
            sqlite: "devices.device_id",
        },
        Illegal {
            before: vec![device(waiting(dialect), "POS-A")],
            statement: device(waiting(dialect), "POS-B"),
            postgres: "devices_waiting_code",
            sqlite: "devices.pairing_code",
        },
        Illegal {
            before: vec![device(waiting(dialect), "POS-A"), device(claimed(dialect), "POS-B")],
            statement: "UPDATE devices SET status = 'inactive', claimed_by = NULL, claimed_at = NULL \
                        WHERE device_id = 'POS-B'"
                .to_owned(),
            postgres: "devices_waiting_code",
            sqlite: "devices.pairing_code",
        },
        Illegal {
            before: told(),
            statement: event(&[("actor", text("terminal"))]),
            postgres: "device_events_pkey",
            sqlite: "device_events.device_id, device_events.sequence",
        },
        Illegal {
            before: Vec::new(),
            statement: event(&[]),
            postgres: "device_events_device_id_fkey",
            sqlite: "FOREIGN KEY",
        },
        Illegal {
            before: told(),
            statement: "DELETE FROM devices".to_owned(),
            postgres: "device_events_device_id_fkey",
            sqlite: "FOREIGN KEY",
        },
        both(one(), event(&[("hash", (dialect.blob)(33))]), "device_events_hash_form"),
        both(one(), event(&[("origin", text("somewhere"))]), "device_events_origin_form"),
        both(one(), event(&[("origin", text(""))]), "device_events_origin_form"),
        both(one(), event(&[("trace_id", text(&"0".repeat(32)))]), "device_events_trace_form"),
        both(one(), event(&[("trace_id", text(&"A".repeat(32)))]), "device_events_trace_form"),
        both(one(), event(&[("trace_id", text(&"a".repeat(31)))]), "device_events_trace_form"),
        both(Vec::new(), told_of(&[("actor", "nobody")]), "audit_events_actor_word"),
        both(Vec::new(), told_of(&[("origin", "somewhere")]), "audit_events_origin_form"),
        both(Vec::new(), told_of(&[("trace_id", "a")]), "audit_events_trace_form"),
        both(Vec::new(), told_of(&[("kind", "")]), "audit_events_kind_form"),
        both(Vec::new(), told_of(&[("kind", "Exploded")]), "audit_events_kind_form"),
        both(Vec::new(), told_of(&[("subject", "POS-00000001")]), "audit_events_subject_form"),
        both(Vec::new(), told_of(&[("subject", "device:")]), "audit_events_subject_form"),
        both(Vec::new(), told_of(&[("subject", &format!("device:{}", "x".repeat(320)))]), "audit_events_subject_form"),
        both(Vec::new(), told_of(&[("detail", "[]")]), "audit_events_detail_form"),
        both(one(), event(&[("sequence", "0".to_owned()), ("kind", text("claimed"))]), "device_events_sequence_counts"),
        both(one(), event(&[("sequence", "2".to_owned())]), "device_events_provisioned_first"),
        both(one(), event(&[("kind", text("claimed"))]), "device_events_provisioned_first"),
        both(one(), event(&[second[0].clone(), ("kind", text("exploded"))]), "device_events_kind_word"),
        both(one(), actor("nobody"), "device_events_actor_word"),
        both(one(), actor("identity-provider"), "device_events_actor_word"),
        both(one(), actor("user:"), "device_events_actor_word"),
        both(one(), actor("user:an\nna"), "device_events_actor_word"),
        both(one(), actor(&format!("user:{}", "x".repeat(256))), "device_events_actor_word"),
        Illegal {
            before: one(),
            statement: ended(&[]),
            postgres: "ended_pairing_codes_device_id_sequence_fkey",
            sqlite: "FOREIGN KEY",
        },
        Illegal {
            before: [told(), vec![ended(&[])]].concat(),
            statement: ended(&[("pairing_code", text("ABC235"))]),
            postgres: "ended_pairing_codes_pkey",
            sqlite: "ended_pairing_codes.device_id, ended_pairing_codes.sequence",
        },
        both(told(), ended(&[("pairing_code", text("ABC23O"))]), "ended_pairing_codes_code_form"),
        both(told(), ended(&[("ended_as", text("lost"))]), "ended_pairing_codes_end_word"),
        both(Vec::new(), failure("reseller", "anna", "1"), "claim_failures_scope_word"),
        both(Vec::new(), failure("user", "", "1"), "claim_failures_subject_form"),
        both(Vec::new(), failure("user", &"x".repeat(256), "1"), "claim_failures_subject_form"),
        both(Vec::new(), failure("user", "anna", "0"), "claim_failures_counts"),
        both(Vec::new(), failure("user", "anna", "4294967296"), "claim_failures_counts"),
        Illegal {
            before: vec![failure("user", "anna", "1")],
            statement: failure("user", "anna", "2"),
            postgres: "claim_failures_pkey",
            sqlite: "claim_failures.scope, claim_failures.subject",
        },
    ]
}
