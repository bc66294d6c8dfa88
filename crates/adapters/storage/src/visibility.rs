//! Filters for the rows that a scope may see, shared by both engines.

/// Filters a boxed query by its merchant column: the operator sees all rows, a merchant its own, a reseller those of its
/// merchants.
macro_rules! visible_by_merchant {
    ($engine:ident, $query:expr, $scope:expr, $merchant_id:expr) => {{
        use crate::rows::reader::NativeMerchant as _;
        use crate::$engine::schema::{Id, merchants};
        match $scope {
            pos_domain::shared::Scope::Operator => $query,
            pos_domain::shared::Scope::Of(pos_domain::shared::Party::Merchant(own)) => {
                $query.filter($merchant_id.eq(Id::of(own.0)))
            }
            pos_domain::shared::Scope::Of(pos_domain::shared::Party::Reseller(parent)) => {
                let theirs = merchants::table.filter(merchants::reseller_id.eq(Id::of(parent.0)));
                $query.filter($merchant_id.eq_any(theirs.select(merchants::merchant_id)))
            }
        }
    }};
}

/// Filters a boxed query by the columns `merchant_id` and `reseller_id` of its table: a party sees the rows with its own id.
macro_rules! visible_by_party {
    ($engine:ident, $query:expr, $scope:expr, $table:ident) => {{
        use crate::rows::reader::NativeMerchant as _;
        use crate::$engine::schema::{Id, $table};
        match $scope {
            pos_domain::shared::Scope::Operator => $query,
            pos_domain::shared::Scope::Of(pos_domain::shared::Party::Merchant(own)) => {
                $query.filter($table::merchant_id.eq(Id::of(own.0)))
            }
            pos_domain::shared::Scope::Of(pos_domain::shared::Party::Reseller(parent)) => {
                $query.filter($table::reseller_id.eq(Id::of(parent.0)))
            }
        }
    }};
}

pub(crate) use {visible_by_merchant, visible_by_party};
