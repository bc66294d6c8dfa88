//! `location` commands.

use anyhow::Context as _;
use pos_application::support::{FleetError, MerchantAuthorization};
use pos_domain::shared::{LocationId, MerchantId, Name, Party, Scope};
use pos_domain::tenancy::Location;
use pos_port_storage::tenancy::LocationPage;
use serde_json::{Value, json};

use super::listing;
use super::migrate::ensure_schema;
use crate::cli;
use crate::output::confirm;
use crate::settings::Settings;
use crate::wiring::AdminUseCases;

/// Runs `location …`.
pub(super) async fn run(settings: &Settings, what: cli::Location) -> anyhow::Result<()> {
    ensure_schema(settings, true).await?;
    let admin = AdminUseCases::open(settings).await?;
    let done = match what {
        cli::Location::Add { merchant, name } => {
            let (merchant, name) =
                (MerchantId(merchant), Name::parse(&name).with_context(|| format!("--name {name:?}"))?);
            let added = admin.use_cases.tenancy.locations.add(&MerchantAuthorization::operator(merchant), &name).await;
            confirm!("{}", added.map_err(|error| explain(error, merchant))?.id)
        }
        cli::Location::List { merchant, page } => {
            let request = LocationPage {
                scope: Scope::Operator,
                merchant_id: merchant.map(MerchantId),
                after: listing::after(&page)?.map(LocationId),
                limit: page.limit,
            };
            let locations = admin.storage.storage.locations.list_locations(&request).await?;
            let rows = locations.iter().map(describe).collect::<anyhow::Result<Vec<_>>>()?;
            let columns = [
                ("LOCATION", 36, "location_id"),
                ("MERCHANT", 36, "merchant_id"),
                ("CREATED", 20, "created_at"),
                ("NAME", 0, "name"),
            ];
            listing::print(&rows, &columns, &page, "location_id")
        }
    };
    admin.append_checkpoints_after(done).await
}

fn explain(error: FleetError, merchant: MerchantId) -> anyhow::Error {
    match error {
        FleetError::UnknownMerchant => anyhow::anyhow!(listing::unknown(Party::Merchant(merchant))),
        other => other.into(),
    }
}

fn describe(location: &Location) -> anyhow::Result<Value> {
    Ok(json!({
        "location_id": location.id.to_string(),
        "merchant_id": location.merchant_id.to_string(),
        "name": location.name.as_str(),
        "created_at": listing::rfc3339(location.created_at)?,
    }))
}
