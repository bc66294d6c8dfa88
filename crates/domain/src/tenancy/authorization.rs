//! Authorization table: the least role for each action and relation.

use crate::shared::Role;
use crate::tenancy::Relation;

/// An action on a merchant or on one of its devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Claim a device for the merchant by its pairing code.
    ClaimDevice,
    /// List and read the merchant's devices.
    ViewDevices,
    /// Provision a device for the merchant.
    ProvisionDevice,
    /// Update a device's details, such as its location.
    EditDevice,
    /// Release a device (back to inactive).
    ReleaseDevice,
    /// Decommission a device permanently.
    DecommissionDevice,
    /// Read the events of the merchant's devices.
    ViewEvents,
    /// Create the merchant.
    CreateMerchant,
    /// Read the merchant.
    ViewMerchant,
    /// Update the merchant.
    EditMerchant,
    /// Transfer an inactive device between this merchant and another. Both merchants are checked.
    TransferDevice,
    /// Import devices for the merchant.
    ImportDevices,
    /// List and read the merchant's locations.
    ViewLocations,
    /// Create or update a location of the merchant.
    EditLocations,
}

/// Why an action is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The merchant is outside the caller's scope: the response must be the same as if it did not exist (404).
    #[error("not found")]
    Hidden,
    /// The merchant is visible to the caller, but the role does not allow the action (403).
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
        Self::TransferDevice,
        Self::ImportDevices,
        Self::ViewLocations,
        Self::EditLocations,
    ];

    /// Returns the least role that may perform the action in a relation; `None` if no role may.
    fn least_role(self, relation: Relation) -> Option<Role> {
        match (relation, self) {
            (Relation::Stranger, _) => None,
            (_, Self::ViewDevices | Self::ViewEvents | Self::ViewMerchant | Self::ViewLocations) => Some(Role::Viewer),
            (_, Self::ProvisionDevice | Self::EditDevice | Self::ReleaseDevice | Self::EditLocations) => {
                Some(Role::Operator)
            }
            (_, Self::DecommissionDevice | Self::EditMerchant) => Some(Role::Admin),
            // The code is displayed in the merchant's shop, so only the merchant's own users type it.
            (Relation::Own, Self::ClaimDevice) => Some(Role::Operator),
            (Relation::Parent, Self::ClaimDevice) => None,
            (Relation::Own, Self::CreateMerchant | Self::TransferDevice | Self::ImportDevices) => None,
            (Relation::Parent, Self::TransferDevice | Self::ImportDevices) => Some(Role::Operator),
            (Relation::Parent, Self::CreateMerchant) => Some(Role::Admin),
        }
    }
}

/// Checks whether a member with this role, whose party is in this relation to the merchant, may perform the action.
///
/// # Errors [`Denial::Hidden`] for a stranger, except for [`Action::ClaimDevice`], whose documented response is
/// [`Denial::Forbidden`]. [`Denial::Forbidden`] in all other cases (contract, section 4).
pub fn authorize(role: Role, relation: Relation, action: Action) -> Result<(), Denial> {
    match action.least_role(relation) {
        Some(least) if role >= least => Ok(()),
        Some(_) => Err(Denial::Forbidden),
        None if relation == Relation::Stranger && action != Action::ClaimDevice => Err(Denial::Hidden),
        None => Err(Denial::Forbidden),
    }
}
