//! Use case: provisioning of devices.

use std::collections::BTreeSet;
use std::sync::Arc;

use pos_domain::device::{Device, DeviceDetails, Transition};
use pos_domain::shared::{AuditContext, DeviceId, MerchantId, Scope};
use pos_domain::tenancy::Action;
use pos_port_clock::{Clock, Entropy};
use pos_port_storage::fleet::{CreateDevicesError, FleetRepository};
use pos_port_storage::shared::StorageError;

use crate::support::MAX_ATTEMPTS;
use crate::support::response::{self, Created};
use crate::support::{EncodedResponse, FleetError, MerchantAuthorization, ResponseEncoder};

/// Devices per transaction.
const BATCH: usize = 1_000;

/// Adds terminals of a merchant to the system.
pub struct ProvisionDevices {
    fleet: Arc<dyn FleetRepository>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// A terminal to provision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDevice {
    /// Device id from the factory; generated if `None`.
    pub id: Option<DeviceId>,
    /// Label and location.
    pub details: DeviceDetails,
}

impl ProvisionDevices {
    /// Creates the use case; device ids are generated from `entropy`.
    #[must_use]
    pub(crate) fn new(fleet: Arc<dyn FleetRepository>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { fleet, clock, entropy }
    }

    /// Provisions one device of the merchant.
    ///
    /// # Errors
    /// [`FleetError`]; [`FleetError::Taken`] if a device with this id exists, of whatever merchant.
    pub async fn one(&self, authorization: &MerchantAuthorization, new: &NewDevice) -> Result<Device, FleetError> {
        self.create(authorization, new, None).await?.into_created()
    }

    /// Like [`Self::one`], and returns the encoded response. A request with a key provisions the device once, however often
    /// it is repeated.
    ///
    /// # Errors
    /// As [`Self::one`]; [`FleetError::KeyReused`].
    pub async fn one_encoded(
        &self,
        authorization: &MerchantAuthorization,
        new: &NewDevice,
        encoder: ResponseEncoder<'_, Device>,
    ) -> Result<EncodedResponse, FleetError> {
        self.create(authorization, new, Some(&encoder)).await?.into_response()
    }

    async fn create(
        &self,
        authorization: &MerchantAuthorization,
        new: &NewDevice,
        encoder: Option<&ResponseEncoder<'_, Device>>,
    ) -> Result<Created<Device>, FleetError> {
        authorization.authorize(Action::ProvisionDevice)?;
        let (merchant_id, now) = (authorization.merchant_id(), self.clock.now());
        if let Some(earlier) = response::find_earlier(encoder, authorization, now).await? {
            return Ok(earlier);
        }
        for _ in 0..MAX_ATTEMPTS {
            let id = new.id.clone().unwrap_or_else(|| DeviceId::from_bits(self.entropy.bits()));
            let transition =
                Device::provision(id, merchant_id, new.details.clone(), authorization.audit_context().clone(), now);
            let encoded = response::encode(encoder, authorization, transition.device(), now)?;
            let created = self
                .fleet
                .create(authorization.scope(), std::slice::from_ref(&transition), encoded.record.as_ref())
                .await;
            match created {
                Ok(()) => {
                    let device = transition.into_device();
                    let (id, actor) = (device.id(), &authorization.audit_context().actor);
                    tracing::info!(device_id = %id, %merchant_id, %actor, "device provisioned");
                    return Ok(Created::New(device, encoded.body));
                }
                Err(CreateDevicesError::Answered(stored)) => return response::replay(encoder, stored),
                Err(CreateDevicesError::UnknownMerchant) => return Err(FleetError::UnknownMerchant),
                Err(refused @ CreateDevicesError::UnknownLocation) => {
                    let location = new.details.location_id;
                    let fault = || StorageError::Fault(refused.into()).into();
                    return Err(location.map_or_else(fault, FleetError::InvalidLocation));
                }
                Err(CreateDevicesError::Taken(_)) if new.id.is_some() => return Err(FleetError::Taken),
                Err(CreateDevicesError::Taken(_)) => {}
                Err(CreateDevicesError::Storage(error)) => return Err(error.into()),
            }
        }
        Err(FleetError::Contended)
    }

    /// Provisions up to `count` devices with generated ids, as many as fit one transaction, and returns their ids. The caller
    /// repeats it for the rest. For operators.
    ///
    /// # Errors
    /// [`FleetError::UnknownMerchant`] or [`FleetError::Storage`]; then no device was provisioned.
    pub async fn some(
        &self,
        count: usize,
        merchant: MerchantId,
        by: &AuditContext,
    ) -> Result<Vec<DeviceId>, FleetError> {
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
