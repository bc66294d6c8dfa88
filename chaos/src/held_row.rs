//! A row that an operator's transaction holds, and what its own terminal and all others notice of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::join_all;
use pos_terminal::Terminal;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use crate::act::Stage;
use crate::fleet::{Device, Shown, Slot};
use crate::ledger::{Excused, Underway};
use crate::model::{Call, Outcome};
use crate::postgres::Postgres;
use crate::replica::Replica;
use crate::terminals;

/// How long a change of any other device may take meanwhile, on a machine that is not busy. Below the time a row is held.
const OTHERS: Duration = Duration::from_secs(2);

/// The least time for which the row is held.
const HELD: Duration = Duration::from_secs(4);

/// Holds the row of one device while its terminal asks for codes at every server.
pub(crate) async fn hold(
    stage: &Arc<Stage>,
    postgres: &Postgres,
    lasting: Duration,
    random: &mut StdRng,
) -> anyhow::Result<String> {
    // One that shows a code, so that asking for another changes its row.
    let devices: Vec<_> = stage.fleet.slots.iter().map(Slot::device).collect();
    let showing: Vec<_> = devices.iter().filter(|device| device.shown().is_some() && !device.is_unsettled()).collect();
    let device = showing.choose(random).copied().or_else(|| devices.first()).context("no device")?.clone();
    let excuse = stage.ledger.excuse(Excused::Device(device.id.clone()));
    let mut client = postgres.client().await?;
    let transaction = client.transaction().await?;
    transaction.execute("SELECT 1 FROM devices WHERE device_id = $1 FOR UPDATE", &[&device.id]).await?;
    stage.ledger.watch_changes(Some((device.id.clone(), OTHERS)));
    let transport = terminals::transport()?;
    let asking = stage.replicas.iter().flat_map(|replica| [replica, replica]).map(|replica| {
        let (stage, device, transport) = (stage.clone(), device.clone(), transport.clone());
        let replica = replica.clone();
        tokio::spawn(async move {
            let terminal = Terminal::builder(&replica.url, &device.id).transport(transport);
            let terminal = terminal.app_version("1.4.2").os("Android 12").model("PAX-A920").build()?;
            ask(&stage, &device, &replica, &terminal).await;
            anyhow::Ok(())
        })
    });
    let asking: Vec<_> = asking.collect();
    let held = lasting.max(HELD);
    tokio::time::sleep(held).await;
    stage.ledger.watch_changes(None);
    transaction.rollback().await?;
    for asked in join_all(asking).await {
        asked??;
    }
    stage.ledger.calm(excuse);
    Ok(format!("{:.1} s", held.as_secs_f64()))
}

async fn ask(stage: &Stage, device: &Device, replica: &Replica, terminal: &Terminal) {
    let sent = device.send(Call::Issue, replica);
    let error = match terminal.request_pairing_code().await {
        Ok(code) => {
            stage.ledger.count("pairing code of a held row", "200");
            let first = stage.fleet.given_out(code.symbols(), &device.id);
            device.hear(sent, Outcome::Issued, replica, &stage.ledger);
            device.show(Some(Shown { call: sent.id, symbols: code.symbols().to_owned() }).filter(|_| first));
            return;
        }
        Err(error) => error,
    };
    let underway = Underway {
        call: "pairing code of a held row",
        about: &format!("{} at {}", device.id, replica.name),
        server: &replica.name,
        device: Some(&device.id),
        sent: sent.at,
        server_was_down: replica.was_down(sent.at),
    };
    let refused = stage.ledger.failed(underway, error);
    match refused.as_deref().map(|error| (error.http_status, error.code.as_str())) {
        None => device.lose(sent, replica),
        Some((400, "4220")) => device.hear(sent, Outcome::AlreadyClaimed, replica, &stage.ledger),
        Some((404, "4004")) => device.hear(sent, Outcome::Unknown, replica, &stage.ledger),
        Some((status, code)) => {
            let what = format!("pairing code of the held {}: answered {status} {code}", device.id);
            stage.ledger.violation(what, device.checker().history());
            device.lose(sent, replica);
        }
    }
}
