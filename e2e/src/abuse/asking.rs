//! Queries without a key, with keys of other identities, and for devices of others, whether they
//! exist or not.

use shared::proto::v1::{
    DetectAnomaliesRequest, GetLatestRequest, GetStorageStatsRequest, ListDevicesRequest,
    ListMetricsRequest, QueryRangeRequest, SeriesKey, SeriesSelector, series_selector,
};
use tonic::Status;

use super::Outcome;
use super::access::{Guarded, forged};
use super::caller::{Caller, code};
use crate::{at, batch, named, now, selector, unique};

impl Guarded {
    pub(super) async fn asking(&self) -> anyhow::Result<Vec<Outcome>> {
        let reader = self.query.with_key(&self.reader.key);
        let device = self.device();
        let other = unique("other");
        let writer = self.ingest.with_key(&self.writer.key);
        let metric = unique("metric");
        writer
            .send(batch(vec![
                named(&device, "temperature", now(), 1.0),
                named(&device, &metric, now(), 1.0),
            ]))
            .await?;
        let id = |device: &str| selector(device);
        let prefix = |prefix: &str| SeriesSelector {
            device: Some(series_selector::Device::DeviceIdPrefix(prefix.to_owned())),
            metric_name: "temperature".to_owned(),
        };
        let mut outcomes = Vec::new();
        for (case, caller, selector, expected) in [
            ("ask_without_key", &self.query, id(&device), "Unauthenticated"),
            (
                "ask_with_wrong_key",
                &self.query.with_key(&forged(&self.reader.key)),
                id(&device),
                "Unauthenticated",
            ),
            (
                "ask_with_key_of_another_scope",
                &self.query.with_key(&self.writer.key),
                id(&device),
                "PermissionDenied",
            ),
            ("ask_for_device_of_another", &reader, id(&other), "PermissionDenied"),
            ("ask_for_prefix_beyond_own", &reader, prefix(&self.own[..4]), "PermissionDenied"),
            ("ask_for_every_device", &reader, prefix(""), "PermissionDenied"),
            ("ask_for_own_device", &reader, id(&device), "Ok"),
            ("ask_for_own_prefix", &reader, prefix(&self.own), "Ok"),
        ] {
            outcomes.push(Outcome::exactly(case, expected, code(&range(caller, selector).await)));
        }
        outcomes.extend(elsewhere(&reader, &other).await);
        outcomes.extend(self.listings(&reader, &device, &metric).await?);
        Ok(outcomes)
    }

    /// Checks that listings contain only devices within the caller's prefix, over all pages.
    async fn listings(
        &self,
        reader: &Caller,
        device: &str,
        metric: &str,
    ) -> anyhow::Result<Vec<Outcome>> {
        let mut devices = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListDevicesRequest { page_size: 1, page_token, ..Default::default() };
            let page = reader.query().list_devices(reader.request(request)).await?.into_inner();
            devices.extend(page.devices.into_iter().map(|device| device.device_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        let foreign = devices.iter().filter(|device| !device.starts_with(&self.own)).count();
        let seen =
            format!("{foreign} of others, own: {}", devices.iter().any(|found| found == device));
        let request = reader.request(ListMetricsRequest { page_size: 1_000, ..Default::default() });
        let metrics = reader.query().list_metrics(request).await?.into_inner().metrics;
        let mut found: Vec<_> = metrics.into_iter().map(|metric| metric.metric_name).collect();
        found.sort();
        let mut own = [metric, "temperature"];
        own.sort_unstable();
        Ok(vec![
            Outcome::exactly("list_devices", "0 of others, own: true", seen),
            Outcome::exactly("list_metrics", own.join(", "), found.join(", ")),
        ])
    }

    /// Checks that health needs no key and that reflection needs one.
    pub(super) async fn open_to_all(&self) -> anyhow::Result<Vec<Outcome>> {
        use tonic_health::pb::HealthCheckRequest;
        use tonic_health::pb::health_client::HealthClient;

        let request = HealthCheckRequest { service: "tidegauge.v1.IngestService".to_owned() };
        let health = HealthClient::new(self.ingest.channel()).check(request).await;
        Ok(vec![
            Outcome::exactly("health_without_key", "Ok", code(&health)),
            Outcome::exactly(
                "reflection_without_key",
                "Unauthenticated",
                reflection(&self.query).await,
            ),
            Outcome::exactly(
                "reflection_with_key",
                "Ok",
                reflection(&self.query.with_key(&self.reader.key)).await,
            ),
        ])
    }
}

async fn range(caller: &Caller, selector: SeriesSelector) -> Result<(), Status> {
    let start = at(now() - 60_000_000);
    let end = at(now());
    let request = QueryRangeRequest { selectors: vec![selector], start, end, max_points: 0 };
    let mut frames = caller.query().query_range(caller.request(request)).await?.into_inner();
    while frames.message().await?.is_some() {}
    Ok(())
}

/// Makes the other calls for a device outside the caller's prefix. The answer must not depend on
/// whether the device exists.
async fn elsewhere(reader: &Caller, other: &str) -> Vec<Outcome> {
    let key = SeriesKey { device_id: other.to_owned(), metric_name: "temperature".to_owned() };
    let mut client = reader.query();
    let request = DetectAnomaliesRequest { series: Some(key.clone()), ..Default::default() };
    let anomalies = code(&client.detect_anomalies(reader.request(request)).await);
    let request = GetLatestRequest { series: vec![key], ..Default::default() };
    let latest = code(&client.get_latest(reader.request(request)).await);
    let request = GetLatestRequest { device_id: other.to_owned(), ..Default::default() };
    let latest_of_device = code(&client.get_latest(reader.request(request)).await);
    let request = ListMetricsRequest { device_id: other.to_owned(), ..Default::default() };
    let metrics = code(&client.list_metrics(reader.request(request)).await);
    let storage =
        code(&client.get_storage_stats(reader.request(GetStorageStatsRequest::default())).await);
    [
        ("anomalies_of_device_of_another", anomalies),
        ("latest_of_series_of_another", latest),
        ("latest_of_device_of_another", latest_of_device),
        ("metrics_of_device_of_another", metrics),
        ("storage_of_all_devices", storage),
    ]
    .map(|(case, seen)| Outcome::exactly(case, "PermissionDenied", seen))
    .to_vec()
}

/// Sends one request to the reflection service.
async fn reflection(caller: &Caller) -> String {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

    let message_request = Some(MessageRequest::ListServices(String::new()));
    let question =
        tokio_stream::iter([ServerReflectionRequest { host: String::new(), message_request }]);
    let mut client = ServerReflectionClient::new(caller.channel());
    code(&client.server_reflection_info(caller.request(question)).await)
}
