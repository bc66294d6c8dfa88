//! `demo` command: the whole pairing flow, without installation or set-up.

mod merchant;
mod narrator;
mod playground;

use pos_port_storage::device::DeviceHistory;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use pos_dev_idp::RunningDevIdp;
use pos_domain::shared::{AuditContext, DeviceId, MerchantId, Name, Party, Role, UserId};
use pos_domain::tenancy::Member;
use pos_terminal::{PairingCodeStatus, PairingStep, ShownCode, Status, Terminal};
use serde_json::json;
use uuid::Uuid;

use self::merchant::Merchant;
use self::narrator::Narrator;
use super::dev_idp;
use super::dev_idp::{AUDIENCE, MERCHANT, USER, demo_realm};
use super::migrate::ensure_schema;
use super::serve::stop_signals;
use crate::bind_error;
use crate::cli;
use crate::http_server::HttpServer;
use crate::output::note;
use crate::settings::Settings;
use crate::telemetry;
use crate::wiring::{AdminUseCases, Dependencies};

/// Runs `demo`: starts the issuer and the server, runs the flow, then keeps serving.
pub(super) async fn run(how: &cli::Demo) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let issuer = dev_idp::start(demo_realm()?, ([127, 0, 0, 1], 0).into()).await?;
    let settings = settings(folder.path(), issuer.issuer())?;
    let _log = telemetry::init(&settings.log)?;
    ensure_schema(&settings, true).await?;
    let server = HttpServer::start(listener(&how.bind)?, &Dependencies::real(settings.clone()).await?)?;
    let url = format!("http://{}", server.address());
    let admin = AdminUseCases::open(&settings).await?;
    populate(&admin).await?;
    let narrator = Arc::new(Narrator::default());
    narrator.text(&format!(
        "The server listens on {url}. Its data is in a temporary folder, and its tokens come from a development issuer in \
         the same process."
    ))?;
    let flow = show(&url, &issuer, &admin, &narrator).await;
    if how.once {
        server.abort().await;
        issuer.stop().await;
        return flow;
    }
    flow?;
    let spare = provision(&admin).await?;
    playground::explain(&url, issuer.issuer(), &spare).await?;
    let (first, second) = stop_signals()?;
    server.serve_until(first, second).await
}

/// Runs the flow step by step. Every step is checked; the first failed check is the error.
async fn show(
    url: &str,
    issuer: &RunningDevIdp,
    admin: &AdminUseCases,
    narrator: &Arc<Narrator>,
) -> anyhow::Result<()> {
    narrator.step("An operator provisions a terminal for a merchant")?;
    let device_id = provision(admin).await?;
    narrator.text(&format!("pos-server device add --merchant {MERCHANT}   →   {device_id}"))?;

    narrator.step("The terminal starts and sends its first request (bootstrap)")?;
    let terminal = Terminal::builder(url, device_id.as_str())
        .app_version("1.4.2")
        .os("Android 12")
        .model("PAX-A920")
        .wire_log(narrator.clone())
        .build()?;
    let hello = terminal.bootstrap().await?;
    ensure!(terminal.is_supported(&hello), "the terminal's app is too old for the server");

    narrator.step("It requests a pairing code and shows it")?;
    let mut pairing = terminal.pairing();
    let code = match pairing.next().await? {
        PairingStep::Code(code) => code,
        other => anyhow::bail!("expected a code, got {other:?}"),
    };
    narrator.screen(code.symbols());

    narrator.step("It polls every 3 to 5 seconds until a merchant has typed the code")?;
    let status = poll(&mut pairing).await?;
    ensure!(status.pairing_code_status == PairingCodeStatus::Pending, "expected a pending code: {status:?}");

    narrator.step("The merchant logs in to the back office, which initiates the session, and types the code")?;
    claim(url, issuer, &code, &device_id, narrator).await?;

    narrator.step("The terminal's next poll returns the claim")?;
    let status = poll(&mut pairing).await?;
    ensure!(status.is_claimed, "expected a claimed terminal: {status:?}");

    narrator.step("Every step is in the audit trail")?;
    let events = admin.storage.storage.events.events_of(&DeviceHistory::whole(&device_id)).await?;
    for event in &events {
        narrator.text(&format!("{}  {:<20} by {}", event.sequence, event.kind.as_str(), event.audit_context.actor))?;
    }
    ensure!(events.len() == 3, "expected three events");
    Ok(narrator.text("Done: the terminal is claimed.")?)
}

async fn poll(pairing: &mut pos_terminal::Pairing) -> anyhow::Result<Status> {
    match pairing.next().await? {
        PairingStep::Waiting(status) | PairingStep::Claimed(status) => Ok(status),
        other @ (PairingStep::Code(_) | PairingStep::Retrying { .. }) => {
            anyhow::bail!("expected a status, got {other:?}")
        }
    }
}

async fn claim(
    url: &str,
    issuer: &RunningDevIdp,
    code: &ShownCode,
    device_id: &DeviceId,
    narrator: &Narrator,
) -> anyhow::Result<()> {
    let merchant = Merchant::log_in(issuer.issuer()).await?;
    merchant.initiate(url, narrator).await?;
    let claimed = merchant.claim(url, code.symbols(), narrator).await?;
    let expected = json!({ "status": "claimed", "device_id": device_id.as_str() });
    ensure!(claimed == expected, "the claim returned {claimed}");
    Ok(())
}

/// Adds the merchant, and its user as a member.
async fn populate(admin: &AdminUseCases) -> anyhow::Result<()> {
    let merchant = MerchantId(Uuid::parse_str(MERCHANT)?);
    admin
        .use_cases
        .tenancy
        .directory
        .add_merchant(Name::parse("Corner Shop")?, None, Some(merchant), AuditContext::operator())
        .await?;
    let member = Member { user_id: UserId::parse(USER)?, party: Party::Merchant(merchant), role: Role::Admin };
    admin.use_cases.tenancy.members.add(member, AuditContext::operator()).await?;
    Ok(())
}

async fn provision(admin: &AdminUseCases) -> anyhow::Result<DeviceId> {
    let merchant = MerchantId(Uuid::parse_str(MERCHANT)?);
    let ids = admin.use_cases.fleet.provision.some(1, merchant, &AuditContext::operator()).await?;
    ids.into_iter().next().context("no device was provisioned")
}

fn settings(folder: &Path, issuer: &str) -> anyhow::Result<Settings> {
    let database = format!("sqlite://{}", folder.join("demo.db").display());
    let variables = [
        ("POS__DATABASE__URL", database.as_str()),
        ("POS__IDENTITY__ISSUER", issuer),
        ("POS__IDENTITY__AUDIENCE", AUDIENCE),
        ("POS__LOG__FORMAT", "pretty"),
        ("POS__LOG__LEVEL", "error"),
        ("POS__SHUTDOWN__GRACE_SECS", "1"),
    ];
    Ok(Settings::load(None, variables.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())))?)
}

/// Binds the requested address, or a free port if it is in use, so that the demo does not fail on a busy port.
fn listener(bind: &str) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(bind) {
        Err(taken) if taken.kind() == io::ErrorKind::AddrInUse => {
            note!("another process listens on {bind} already; taking a free port instead");
            TcpListener::bind("127.0.0.1:0").context("no port is free")
        }
        bound => bound.map_err(|error| anyhow::anyhow!(bind_error::explain(bind, "--bind", &error))),
    }
}
