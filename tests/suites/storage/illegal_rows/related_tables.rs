//! Illegal rows of device events, past pairing codes, audit events and claim failures.

use super::rows::{Dialect, Illegal, MERCHANT, Row, claimed, inactive, insert, text, waiting, with};

pub(super) fn illegal_related_rows(dialect: Dialect) -> Vec<Illegal> {
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
    let past_code = |changes: &[(&'static str, String)]| {
        let mut row: Row = vec![
            ("device_id", text("POS-00000001")),
            ("sequence", "1".to_owned()),
            ("pairing_code", text("ABC234")),
            ("ended_as", text("superseded")),
            ("ended_at", at(1)),
        ];
        for (column, value) in changes {
            row = with(row, [(*column, value.clone())]);
        }
        insert("past_pairing_codes", &row)
    };
    let audit = |changes: &[(&'static str, &str)]| {
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
    let with_device = || vec![insert("devices", &inactive(dialect))];
    let with_event = || vec![insert("devices", &inactive(dialect)), event(&[])];
    let case = |before: Vec<String>, statement: String, name: &'static str| Illegal {
        before,
        statement,
        postgres: name,
        sqlite: name,
    };
    let second = [("sequence", "2".to_owned()), ("kind", text("claimed"))];
    let actor = |word: &str| event(&[("actor", text(word))]);
    vec![
        Illegal {
            before: with_device(),
            statement: insert("devices", &waiting(dialect)),
            postgres: "devices_pkey",
            sqlite: "devices.device_id",
        },
        Illegal {
            before: vec![device(waiting(dialect), "POS-A")],
            statement: device(waiting(dialect), "POS-B"),
            postgres: "devices_unclaimed_code",
            sqlite: "devices.pairing_code",
        },
        Illegal {
            before: vec![device(waiting(dialect), "POS-A"), device(claimed(dialect), "POS-B")],
            statement: "UPDATE devices SET status = 'inactive', claimed_by = NULL, claimed_at = NULL \
                        WHERE device_id = 'POS-B'"
                .to_owned(),
            postgres: "devices_unclaimed_code",
            sqlite: "devices.pairing_code",
        },
        Illegal {
            before: with_event(),
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
            before: with_event(),
            statement: "DELETE FROM devices".to_owned(),
            postgres: "device_events_device_id_fkey",
            sqlite: "FOREIGN KEY",
        },
        case(with_device(), event(&[("hash", (dialect.blob)(33))]), "device_events_hash_form"),
        case(with_device(), event(&[("client_ip", text("somewhere"))]), "device_events_client_ip_form"),
        case(with_device(), event(&[("client_ip", text(""))]), "device_events_client_ip_form"),
        case(with_device(), event(&[("trace_id", text(&"0".repeat(32)))]), "device_events_trace_form"),
        case(with_device(), event(&[("trace_id", text(&"A".repeat(32)))]), "device_events_trace_form"),
        case(with_device(), event(&[("trace_id", text(&"a".repeat(31)))]), "device_events_trace_form"),
        case(Vec::new(), audit(&[("actor", "nobody")]), "audit_events_actor_word"),
        case(Vec::new(), audit(&[("client_ip", "somewhere")]), "audit_events_client_ip_form"),
        case(Vec::new(), audit(&[("trace_id", "a")]), "audit_events_trace_form"),
        case(Vec::new(), audit(&[("kind", "")]), "audit_events_kind_form"),
        case(Vec::new(), audit(&[("kind", "Exploded")]), "audit_events_kind_form"),
        case(Vec::new(), audit(&[("subject", "POS-00000001")]), "audit_events_subject_form"),
        case(Vec::new(), audit(&[("subject", "device:")]), "audit_events_subject_form"),
        case(Vec::new(), audit(&[("subject", &format!("device:{}", "x".repeat(320)))]), "audit_events_subject_form"),
        case(Vec::new(), audit(&[("detail", "[]")]), "audit_events_detail_form"),
        case(
            with_device(),
            event(&[("sequence", "0".to_owned()), ("kind", text("claimed"))]),
            "device_events_sequence_positive",
        ),
        case(with_device(), event(&[("sequence", "2".to_owned())]), "device_events_provisioned_first"),
        case(with_device(), event(&[("kind", text("claimed"))]), "device_events_provisioned_first"),
        case(with_device(), event(&[second[0].clone(), ("kind", text("exploded"))]), "device_events_kind_word"),
        case(with_device(), actor("nobody"), "device_events_actor_word"),
        case(with_device(), actor("identity-provider"), "device_events_actor_word"),
        case(with_device(), actor("user:"), "device_events_actor_word"),
        case(with_device(), actor("user:an\nna"), "device_events_actor_word"),
        case(with_device(), actor(&format!("user:{}", "x".repeat(256))), "device_events_actor_word"),
        Illegal {
            before: with_device(),
            statement: past_code(&[]),
            postgres: "past_pairing_codes_device_id_sequence_fkey",
            sqlite: "FOREIGN KEY",
        },
        Illegal {
            before: [with_event(), vec![past_code(&[])]].concat(),
            statement: past_code(&[("pairing_code", text("ABC235"))]),
            postgres: "past_pairing_codes_pkey",
            sqlite: "past_pairing_codes.device_id, past_pairing_codes.sequence",
        },
        case(with_event(), past_code(&[("pairing_code", text("ABC23O"))]), "past_pairing_codes_code_form"),
        case(with_event(), past_code(&[("ended_as", text("lost"))]), "past_pairing_codes_end_word"),
        case(Vec::new(), failure("reseller", "anna", "1"), "claim_failures_scope_word"),
        case(Vec::new(), failure("user", "", "1"), "claim_failures_subject_form"),
        case(Vec::new(), failure("user", &"x".repeat(256), "1"), "claim_failures_subject_form"),
        case(Vec::new(), failure("user", "anna", "0"), "claim_failures_counts"),
        case(Vec::new(), failure("user", "anna", "4294967296"), "claim_failures_counts"),
        Illegal {
            before: vec![failure("user", "anna", "1")],
            statement: failure("user", "anna", "2"),
            postgres: "claim_failures_pkey",
            sqlite: "claim_failures.scope, claim_failures.subject",
        },
    ]
}
