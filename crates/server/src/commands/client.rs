//! `client` commands: API clients and their secrets.

use std::error::Error;

use anyhow::Context as _;
use pos_application::tenancy::{ManageClientsError, NewSecret};
use pos_domain::shared::{ApiClientId, AuditContext};
use pos_domain::tenancy::ApiClient;
use pos_port_storage::tenancy::GrantError;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::listing;
use super::migrate::ensure_schema;
use crate::cli;
use crate::output::{confirm, note, out};
use crate::settings::Settings;
use crate::wiring::AdminUseCases;

/// Runs `client …`.
pub(super) async fn run(settings: &Settings, what: cli::Client) -> anyhow::Result<()> {
    ensure_schema(settings, true).await?;
    let admin = AdminUseCases::open(settings).await?;
    let done = match what {
        cli::Client::Add { of, role, id } => {
            let (party, id) = (of.party()?, id.as_deref().map(client_id).transpose()?);
            let mut shown = false;
            let added = admin
                .use_cases
                .tenancy
                .clients
                .add(id, party, role, AuditContext::operator(), |new| reveal(new, &mut shown))
                .await;
            let added = added.map_err(|error| match error {
                ManageClientsError::NotGiven(GrantError::UnknownParty) => anyhow::anyhow!(listing::unknown(party)),
                ManageClientsError::NotGiven(GrantError::Taken) => {
                    anyhow::anyhow!("the client id is taken; `pos-server client list` lists the existing clients")
                }
                other => other.into(),
            });
            let added = or_void(added, shown)?;
            note!(
                "the client is {role} of {party}. The secret is shown only now.\nnext, at the identity provider: create \
                 a confidential client with this id, this secret and the client-credentials grant \
                 (Keycloak: `kcadm.sh create clients -r REALM -s clientId={id} -s secret=THE_SECRET -s \
                 publicClient=false -s serviceAccountsEnabled=true -s standardFlowEnabled=false`), and add this \
                 server's audience to its tokens; then: POST /client/session",
                id = added.client_id
            );
            Ok(())
        }
        cli::Client::Rotate { client_id: id } => {
            let mut shown = false;
            let rotated = admin
                .use_cases
                .tenancy
                .clients
                .rotate(&client_id(&id)?, AuditContext::operator(), |new| reveal(new, &mut shown))
                .await;
            or_void(rotated.with_context(|| with_hint(&id)), shown)?;
            note!(
                "the old secret is void and the client's sessions have ended. The new secret is shown only now.\nnext, \
                 at the identity provider: set this secret for the client {id} (Keycloak: `kcadm.sh update clients/UUID \
                 -r REALM -s secret=THE_SECRET`); without that it cannot authenticate"
            );
            Ok(())
        }
        cli::Client::Revoke { client_id: id } => {
            admin
                .use_cases
                .tenancy
                .clients
                .revoke(&client_id(&id)?, AuditContext::operator())
                .await
                .with_context(|| with_hint(&id))?;
            confirm!("{id} is permanently revoked; its sessions have ended")?;
            note!("next, at the identity provider: remove the client {id}, so that it gets no more tokens");
            Ok(())
        }
        cli::Client::List { of, page } => {
            let after = page.after.as_deref().map(client_id).transpose()?;
            let clients = admin.storage.storage.clients.list(of.scope(), after.as_ref(), page.limit).await?;
            let rows = clients.iter().map(describe).collect::<anyhow::Result<Vec<_>>>()?;
            let columns = [
                ("CLIENT", 24, "client_id"),
                ("STATUS", 8, "status"),
                ("ROLE", 8, "role"),
                ("MERCHANT", 36, "merchant_id"),
                ("RESELLER", 36, "reseller_id"),
                ("CREATED", 0, "created_at"),
            ];
            listing::print(&rows, &columns, &page, "client_id")
        }
    };
    admin.append_checkpoints_after(done).await
}

/// Prints a secret before it is stored.
fn reveal(new: &NewSecret, shown: &mut bool) -> Result<(), Box<dyn Error + Send + Sync>> {
    out!("client_id={}\nclient_secret={}", new.client_id, new.secret.expose_secret())?;
    *shown = true;
    Ok(())
}

/// Adds to an error that a secret that was printed is not valid.
fn or_void<T>(stored: anyhow::Result<T>, shown: bool) -> anyhow::Result<T> {
    if shown { stored.context("the secret above was not stored and is not valid") } else { stored }
}

fn client_id(text: &str) -> anyhow::Result<ApiClientId> {
    ApiClientId::parse(text).with_context(|| format!("client id {text:?}"))
}

fn with_hint(id: &str) -> String {
    format!("{id}; `pos-server client list` lists the existing clients")
}

fn describe(client: &ApiClient) -> anyhow::Result<Value> {
    let fields = json!({
        "client_id": client.id.as_str(),
        "role": client.role.as_str(),
        "status": if client.revoked_at.is_some() { "revoked" } else { "active" },
        "created_at": listing::rfc3339(client.created_at)?,
        "revoked_at": client.revoked_at.map(listing::rfc3339).transpose()?,
    });
    Ok(listing::with(fields, listing::describe(client.party)))
}
