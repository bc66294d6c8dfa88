//! Log context of the current request: trace id, route, client address, and the device, merchant and user it concerns.
//!
//! Every event logged during a request has these fields, in a span around it. Few requests log an event, and a span costs
//! one sixteenth of the processor time of a poll (docs/decisions/0056-measured-tuning.md). So the fields are stored here and
//! the span is created with the first event, unless spans are configured not to be lazy.

use std::cell::{OnceCell, RefCell};
use std::fmt::Display;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::http::Method;
use pos_domain::shared::{DeviceId, MerchantId, RequestContext, UserId};
use tracing::field::display;
use tracing::{Event, Span, Subscriber};
use tracing_subscriber::layer;

thread_local! {
    static CURRENT: RefCell<Option<Rc<CallLog>>> = const { RefCell::new(None) };
}

/// Log context of one request.
pub(crate) struct CallLog {
    context: RequestContext,
    method: Method,
    route: &'static str,
    device_id: OnceCell<DeviceId>,
    merchant_id: OnceCell<MerchantId>,
    user_id: OnceCell<UserId>,
    span: OnceCell<Span>,
}

impl CallLog {
    /// Creates the context of a new request. With `lazy` the span is created with the first event, else immediately.
    pub(crate) fn new(context: RequestContext, method: Method, route: &'static str, lazy: bool) -> Rc<Self> {
        let (device_id, merchant_id, user_id) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        let log = Self { context, method, route, device_id, merchant_id, user_id, span: OnceCell::new() };
        if !lazy {
            log.span.get_or_init(|| log.new_span());
        }
        Rc::new(log)
    }

    /// Runs `work` with this context as the current one of the thread.
    pub(crate) fn during<T>(self: &Rc<Self>, work: impl FnOnce() -> T) -> T {
        let _guard = CurrentGuard::begin(Rc::clone(self));
        work()
    }

    fn enter_span(&self) {
        let mut is_new = false;
        let span = self.span.get_or_init(|| {
            is_new = true;
            self.new_span()
        });
        if is_new {
            span.with_subscriber(|(id, subscriber)| subscriber.enter(id));
        }
    }

    /// At the highest level, so that no level filter disables it.
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

    fn record<T: Display>(&self, field: &OnceCell<T>, name: &'static str, value: T) {
        if let Some(span) = self.span.get() {
            span.record(name, display(&value));
        }
        let _ = field.set(value);
    }
}

/// Guard that makes a context the current one of the thread until it is dropped.
struct CurrentGuard;

impl CurrentGuard {
    fn begin(call: Rc<CallLog>) -> Self {
        if let Some(span) = call.span.get() {
            span.with_subscriber(|(id, subscriber)| subscriber.enter(id));
        }
        CURRENT.set(Some(call));
        Self
    }
}

impl Drop for CurrentGuard {
    fn drop(&mut self) {
        if let Some(span) = CURRENT.take().as_ref().and_then(|call| call.span.get()) {
            span.with_subscriber(|(id, subscriber)| subscriber.exit(id));
        }
    }
}

/// Calls `f` with the current context. Returns `None` outside a request.
fn with_current<T>(f: impl FnOnce(&CallLog) -> T) -> Option<T> {
    // `try_with`, because an event may be logged while the thread ends.
    CURRENT.try_with(|call| call.try_borrow().ok()?.as_deref().map(f)).ok().flatten()
}

/// Returns client address and trace id of the current request, for the audit trail.
pub(crate) fn context() -> RequestContext {
    with_current(|call| call.context).unwrap_or_default()
}

/// Tracing layer that enters the span of the current request before an event is recorded.
///
/// Add it before the layer that writes the log, and filters before both: a filter of a single layer would apply its
/// decision about the span to the event. It works with the global subscriber only, not with scoped ones.
#[derive(Debug, Clone, Copy)]
pub struct CallSpans;

impl<S: Subscriber> layer::Layer<S> for CallSpans {
    fn event_enabled(&self, _: &Event<'_>, _: layer::Context<'_, S>) -> bool {
        with_current(CallLog::enter_span);
        true
    }
}

/// Adds the device to the log context.
pub(crate) fn record_device(id: &DeviceId) {
    with_current(|call| call.record(&call.device_id, "device_id", id.clone()));
}

/// Adds the merchant to the log context.
pub(crate) fn record_merchant(id: MerchantId) {
    with_current(|call| call.record(&call.merchant_id, "merchant_id", id));
}

/// Adds the user to the log context.
pub(crate) fn record_user(id: &UserId) {
    with_current(|call| call.record(&call.user_id, "user_id", id.clone()));
}

/// Future that runs with a log context.
pub(crate) struct WithCallLog<F> {
    pub(crate) call: Rc<CallLog>,
    pub(crate) work: F,
}

impl<F: Future + Unpin> Future for WithCallLog<F> {
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
    struct SpanCounter(Arc<AtomicUsize>);

    impl<S: Subscriber> layer::Layer<S> for SpanCounter {
        fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: layer::Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_span_is_created_with_the_request_unless_spans_are_lazy() {
        for (lazy, spans) in [(true, 0), (false, 1)] {
            let created = SpanCounter::default();
            tracing::subscriber::with_default(tracing_subscriber::registry().with(created.clone()), || {
                let call = CallLog::new(RequestContext::default(), Method::GET, "/", lazy);
                call.during(|| record_device(&DeviceId::from_bits(1)));
            });
            assert_eq!(created.0.load(Ordering::Relaxed), spans, "lazy: {lazy}");
        }
    }
}
