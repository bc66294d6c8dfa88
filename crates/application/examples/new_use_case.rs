//! New use case over existing ports: the number of devices by status.
//!
//! `cargo run -p pos-application --example new_use_case`. `docs/extending.md` includes the code between the markers.

mod support;

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use pos_application::UseCases;
use pos_application::fleet::NewDevice;
use pos_application::support::{Authorization, FleetError, MerchantAuthorization};
use pos_domain::device::{DeviceDetails, DeviceStatus};
use pos_domain::shared::{AuditContext, DeviceId, MerchantId, Name, Party, RequestContext, Role, TraceId, UserId};
use pos_domain::tenancy::{Action, Member};
use pos_port_storage::fleet::{DevicePage, FleetRepository};
use pos_port_storage::{InMemoryStore, Storage};

// example:begin
/// Counts devices by status.
struct CountDevices {
    fleet: Arc<dyn FleetRepository>,
}

/// Devices per page; few, so that the example needs several.
const PAGE: u32 = 2;

impl CountDevices {
    /// Counts the devices that the authorization allows.
    ///
    /// # Errors
    /// [`FleetError::Forbidden`], [`FleetError::UnknownMerchant`], [`FleetError::Storage`].
    async fn execute(&self, authorization: &Authorization) -> Result<HashMap<DeviceStatus, u64>, FleetError> {
        authorization.authorize(Action::ViewDevices)?;
        let mut counts = HashMap::new();
        let mut page =
            DevicePage { merchant_id: authorization.merchant_id(), ..DevicePage::first(authorization.scope(), PAGE) };
        loop {
            let devices = self.fleet.list(&page).await?;
            let Some(last) = devices.last() else { return Ok(counts) };
            page.after = Some(last.id().clone());
            for device in &devices {
                *counts.entry(device.status()).or_default() += 1;
            }
        }
    }
}
// example:end

// example:begin
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let storage = Storage::of(Arc::new(InMemoryStore::default()));
    let count = CountDevices { fleet: storage.fleet.clone() };
    let app = support::use_cases(storage);
    let merchant = provision(&app, "Corner Shop", &["POS-00001", "POS-00002", "POS-00003"]).await?;
    provision(&app, "Book Shop", &["POS-00004"]).await?;
    let operator = Authorization::operator();
    app.fleet.decommission.execute(&operator, &DeviceId::parse("POS-00002")?).await?;

    let viewer = Member { user_id: UserId::parse("ann")?, party: Party::Merchant(merchant), role: Role::Viewer };
    let viewer = Authorization::of(&viewer, RequestContext { client_ip: None, trace_id: TraceId::from_bits(1) });
    let own = HashMap::from([(DeviceStatus::Inactive, 2), (DeviceStatus::Decommissioned, 1)]);
    assert_eq!(count.execute(&viewer).await?, own);
    let all = HashMap::from([(DeviceStatus::Inactive, 3), (DeviceStatus::Decommissioned, 1)]);
    assert_eq!(count.execute(&operator).await?, all);
    Ok(())
}
// example:end

/// Adds a merchant with devices.
async fn provision(app: &UseCases, name: &str, ids: &[&str]) -> Result<MerchantId, Box<dyn Error>> {
    let merchant =
        app.tenancy.directory.add_merchant(Name::parse(name)?, None, None, AuditContext::operator()).await?.id;
    for id in ids {
        let new = NewDevice { id: Some(DeviceId::parse(id)?), details: DeviceDetails::default() };
        app.fleet.provision.one(&MerchantAuthorization::operator(merchant), &new).await?;
    }
    Ok(merchant)
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
