//! Row types of resellers, merchants, grants and sessions, shared by both engines, and their conversion to domain types.

use diesel::Queryable;
use pos_domain::shared::{ApiClientId, FailureWindow, GrantId, Party, ResellerId, UserId};
use pos_domain::tenancy::{
    ApiClient, ClientApp, Member, Membership, Merchant, Reseller, SecretHash, Session, SessionKey, Slug, TokenKey,
};
use uuid::Uuid;

use crate::rows::reader::{CorruptRow, NativeInstant, NativeMerchant, Reader, id_text, uuid};

impl Reader {
    pub(crate) fn uuid(&self, column: &'static str, native: &impl NativeMerchant) -> Result<Uuid, CorruptRow> {
        self.read(column, uuid(native))
    }

    fn party<M: NativeMerchant>(&self, merchant: Option<M>, reseller: Option<M>) -> Result<Party, CorruptRow> {
        match (merchant, reseller) {
            (Some(id), None) => Ok(Party::Merchant(self.read("merchant_id", id.merchant())?)),
            (None, Some(id)) => Ok(Party::Reseller(ResellerId(self.uuid("reseller_id", &id)?))),
            (Some(_), Some(_)) | (None, None) => Err(self.corrupt("either merchant_id or reseller_id must be set")),
        }
    }

    fn user(&self, text: &str) -> Result<UserId, CorruptRow> {
        self.read("user_id", UserId::parse(text).ok())
    }
}

/// The columns `merchant_id` and `reseller_id` of a party.
pub(crate) fn party_columns(party: Party) -> (Option<Uuid>, Option<Uuid>) {
    (party.merchant().map(|id| id.0), party.reseller().map(|id| id.0))
}

/// A row of `resellers`, in the order of its columns.
#[derive(Queryable)]
pub(crate) struct ResellerRow<M, T> {
    reseller_id: M,
    name: String,
    created_at: T,
}

impl<M: NativeMerchant, T: NativeInstant> ResellerRow<M, T> {
    pub(crate) fn reseller(self) -> Result<Reseller, CorruptRow> {
        let reader = Reader { table: "resellers", row: id_text(&self.reseller_id) };
        Ok(Reseller {
            id: ResellerId(reader.uuid("reseller_id", &self.reseller_id)?),
            name: reader.name("name", &self.name)?,
            created_at: reader.instant("created_at", self.created_at)?,
        })
    }
}

/// A row of `merchants`, in the order of its columns.
#[derive(Queryable)]
pub(crate) struct MerchantRow<M, T> {
    merchant_id: M,
    reseller_id: Option<M>,
    name: String,
    created_at: T,
}

impl<M: NativeMerchant, T: NativeInstant> MerchantRow<M, T> {
    pub(crate) fn merchant(self) -> Result<Merchant, CorruptRow> {
        let reader = Reader { table: "merchants", row: id_text(&self.merchant_id) };
        Ok(Merchant {
            id: reader.read("merchant_id", self.merchant_id.merchant())?,
            reseller: reader.maybe("reseller_id", self.reseller_id, |id| uuid(&id).map(ResellerId))?,
            name: reader.name("name", &self.name)?,
            created_at: reader.instant("created_at", self.created_at)?,
        })
    }
}

/// A row of `memberships`, in the order of its columns.
#[derive(Queryable)]
pub(crate) struct MembershipRow<M, T> {
    grant_id: M,
    user_id: String,
    merchant_id: Option<M>,
    reseller_id: Option<M>,
    role: String,
    created_at: T,
}

impl<M: NativeMerchant, T: NativeInstant> MembershipRow<M, T> {
    pub(crate) fn membership(self) -> Result<Membership, CorruptRow> {
        let reader = Reader { table: "memberships", row: id_text(&self.grant_id) };
        Ok(Membership {
            grant: GrantId(reader.uuid("grant_id", &self.grant_id)?),
            member: Member {
                user_id: reader.user(&self.user_id)?,
                party: reader.party(self.merchant_id, self.reseller_id)?,
                role: reader.read("role", self.role.parse().ok())?,
            },
            created_at: reader.instant("created_at", self.created_at)?,
        })
    }
}

