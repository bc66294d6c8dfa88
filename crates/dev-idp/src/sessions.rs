//! Who is logged in, and the codes that are under way.

use std::collections::HashMap;

use time::OffsetDateTime;

use crate::tokens::Subject;

/// What a log-in was for; the same for every token of a session.
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

/// What a code stands for, until it is redeemed.
pub(crate) struct Grant {
    pub(crate) session: Session,
    pub(crate) redirect_uri: String,
    /// The S256 challenge (RFC 7636, section 4.2); `None` only for a confidential client that sent none.
    pub(crate) code_challenge: Option<String>,
    pub(crate) expires_at: OffsetDateTime,
}

#[derive(Default)]
pub(crate) struct Sessions {
    live: HashMap<String, (Session, OffsetDateTime)>,
    codes: HashMap<String, Code>,
}

enum Code {
    Waiting(Box<Grant>),
    Redeemed { session_id: String, expires_at: OffsetDateTime },
}

impl Code {
    fn expires_at(&self) -> OffsetDateTime {
        match self {
            Self::Waiting(grant) => grant.expires_at,
            Self::Redeemed { expires_at, .. } => *expires_at,
        }
    }
}

impl Sessions {
    /// Keeps a session until `expires_at`; also what keeps one longer.
    pub(crate) fn keep(&mut self, session: Session, expires_at: OffsetDateTime, now: OffsetDateTime) {
        self.live.retain(|_, (_, end)| now < *end);
        self.live.insert(session.id.clone(), (session, expires_at));
    }

    pub(crate) fn get(&self, id: &str, now: OffsetDateTime) -> Option<Session> {
        self.live.get(id).filter(|(_, expires_at)| now < *expires_at).map(|(session, _)| session.clone())
    }

    /// Ends a session, and answers what it was.
    pub(crate) fn end(&mut self, id: &str) -> Option<Session> {
        self.live.remove(id).map(|(session, _)| session)
    }

    pub(crate) fn put_code(&mut self, code: String, grant: Grant, now: OffsetDateTime) {
        self.codes.retain(|_, code| now < code.expires_at());
        self.codes.insert(code, Code::Waiting(Box::new(grant)));
    }

    /// Redeems a code, once. The second attempt ends the session of the first, because somebody has stolen the code
    /// (RFC 6749, section 4.1.2).
    pub(crate) fn redeem(&mut self, code: &str, now: OffsetDateTime) -> Option<Grant> {
        match self.codes.remove(code)? {
            Code::Waiting(grant) => {
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
