//! Admission of one request: the permit it holds while it is worked on, and what it gives back while its body is on the way.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;

use actix_web::{HttpMessage as _, HttpRequest};
use futures_util::future::Abortable;
use pos_domain::UserId;

use super::api_error::{ApiError, Failure};
use super::pending_bodies::{PendingBodies, Sender};
use super::room::{Place, Room, Share};

/// What an account hears that has more requests under way than it may.
pub(super) const TOO_MANY_REQUESTS: &str = "Too many requests at once, try again later";

/// What a caller hears whose unfinished body made room for a later one of its own.
pub(super) const TOO_MANY_BODIES: &str = "Too many unfinished request bodies, try again later";

/// What a caller hears whose body does not arrive.
pub(super) const BODY_NOT_RECEIVED: &str = "request body was not received in time";

/// How long a caller should wait who had too much under way.
const RETRY_LATER: std::time::Duration = std::time::Duration::from_secs(1);

/// The admission of one request.
pub(super) struct Admission {
    room: RefCell<Rc<Room>>,
    /// Where an upload takes its permit, once its caller is known.
    uploads: Option<Rc<Room>>,
    bodies: Rc<PendingBodies>,
    network: Option<IpAddr>,
    account: RefCell<Option<UserId>>,
    held: RefCell<Option<(Place, Option<Share>)>>,
    is_receiving: Cell<bool>,
}

impl Admission {
    /// With a permit; none if none got free in time.
    pub(super) async fn enter(
        room: &Rc<Room>,
        uploads: Option<&Rc<Room>>,
        bodies: &Rc<PendingBodies>,
        network: Option<IpAddr>,
    ) -> Option<Rc<Self>> {
        let place = room.enter().await?;
        Some(Rc::new(Self {
            room: RefCell::new(Rc::clone(room)),
            uploads: uploads.cloned(),
            bodies: Rc::clone(bodies),
            network,
            account: RefCell::default(),
            held: RefCell::new(Some((place, None))),
            is_receiving: Cell::default(),
        }))
    }

    /// That of a request; none where there is no permit to take.
    pub(super) fn of(request: &HttpRequest) -> Option<Rc<Self>> {
        request.extensions().get::<Rc<Self>>().cloned()
    }

    /// The request is this account's, which may hold no more than three quarters of the permits. One that holds them waits for its own,
    /// without a permit.
    ///
    /// # Errors
    /// 429/4290 when none got free in time.
    pub(super) async fn by_account(&self, account: &UserId) -> Result<(), ApiError> {
        self.account.replace(Some(account.clone()));
        let room = self.room();
        match room.try_share(account) {
            Some(share) => {
                if let Some((_, of_account)) = &mut *self.held.borrow_mut() {
                    *of_account = Some(share);
                }
                Ok(())
            }
            None => self.acquire_again().await,
        }
    }

    /// Waits for a body without a permit, and takes one for what is done with it.
    ///
    /// # Errors
    /// Those of `body`; 429/4290 when it is ended for a later one of its sender; 503/5003 when no permit got free in time.
    pub(super) async fn receive<T>(&self, body: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        self.release();
        let (pending, registration) = self.bodies.begin(self.sender());
        let body = self.receiving(Abortable::new(body, registration)).await;
        drop(pending);
        let body = body.map_err(|_| too_many(TOO_MANY_BODIES))??;
        self.acquire_again().await?;
        Ok(body)
    }

    /// The same for an upload, which is worked on while it arrives: it gives back the permit it was authenticated with, and holds
    /// one of the uploads until it is answered.
    ///
    /// # Errors
    /// As [`Admission::by_account`]; 503/5003 when no permit got free in time.
    pub(super) async fn begin_upload(&self) -> Result<(), ApiError> {
        if let Some(uploads) = &self.uploads {
            self.room.replace(Rc::clone(uploads));
        }
        self.acquire_again().await
    }

    /// Awaits what depends on the caller's bytes. One that takes too long is the caller's failure, not ours.
    pub(super) async fn receiving<T>(&self, body: impl Future<Output = T>) -> T {
        self.is_receiving.set(true);
        let body = body.await;
        self.is_receiving.set(false);
        body
    }

    /// Whether the request waits for its caller's bytes.
    pub(super) fn is_receiving(&self) -> bool {
        self.is_receiving.get()
    }

    /// Gives the permit back.
    pub(super) fn release(&self) {
        self.held.take();
    }

    async fn acquire_again(&self) -> Result<(), ApiError> {
        self.release();
        let (room, account) = (self.room(), self.account.borrow().clone());
        // The account's first: who waits for that holds nothing that others need.
        let share = match &account {
            Some(account) => Some(room.share(account).await.ok_or_else(|| too_many(TOO_MANY_REQUESTS))?),
            None => None,
        };
        let place = room.enter().await.ok_or_else(ApiError::unavailable)?;
        self.held.replace(Some((place, share)));
        Ok(())
    }

    fn room(&self) -> Rc<Room> {
        Rc::clone(&self.room.borrow())
    }

    fn sender(&self) -> Sender {
        match &*self.account.borrow() {
            Some(account) => Sender::Account(account.clone()),
            None => Sender::Network(self.network),
        }
    }
}

fn too_many(message: &'static str) -> ApiError {
    ApiError::new(Failure::TooManyAttempts, message).retry_after(RETRY_LATER)
}
