//! Admission of a request: holds its concurrency permits, and releases them while its body is incomplete.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;

use actix_web::{HttpMessage as _, HttpRequest};
use futures_util::future::Abortable;
use pos_domain::shared::UserId;

use crate::errors::api_error::ApiError;
use crate::errors::table::{ErrorRow, TOO_MANY_BODIES, TOO_MANY_REQUESTS};
use crate::limits::concurrency_limit::{AccountPermit, ConcurrencyLimiter, Permit};
use crate::limits::pending_bodies::{PendingBodies, Sender};

/// `Retry-After` of a caller that exceeds a concurrency limit.
const RETRY_LATER: std::time::Duration = std::time::Duration::from_secs(1);

/// Admission of a request.
pub(crate) struct Admission {
    limiter: RefCell<Rc<ConcurrencyLimiter>>,
    /// Limiter of uploads whose caller is authenticated.
    upload_limiter: Option<Rc<ConcurrencyLimiter>>,
    pending_bodies: Rc<PendingBodies>,
    network: Option<IpAddr>,
    account: RefCell<Option<UserId>>,
    held: RefCell<Option<(Permit, Option<AccountPermit>)>>,
    is_receiving: Cell<bool>,
}

impl Admission {
    /// Acquires a permit. Returns `None` if none becomes free in time.
    pub(crate) async fn acquire(
        limiter: &Rc<ConcurrencyLimiter>,
        upload_limiter: Option<&Rc<ConcurrencyLimiter>>,
        pending_bodies: &Rc<PendingBodies>,
        network: Option<IpAddr>,
    ) -> Option<Rc<Self>> {
        let permit = limiter.acquire().await?;
        Some(Rc::new(Self {
            limiter: RefCell::new(Rc::clone(limiter)),
            upload_limiter: upload_limiter.cloned(),
            pending_bodies: Rc::clone(pending_bodies),
            network,
            account: RefCell::default(),
            held: RefCell::new(Some((permit, None))),
            is_receiving: Cell::default(),
        }))
    }

    /// Returns the admission of a request; `None` if its route has no concurrency limit.
    pub(crate) fn of(request: &HttpRequest) -> Option<Rc<Self>> {
        request.extensions().get::<Rc<Self>>().cloned()
    }

    /// Assigns the request to an account, which may hold at most three quarters of the permits. A request over that limit
    /// waits for a permit of its account without holding another.
    ///
    /// # Errors
    /// 429/4290 if none becomes free in time.
    pub(crate) async fn assign_account(&self, account: &UserId) -> Result<(), ApiError> {
        self.account.replace(Some(account.clone()));
        let limiter = self.limiter();
        match limiter.try_acquire_account(account) {
            Some(acquired) => {
                if let Some((_, account_permit)) = &mut *self.held.borrow_mut() {
                    *account_permit = Some(acquired);
                }
                Ok(())
            }
            None => self.acquire_again().await,
        }
    }

    /// Waits for a body without a permit, then acquires one for processing it.
    ///
    /// # Errors
    /// Errors of `body`; 429/4290 if it is aborted for a later body of the same sender; 503/5003 if no permit becomes free in
    /// time.
    pub(crate) async fn receive<T>(&self, body: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        self.release();
        let (pending, registration) = self.pending_bodies.begin(self.sender());
        let body = self.receiving(Abortable::new(body, registration)).await;
        drop(pending);
        let body = body.map_err(|_| too_many(TOO_MANY_BODIES))??;
        self.acquire_again().await?;
        Ok(body)
    }

    /// Begins an upload, which is processed while it arrives: releases the permit used for authentication and acquires an
    /// upload permit, which the request holds until its response.
    ///
    /// # Errors
    /// As [`Admission::assign_account`]; 503/5003 if no permit becomes free in time.
    pub(crate) async fn begin_upload(&self) -> Result<(), ApiError> {
        if let Some(upload_limiter) = &self.upload_limiter {
            self.limiter.replace(Rc::clone(upload_limiter));
        }
        self.acquire_again().await
    }

    /// Awaits data from the caller. A timeout in the meantime is the caller's error (400), not the server's (503).
    pub(crate) async fn receiving<T>(&self, body: impl Future<Output = T>) -> T {
        self.is_receiving.set(true);
        let body = body.await;
        self.is_receiving.set(false);
        body
    }

    /// Whether the request waits for data from its caller.
    pub(crate) fn is_receiving(&self) -> bool {
        self.is_receiving.get()
    }

    /// Releases the permits.
    pub(crate) fn release(&self) {
        self.held.take();
    }

    async fn acquire_again(&self) -> Result<(), ApiError> {
        self.release();
        let (limiter, account) = (self.limiter(), self.account.borrow().clone());
        // The account's permit first: a request that waits for it holds no permit that others need.
        let account_permit = match &account {
            Some(account) => Some(limiter.acquire_account(account).await.ok_or_else(|| too_many(TOO_MANY_REQUESTS))?),
            None => None,
        };
        let permit = limiter.acquire().await.ok_or_else(ApiError::unavailable)?;
        self.held.replace(Some((permit, account_permit)));
        Ok(())
    }

    fn limiter(&self) -> Rc<ConcurrencyLimiter> {
        Rc::clone(&self.limiter.borrow())
    }

    fn sender(&self) -> Sender {
        match &*self.account.borrow() {
            Some(account) => Sender::Account(account.clone()),
            None => Sender::Network(self.network),
        }
    }
}

fn too_many(error: ErrorRow) -> ApiError {
    ApiError::from(error).retry_after(RETRY_LATER)
}
