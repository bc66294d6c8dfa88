//! Concurrency limit (bulkhead) of one HTTP worker: permits, a bounded wait queue and load shedding.
//!
//! Without a limit every request is accepted and waits for the database and for other requests. If requests arrive faster
//! than they are answered, latency grows until every response is too late. With a limit, a request waits at most for the
//! requests that hold a permit or are queued before it.
//!
//! A request without a permit is queued for a short time. This absorbs bursts larger than the limit, and it delays the 503
//! of a shed request: a client that gets a 503 immediately retries immediately, and answering such retries would leave no
//! capacity for requests that could be served.
//!
//! Each class of traffic has its own limit: portal requests that wait for a slow identity provider take no permits from
//! terminals.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pos_domain::shared::UserId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::observe::metrics::{Metrics, QueueMetrics};
use crate::observe::throttled_log::ThrottledLog;

/// Concurrency limits of one worker. A request that gets no permit in time is answered 503/5003.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConcurrencyLimits {
    /// Requests of terminals. A held status request (`Prefer: wait`) holds no permit while it waits.
    pub terminals: usize,
    /// Requests of portals and API clients. Body-authenticated requests and logout notices have a limit of the same size
    /// each.
    pub portals: usize,
    /// Imports. Imports whose caller is being authenticated have a limit of the same size.
    pub imports: usize,
    /// Incomplete request bodies. A request holds no permit while its body is incomplete.
    pub pending_bodies: usize,
    /// Maximum time in the queue.
    pub queue_timeout: Duration,
}

/// Class of traffic with its own concurrency limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrafficClass {
    Terminal,
    Portal,
    /// Routes that carry credentials in the body. Their own limit keeps clients that never finish a body from starving other
    /// callers.
    BodyAuthenticated,
    /// Logout notices of the identity provider. No sign-in may delay them.
    LogoutNotice,
    Import,
    /// No limit: health and metrics of an overloaded server must be readable.
    Operations,
}

/// Concurrency limiters of one worker.
pub(crate) struct ConcurrencyLimiters {
    terminals: Rc<ConcurrencyLimiter>,
    portals: Rc<ConcurrencyLimiter>,
    body_authenticated: Rc<ConcurrencyLimiter>,
    logout_notices: Rc<ConcurrencyLimiter>,
    import_logins: Rc<ConcurrencyLimiter>,
    imports: Rc<ConcurrencyLimiter>,
}

impl ConcurrencyLimiters {
    pub(crate) fn new(limits: ConcurrencyLimits, metrics: &Metrics) -> Self {
        let limiter =
            |name, max| Rc::new(ConcurrencyLimiter::new(name, max, limits.queue_timeout, metrics.queue(name)));
        Self {
            terminals: limiter("terminals", limits.terminals),
            portals: limiter("portals", limits.portals),
            body_authenticated: limiter("body_authenticated", limits.portals),
            logout_notices: limiter("logout_notices", limits.portals),
            import_logins: limiter("import_logins", limits.imports),
            imports: limiter("imports", limits.imports),
        }
    }

    pub(crate) fn of(&self, class: TrafficClass) -> Option<Rc<ConcurrencyLimiter>> {
        match class {
            TrafficClass::Terminal => Some(Rc::clone(&self.terminals)),
            TrafficClass::Portal => Some(Rc::clone(&self.portals)),
            TrafficClass::BodyAuthenticated => Some(Rc::clone(&self.body_authenticated)),
            TrafficClass::LogoutNotice => Some(Rc::clone(&self.logout_notices)),
            TrafficClass::Import => Some(Rc::clone(&self.import_logins)),
            TrafficClass::Operations => None,
        }
    }

    /// Returns the limiter for uploads of this class after authentication.
    pub(crate) fn uploads_of(&self, class: TrafficClass) -> Option<Rc<ConcurrencyLimiter>> {
        (class == TrafficClass::Import).then(|| Rc::clone(&self.imports))
    }
}

