//! Word of changed devices from replica to replica: NOTIFY after the commit, LISTEN on a connection of its own.
//!
//! A commit does not wait for the word, and the word may be lost with a connection or a process: then whoever waits finds
//! out by looking. Nothing is opened before somebody waits or something changes.

use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use pos_domain::{DeviceId, Transition};
use pos_port_storage::{SaveError, StorageError, Watch};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Config, NoTls, Socket};

use super::connection::{ConnectError, PgManager, session_guards};
use super::gather::Lane;
use super::hosts::{self, FirstHost};
use super::link::PgLink;
use super::tls;
use crate::storage::failure::TooSlow;
use crate::storage::watchers::Watchers;

/// As it stands in [`hear`]'s LISTEN.
const CHANNEL: &str = "pos_device_changed";

/// How many words may wait to be sent; more are left out.
const QUEUE: usize = 4_096;

/// How many go in one notification: a payload has less than 8000 bytes, an id at most 64.
const BATCH: usize = 100;

/// Between two attempts to listen: doubled from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

pub(super) struct Changes {
    opener: Arc<PgManager>,
    /// Where to listen; nowhere if all there is is a pooler, which hands word on to nobody.
    listen_at: Option<Arc<Config>>,
    watchers: Watchers,
    listening: OnceLock<Tied>,
    words: OnceLock<mpsc::Sender<DeviceId>>,
}

impl Changes {
    pub(super) fn new(opener: Arc<PgManager>, listen_at: Option<Config>, most: usize) -> Self {
        let listen_at = listen_at.map(Arc::new);
        Self { opener, listen_at, watchers: Watchers::new(most), listening: OnceLock::new(), words: OnceLock::new() }
    }

    pub(super) fn watch(&self, id: &DeviceId) -> Option<Box<dyn Watch>> {
        if let Some(listen_at) = &self.listen_at {
            self.listening.get_or_init(|| {
                let task = listen(Arc::clone(listen_at), self.opener.connect_timeout, self.watchers.clone());
                Tied(self.opener.runtime.spawn(task).abort_handle())
            });
        }
        self.watchers.watch(id)
    }

    /// Notifies everybody of a save, unless it is certain that nothing was saved. For whoever runs the statement, since its
    /// caller may be gone by then.
    pub(super) fn after_save(&self, transition: &Transition, outcome: &Result<(), SaveError>) {
        let possible = matches!(outcome, Ok(()) | Err(SaveError::Storage(StorageError::Unavailable(_))));
        if possible && transition.event().kind.changes_status() {
            self.announce(transition.device().id());
        }
    }

    /// Runs a save to its end, whatever becomes of its caller.
    pub(super) fn detach<T: Send + 'static>(&self, save: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.opener.runtime.spawn(save)
    }

    /// Tells everybody that a device changed.
    fn announce(&self, id: &DeviceId) {
        self.watchers.wake(id);
        let words = self.words.get_or_init(|| {
            let (words, queue) = mpsc::channel(QUEUE);
            self.opener.runtime.spawn(notify(queue, Arc::clone(&self.opener)));
            words
        });
        let _ = words.try_send(id.clone());
    }
}

/// Sends word until the store is gone.
async fn notify(mut queue: mpsc::Receiver<DeviceId>, opener: Arc<PgManager>) {
    let mut lane = Lane::<PgLink>::new(opener);
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let payload = batch.iter().map(DeviceId::as_str).collect::<Vec<_>>().join(" ");
        let statement = diesel::sql_query("SELECT pg_notify($1, $2)").bind::<Text, _>(CHANNEL).bind::<Text, _>(payload);
        if lane.run(async |connection| statement.execute(connection).await).await.is_err() {
            tracing::debug!(devices = batch.len(), "word of changes was not sent");
        }
        batch.clear();
    }
}

/// Listens for as long as it is let.
async fn listen(config: Arc<Config>, limit: Duration, watchers: Watchers) {
    let (mut pause, first) = (PAUSES.0, FirstHost::default());
    loop {
        let heard = match config.get_ssl_mode() {
            SslMode::Require => match tls::verified() {
                Ok(tls) => hear((&config, limit, &first), tls, &watchers, &mut pause).await,
                Err(error) => Err(error.into()),
            },
            _ => hear((&config, limit, &first), NoTls, &watchers, &mut pause).await,
        };
        if let Err(error) = heard {
            tracing::warn!(error = &error as &dyn std::error::Error, "waiting terminals are woken late for now");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Wakes those who wait until the connection ends.
async fn hear<T>(
    (config, limit, first): (&Config, Duration, &FirstHost),
    tls: T,
    watchers: &Watchers,
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
                // Nobody knows what was said while nobody listened.
                watchers.wake_all();
            }
            message = poll_fn(|context| connection.poll_message(context)) => match message {
                Some(Ok(AsyncMessage::Notification(word))) => {
                    word.payload().split(' ').filter_map(|id| DeviceId::parse(id).ok()).for_each(|id| watchers.wake(&id));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(()),
            },
        }
    }
}

/// A task that ends with its owner.
struct Tied(AbortHandle);

impl Drop for Tied {
    fn drop(&mut self) {
        self.0.abort();
    }
}
