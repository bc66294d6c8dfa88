//! In-memory store of sessions and authorization codes.

use std::collections::HashMap;

use time::OffsetDateTime;

use crate::tokens::Subject;

/// A user's log-in at a client; the same for every token of the session.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) subject: Subject,
    pub(crate) client_id: String,
    /// Space-separated, as granted.
    pub(crate) scope: String,
    pub(crate) nonce: Option<String>,
    pub(crate) started_at: OffsetDateTime,
}

/// The grant of an authorization code that has not been redeemed.
pub(crate) struct Grant {
    pub(crate) session: Session,
    pub(crate) redirect_uri: String,
    /// The S256 challenge (RFC 7636, section 4.2); `None` only for a confidential client that sent none.
    pub(crate) code_challenge: Option<String>,
    pub(crate) expires_at: OffsetDateTime,
}

#[derive(Default)]
pub(crate) struct Sessions {
    active: HashMap<String, (Session, OffsetDateTime)>,
    codes: HashMap<String, Code>,
}

enum Code {
    Pending(Box<Grant>),
    Redeemed { session_id: String, expires_at: OffsetDateTime },
}

impl Code {
    fn expires_at(&self) -> OffsetDateTime {
        match self {
            Self::Pending(grant) => grant.expires_at,
            Self::Redeemed { expires_at, .. } => *expires_at,
        }
    }
}

impl Sessions {
    /// Stores a session until `expires_at`, or extends a stored one.
    pub(crate) fn store(&mut self, session: Session, expires_at: OffsetDateTime, now: OffsetDateTime) {
        self.active.retain(|_, (_, end)| now < *end);
        self.active.insert(session.id.clone(), (session, expires_at));
    }

    pub(crate) fn get(&self, id: &str, now: OffsetDateTime) -> Option<Session> {
        self.active.get(id).filter(|(_, expires_at)| now < *expires_at).map(|(session, _)| session.clone())
    }

    /// Removes a session and returns it.
    pub(crate) fn end(&mut self, id: &str) -> Option<Session> {
        self.active.remove(id).map(|(session, _)| session)
    }

    pub(crate) fn put_code(&mut self, code: String, grant: Grant, now: OffsetDateTime) {
        self.codes.retain(|_, code| now < code.expires_at());
        self.codes.insert(code, Code::Pending(Box::new(grant)));
    }

    /// Redeems a code, once. A second attempt ends the session of the first, because the code may have been stolen (RFC
    /// 6749, section 4.1.2).
    pub(crate) fn redeem(&mut self, code: &str, now: OffsetDateTime) -> Option<Grant> {
        match self.codes.remove(code)? {
            Code::Pending(grant) => {
                let (session_id, expires_at) = (grant.session.id.clone(), grant.expires_at);
                self.codes.insert(code.to_owned(), Code::Redeemed { session_id, expires_at });
                (now < grant.expires_at).then_some(*grant)
            }
            Code::Redeemed { session_id, .. } => {
                self.end(&session_id);
                None
            }
        }
    }
}
