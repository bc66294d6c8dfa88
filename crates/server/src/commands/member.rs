use anyhow::Context as _;
use pos_application::ManageMembersError;
use pos_domain::{Act, GrantId, Member, Membership, UserId};
use pos_port_storage::GrantError;
use serde_json::{Value, json};

use super::listing;
use super::migrate::ensure_schema;
use crate::cli;
use crate::output::{confirm, note, say};
use crate::settings::Settings;
use crate::wiring::Back;

/// `member …`: says which users act for whom.
pub(super) async fn run(settings: &Settings, what: cli::Member) -> anyhow::Result<()> {
    ensure_schema(settings, true).await?;
    let back = Back::open(settings).await?;
    let done = match what {
        cli::Member::Add { user, of, role } => {
            let member = Member { user_id: subject(&user)?, party: of.party()?, role };
            let before = back.members.add(member.clone(), Act::operator()).await.map_err(|error| match error {
                ManageMembersError::NotGiven(GrantError::UnknownParty) => {
                    anyhow::anyhow!(listing::unknown(member.party))
                }
                other => other.into(),
            })?;
            let Member { user_id, party, role } = &member;
            match before.map(|before| before.member.role) {
                None => confirm!("{user_id} is {role} of {party}")?,
                Some(same) if same == *role => say!("{user_id} is {role} of {party} already, nothing to do")?,
                Some(other) => {
                    confirm!("{user_id} is {role} of {party}, and was {other}; the sessions it had there are over")?;
                }
            }
            note!(
                "its tokens must name the {kind} (the claim {kind}_id unless set otherwise) and the role {kind}-{role} \
                 or a higher one; next: POST /session/initiate",
                kind = party.kind()
            );
            Ok(())
        }
        cli::Member::Remove { user, of } => {
            let (user_id, party) = (subject(&user)?, of.party()?);
            let removed = back.members.remove(party, &user_id, Act::operator()).await;
            removed.with_context(|| format!("{user_id} at {party}; `pos-server member list` shows those there are"))?;
            confirm!("{user_id} is no member of {party} any more; its sessions there are over")
        }
        cli::Member::List { of, page } => {
            let after = listing::after(&page)?.map(GrantId);
            let members = back.storage.storage.members.list(of.scope(), after, page.limit).await?;
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
    back.seal_after(done).await
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
