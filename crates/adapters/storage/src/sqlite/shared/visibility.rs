//! Visibility of devices and merchants to a scope in SQLite.

use diesel::SqliteConnection;
use diesel::dsl::{exists, select};
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use pos_domain::shared::{DeviceId, MerchantId, Party, Scope};

use crate::engine_error::EngineError;
use crate::sqlite::schema::{devices, merchants};
use crate::visibility::visible_by_merchant;

/// The devices that are visible to a scope.
pub(crate) fn visible_devices(scope: Scope) -> devices::BoxedQuery<'static, Sqlite> {
    use devices::dsl;
    visible_by_merchant!(sqlite, dsl::devices.into_boxed(), scope, dsl::merchant_id)
}

/// Whether the merchant of a stored device is visible to a scope. True for an operator, even if the device does not exist.
pub(crate) fn is_device_visible(
    connection: &mut SqliteConnection,
    scope: Scope,
    id: &DeviceId,
) -> Result<bool, EngineError> {
    match scope {
        Scope::Operator => Ok(true),
        Scope::Of(_) => {
            let query = visible_devices(scope).filter(devices::device_id.eq(id.as_str().to_owned()));
            Ok(query.count().get_result::<i64>(connection)? == 1)
        }
    }
}

/// Whether a merchant exists and is visible to a scope.
pub(crate) fn is_merchant_visible(
    connection: &mut SqliteConnection,
    scope: Scope,
    merchant: MerchantId,
) -> Result<bool, EngineError> {
    let id = merchant.to_string();
    Ok(match scope {
        Scope::Of(Party::Merchant(own)) if own != merchant => false,
        Scope::Operator | Scope::Of(Party::Merchant(_)) => {
            select(exists(merchants::table.find(id))).get_result(connection)?
        }
        Scope::Of(Party::Reseller(parent)) => {
            let theirs = merchants::table.filter(merchants::reseller_id.eq(parent.to_string()));
            select(exists(theirs.find(id))).get_result(connection)?
        }
    })
}
