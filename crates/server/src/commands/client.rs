use std::error::Error;

use anyhow::Context as _;
use pos_application::{ManageClientsError, NewSecret};
use pos_domain::{Act, ApiClient, ApiClientId};
use pos_port_storage::GrantError;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::listing;
use super::migrate::ensure_schema;
use crate::cli;
use crate::output::{confirm, note, say};
use crate::settings::Settings;
use crate::wiring::Back;

/// `client …`: makes API clients, gives them other secrets, revokes them, shows them.
pub(super) async fn run(settings: &Settings, what: cli::Client) -> anyhow::Result<()> {
    ensure_schema(settings, true).await?;
    let back = Back::open(settings).await?;
    let done = match what {
        cli::Client::Add { of, role, id } => {
            let (party, id) = (of.party()?, id.as_deref().map(client_id).transpose()?);
            let mut shown = false;
            let added = back.clients.add(id, party, role, Act::operator(), |new| reveal(new, &mut shown)).await;
            let added = added.map_err(|error| match error {
                ManageClientsError::NotGiven(GrantError::UnknownParty) => anyhow::anyhow!(listing::unknown(party)),
                ManageClientsError::NotGiven(GrantError::Taken) => {
                    anyhow::anyhow!("the client id is taken; `pos-server client list` shows those there are")
                }
                other => other.into(),
            });
            let added = or_void(added, shown)?;
            note!(
                "the client is {role} of {party}. The secret is shown only now.\nnext, at the identity provider: make \
                 a confidential client with this id and this secret that may use the client-credentials grant \
                 (Keycloak: `kcadm.sh create clients -r REALM -s clientId={id} -s secret=THE_SECRET -s \
                 publicClient=false -s serviceAccountsEnabled=true -s standardFlowEnabled=false`), and have its tokens \
                 name this server's audience; then: POST /client/session",
                id = added.client_id
            );
            Ok(())
        }
        cli::Client::Rotate { client_id: id } => {
            let mut shown = false;
            let rotated = back.clients.rotate(&client_id(&id)?, Act::operator(), |new| reveal(new, &mut shown)).await;
            or_void(rotated.with_context(|| known(&id)), shown)?;
            note!(
                "the secret before is void and the client's sessions are over. The new one is shown only now.\nnext, \
                 at the identity provider: give the client {id} this secret (Keycloak: `kcadm.sh update clients/UUID \
                 -r REALM -s secret=THE_SECRET`), or it is let in no more"
            );
            Ok(())
        }
        cli::Client::Revoke { client_id: id } => {
            back.clients.revoke(&client_id(&id)?, Act::operator()).await.with_context(|| known(&id))?;
            confirm!("{id} is revoked for good; its sessions are over")?;
            note!("next, at the identity provider: remove the client {id}, so that it gets no tokens any more");
            Ok(())
        }
        cli::Client::List { of, page } => {
            let after = page.after.as_deref().map(client_id).transpose()?;
            let clients = back.storage.storage.clients.list(of.scope(), after.as_ref(), page.limit).await?;
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
    back.seal_after(done).await
}

/// Shows a secret, before it is stored.
fn reveal(new: &NewSecret, shown: &mut bool) -> Result<(), Box<dyn Error + Send + Sync>> {
    say!("client_id={}\nclient_secret={}", new.client_id, new.secret.expose_secret())?;
    *shown = true;
    Ok(())
}

/// Says of a secret that was shown and not stored that it opens nothing.
fn or_void<T>(stored: anyhow::Result<T>, shown: bool) -> anyhow::Result<T> {
    if shown { stored.context("the secret above was not stored and opens nothing") } else { stored }
}

fn client_id(text: &str) -> anyhow::Result<ApiClientId> {
    ApiClientId::parse(text).with_context(|| format!("client id {text:?}"))
}

fn known(id: &str) -> String {
    format!("{id}; `pos-server client list` shows those there are")
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
