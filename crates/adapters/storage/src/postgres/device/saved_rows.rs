//! Transitions as arrays of column values, one element of each array for each transition.

use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Binary, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use pos_domain::device::Transition;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::statements::Input;
use crate::rows::audit::{client_ip_text, trace_text};
use crate::rows::reader::signed;
use crate::rows::saved_device::{SavedDevice, saved_device_columns};

type Id = Uuid;
type Instant = OffsetDateTime;
type SqlId = SqlUuid;
type SqlInstant = Timestamptz;

/// Defines a row, its arrays, and the names of its columns.
macro_rules! arrays {
    ($arrays:ident of $row:ty { $($column:ident: $sql:ty = $native:ty,)+ }) => {
        #[derive(Default)]
        struct $arrays {
            $($column: Vec<$native>,)+
        }

        impl $arrays {
            const COLUMNS: &[&str] = &[$(stringify!($column)),+];

            fn push(&mut self, row: $row) {
                $(self.$column.push(row.$column);)+
            }

            fn bind<'b>(&'b self, input: &mut Input<'_, 'b>) -> QueryResult<()> {
                $(input.bind::<Array<$sql>, _>(stringify!($column), &self.$column)?;)+
                Ok(())
            }
        }
    };
}

macro_rules! device_arrays {
    ($($columns:tt)+) => { arrays! { DeviceArrays of SavedDevice<Id, Instant> { $($columns)+ } } };
}

saved_device_columns!(device_arrays);

/// What a transition writes beside its device: the event and the past code. The event has the device's version as its
/// sequence, and its merchant and hash.
struct SavedEvent {
    device_id: String,
    expected: i64,
    at: Instant,
    actor: String,
    client_ip: Option<String>,
    trace_id: Option<String>,
    kind: &'static str,
    ended_code: Option<String>,
    ended_as: Option<&'static str>,
    ended_at: Option<Instant>,
}

arrays! {
    EventArrays of SavedEvent {
        device_id: Text = String,
        expected: BigInt = i64,
        at: Timestamptz = Instant,
        actor: Text = String,
        client_ip: Nullable<Text> = Option<String>,
        trace_id: Nullable<Text> = Option<String>,
        kind: Text = &'static str,
        ended_code: Nullable<Text> = Option<String>,
        ended_as: Nullable<Text> = Option<&'static str>,
        ended_at: Nullable<Timestamptz> = Option<Instant>,
    }
}

impl From<&Transition> for SavedEvent {
    fn from(transition: &Transition) -> Self {
        let (event, ended) = (transition.event(), transition.past_code());
        Self {
            device_id: transition.device().id().as_str().to_owned(),
            expected: signed(transition.expected_version()),
            at: event.at,
            actor: event.audit_context.actor.to_string(),
            client_ip: client_ip_text(&event.audit_context),
            trace_id: trace_text(&event.audit_context),
            kind: event.kind.as_str(),
            ended_code: ended.map(|ended| ended.code.as_str().to_owned()),
            ended_as: ended.map(|ended| ended.end.as_str()),
            ended_at: ended.map(|ended| ended.at),
        }
    }
}

/// The transitions of one statement.
#[derive(Default)]
pub(crate) struct SavedRows {
    events: EventArrays,
    devices: DeviceArrays,
}

impl SavedRows {
    pub(crate) fn of<'t>(transitions: impl Iterator<Item = &'t Transition>) -> Self {
        let mut rows = Self::default();
        for transition in transitions {
            rows.events.push(transition.into());
            rows.devices.push(transition.into());
        }
        rows
    }

    /// Binds the arrays under the names of [`Self::columns`].
    pub(crate) fn bind<'b>(&'b self, input: &mut Input<'_, 'b>) -> QueryResult<()> {
        self.events.bind(input)?;
        self.devices.bind(input)
    }

    /// The columns, in the order in which they are bound.
    pub(crate) fn columns() -> String {
        [EventArrays::COLUMNS, DeviceArrays::COLUMNS].concat().join(", ")
    }

    /// The assignments of an `UPDATE devices … FROM free`.
    pub(crate) fn assignments() -> String {
        DeviceArrays::COLUMNS.iter().map(|column| format!("{column} = free.{column}")).collect::<Vec<_>>().join(", ")
    }
}
