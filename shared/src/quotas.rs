//! Quotas of clients: open calls, messages, points, new series and bytes in flight. A client is an
//! identity or, without authentication, an address.
//!
//! A unary call over a limit is refused with RESOURCE_EXHAUSTED. A stream over a limit is slowed
//! down: the service stops reading, and HTTP/2 flow control holds the client back. Nothing here
//! depends on the content of messages.
//!
//! | part | task |
//! |---|---|
//! | `layer` | the middleware that opens every call against the quotas of its client |
//! | `call`, `client` | usage of one call, and of each client |
//! | `body`, `framing` | enforces quotas while a body is read, message by message |
//! | `bucket`, `allowance` | token buckets per second and per minute |
//! | `over_limit` | the error for a client that reached a limit |

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
use client::{ClientUsages, EffectiveLimits, lock};
pub use over_limit::{Limit, OverLimit};

/// Prefix of the client names of health probes.
const PROBES: &str = "probe:";
/// Prefix of the names of clients without an identity.
const ADDRESSES: &str = "clientip:";
/// Advice for clients that may share their address with others.
const SHARED_ADDRESS: &str = ". All devices behind this address count as one client, unless they \
                              use identities (TIDEGAUGE_IDENTITIES_FILE) or the proxy sends the \
                              PROXY protocol (TIDEGAUGE_PROXY_PROTOCOL_FROM)";

/// Quotas and current usage of all clients. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Quotas(Arc<QuotaState>);

#[derive(Debug)]
struct QuotaState {
    config: QuotaConfig,
    clients: Mutex<ClientUsages>,
    /// Free bytes of the limit that all clients share.
    bytes: Arc<Semaphore>,
    /// Paths of the methods with a stream of requests.
    streams: HashSet<String>,
    refusals: Counter<u64>,
}

impl Quotas {
    pub(crate) fn new(config: &QuotaConfig, meter: &Meter) -> Self {
        let refusals = metrics::REFUSALS.counter(meter);
        for limit in Limit::ALL {
            refusals.add(0, &[KeyValue::new(metrics::LIMIT, limit.name())]);
        }
        let config = config.clone();
        let clients = Mutex::default();
        let streams = streams();
        let bytes = Arc::new(Semaphore::new(all_bytes(&config)));
        Self(Arc::new(QuotaState { config, clients, bytes, streams, refusals }))
    }

    /// Opens a call of a client and counts it. Probes are exempt from limits on messages and
    /// points.
    fn open(&self, path: &str, name: &str, own: ClientLimits) -> Result<CallQuota, OverLimit> {
        let limits = EffectiveLimits::of(own, &self.0.config);
        let client = lock(&self.0.clients).enter(name, limits).map_err(|client| {
            let sentence = format!(
                "limit of {} open calls reached (TIDEGAUGE_CLIENT_MAX_CALLS)",
                limits.calls
            );
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
        let sentence = format!("{client}: {sentence}{advice}");
        OverLimit { limit, client: Arc::clone(client), sentence, retry_after }
    }

    /// Logs, at a limited rate, that a stream is slowed down. Used where no metric shows it.
    fn held_back(&self, limit: Limit, client: &str) {
        static LOG: LazyLock<Repeats> = LazyLock::new(|| Repeats::new("streams slowed down"));
        let limit = limit.name();
        LOG.log(|| tracing::warn!(limit, client, "stream slowed down: the client is at a limit"));
    }

    /// Counts a refusal and logs it at a limited rate.
    fn refused(&self, limit: Limit, client: &str) {
        static LOG: LazyLock<Repeats> = LazyLock::new(|| Repeats::new("clients over a limit"));
        let limit = limit.name();
        self.0.refusals.add(1, &[KeyValue::new(metrics::LIMIT, limit)]);
        LOG.log(|| tracing::warn!(limit, client, "client over a limit"));
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

/// Returns the paths of the methods with a stream of requests.
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
