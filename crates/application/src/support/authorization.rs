//! Authorization of a request: the caller, its role, and the merchant it acts for.

use std::ops::Deref;

use pos_domain::shared::{Actor, AuditContext, MerchantId, Party, RequestContext, Role, Scope};
use pos_domain::tenancy::{Action, Denial, Member, Merchant, Relation, authorize};

use crate::support::FleetError;

/// Caller and permissions of a request: for one merchant, or for all merchants of the scope.
#[derive(Debug, Clone)]
pub struct Authorization {
    audit_context: AuditContext,
    scope: Scope,
    /// `None` for an operator, who may do everything.
    role_in_relation: Option<RoleInRelation>,
    /// If set, only this merchant is allowed.
    merchant: Option<MerchantId>,
}

/// Authorization for one merchant. What is created under it belongs to that merchant. It dereferences to the
/// [`Authorization`], for use cases that find the merchant in the store.
#[derive(Debug, Clone)]
pub struct MerchantAuthorization {
    authorization: Authorization,
    merchant_id: MerchantId,
}

#[derive(Debug, Clone, Copy)]
struct RoleInRelation {
    role: Role,
    relation: Relation,
}

impl Authorization {
    /// Authorization of an operator at the command line, for everything.
    #[must_use]
    pub fn operator() -> Self {
        Self { audit_context: AuditContext::operator(), scope: Scope::Operator, role_in_relation: None, merchant: None }
    }

    /// Authorization of a member: a merchant's for that merchant, a reseller's for all its merchants until it is
    /// [narrowed](Self::for_merchant) to one.
    #[must_use]
    pub fn of(member: &Member, context: RequestContext) -> Self {
        let relation = match member.party {
            Party::Merchant(_) => Relation::Own,
            Party::Reseller(_) => Relation::Parent,
        };
        Self {
            audit_context: context.with_actor(Actor::User(member.user_id.clone())),
            scope: Scope::Of(member.party),
            role_in_relation: Some(RoleInRelation { role: member.role, relation }),
            merchant: member.party.merchant(),
        }
    }

    /// Narrows the authorization to one merchant. A party without a relation to the merchant has no permission there.
    #[must_use]
    pub fn for_merchant(self, merchant: &Merchant) -> MerchantAuthorization {
        let narrowed = |role_in_relation: RoleInRelation| match self.scope {
            Scope::Operator => role_in_relation,
            Scope::Of(party) => {
                RoleInRelation { relation: Relation::of(party, merchant.id, merchant.reseller), ..role_in_relation }
            }
        };
        let role_in_relation = self.role_in_relation.map(narrowed);
        MerchantAuthorization::new(Self { role_in_relation, ..self }, merchant.id)
    }

    /// Checks that an action is permitted.
    ///
    /// # Errors
    /// [`FleetError::Forbidden`] if the role is too low or the kind of party may never do it,
    /// [`FleetError::UnknownMerchant`] if the merchant does not belong to the party.
    pub fn authorize(&self, action: Action) -> Result<(), FleetError> {
        let Some(RoleInRelation { role, relation }) = self.role_in_relation else {
            return Ok(());
        };
        authorize(role, relation, action).map_err(|denial| match denial {
            Denial::Forbidden => FleetError::Forbidden,
            Denial::Hidden => FleetError::UnknownMerchant,
        })
    }

    /// Scope for queries to the store.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Audit context of the request: actor, client IP and trace id.
    #[must_use]
    pub fn audit_context(&self) -> &AuditContext {
        &self.audit_context
    }

    /// The merchant of the authorization, if it is limited to one.
    #[must_use]
    pub fn merchant_id(&self) -> Option<MerchantId> {
        self.merchant
    }

    /// Whether this merchant is allowed.
    pub(crate) fn allows(&self, merchant_id: MerchantId) -> bool {
        self.merchant.is_none_or(|only| only == merchant_id)
    }

    /// Party of the caller; `None` for an operator.
    pub(crate) fn party(&self) -> Option<Party> {
        match self.scope {
            Scope::Operator => None,
            Scope::Of(party) => Some(party),
        }
    }
}

impl MerchantAuthorization {
    fn new(authorization: Authorization, merchant_id: MerchantId) -> Self {
        Self { authorization: Authorization { merchant: Some(merchant_id), ..authorization }, merchant_id }
    }

    /// Authorization of an operator at the command line, for one merchant. The store reports a merchant that does not exist.
    #[must_use]
    pub fn operator(merchant_id: MerchantId) -> Self {
        Self::new(Authorization::operator(), merchant_id)
    }

    /// Authorization of a merchant's member for that merchant; `None` for a reseller's member.
    #[must_use]
    pub fn of(member: &Member, context: RequestContext) -> Option<Self> {
        Some(Self::new(Authorization::of(member, context), member.party.merchant()?))
    }

    /// The merchant.
    #[must_use]
    pub fn merchant_id(&self) -> MerchantId {
        self.merchant_id
    }
}

impl Deref for MerchantAuthorization {
    type Target = Authorization;

    fn deref(&self) -> &Authorization {
        &self.authorization
    }
}
