use std::collections::BTreeSet;
use std::sync::Arc;

use pos_domain::{Act, Action, Device, DeviceDetails, DeviceId, MerchantId, Scope, Transition};
use pos_port_clock::{Clock, Entropy};
use pos_port_storage::{CreateDevicesError, FleetRepository, StorageError};

use super::{Created, FleetError, KeyedCall, Mandate, answers};
use crate::MAX_ATTEMPTS;

/// How many devices one transaction stores.
const BATCH: usize = 1_000;

/// Makes terminals known to the system, for a merchant.
pub struct ProvisionDevices {
    fleet: Arc<dyn FleetRepository>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// A terminal that is to be made known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDevice {
    /// The merchant it is for.
    pub merchant_id: MerchantId,
    /// The name it left the factory with; a fresh one is drawn when there is none.
    pub id: Option<DeviceId>,
    /// What is kept of it.
    pub details: DeviceDetails,
}

impl ProvisionDevices {
    /// Provisions devices whose ids are drawn from `entropy`.
    #[must_use]
    pub fn new(fleet: Arc<dyn FleetRepository>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { fleet, clock, entropy }
    }

    /// Provisions one device; a call with a key provisions it once, however often it is sent.
    ///
    /// # Errors
    /// [`FleetError`]; [`FleetError::Taken`] when another device has the id that is asked for, whoever's it is.
    pub async fn one(
        &self,
        mandate: &Mandate,
        new: &NewDevice,
        call: Option<KeyedCall<'_, Device>>,
    ) -> Result<Created<Device>, FleetError> {
        mandate.permit(Action::ProvisionDevice)?;
        if !mandate.covers(new.merchant_id) {
            return Err(FleetError::UnknownMerchant);
        }
        let now = self.clock.now();
        if let Some(earlier) = answers::earlier(call.as_ref(), mandate, now).await? {
            return Ok(earlier);
        }
        for _ in 0..MAX_ATTEMPTS {
            let id = new.id.clone().unwrap_or_else(|| DeviceId::from_bits(self.entropy.bits()));
            let transition = Device::provision(id, new.merchant_id, new.details.clone(), mandate.act().clone(), now);
            let once = answers::once(call.as_ref(), mandate, transition.device(), now)?;
            let created = self.fleet.create(mandate.scope(), std::slice::from_ref(&transition), once.as_ref()).await;
            match created {
                Ok(()) => {
                    let device = transition.into_device();
                    let (id, merchant_id, actor) = (device.id(), new.merchant_id, &mandate.act().actor);
                    tracing::info!(device_id = %id, %merchant_id, %actor, "device provisioned");
                    return Ok(Created::Now(device));
                }
                Err(CreateDevicesError::Answered(kept)) => return answers::told_again(call.as_ref(), kept),
                Err(CreateDevicesError::UnknownMerchant) => return Err(FleetError::UnknownMerchant),
                Err(CreateDevicesError::UnknownLocation) => {
                    let place = new.details.location_id;
                    return Err(place.map_or(FleetError::Contended, FleetError::NoSuchPlace));
                }
                Err(CreateDevicesError::Taken(_)) if new.id.is_some() => return Err(FleetError::Taken),
                Err(CreateDevicesError::Taken(_)) => {}
                Err(CreateDevicesError::Storage(error)) => return Err(error.into()),
            }
        }
        Err(FleetError::Contended)
    }

    /// Provisions at most `count` devices under fresh ids, as many as fit one transaction, and answers their ids. Call
    /// again for the rest. For an operator.
    ///
    /// # Errors
    /// [`FleetError::UnknownMerchant`] or [`FleetError::Storage`]; then none was provisioned.
    pub async fn some(&self, count: usize, merchant: MerchantId, by: &Act) -> Result<Vec<DeviceId>, FleetError> {
        let now = self.clock.now();
        let mut ids: BTreeSet<_> = (0..count.min(BATCH)).map(|_| DeviceId::from_bits(self.entropy.bits())).collect();
        loop {
            let new =
                |id: &DeviceId| Device::provision(id.clone(), merchant, DeviceDetails::default(), by.clone(), now);
            let devices: Vec<Transition> = ids.iter().map(new).collect();
            match self.fleet.create(Scope::Operator, &devices, None).await {
                Ok(()) => return Ok(ids.into_iter().collect()),
                Err(CreateDevicesError::Taken(taken)) => ids.retain(|id| !taken.contains(id)),
                Err(CreateDevicesError::UnknownMerchant) => return Err(FleetError::UnknownMerchant),
                Err(CreateDevicesError::Storage(error)) => return Err(error.into()),
                Err(other) => return Err(StorageError::Fault(other.into()).into()),
            }
        }
    }
}
