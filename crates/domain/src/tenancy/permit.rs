use super::{Relation, Role};

/// Something that is done to a merchant or to one of its devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Link a terminal to the merchant by its pairing code.
    ClaimDevice,
    /// See the merchant's devices.
    ViewDevices,
    /// Make a device known for the merchant.
    ProvisionDevice,
    /// Change what is kept of a device, such as its location.
    EditDevice,
    /// Take a device back to inactive.
    ReleaseDevice,
    /// Take a device out of use for good.
    DecommissionDevice,
    /// Read what happened to the merchant's devices.
    ViewEvents,
    /// Make the merchant known.
    CreateMerchant,
    /// See the merchant.
    ViewMerchant,
    /// Change what is kept of the merchant.
    EditMerchant,
    /// Give an inactive device from this merchant to another, or to this one from another. Both ends are asked.
    MoveDevice,
    /// Make many devices known for the merchant at once.
    ImportDevices,
    /// See the merchant's locations.
    ViewLocations,
    /// Make a location known for the merchant, or change what is kept of one.
    EditLocations,
}

/// Why something is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The merchant is none of the caller's business: it must look as if what was asked for did not exist (404).
    #[error("not found")]
    Hidden,
    /// The caller is known there and may not (403).
    #[error("not allowed")]
    Forbidden,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 14] = [
        Self::ClaimDevice,
        Self::ViewDevices,
        Self::ProvisionDevice,
        Self::EditDevice,
        Self::ReleaseDevice,
        Self::DecommissionDevice,
        Self::ViewEvents,
        Self::CreateMerchant,
        Self::ViewMerchant,
        Self::EditMerchant,
        Self::MoveDevice,
        Self::ImportDevices,
        Self::ViewLocations,
        Self::EditLocations,
    ];

    /// The least role that may do it in a relation; `None` when no role there may.
    fn least_role(self, relation: Relation) -> Option<Role> {
        match (relation, self) {
            (Relation::Stranger, _) => None,
            (_, Self::ViewDevices | Self::ViewEvents | Self::ViewMerchant | Self::ViewLocations) => Some(Role::Viewer),
            (_, Self::ProvisionDevice | Self::EditDevice | Self::ReleaseDevice | Self::EditLocations) => {
                Some(Role::Operator)
            }
            (_, Self::DecommissionDevice | Self::EditMerchant) => Some(Role::Admin),
            // The code stands on a screen in the merchant's shop, for the merchant to type.
            (Relation::Own, Self::ClaimDevice) => Some(Role::Operator),
            (Relation::Parent, Self::ClaimDevice) => None,
            (Relation::Own, Self::CreateMerchant | Self::MoveDevice | Self::ImportDevices) => None,
            (Relation::Parent, Self::MoveDevice | Self::ImportDevices) => Some(Role::Operator),
            (Relation::Parent, Self::CreateMerchant) => Some(Role::Admin),
        }
    }
}

/// Whether a member with this role, whose party stands in this relation to the merchant, may do it.
///
/// # Errors
/// [`Denial::Hidden`] for a stranger, but for [`Action::ClaimDevice`], whose documented answer is
/// [`Denial::Forbidden`]. [`Denial::Forbidden`] for everybody else who may not (contract, section 4).
pub fn permit(role: Role, relation: Relation, action: Action) -> Result<(), Denial> {
    match action.least_role(relation) {
        Some(least) if role >= least => Ok(()),
        Some(_) => Err(Denial::Forbidden),
        None if relation == Relation::Stranger && action != Action::ClaimDevice => Err(Denial::Hidden),
        None => Err(Denial::Forbidden),
    }
}
