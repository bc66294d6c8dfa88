//! `member` commands: users that act for a merchant or a reseller.

use anyhow::Context as _;
use pos_application::tenancy::ManageMembersError;
use pos_domain::shared::{AuditContext, GrantId, UserId};
use pos_domain::tenancy::{Member, Membership};
use pos_port_storage::tenancy::GrantError;
use serde_json::{Value, json};

use super::listing;
use super::migrate::ensure_schema;
use crate::cli;
use crate::output::{confirm, note, out};
use crate::settings::Settings;
use crate::wiring::AdminUseCases;

/// Runs `member …`.
pub(super) async fn run(settings: &Settings, what: cli::Member) -> anyhow::Result<()> {
    ensure_schema(settings, true).await?;
    let admin = AdminUseCases::open(settings).await?;
    let done = match what {
        cli::Member::Add { user, of, role } => {
            let member = Member { user_id: subject(&user)?, party: of.party()?, role };
            let before = admin.use_cases.tenancy.members.add(member.clone(), AuditContext::operator()).await.map_err(
                |error| match error {
                    ManageMembersError::NotGiven(GrantError::UnknownParty) => {
                        anyhow::anyhow!(listing::unknown(member.party))
                    }
                    other => other.into(),
                },
            )?;
            let Member { user_id, party, role } = &member;
            match before.map(|before| before.member.role) {
                None => confirm!("{user_id} is {role} of {party}")?,
                Some(same) if same == *role => out!("{user_id} is {role} of {party} already, nothing to do")?,
                Some(other) => {
                    confirm!("{user_id} is {role} of {party}, and was {other}; its sessions there have ended")?;
                }
            }
            note!(
                "its tokens must contain the {kind} (claim {kind}_id by default) and the role {kind}-{role} or a higher \
                 one; next: POST /session/initiate",
                kind = party.kind()
            );
            Ok(())
        }
        cli::Member::Remove { user, of } => {
            let (user_id, party) = (subject(&user)?, of.party()?);
            let removed = admin.use_cases.tenancy.members.remove(party, &user_id, AuditContext::operator()).await;
            removed.with_context(|| {
                format!("{user_id} at {party}; `pos-server member list` lists the existing members")
            })?;
            confirm!("{user_id} is no longer a member of {party}; its sessions there have ended")
        }
        cli::Member::List { of, page } => {
            let after = listing::after(&page)?.map(GrantId);
            let members = admin.storage.storage.members.list(of.scope(), after, page.limit).await?;
            let rows = members.iter().map(describe).collect::<anyhow::Result<Vec<_>>>()?;
            let columns = [
                ("MEMBERSHIP", 36, "membership_id"),
                ("MERCHANT", 36, "merchant_id"),
                ("RESELLER", 36, "reseller_id"),
                ("ROLE", 8, "role"),
                ("USER", 0, "user_id"),
            ];
            listing::print(&rows, &columns, &page, "membership_id")
        }
    };
    admin.append_checkpoints_after(done).await
}

fn subject(text: &str) -> anyhow::Result<UserId> {
    UserId::parse(text).with_context(|| format!("--user {text:?}"))
}

fn describe(membership: &Membership) -> anyhow::Result<Value> {
    let fields = json!({
        "membership_id": membership.grant.to_string(),
        "user_id": membership.member.user_id.as_str(),
        "role": membership.member.role.as_str(),
        "created_at": listing::rfc3339(membership.created_at)?,
    });
    Ok(listing::with(fields, listing::describe(membership.member.party)))
}