/// Concurrency limiter of one class of traffic, with a FIFO queue.
pub(crate) struct ConcurrencyLimiter {
    name: &'static str,
    max: usize,
    permits: Arc<Semaphore>,
    queue_timeout: Duration,
    queue: QueueMetrics,
    /// Permits of each account with active requests: an account may hold three quarters of all permits.
    accounts: RefCell<HashMap<UserId, Arc<Semaphore>>>,
    log: ThrottledLog,
}

/// Permit of one request, released on drop.
pub(crate) struct Permit {
    _permit: OwnedSemaphorePermit,
}

/// Permit of an account for one request, released on drop.
pub(crate) struct AccountPermit {
    limiter: Rc<ConcurrencyLimiter>,
    account: UserId,
    permits: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for AccountPermit {
    fn drop(&mut self) {
        self.permit.take();
        // Two references: this one and the map's.
        if Arc::strong_count(&self.permits) == 2 {
            self.limiter.accounts.borrow_mut().remove(&self.account);
        }
    }
}

impl ConcurrencyLimiter {
    fn new(name: &'static str, max: usize, queue_timeout: Duration, queue: QueueMetrics) -> Self {
        let permits = Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        let (accounts, log) = (RefCell::default(), ThrottledLog::default());
        Self { name, max, permits, queue_timeout, queue, accounts, log }
    }

