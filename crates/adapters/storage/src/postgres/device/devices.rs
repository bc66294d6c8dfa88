//! Repository of devices for terminals in PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::methods::LoadQuery;
use diesel_async::{AsyncConnection as _, RunQueryDsl};
use pos_domain::device::{Device, PairingCode, PastCode, TerminalInfo, Transition};
use pos_domain::shared::DeviceId;
use pos_port_storage::device::DeviceRepository;
use pos_port_storage::shared::{IdempotencyRecord, SaveError, SaveIdempotentError, StorageError};
use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;

use crate::engine_error::EngineError;
use crate::postgres::connection::PgConn;
use crate::postgres::device::save::{SaveOne, outcome_of_one};
use crate::postgres::pool::{Lease, Rollback};
use crate::postgres::schema::{devices, past_pairing_codes};
use crate::postgres::shared::idempotency::claim_key;
use crate::postgres::statements::FindByPairingCode;
use crate::postgres::store::PgStore;
use crate::rows::device::{self, PastCodeRow};

pub(crate) type DeviceRow = device::DeviceRow<Uuid, OffsetDateTime>;

impl PgStore {
    /// Saves a transition on a connection of the pool. Once started, the save completes and notifies subscribers, even if
    /// its caller is cancelled.
    pub(crate) async fn save_unbatched<S>(&self, statement: S, transition: &Transition) -> Result<(), SaveError>
    where
        S: LoadQuery<'static, PgConn, (String, i16)> + Send + 'static,
    {
        let mut lease = self.lease().await.map_err(StorageError::from)?;
        let (changes, limit, transition) = (Arc::clone(&self.changes), self.statement_timeout, transition.clone());
        let save = self.changes.detach(async move {
            // All rows are loaded: an error of the commit arrives after the last row.
            let outcome = timeout(limit, statement.load::<(String, i16)>(lease.connection())).await;
            let outcome = outcome_of_one(lease.finish(outcome));
            changes.after_save(&transition, &outcome);
            outcome
        });
        save.await.unwrap_or_else(|error| Err(StorageError::Unavailable(error.into()).into()))
    }

    async fn find_unbatched(&self, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        let query = devices::table.find(id.as_str());
        let row: Option<DeviceRow> = self.run(async |connection| query.first(connection).await.optional()).await?;
        Ok(row.map(DeviceRow::device).transpose()?)
    }
}

#[async_trait]
impl DeviceRepository for PgStore {
    async fn find(&self, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        match &self.batch_queues {
            Some(queues) => queues.lookups.find(id).await,
            None => Box::pin(self.find_unbatched(id)).await,
        }
    }

    async fn find_by_pairing_code(&self, code: PairingCode) -> Result<Option<Device>, StorageError> {
        let query = FindByPairingCode::from(code);
        let row: Option<DeviceRow> = self.run(async |connection| query.get_result(connection).await.optional()).await?;
        Ok(row.map(DeviceRow::device).transpose()?)
    }

    async fn find_past_code(&self, code: PairingCode) -> Result<Option<PastCode>, StorageError> {
        use past_pairing_codes::dsl;
        let query = dsl::past_pairing_codes
            .filter(dsl::pairing_code.eq(code.as_str()))
            .order((dsl::ended_at.desc(), dsl::sequence.desc()))
            .limit(1);
        let row: Option<PastCodeRow<OffsetDateTime>> =
            self.run(async |connection| query.get_result(connection).await.optional()).await?;
        Ok(row.map(PastCodeRow::past_code).transpose()?)
    }

    async fn save(&self, transition: &Transition) -> Result<(), SaveError> {
        match &self.batch_queues {
            Some(queues) => queues.saves.save(transition).await,
            None => self.save_unbatched(SaveOne::from(transition), transition).await,
        }
    }

    /// Not batched: the row of the idempotency key belongs to the same transaction.
    async fn save_idempotent(
        &self,
        transition: &Transition,
        record: &IdempotencyRecord,
    ) -> Result<(), SaveIdempotentError> {
        let mut lease = self.lease().await.map_err(StorageError::from)?;
        let (changes, limit) = (Arc::clone(&self.changes), self.statement_timeout);
        let (transition, record) = (transition.clone(), record.clone());
        let save = self.changes.detach(async move {
            let statement = SaveOne::from(&transition);
            let work = async |connection: &mut PgConn| {
                if let Some(stored) = claim_key(connection, Some(&record)).await? {
                    return Err(Rollback::Refused(SaveIdempotentError::Answered(stored)));
                }
                let rows: Vec<(String, i16)> = statement.load(connection).await?;
                outcome_of_one(Ok(rows)).map_err(|error| Rollback::Refused(error.into()))
            };
            let outcome = timeout(limit, lease.connection().transaction(work)).await;
            let outcome = match lease.finish_transaction(outcome) {
                Ok(()) => Ok(()),
                Err(SaveIdempotentError::Answered(stored)) => return Err(SaveIdempotentError::Answered(stored)),
                Err(SaveIdempotentError::Refused(error)) => Err(error),
            };
            changes.after_save(&transition, &outcome);
            Ok(outcome?)
        });
        save.await.unwrap_or_else(|error| Err(StorageError::Unavailable(error.into()).into()))
    }

    async fn update_terminal_info(&self, id: &DeviceId, terminal_info: &TerminalInfo) -> Result<(), StorageError> {
        use devices::dsl;
        let agent = &terminal_info.agent;
        let statement = diesel::update(dsl::devices.find(id.as_str())).set((
            dsl::app_version.eq(Some(agent.app_version.as_str())),
            dsl::os.eq(agent.os.as_deref()),
            dsl::model.eq(agent.model.as_deref()),
            dsl::seen_at.eq(Some(terminal_info.at)),
        ));
        // Best effort: an update does not wait for a connection and stays within its share of the pool, so terminals that
        // start at the same time do not starve portals.
        let updates = &self.shares.terminal_info;
        let Some(_permit) = updates.try_acquire() else { return Ok(()) };
        let Some(lease) = Lease::try_acquire(&self.pool, self.acquire_timeout).await? else {
            updates.count_dropped();
            return Ok(());
        };
        let updated: Result<usize, EngineError> =
            self.run_on(lease, async |connection| statement.execute(connection).await).await;
        updated?;
        Ok(())
    }
}
