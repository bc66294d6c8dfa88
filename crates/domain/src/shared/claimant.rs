//! The user who claims a device, and the merchant on whose behalf.

use super::{MerchantId, UserId};

/// Author of a claim: a user who acts for a merchant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// The merchant the user acts for.
    pub merchant_id: MerchantId,
    /// The user.
    pub user_id: UserId,
}
