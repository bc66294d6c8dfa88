//! Device change notifications between replicas: PostgreSQL LISTEN/NOTIFY, after a commit, on a dedicated connection.
//!
//! A commit does not wait for its notification. A notification is lost if a connection or a process fails; subscribers
//! then see the change at their next read. No connection is opened before the first subscription or the first change.

use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use pos_domain::device::Transition;
use pos_domain::shared::DeviceId;
use pos_port_storage::pairing::DeviceSubscription;
use pos_port_storage::shared::{SaveError, StorageError};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Config, NoTls, Socket};

use crate::engine_error::TooSlow;
use crate::postgres::connect_error::ConnectError;
use crate::postgres::connection::PgConn;
use crate::postgres::hosts::{self, FirstHost};
use crate::postgres::pool::{PgManager, session_guards};
use crate::postgres::tls;
use crate::postgres::worker::BatchWorker;
use crate::subscribers::Subscribers;

/// The channel. The LISTEN statement in [`receive_notifications`] repeats its name.
const CHANNEL: &str = "pos_device_changed";

/// Maximum number of queued notifications. Further ones are dropped.
const QUEUE: usize = 4_096;

/// Maximum number of device ids in one notification. A payload is limited to 8000 bytes, an id to 64.
const BATCH: usize = 100;

/// Shortest and longest pause between two attempts to listen. The pause doubles after each failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// Publishes device changes to all replicas and notifies the subscribers of this process.
pub(crate) struct ChangeNotifier {
    opener: Arc<PgManager>,
    /// The server to listen on. `None` if only a pooler is configured: a pooler does not forward notifications.
    listen_at: Option<Arc<Config>>,
    subscribers: Subscribers,
    listener: OnceLock<AbortOnDrop>,
    queue: OnceLock<mpsc::Sender<DeviceId>>,
}

impl ChangeNotifier {
    pub(crate) fn new(opener: Arc<PgManager>, listen_at: Option<Config>, max_subscriptions: usize) -> Self {
        let listen_at = listen_at.map(Arc::new);
        let subscribers = Subscribers::new(max_subscriptions);
        Self { opener, listen_at, subscribers, listener: OnceLock::new(), queue: OnceLock::new() }
    }

    pub(crate) fn subscribe(&self, id: &DeviceId) -> Option<Box<dyn DeviceSubscription>> {
        if let Some(listen_at) = &self.listen_at {
            self.listener.get_or_init(|| {
                let task = listen(Arc::clone(listen_at), self.opener.connect_timeout, self.subscribers.clone());
                AbortOnDrop(self.opener.runtime.spawn(task).abort_handle())
            });
        }
        self.subscribers.subscribe(id)
    }

    /// Notifies subscribers of a saved change of status, unless it is certain that nothing was saved. The task that runs
    /// the statement calls this, because the caller may have disconnected.
    pub(crate) fn after_save(&self, transition: &Transition, outcome: &Result<(), SaveError>) {
        let possible = matches!(outcome, Ok(()) | Err(SaveError::Storage(StorageError::Unavailable(_))));
        if possible && transition.event().kind.changes_status() {
            self.publish(transition.device().id());
        }
    }

    /// Spawns a save, so that it completes even if its caller is cancelled.
    pub(crate) fn detach<T: Send + 'static>(&self, save: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.opener.runtime.spawn(save)
    }

    /// Wakes local subscribers and queues a notification to other replicas.
    fn publish(&self, id: &DeviceId) {
        self.subscribers.wake(id);
        let sender = self.queue.get_or_init(|| {
            let (sender, queue) = mpsc::channel(QUEUE);
            self.opener.runtime.spawn(notify(queue, Arc::clone(&self.opener)));
            sender
        });
        let _ = sender.try_send(id.clone());
    }
}

/// Sends queued notifications until the store is dropped.
async fn notify(mut queue: mpsc::Receiver<DeviceId>, opener: Arc<PgManager>) {
    let mut worker = BatchWorker::<PgConn>::new(opener);
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let payload = batch.iter().map(DeviceId::as_str).collect::<Vec<_>>().join(" ");
        let statement = diesel::sql_query("SELECT pg_notify($1, $2)").bind::<Text, _>(CHANNEL).bind::<Text, _>(payload);
        if worker.run(async |connection| statement.execute(connection).await).await.is_err() {
            tracing::debug!(devices = batch.len(), "failed to publish device changes");
        }
        batch.clear();
    }
}

/// Listens until the task is aborted, and reconnects after each failure.
async fn listen(config: Arc<Config>, limit: Duration, subscribers: Subscribers) {
    let (mut pause, first) = (PAUSES.0, FirstHost::default());
    loop {
        let ended = match config.get_ssl_mode() {
            SslMode::Require => match tls::verified() {
                Ok(tls) => receive_notifications((&config, limit, &first), tls, &subscribers, &mut pause).await,
                Err(error) => Err(error.into()),
            },
            _ => receive_notifications((&config, limit, &first), NoTls, &subscribers, &mut pause).await,
        };
        if let Err(error) = ended {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "not listening for device changes; waiting terminals are notified late");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Wakes subscribers for each notification until the connection ends.
async fn receive_notifications<T>(
    (config, limit, first): (&Config, Duration, &FirstHost),
    tls: T,
    subscribers: &Subscribers,
    pause: &mut Duration,
) -> Result<(), ConnectError>
where
    T: MakeTlsConnect<Socket> + Clone,
    T::Stream: Unpin,
{
    let (client, mut connection) = hosts::connect(config, &tls, limit, first).await?;
    let mut subscribed = false;
    let subscribing = timeout(limit, async {
        client.batch_execute(&session_guards(limit)).await?;
        client.batch_execute("LISTEN pos_device_changed").await
    });
    tokio::pin!(subscribing);
    loop {
        tokio::select! {
            done = &mut subscribing, if !subscribed => {
                done.map_err(|_| TooSlow { what: "listening to PostgreSQL", limit })??;
                subscribed = true;
                *pause = PAUSES.0;
                // Notifications from before the subscription were missed.
                subscribers.wake_all();
            }
            message = poll_fn(|context| connection.poll_message(context)) => match message {
                Some(Ok(AsyncMessage::Notification(notification))) => {
                    let ids = notification.payload().split(' ').filter_map(|id| DeviceId::parse(id).ok());
                    ids.for_each(|id| subscribers.wake(&id));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(()),
            },
        }
    }
}

/// A task that is aborted when its owner is dropped.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
