//! `demo`: the whole flow on a machine where nothing is installed and nothing is set up.

mod merchant;
mod narrator;
mod playground;

use pos_port_storage::History;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use pos_dev_idp::RunningDevIdp;
use pos_domain::{Act, DeviceId, Member, MerchantId, Name, Party, Role, UserId};
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
use crate::wiring::{Back, Parts};

/// `demo`: issuer, server, device, flow; then serving on.
pub(super) async fn run(how: &cli::Demo) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let issuer = dev_idp::start(demo_realm()?, ([127, 0, 0, 1], 0).into()).await?;
    let settings = settings(folder.path(), issuer.issuer())?;
    let _log = telemetry::init(&settings.log)?;
    ensure_schema(&settings, true).await?;
    let server = HttpServer::start(listener(&how.bind)?, &Parts::real(settings.clone()).await?)?;
    let url = format!("http://{}", server.address());
    let back = Back::open(&settings).await?;
    populate(&back).await?;
    let narrator = Arc::new(Narrator::default());
    narrator.say(&format!(
        "The server listens on {url}. Everything it keeps is in a temporary folder, and its tokens come from a \
         development issuer in the same process."
    ))?;
    let flow = show(&url, &issuer, &back, &narrator).await;
    if how.once {
        server.abort().await;
        issuer.stop().await;
        return flow;
    }
    flow?;
    let spare = provision(&back).await?;
    playground::explain(&url, issuer.issuer(), &spare).await?;
    let (first, second) = stop_signals()?;
    server.serve_until(first, second).await
}

/// The flow, step by step; every step is checked, and the first that does not hold is the error.
async fn show(url: &str, issuer: &RunningDevIdp, back: &Back, narrator: &Arc<Narrator>) -> anyhow::Result<()> {
    narrator.step("An operator provisions a terminal for a merchant")?;
    let device_id = provision(back).await?;
    narrator.say(&format!("pos-server device add --merchant {MERCHANT}   →   {device_id}"))?;

    narrator.step("The terminal is switched on and says hello (bootstrap)")?;
    let terminal = Terminal::builder(url, device_id.as_str())
        .app_version("1.4.2")
        .os("Android 12")
        .model("PAX-A920")
        .wire_log(narrator.clone())
        .build()?;
    let hello = terminal.bootstrap().await?;
    ensure!(terminal.is_supported(&hello), "the terminal's app is too old for the server");

    narrator.step("It asks for a pairing code and shows it")?;
    let mut pairing = terminal.pairing();
    let code = match pairing.next().await? {
        PairingStep::Code(code) => code,
        other => anyhow::bail!("a code was expected, not {other:?}"),
    };
    narrator.screen(code.symbols());

    narrator.step("It polls until a merchant has typed the code, every 3 to 5 seconds")?;
    let status = poll(&mut pairing).await?;
    ensure!(status.pairing_code_status == PairingCodeStatus::Pending, "the code should be pending: {status:?}");

    narrator.step("The merchant logs in to the back office, which initiates the session, and types the code")?;
    claim(url, issuer, &code, &device_id, narrator).await?;

    narrator.step("The terminal's next poll sees it")?;
    let status = poll(&mut pairing).await?;
    ensure!(status.is_claimed, "the terminal should be claimed: {status:?}");

    narrator.step("All of it is on record")?;
    let events = back.storage.storage.events.events_of(&History::whole(&device_id)).await?;
    for event in &events {
        narrator.say(&format!("{}  {:<20} by {}", event.sequence, event.kind.as_str(), event.act.actor))?;
    }
    ensure!(events.len() == 3, "three events were expected");
    Ok(narrator.say("It held: the terminal is claimed.")?)
}

async fn poll(pairing: &mut pos_terminal::Pairing) -> anyhow::Result<Status> {
    match pairing.next().await? {
        PairingStep::Waiting(status) | PairingStep::Claimed(status) => Ok(status),
        other @ (PairingStep::Code(_) | PairingStep::Trouble { .. }) => {
            anyhow::bail!("a status was expected, not {other:?}")
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
    let wanted = json!({ "status": "claimed", "device_id": device_id.as_str() });
    ensure!(claimed == wanted, "the claim answered {claimed}");
    Ok(())
}

/// The merchant, and its user as a member.
async fn populate(back: &Back) -> anyhow::Result<()> {
    let merchant = MerchantId(Uuid::parse_str(MERCHANT)?);
    back.directory.add_merchant(Name::parse("Corner Shop")?, None, Some(merchant), Act::operator()).await?;
    let member = Member { user_id: UserId::parse(USER)?, party: Party::Merchant(merchant), role: Role::Admin };
    back.members.add(member, Act::operator()).await?;
    Ok(())
}

async fn provision(back: &Back) -> anyhow::Result<DeviceId> {
    let merchant = MerchantId(Uuid::parse_str(MERCHANT)?);
    let ids = back.provision.some(1, merchant, &Act::operator()).await?;
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

/// The wished address, or any free port when somebody else has it: a demo should not fail on that.
fn listener(bind: &str) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(bind) {
        Err(taken) if taken.kind() == io::ErrorKind::AddrInUse => {
            note!("another process listens on {bind} already; taking a free port instead");
            TcpListener::bind("127.0.0.1:0").context("no port is free")
        }
        bound => bound.map_err(|error| anyhow::anyhow!(bind_error::explain(bind, "--bind", &error))),
    }
}
