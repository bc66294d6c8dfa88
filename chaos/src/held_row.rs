//! Locked row: an operator's transaction locks one device's row while its terminal requests codes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::join_all;
use pos_terminal::Terminal;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use crate::fleet::{Device, DisplayedCode, Slot};
use crate::history::{CallInfo, FailureScope};
use crate::model::{Call, Outcome};
use crate::postgres::Postgres;
use crate::replica::Replica;
use crate::scenario::ScenarioContext;
use crate::terminals;

/// Latency limit for changes of all other devices meanwhile, on a machine that is not busy. Less than [`LEAST_LOCK`].
const OTHERS: Duration = Duration::from_secs(2);

/// Least duration of the lock.
const LEAST_LOCK: Duration = Duration::from_secs(4);

/// How the history counts the requests about the locked device.
const CALL: &str = "pairing code of a locked row";

/// Locks the row of one device while its terminal requests codes at every server.
pub(crate) async fn lock(
    context: &Arc<ScenarioContext>,
    postgres: &Postgres,
    lasting: Duration,
    random: &mut StdRng,
) -> anyhow::Result<String> {
    // A device that displays a code, so that a request for another code changes its row.
    let devices: Vec<_> = context.fleet.slots.iter().map(Slot::device).collect();
    let is_candidate = |device: &&Arc<Device>| device.displayed_code().is_some() && !device.is_unresolved();
    let candidates: Vec<_> = devices.iter().filter(is_candidate).collect();
    let device = candidates.choose(random).copied().or_else(|| devices.first()).context("no device")?.clone();
    let excuse = context.history.begin_excuse(FailureScope::Device(device.id.clone()));
    let mut client = postgres.client().await?;
    let transaction = client.transaction().await?;
    transaction.execute("SELECT 1 FROM devices WHERE device_id = $1 FOR UPDATE", &[&device.id]).await?;
    context.history.limit_changes(Some((device.id.clone(), OTHERS)));
    let transport = terminals::transport()?;
    let requests = context.replicas.iter().flat_map(|replica| [replica, replica]).map(|replica| {
        let (context, device, transport) = (context.clone(), device.clone(), transport.clone());
        let replica = replica.clone();
        tokio::spawn(async move {
            let terminal = Terminal::builder(&replica.url, &device.id).transport(transport);
            let terminal = terminal.app_version("1.4.2").os("Android 12").model("PAX-A920").build()?;
            request_code(&context, &device, &replica, &terminal).await;
            anyhow::Ok(())
        })
    });
    let requests: Vec<_> = requests.collect();
    let locked = lasting.max(LEAST_LOCK);
    tokio::time::sleep(locked).await;
    context.history.limit_changes(None);
    transaction.rollback().await?;
    for request in join_all(requests).await {
        request??;
    }
    context.history.end_excuse(excuse);
    Ok(format!("{:.1} s", locked.as_secs_f64()))
}

async fn request_code(context: &ScenarioContext, device: &Device, replica: &Replica, terminal: &Terminal) {
    let sent = device.begin(Call::Issue, replica);
    let error = match terminal.request_pairing_code().await {
        Ok(code) => {
            context.history.count(CALL, "200");
            let is_unique = context.fleet.record_code(code.symbols(), &device.id);
            device.check_response(sent, Outcome::Issued, replica, &context.history);
            let displayed = DisplayedCode { call: sent.id, symbols: code.symbols().to_owned() };
            device.display(Some(displayed).filter(|_| is_unique));
            return;
        }
        Err(error) => error,
    };
    let info = CallInfo {
        call: CALL,
        about: &format!("{} at {}", device.id, replica.name),
        server: &replica.name,
        device: Some(&device.id),
        sent: sent.at,
        server_was_down: replica.was_down(sent.at),
    };
    let refused = context.history.failed(info, error);
    match refused.as_deref().map(|error| (error.http_status, error.code.as_str())) {
        None => device.mark_lost(sent, replica),
        Some((400, "4220")) => device.check_response(sent, Outcome::AlreadyClaimed, replica, &context.history),
        Some((404, "4004")) => device.check_response(sent, Outcome::Unknown, replica, &context.history),
        Some((status, code)) => {
            let what = format!("{CALL} {}: answered {status} {code}", device.id);
            context.history.violation(what, device.checker().recent_calls());
            device.mark_lost(sent, replica);
        }
    }
}
