//! Requests of terminals and claims of users, for tests.

use pos_domain::device::{PairingCode, UserAgent};
use pos_domain::shared::{Claimant, DeviceId, MerchantId, RequestContext, TraceId, UserId};
use pos_port_clock::Clock;

use crate::pairing::{CheckedStatus, ClaimAttempt, ClaimDeviceError, TerminalCall};
use crate::test_support::{MERCHANT, TestApp, new_device};

impl<C: Clock + 'static> TestApp<C> {
    /// Provisions a device for [`MERCHANT`], which it adds unless it exists. Returns a call of its terminal.
    pub async fn terminal(&self, id: &str) -> TerminalCall {
        self.ensure_merchant(MERCHANT).await;
        let call = terminal_call(id);
        self.provision(MERCHANT, &new_device(Some(call.device_id.clone()))).await;
        call
    }

    /// Issues a pairing code to a terminal.
    pub async fn code(&self, call: &TerminalCall) -> String {
        self.pairing.issue_pairing_code.execute(call).await.unwrap().code.as_str().to_owned()
    }

    /// Claims a device with a code.
    ///
    /// # Errors
    /// [`ClaimDeviceError`].
    pub async fn claim(&self, by: &Claimant, code: &str) -> Result<DeviceId, ClaimDeviceError> {
        self.pairing.claim_device.execute(by, &attempt(code)).await
    }

    /// The status that a terminal sees.
    pub async fn status(&self, call: &TerminalCall) -> CheckedStatus {
        self.pairing.check_status.execute(call).await.unwrap()
    }
}

/// A call of the terminal with this device id.
#[must_use]
pub fn terminal_call(id: &str) -> TerminalCall {
    TerminalCall {
        device_id: DeviceId::parse(id).unwrap(),
        agent: UserAgent::parse("Viopay-POS/1.4.2 (Android 12; PAX-A920)").unwrap(),
        context: request_from(1),
    }
}

/// The context of a request from the address with this number, and with this trace id.
#[must_use]
pub fn request_from(number: u8) -> RequestContext {
    let client_ip = Some(std::net::Ipv4Addr::new(198, 51, 100, number).into());
    RequestContext { client_ip, trace_id: TraceId::from_bits(number.into()) }
}

/// A claim with a code as a user types it. A malformed code is sent as none.
#[must_use]
pub fn attempt(code: &str) -> ClaimAttempt {
    ClaimAttempt { code: PairingCode::from_typed(code).ok(), device_id: None, context: request_from(2) }
}

/// A user of a merchant.
#[must_use]
pub fn claimant(merchant_id: MerchantId, name: &str) -> Claimant {
    Claimant { merchant_id, user_id: UserId::parse(name).unwrap() }
}
