//! The middleware that traces and measures calls: a span below the caller's trace, the number of
//! open calls, and duration by status.

mod code;
mod notes;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::{KeyValue, StringValue, Value};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::Code;
use tonic::body::Body;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::around::{Answer, Around};
use crate::{metrics, proto};
use code::name;
pub use notes::CallNotes;
use notes::{NOTES, Notes};

/// Name for methods outside of the contract, because a client may call any path.
const OTHER: &str = "_OTHER";
/// Prefix of the methods that get spans. Health checks get none, because they would drown the
/// others.
const TRACED: &str = "tidegauge.v1.";

/// Measures and traces calls. Must be the outermost layer.
#[derive(Clone, Debug)]
pub(crate) struct Calls(Arc<Instruments>);

#[derive(Debug)]
struct Instruments {
    duration: Histogram<f64>,
    open: UpDownCounter<i64>,
    rows: Counter<u64>,
    /// Known methods by path, without the leading slash.
    methods: HashMap<String, StringValue>,
}

impl Calls {
    /// Creates the instruments for the methods of the contract and of the health service.
    #[must_use]
    pub(crate) fn new(meter: &Meter) -> Self {
        let files = [proto::FILE_DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET];
        let methods = files.into_iter().flat_map(methods).map(|name| (name.clone(), name.into()));
        let duration = metrics::CALL_DURATION.histogram(meter);
        let open = metrics::CALLS_OPEN.up_down(meter);
        let rows = metrics::ROWS.counter(meter);
        Self(Arc::new(Instruments { duration, open, rows, methods: methods.collect() }))
    }
}

/// Returns the full names of the methods in an encoded `FileDescriptorSet`.
fn methods(descriptors: &[u8]) -> Vec<String> {
    let files = FileDescriptorSet::decode(descriptors).unwrap_or_default().file;
    let services = files
        .iter()
        .flat_map(|file| file.service.iter().map(move |service| (file.package(), service)));
    let names = services.flat_map(|(package, service)| {
        service
            .method
            .iter()
            .map(move |method| format!("{package}.{}/{}", service.name(), method.name()))
    });
    names.collect()
}

impl Around for Calls {
    fn call(&self, request: Request<Body>, inside: impl FnOnce(Request<Body>) -> Answer) -> Answer {
        let call = Call::begin(&self.0, request.uri().path(), request.headers());
        let span = call.span.clone();
        let notes = CallNotes(Some(Arc::clone(&call.notes)));
        let response = NOTES.sync_scope(notes.clone(), || span.in_scope(|| inside(request)));
        let answer = async move {
            let response = response.await?;
            let mut call = call;
            call.look_at(response.headers());
            Ok(response.map(|body| watched(body, call)))
        };
        Box::pin(NOTES.scope(notes, answer.instrument(span)))
    }
}

/// Wraps a response body to read the status in its trailers. The call ends when the body is
/// dropped.
fn watched(body: Body, mut call: Call) -> Body {
    Body::new(body.map_frame(move |frame| {
        if let Some(trailers) = frame.trailers_ref() {
            call.look_at(trailers);
        }
        frame
    }))
}

/// One call. Its metrics are recorded when it is dropped.
struct Call {
    notes: Arc<Notes>,
    began: Instant,
    /// CANCELLED until the response has a status.
    status: Code,
    span: Span,
}

impl Call {
    fn begin(instruments: &Arc<Instruments>, path: &str, headers: &HeaderMap) -> Self {
        let method =
            instruments.methods.get(path.trim_start_matches('/')).cloned().unwrap_or(OTHER.into());
        let span =
            if method.as_str().starts_with(TRACED) { span(&method, headers) } else { Span::none() };
        instruments
            .open
            .add(1, &[KeyValue::new(metrics::RPC_METHOD, Value::String(method.clone()))]);
        let notes = Notes::new(instruments, method);
        Self { notes: Arc::new(notes), began: Instant::now(), status: Code::Cancelled, span }
    }

    /// Reads the status from trailers, or from the headers of a response without a body.
    fn look_at(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get("grpc-status") {
            self.status = Code::from_bytes(code.as_bytes());
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let status = name(self.status);
        let instruments = &self.notes.instruments;
        let ([method, granularity], known) = self.notes.attributes();
        instruments.open.add(-1, std::slice::from_ref(&method));
        let system = KeyValue::new(metrics::RPC_SYSTEM_NAME, "grpc");
        let attributes = [method, system, KeyValue::new(metrics::RPC_STATUS, status), granularity];
        instruments.duration.record(self.began.elapsed().as_secs_f64(), &attributes[..known + 2]);
        self.span.record("rpc.response.status_code", status);
        let is_fault = matches!(
            self.status,
            Code::Unknown | Code::Internal | Code::Unavailable | Code::DataLoss
        );
        if is_fault || matches!(self.status, Code::DeadlineExceeded | Code::Unimplemented) {
            self.span.record("otel.status_code", "ERROR").record("error.type", status);
        }
    }
}

/// Returns the span of a call, below the caller's span in the header `traceparent`.
fn span(method: &StringValue, headers: &HeaderMap) -> Span {
    let span = tracing::debug_span!(
        "call",
        otel.name = method.as_str(),
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        rpc.system.name = "grpc",
        rpc.method = method.as_str(),
        rpc.response.status_code = tracing::field::Empty,
        error.type = tracing::field::Empty,
    );
    if !span.is_disabled() {
        // Fails only if spans are not exported, in which case no parent is needed.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&Headers(headers)));
    }
    span
}

struct Headers<'h>(&'h HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