/// A row of `api_clients`, in the order of its columns.
#[derive(Queryable)]
pub(crate) struct ClientRow<M, T> {
    client_id: String,
    grant_id: M,
    merchant_id: Option<M>,
    reseller_id: Option<M>,
    role: String,
    secret_hash: String,
    created_at: T,
    revoked_at: Option<T>,
}

impl<M: NativeMerchant, T: NativeInstant> ClientRow<M, T> {
    pub(crate) fn client(self) -> Result<(ApiClient, SecretHash), CorruptRow> {
        let reader = Reader { table: "api_clients", row: self.client_id };
        let client = ApiClient {
            id: reader.read("client_id", ApiClientId::parse(&reader.row).ok())?,
            grant: GrantId(reader.uuid("grant_id", &self.grant_id)?),
            party: reader.party(self.merchant_id, self.reseller_id)?,
            role: reader.read("role", self.role.parse().ok())?,
            created_at: reader.instant("created_at", self.created_at)?,
            revoked_at: reader.maybe("revoked_at", self.revoked_at, T::instant)?,
        };
        Ok((client, SecretHash::of_phc(self.secret_hash)))
    }
}

/// A row of `sessions`, in the order of its columns, and the reseller of its merchant.
#[derive(Queryable)]
pub(crate) struct SessionRow<M, T> {
    session_key: String,
    grant_id: M,
    user_id: String,
    merchant_id: Option<M>,
    reseller_id: Option<M>,
    role: String,
    application: String,
    channel: String,
    client_id: Option<String>,
    token_issued_at: T,
    started_at: T,
    ends_at: T,
    token_key: Option<String>,
    merchants_reseller: Option<M>,
}

impl<M: NativeMerchant, T: NativeInstant> SessionRow<M, T> {
    pub(crate) fn session(self) -> Result<Session, CorruptRow> {
        // The key is not used: it would expose the session in the log.
        let reader = Reader { table: "sessions", row: format!("of grant {}", id_text(&self.grant_id)) };
        let party = reader.party(self.merchant_id, self.reseller_id)?;
        let slug = |column, text: &str| reader.read(column, Slug::parse(text).ok());
        let parent = reader.maybe("reseller_id", self.merchants_reseller, |id| uuid(&id).map(ResellerId))?;
        Ok(Session {
            key: reader.read("session_key", SessionKey::from_hex(&self.session_key).ok())?,
            grant: GrantId(reader.uuid("grant_id", &self.grant_id)?),
            member: Member {
                user_id: reader.user(&self.user_id)?,
                party,
                role: reader.read("role", self.role.parse().ok())?,
            },
            reseller: party.reseller().or(parent),
            client_app: ClientApp {
                application: slug("application", &self.application)?,
                channel: slug("channel", &self.channel)?,
            },
            client: reader.maybe("client_id", self.client_id, |id| ApiClientId::parse(&id).ok())?,
            token: reader.maybe("token_key", self.token_key, |key| TokenKey::from_hex(&key).ok())?,
            token_issued_at: reader.instant("token_issued_at", self.token_issued_at)?,
            started_at: reader.instant("started_at", self.started_at)?,
            ends_at: reader.instant("ends_at", self.ends_at)?,
        })
    }
}

/// A row of `client_failures`, in the order of its columns.
#[derive(Queryable)]
pub(crate) struct ClientFailureRow<T> {
    subject: String,
    window_started_at: T,
    failures: i64,
}

impl<T: NativeInstant> ClientFailureRow<T> {
    pub(crate) fn window(self) -> Result<FailureWindow, CorruptRow> {
        let reader = Reader { table: "client_failures", row: self.subject };
        Ok(FailureWindow {
            started_at: reader.instant("window_started_at", self.window_started_at)?,
            failures: reader.read("failures", u32::try_from(self.failures).ok())?,
        })
    }
}