    /// Acquires a permit. Returns `None` if none becomes free in time. A request whose connection ends leaves the queue.
    pub(crate) async fn acquire(&self) -> Option<Permit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Some(Permit { _permit: permit });
        }
        // Boxed: few requests are queued, and unboxed it would enlarge the future of every request.
        let permit = if self.queue_timeout.is_zero() { None } else { Box::pin(self.wait_in_queue()).await };
        if permit.is_none() {
            self.record_shed();
        }
        permit.map(|permit| Permit { _permit: permit })
    }

    /// Acquires a permit of the account. Returns `None` if the account holds three quarters of all permits.
    pub(crate) fn try_acquire_account(self: &Rc<Self>, account: &UserId) -> Option<AccountPermit> {
        let mut acquired = self.account_permit(account);
        acquired.permit = Some(Arc::clone(&acquired.permits).try_acquire_owned().ok()?);
        Some(acquired)
    }

    /// Acquires a permit of the account. Returns `None` if none becomes free in time.
    pub(crate) async fn acquire_account(self: &Rc<Self>, account: &UserId) -> Option<AccountPermit> {
        if let Some(acquired) = self.try_acquire_account(account) {
            return Some(acquired);
        }
        let mut acquired = self.account_permit(account);
        let permit = Box::pin(timeout(self.queue_timeout, Arc::clone(&acquired.permits).acquire_owned())).await;
        acquired.permit = Some(permit.ok()?.ok()?);
        Some(acquired)
    }

    fn account_permit(self: &Rc<Self>, account: &UserId) -> AccountPermit {
        let mut accounts = self.accounts.borrow_mut();
        let max = self.max.min(Semaphore::MAX_PERMITS);
        let three_quarters = || Arc::new(Semaphore::new(max - max / 4));
        let permits = Arc::clone(accounts.entry(account.clone()).or_insert_with(three_quarters));
        AccountPermit { limiter: Rc::clone(self), account: account.clone(), permits, permit: None }
    }

    async fn wait_in_queue(&self) -> Option<OwnedSemaphorePermit> {
        let _queued = self.queue.count_queued();
        timeout(self.queue_timeout, Arc::clone(&self.permits).acquire_owned()).await.ok()?.ok()
    }

    fn record_shed(&self) {
        self.queue.shed.inc();
        if let Some(requests) = self.log.count() {
            tracing::warn!(of = self.name, requests, max = self.max, "request shed: concurrency limit reached");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;
    use tokio::time::advance;

    use super::*;

    const QUEUE_TIMEOUT: Duration = Duration::from_millis(250);

    fn limiters(queue_timeout: Duration) -> ConcurrencyLimiters {
        ConcurrencyLimiters::new(
            ConcurrencyLimits { terminals: 2, portals: 1, imports: 1, pending_bodies: 2, queue_timeout },
            &Metrics::new().unwrap(),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn requests_over_the_limit_are_shed_and_a_dropped_permit_is_free_again() {
        let limiters = limiters(Duration::ZERO);
        let limiter = limiters.of(TrafficClass::Terminal).unwrap();
        let (one, _two) = (limiter.acquire().await.unwrap(), limiter.acquire().await.unwrap());
        assert!(limiter.acquire().await.is_none() && limiter.acquire().await.is_none());
        let others = limiters.of(TrafficClass::Portal).unwrap();
        assert!(others.acquire().await.is_some(), "another class has its own permits");
        drop(one);
        let _again = limiter.acquire().await.unwrap();
        assert!(limiter.acquire().await.is_none());
        assert_eq!((limiter.queue.shed.get(), limiters.of(TrafficClass::Operations).is_none()), (3, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_queued_request_is_shed_after_the_queue_timeout() {
        let limiter = limiters(QUEUE_TIMEOUT).of(TrafficClass::Portal).unwrap();
        let _taken = limiter.acquire().await.unwrap();
        let mut queued = pin!(limiter.acquire());
        assert!(queued.as_mut().now_or_never().is_none());
        advance(QUEUE_TIMEOUT / 2).await;
        assert!(queued.as_mut().now_or_never().is_none());
        advance(QUEUE_TIMEOUT).await;
        assert!(queued.now_or_never().expect("timed out").is_none());
        assert_eq!(limiter.queue.shed.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_free_permit_goes_to_the_request_that_has_been_queued_longest() {
        let limiter = limiters(QUEUE_TIMEOUT).of(TrafficClass::Portal).unwrap();
        let taken = limiter.acquire().await.unwrap();
        let mut cancelled = Box::pin(limiter.acquire());
        assert!(cancelled.as_mut().now_or_never().is_none());
        let mut first = pin!(limiter.acquire());
        assert!(first.as_mut().now_or_never().is_none());
        let mut second = pin!(limiter.acquire());
        assert!(second.as_mut().now_or_never().is_none());
        drop(cancelled);
        drop(taken);
        let first = first.now_or_never().expect("has a permit").unwrap();
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.now_or_never().expect("has a permit").is_some());
        assert_eq!(limiter.queue.shed.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_holds_at_most_three_quarters_of_the_permits_and_its_entry_is_removed() {
        let metrics = Metrics::new().unwrap();
        let limiter = Rc::new(ConcurrencyLimiter::new("portals", 4, QUEUE_TIMEOUT, metrics.queue("portals")));
        let (ann, bob) = (UserId::parse("ann").unwrap(), UserId::parse("bob").unwrap());
        let one = limiter.try_acquire_account(&ann).unwrap();
        let rest = [limiter.try_acquire_account(&ann).unwrap(), limiter.try_acquire_account(&ann).unwrap()];
        assert!(limiter.try_acquire_account(&ann).is_none() && limiter.try_acquire_account(&bob).is_some());
        let mut waiting = Box::pin(limiter.acquire_account(&ann));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(one);
        let last = waiting.now_or_never().expect("has a permit").unwrap();
        let mut late = Box::pin(limiter.acquire_account(&ann));
        assert!(late.as_mut().now_or_never().is_none());
        advance(QUEUE_TIMEOUT * 2).await;
        assert!(late.now_or_never().expect("timed out").is_none());
        assert_eq!(limiter.accounts.borrow().len(), 1);
        drop((rest, last));
        assert_eq!(limiter.accounts.borrow().len(), 0);
    }

    /// The permit is assigned to the request, which is cancelled before it is polled again.
    #[tokio::test(start_paused = true)]
    async fn a_permit_assigned_to_a_cancelled_request_goes_to_the_next() {
        let limiter = limiters(QUEUE_TIMEOUT).of(TrafficClass::Portal).unwrap();
        let taken = limiter.acquire().await.unwrap();
        let mut cancelled = Box::pin(limiter.acquire());
        let mut next = pin!(limiter.acquire());
        assert!(cancelled.as_mut().now_or_never().is_none() && next.as_mut().now_or_never().is_none());
        drop(taken);
        drop(cancelled);
        assert!(next.now_or_never().expect("has a permit").is_some());
    }
}
