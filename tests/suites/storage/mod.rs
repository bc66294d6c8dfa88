//! Storage suites on both engines: contract, constraints, migrations, fault injection.

mod abandoned_transactions;
mod access;
mod batched_saves;
mod batching;
mod change_notifications;
mod concurrent_imports;
mod corrupt_rows;
mod failed_commits;
mod fault_injection;
mod hosts;
mod illegal_import_rows;
mod illegal_rows;
mod illegal_tenancy_rows;
mod migrations;
mod query_plans;
mod replicas;
mod sql_access;
mod tampered_audit_trail;
mod tampered_device_events;
mod transaction_pooling;
mod upgrade;

/// Every case of the storage contract, on PostgreSQL.
mod postgres {
    pos_port_storage::storage_suite!(pos_tests::stores::postgres().await);
}

/// Every case of the storage contract, on PostgreSQL through PgBouncer in transaction mode.
mod pgbouncer {
    pos_port_storage::storage_suite!(pos_tests::stores::pgbouncer().await);
}

/// Every case of the storage contract, on SQLite.
mod sqlite {
    pos_port_storage::storage_suite!(pos_tests::stores::sqlite().await);
}
