//! How much one client may take of a service: open calls, messages, points and bytes. A client is an identity or, without
//! identities, an address.
//!
//! A unary call over a limit is refused with RESOURCE_EXHAUSTED; a stream of messages is held back, which the client feels as
//! HTTP/2 flow control. Nothing here knows what a message says.

mod allowance;
mod body;
mod bucket;
mod call;
mod client;
mod framing;
mod layer;
mod over_limit;

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tokio::sync::Semaphore;

use crate::auth::ClientLimits;
use crate::config::QuotaConfig;
use crate::telemetry::Repeats;
use crate::{metrics, proto, status};
pub use call::{CallQuota, HeldBytes};
pub(crate) use client::network;
use client::{Clients, Limits, lock};
pub use over_limit::{Limit, OverLimit};

const PROBES: &str = "probe:";
const ADDRESSES: &str = "clientip:";
const SHARED_ADDRESS: &str = "; all devices behind this address count as one client, unless they have identities \
                              (TIDEGAUGE_IDENTITIES_FILE) or a proxy says whose each connection is \
                              (TIDEGAUGE_PROXY_PROTOCOL_FROM)";

/// What all clients have taken; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Quotas(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: QuotaConfig,
    clients: Mutex<Clients>,
    /// Free bytes of all clients together.
    bytes: Arc<Semaphore>,
    /// Paths of the methods to which a client sends a stream.
    streams: HashSet<String>,
    refusals: Counter<u64>,
}

impl Quotas {
    pub(crate) fn new(config: &QuotaConfig, meter: &Meter) -> Self {
        let refusals = metrics::REFUSALS.counter(meter);
        for limit in Limit::ALL {
            refusals.add(0, &[KeyValue::new(metrics::LIMIT, limit.name())]);
        }
        let (config, clients, streams) = (config.clone(), Mutex::default(), streams());
        let bytes = Arc::new(Semaphore::new(all_bytes(&config)));
        Self(Arc::new(Shared { config, clients, bytes, streams, refusals }))
    }

    /// Counts a call of a client. Probes have no messages to limit.
    fn open(&self, path: &str, name: &str, own: ClientLimits) -> Result<CallQuota, OverLimit> {
        let limits = Limits::of(own, &self.0.config);
        let client = lock(&self.0.clients).enter(name, limits).map_err(|client| {
            let sentence = format!("over {} open calls (TIDEGAUGE_CLIENT_MAX_CALLS)", limits.calls);
            self.over(Limit::Calls, &client, &sentence, status::RETRY_AFTER)
        })?;
        let call = CallQuota::new(self.clone(), client, limits, self.0.streams.contains(path));
        if !name.starts_with(PROBES) {
            call.check_rates()?;
        }
        Ok(call)
    }

    fn over(
        &self,
        limit: Limit,
        client: &Arc<str>,
        sentence: &str,
        retry_after: Duration,
    ) -> OverLimit {
        self.refused(limit, client);
        let advice =
            if client.starts_with(ADDRESSES) && limit.is_shared() { SHARED_ADDRESS } else { "" };
        let sentence = format!("{client} is {sentence}{advice}");
        OverLimit { limit, client: Arc::clone(client), sentence, retry_after }
    }

    /// Logs some of the times that a stream is held back where nothing else shows it.
    fn held_back(&self, limit: Limit, client: &str) {
        static LOG: LazyLock<Repeats> = LazyLock::new(|| Repeats::new("streams held back"));
        let limit = limit.name();
        LOG.log(|| {
            tracing::warn!(limit, client, "a stream is held back: its client is at a limit")
        });
    }

    /// Counts a refusal, and logs some.
    fn refused(&self, limit: Limit, client: &str) {
        static LOG: LazyLock<Repeats> = LazyLock::new(|| Repeats::new("clients over a limit"));
        let limit = limit.name();
        self.0.refusals.add(1, &[KeyValue::new(metrics::LIMIT, limit)]);
        LOG.log(|| tracing::warn!(limit, client, "a client is over a limit"));
    }

    fn config(&self) -> &QuotaConfig {
        &self.0.config
    }

    fn bytes(&self) -> &Arc<Semaphore> {
        &self.0.bytes
    }

    fn all_bytes(&self) -> usize {
        all_bytes(&self.0.config)
    }
}

fn all_bytes(config: &QuotaConfig) -> usize {
    config.max_bytes_in_flight.get().min(u32::MAX as usize)
}

fn streams() -> HashSet<String> {
    let files = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap_or_default().file;
    let services = files
        .iter()
        .flat_map(|file| file.service.iter().map(move |service| (file.package(), service)));
    let paths = services.flat_map(|(package, service)| {
        let streamed = service.method.iter().filter(|method| method.client_streaming());
        streamed.map(move |method| format!("/{package}.{}/{}", service.name(), method.name()))
    });
    paths.collect()
}
