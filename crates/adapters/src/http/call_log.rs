//! The call under way: where it came from, and what the log says of it: its trace id, its route, and whom it turned out to be
//! about.
//!
//! Each line that is written during a call carries that, in a span around it. Next to no call writes a line, and a span
//! costs a sixteenth of the processor time of a poll (docs/decisions/0056-measured-tuning.md). So what it would say is kept at
//! hand, and the span is made when the first line is, unless spans are asked for from the start.

use std::cell::{OnceCell, RefCell};
use std::fmt::Display;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::http::Method;
use pos_domain::{CallContext, DeviceId, MerchantId, UserId};
use tracing::field::display;
use tracing::{Event, Span, Subscriber};
use tracing_subscriber::layer;

thread_local! {
    static UNDER_WAY: RefCell<Option<Rc<CallLog>>> = const { RefCell::new(None) };
}

/// What the log says of one call.
pub(super) struct CallLog {
    context: CallContext,
    method: Method,
    route: &'static str,
    device_id: OnceCell<DeviceId>,
    merchant_id: OnceCell<MerchantId>,
    user_id: OnceCell<UserId>,
    span: OnceCell<Span>,
}

impl CallLog {
    /// A call that begins; with its span already, or `lazy`: without one until its first line.
    pub(super) fn new(context: CallContext, method: Method, route: &'static str, lazy: bool) -> Rc<Self> {
        let (device_id, merchant_id, user_id) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        let call = Self { context, method, route, device_id, merchant_id, user_id, span: OnceCell::new() };
        if !lazy {
            call.span.get_or_init(|| call.new_span());
        }
        Rc::new(call)
    }

    /// Does a piece of the call's work.
    pub(super) fn during<T>(self: &Rc<Self>, work: impl FnOnce() -> T) -> T {
        let _under_way = UnderWay::begin(Rc::clone(self));
        work()
    }

    fn enter(&self) {
        let mut is_new = false;
        let span = self.span.get_or_init(|| {
            is_new = true;
            self.new_span()
        });
        if is_new {
            span.with_subscriber(|(id, subscriber)| subscriber.enter(id));
        }
    }

    /// Of the highest level, so that whatever is logged has it.
    fn new_span(&self) -> Span {
        let Self { context, method, route, .. } = self;
        tracing::error_span!(
            "request",
            trace_id = context.trace_id.map(display),
            method = method.as_str(),
            route,
            device_id = self.device_id.get().map(DeviceId::as_str),
            merchant_id = self.merchant_id.get().map(display),
            user_id = self.user_id.get().map(UserId::as_str),
        )
    }

    fn note<T: Display>(&self, place: &OnceCell<T>, name: &'static str, value: T) {
        if let Some(span) = self.span.get() {
            span.record(name, display(&value));
        }
        let _ = place.set(value);
    }
}

/// A call whose work is being done on this thread.
struct UnderWay;

impl UnderWay {
    fn begin(call: Rc<CallLog>) -> Self {
        if let Some(span) = call.span.get() {
            span.with_subscriber(|(id, subscriber)| subscriber.enter(id));
        }
        UNDER_WAY.set(Some(call));
        Self
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(span) = UNDER_WAY.take().as_ref().and_then(|call| call.span.get()) {
            span.with_subscriber(|(id, subscriber)| subscriber.exit(id));
        }
    }
}

/// Nothing where no call is under way.
fn under_way<T>(act: impl FnOnce(&CallLog) -> T) -> Option<T> {
    // A line may be written while the thread ends.
    UNDER_WAY.try_with(|call| call.try_borrow().ok()?.as_deref().map(act)).ok().flatten()
}

/// Where the call comes from, for the audit trail.
pub(super) fn context() -> CallContext {
    under_way(|call| call.context).unwrap_or_default()
}

/// Sees that a line that is about to be written stands in the span of the call it belongs to. Whoever sets up the log puts
/// this before the layer that writes. A filter goes before both: one for a single layer would take the span for the line.
/// For the log of the whole process; a subscriber for a part of it gets no such spans.
#[derive(Debug, Clone, Copy)]
pub struct CallSpans;

impl<S: Subscriber> layer::Layer<S> for CallSpans {
    fn event_enabled(&self, _: &Event<'_>, _: layer::Context<'_, S>) -> bool {
        under_way(CallLog::enter);
        true
    }
}

/// The call is about this device.
pub(super) fn about_device(id: &DeviceId) {
    under_way(|call| call.note(&call.device_id, "device_id", id.clone()));
}

/// The call is about this merchant's affairs.
pub(super) fn about_merchant(id: MerchantId) {
    under_way(|call| call.note(&call.merchant_id, "merchant_id", id));
}

/// The call is this user's.
pub(super) fn by_user(id: &UserId) {
    under_way(|call| call.note(&call.user_id, "user_id", id.clone()));
}

/// The work of a call.
pub(super) struct Logged<F> {
    pub(super) call: Rc<CallLog>,
    pub(super) work: F,
}

impl<F: Future + Unpin> Future for Logged<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.call.during(|| Pin::new(&mut this.work).poll(context))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::span::{Attributes, Id};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct NewSpans(Arc<AtomicUsize>);

    impl<S: Subscriber> layer::Layer<S> for NewSpans {
        fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: layer::Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_span_is_made_with_the_call_unless_spans_are_lazy() {
        for (lazy, spans) in [(true, 0), (false, 1)] {
            let made = NewSpans::default();
            tracing::subscriber::with_default(tracing_subscriber::registry().with(made.clone()), || {
                let call = CallLog::new(CallContext::default(), Method::GET, "/", lazy);
                call.during(|| about_device(&DeviceId::from_bits(1)));
            });
            assert_eq!(made.0.load(Ordering::Relaxed), spans, "lazy: {lazy}");
        }
    }
}
