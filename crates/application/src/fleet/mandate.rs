use pos_domain::{
    Act, Action, Actor, CallContext, Denial, Member, Merchant, MerchantId, Party, Relation, Role, Scope, permit,
};

use super::FleetError;

/// Who acts, on whose behalf, and in whose affairs: one merchant's, or those of all that the scope sees.
#[derive(Debug, Clone)]
pub struct Mandate {
    act: Act,
    scope: Scope,
    /// An operator has none, and may do everything.
    standing: Option<Standing>,
    /// Only in this merchant's affairs.
    merchant: Option<MerchantId>,
}

#[derive(Debug, Clone, Copy)]
struct Standing {
    role: Role,
    relation: Relation,
}

impl Mandate {
    /// Somebody at the command line, in everybody's affairs.
    #[must_use]
    pub fn operator() -> Self {
        Self { act: Act::operator(), scope: Scope::Operator, standing: None, merchant: None }
    }

    /// A member who calls from `context`: a merchant's in its own affairs, a reseller's in those of all its merchants
    /// until it is [narrowed](Mandate::over) to one.
    #[must_use]
    pub fn of(member: &Member, context: CallContext) -> Self {
        let relation = match member.party {
            Party::Merchant(_) => Relation::Own,
            Party::Reseller(_) => Relation::Parent,
        };
        Self {
            act: context.by(Actor::User(member.user_id.clone())),
            scope: Scope::Of(member.party),
            standing: Some(Standing { role: member.role, relation }),
            merchant: member.party.merchant(),
        }
    }

    /// The same, in the affairs of this merchant only. Whoever is a stranger to it may do nothing there.
    #[must_use]
    pub fn over(self, merchant: &Merchant) -> Self {
        let narrowed = |standing: Standing| match self.scope {
            Scope::Operator => standing,
            Scope::Of(party) => Standing { relation: Relation::of(party, merchant.id, merchant.reseller), ..standing },
        };
        Self { standing: self.standing.map(narrowed), merchant: Some(merchant.id), ..self }
    }

    /// Whether an act is permitted.
    ///
    /// # Errors
    /// [`FleetError::Forbidden`] when the role is too low or the party may not do it at all,
    /// [`FleetError::UnknownMerchant`] when the merchant is none of the party's.
    pub fn permit(&self, action: Action) -> Result<(), FleetError> {
        let Some(Standing { role, relation }) = self.standing else {
            return Ok(());
        };
        permit(role, relation, action).map_err(|denial| match denial {
            Denial::Forbidden => FleetError::Forbidden,
            Denial::Hidden => FleetError::UnknownMerchant,
        })
    }

    /// Whose affairs the store is to show.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Who acts, from where and by which call: for the record.
    #[must_use]
    pub fn act(&self) -> &Act {
        &self.act
    }

    /// The one merchant whose affairs these are, when it is one.
    #[must_use]
    pub fn merchant_id(&self) -> Option<MerchantId> {
        self.merchant
    }

    /// Whether something of this merchant's is within the mandate.
    pub(super) fn covers(&self, merchant_id: MerchantId) -> bool {
        self.merchant.is_none_or(|only| only == merchant_id)
    }

    /// Who acts, when it is a party and not an operator.
    pub(super) fn party(&self) -> Option<Party> {
        match self.scope {
            Scope::Operator => None,
            Scope::Of(party) => Some(party),
        }
    }
}
