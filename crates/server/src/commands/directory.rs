//! `reseller` and `merchant` commands.

use anyhow::Context as _;
use pos_application::support::{Authorization, FleetError};
use pos_application::tenancy::ManageDirectoryError;
use pos_domain::shared::{AuditContext, MerchantId, Name, Party, ResellerId, Scope};
use pos_domain::tenancy::Merchant;
use pos_port_storage::tenancy::{AddPartyError, MerchantPage};
use serde_json::{Value, json};

use super::listing;
use super::migrate::ensure_schema;
use crate::cli;
use crate::output::{confirm, note};
use crate::settings::Settings;
use crate::wiring::AdminUseCases;

/// Runs `reseller …`.
pub(super) async fn resellers(settings: &Settings, what: cli::Reseller) -> anyhow::Result<()> {
    ensure_schema(settings, true).await?;
    let admin = AdminUseCases::open(settings).await?;
    let done = match what {
        cli::Reseller::Add { name, id } => {
            let id = id.map(ResellerId);
            let added =
                admin.use_cases.tenancy.directory.add_reseller(named(&name)?, id, AuditContext::operator()).await;
            let reseller = added.map_err(|error| match (&error, id) {
                (ManageDirectoryError::NotAdded(AddPartyError::Taken), Some(id)) => {
                    anyhow::anyhow!("reseller {id} exists already; `pos-server reseller list` shows it")
                }
                _ => error.into(),
            })?;
            confirm!("{}", reseller.id)?;
            note!(
                "reseller {:?} added; next: pos-server merchant add --name NAME --reseller {id}, pos-server member add \
                 --reseller {id} --user SUB --role admin",
                reseller.name.as_str(),
                id = reseller.id
            );
            Ok(())
        }
        cli::Reseller::List(page) => {
            let after = listing::after(&page)?.map(ResellerId);
            let resellers = admin.storage.storage.directory.list_resellers(after, page.limit).await?;
            let describe = |one: &pos_domain::tenancy::Reseller| -> anyhow::Result<Value> {
                Ok(json!({
                    "reseller_id": one.id.to_string(),
                    "name": one.name.as_str(),
                    "created_at": listing::rfc3339(one.created_at)?,
                }))
            };
            let rows = resellers.iter().map(describe).collect::<anyhow::Result<Vec<_>>>()?;
            let columns = [("RESELLER", 36, "reseller_id"), ("CREATED", 20, "created_at"), ("NAME", 0, "name")];
            listing::print(&rows, &columns, &page, "reseller_id")
        }
    };
    admin.append_checkpoints_after(done).await
}

/// Runs `merchant …`.
pub(super) async fn merchants(settings: &Settings, what: cli::Merchant) -> anyhow::Result<()> {
    ensure_schema(settings, true).await?;
    let admin = AdminUseCases::open(settings).await?;
    let done = match what {
        cli::Merchant::Add { name, reseller, id } => {
            let (reseller, id) = (reseller.map(ResellerId), id.map(MerchantId));
            let added = admin
                .use_cases
                .tenancy
                .directory
                .add_merchant(named(&name)?, reseller, id, AuditContext::operator())
                .await;
            let merchant = added.map_err(|error| explain(error, reseller, id))?;
            confirm!("{}", merchant.id)?;
            note!(
                "merchant {:?} added; next: pos-server member add --merchant {id} --user SUB --role admin, pos-server \
                 device add --merchant {id}",
                merchant.name.as_str(),
                id = merchant.id
            );
            Ok(())
        }
        cli::Merchant::Rename { merchant_id: id, name } => {
            let name = named(&name)?;
            let renamed =
                admin.use_cases.tenancy.merchants.update(&Authorization::operator(), MerchantId(id), Some(&name)).await;
            let merchant = renamed.map_err(|error| match error {
                FleetError::UnknownMerchant => anyhow::anyhow!(listing::unknown(Party::Merchant(MerchantId(id)))),
                other => other.into(),
            })?;
            confirm!("{} is now named {:?}", merchant.id, merchant.name.as_str())
        }
        cli::Merchant::List { reseller, page } => {
            let scope = reseller.map_or(Scope::Operator, |id| Scope::Of(Party::Reseller(ResellerId(id))));
            let request = MerchantPage { scope, after: listing::after(&page)?.map(MerchantId), limit: page.limit };
            let merchants = admin.storage.storage.directory.list_merchants(&request).await?;
            let rows = merchants.iter().map(describe).collect::<anyhow::Result<Vec<_>>>()?;
            let columns = [
                ("MERCHANT", 36, "merchant_id"),
                ("RESELLER", 36, "reseller_id"),
                ("CREATED", 20, "created_at"),
                ("NAME", 0, "name"),
            ];
            listing::print(&rows, &columns, &page, "merchant_id")
        }
    };
    admin.append_checkpoints_after(done).await
}

fn named(text: &str) -> anyhow::Result<Name> {
    Name::parse(text).with_context(|| format!("--name {text:?}"))
}

fn explain(error: ManageDirectoryError, reseller: Option<ResellerId>, id: Option<MerchantId>) -> anyhow::Error {
    match (&error, reseller, id) {
        (ManageDirectoryError::NotAdded(AddPartyError::UnknownReseller), Some(reseller), _) => {
            anyhow::anyhow!(listing::unknown(Party::Reseller(reseller)))
        }
        (ManageDirectoryError::NotAdded(AddPartyError::Taken), _, Some(id)) => {
            anyhow::anyhow!("merchant {id} exists already; `pos-server merchant list` shows it")
        }
        _ => error.into(),
    }
}

fn describe(merchant: &Merchant) -> anyhow::Result<Value> {
    Ok(json!({
        "merchant_id": merchant.id.to_string(),
        "reseller_id": merchant.reseller.map(|id| id.to_string()),
        "name": merchant.name.as_str(),
        "created_at": listing::rfc3339(merchant.created_at)?,
    }))
}
