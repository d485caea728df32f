//! Keys: none, wrong ones, and those of others. Whatever is refused, nothing of it is stored.

use std::path::Path;

use anyhow::Context as _;
use shared::proto::v1::{
    Batch, DetectAnomaliesRequest, GetLatestRequest, GetStorageStatsRequest, IngestRequest, ListDevicesRequest,
    ListMetricsRequest, QueryRangeRequest, SeriesKey, SeriesSelector, series_selector,
};
use tempfile::TempDir;
use tonic::Status;

use super::authority::Authority;
use super::caller::{Caller, code};
use super::identities::KeyedIdentity;
use super::program::Program;
use super::{Outcome, Setting};
use crate::{Sql, at, batch, named, now, numbered, point, selector, unique};

pub(super) async fn run(setting: &Setting) -> anyhow::Result<Vec<Outcome>> {
    let services = Guarded::start(setting).await?;
    let mut outcomes = services.sending(setting).await?;
    outcomes.extend(services.asking().await?);
    outcomes.extend(services.open_to_all().await?);
    Ok(outcomes)
}

/// Both services with TLS and three identities: one that writes below `own`, one that reads there, one that has expired.
struct Guarded {
    own: String,
    writer: KeyedIdentity,
    reader: KeyedIdentity,
    expired: KeyedIdentity,
    ingest: Caller,
    query: Caller,
    _programs: [Program; 2],
    _folder: TempDir,
}

impl Guarded {
    async fn start(setting: &Setting) -> anyhow::Result<Self> {
        let (folder, own, program) = (tempfile::tempdir()?, unique("access") + "/", &setting.ingest_service);
        let (of, producer) = (["--device-prefix", &own], format!("{own}gateway"));
        let write = ["--scope", "ingest", "--producer-prefix", &producer];
        let writer = KeyedIdentity::make(program, "writer", &[&write[..], &of].concat()).await?;
        let reader = KeyedIdentity::make(program, "reader", &[&["--scope", "query"][..], &of].concat()).await?;
        let past = ["--expires", "2020-01-01T00:00:00Z"];
        let expired = KeyedIdentity::make(program, "expired", &[&write[..], &of, &past].concat()).await?;
        let file = [writer.entry.as_str(), &reader.entry, &expired.entry].join("\n");
        let (variables, authority) = guard(folder.path(), &file)?;
        let start = |program, log| Program::start(program, &setting.database_url, &variables, folder.path().join(log));
        let ingest = start(&setting.ingest_service, "ingest.log").await?;
        let query = start(&setting.query_service, "query.log").await?;
        let connect = async |program: &Program| {
            let caller = Caller::connect(&program.tls_url(), &authority.certificate, None).await?;
            caller.wait_until_ready().await.map(|()| caller)
        };
        Ok(Self {
            ingest: connect(&ingest).await?,
            query: connect(&query).await?,
            own,
            writer,
            reader,
            expired,
            _programs: [ingest, query],
            _folder: folder,
        })
    }

    /// A device that the writer may write, and nobody else did.
    fn device(&self) -> String {
        unique(&format!("{}device", self.own))
    }

    async fn sending(&self, setting: &Setting) -> anyhow::Result<Vec<Outcome>> {
        let mut sql = Sql::connect_to(&setting.database_url).await;
        let (writer, reader) = (self.ingest.with_key(&self.writer.key), self.ingest.with_key(&self.reader.key));
        let wrong = self.ingest.with_key(&forged(&self.writer.key));
        let (own, other) = (|| one(&self.device()), || one(&unique("other")));
        let foreign = |producer: &str| numbered(producer, 1, 1, vec![point(&self.device(), now(), 1.0)]);
        let producer = format!("{}gateway-7", self.own);
        let mut outcomes = Vec::new();
        for (case, caller, batch, expected) in [
            ("send_without_key", &self.ingest, own(), "Unauthenticated, 0 stored"),
            ("send_with_wrong_key", &wrong, own(), "Unauthenticated, 0 stored"),
            ("send_with_no_key_at_all", &self.ingest.with_key("x"), own(), "Unauthenticated, 0 stored"),
            ("send_with_expired_key", &self.ingest.with_key(&self.expired.key), own(), "Unauthenticated, 0 stored"),
            ("send_with_key_of_another_scope", &reader, own(), "PermissionDenied, 0 stored"),
            ("send_to_device_of_another", &writer, other(), "PermissionDenied, 0 stored"),
            ("send_as_producer_of_another", &writer, foreign(&unique("other")), "PermissionDenied, 0 stored"),
            ("send_as_producer_of_the_service", &writer, foreign("tidegauge/writer/1"), "InvalidArgument, 0 stored"),
            ("send_with_own_key", &writer, own(), "Ok, 1 stored"),
            ("send_as_own_producer", &writer, foreign(&producer), "Ok, 1 stored"),
        ] {
            let device = batch.points[0].device_id.clone();
            let streamed = caller.request(tokio_stream::iter([IngestRequest { batch: Some(batch.clone()) }]));
            let answer = caller.send(batch).await;
            let refused = expected.ends_with("0 stored");
            let seen = format!("{}, {} stored", code(&answer), sql.count(&device).await);
            outcomes.push(Outcome::exactly(case, expected, &seen));
            if refused {
                let answer = caller.ingest().ingest(streamed).await;
                let seen = format!("{}, {} stored", code(&answer), sql.count(&device).await);
                outcomes.last_mut().context("just pushed")?.and(Outcome::exactly(case, expected, seen));
            }
        }
        outcomes.push(self.mixed(&writer, &mut sql).await?);
        sql.close().await;
        Ok(outcomes)
    }

    /// Points of one's own and of others in one batch.
    async fn mixed(&self, writer: &Caller, sql: &mut Sql) -> anyhow::Result<Outcome> {
        let (own, other) = (self.device(), unique("other"));
        let points = [&own, &other, &other, &own].map(|device| point(device, now(), 1.0));
        let result = writer.send(batch(points.to_vec())).await?;
        let listed = result.rejections.iter().map(|entry| {
            format!("{:?} from point {} on, {} of them", entry.reason(), entry.point_index, entry.point_count)
        });
        let listed = listed.collect::<Vec<_>>().join("; ");
        let seen = format!("{listed}; {} and {} stored", sql.count(&own).await, sql.count(&other).await);
        let expected = "PermissionDenied from point 1 on, 2 of them; 2 and 0 stored";
        Ok(Outcome::exactly("send_own_points_and_those_of_others", expected, seen))
    }

    async fn asking(&self) -> anyhow::Result<Vec<Outcome>> {
        let (reader, device) = (self.query.with_key(&self.reader.key), self.device());
        let other = unique("other");
        let writer = self.ingest.with_key(&self.writer.key);
        let metric = unique("metric");
        writer
            .send(batch(vec![named(&device, "temperature", now(), 1.0), named(&device, &metric, now(), 1.0)]))
            .await?;
        let id = |device: &str| selector(device);
        let prefix = |prefix: &str| SeriesSelector {
            device: Some(series_selector::Device::DeviceIdPrefix(prefix.to_owned())),
            metric_name: "temperature".to_owned(),
        };
        let mut outcomes = Vec::new();
        for (case, caller, selector, expected) in [
            ("ask_without_key", &self.query, id(&device), "Unauthenticated"),
            ("ask_with_wrong_key", &self.query.with_key(&forged(&self.reader.key)), id(&device), "Unauthenticated"),
            ("ask_with_key_of_another_scope", &self.query.with_key(&self.writer.key), id(&device), "PermissionDenied"),
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

    /// What is listed is one's own, page by page.
    async fn listings(&self, reader: &Caller, device: &str, metric: &str) -> anyhow::Result<Vec<Outcome>> {
        let (mut devices, mut page_token) = (Vec::new(), String::new());
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
        let seen = format!("{foreign} of others, own: {}", devices.iter().any(|found| found == device));
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

    /// Probes have no keys; reflection needs one.
    async fn open_to_all(&self) -> anyhow::Result<Vec<Outcome>> {
        use tonic_health::pb::HealthCheckRequest;
        use tonic_health::pb::health_client::HealthClient;

        let request = HealthCheckRequest { service: "tidegauge.v1.IngestService".to_owned() };
        let health = HealthClient::new(self.ingest.channel()).check(request).await;
        Ok(vec![
            Outcome::exactly("health_without_key", "Ok", code(&health)),
            Outcome::exactly("reflection_without_key", "Unauthenticated", reflection(&self.query).await),
            Outcome::exactly("reflection_with_key", "Ok", reflection(&self.query.with_key(&self.reader.key)).await),
        ])
    }
}

impl Outcome {
    /// Two tries of one case: the one that is not as expected counts.
    fn and(&mut self, other: Self) {
        if self.ok {
            *self = other;
        }
    }
}

/// Variables for TLS and identities, with the files that they name.
pub(super) fn guard(folder: &Path, identities: &str) -> anyhow::Result<(Vec<(&'static str, String)>, Authority)> {
    let authority = Authority::new("Tidegauge test")?;
    let pair = authority.server()?;
    let contents = [
        ("TIDEGAUGE_TLS_CERTIFICATE", "tls.crt", pair.certificate.as_str()),
        ("TIDEGAUGE_TLS_KEY", "tls.key", &pair.key),
        ("TIDEGAUGE_TLS_CLIENT_CA", "ca.crt", &authority.certificate),
        ("TIDEGAUGE_IDENTITIES_FILE", "identities.toml", identities),
    ];
    let mut variables = vec![("TIDEGAUGE_RELOAD_INTERVAL", "50ms".to_owned())];
    for (variable, name, content) in contents {
        let file = folder.join(name);
        std::fs::write(&file, content)?;
        variables.push((variable, file.display().to_string()));
    }
    Ok((variables, authority))
}

/// A key with the id of this one and another secret.
fn forged(key: &str) -> String {
    let (id, secret) = key.split_at(21); // tgk_, 16 digits, _
    let first = if secret.starts_with('A') { 'B' } else { 'A' };
    format!("{id}{first}{}", &secret[1..])
}

fn one(device_id: &str) -> Batch {
    batch(vec![point(device_id, now(), 1.0)])
}

async fn range(caller: &Caller, selector: SeriesSelector) -> Result<(), Status> {
    let (start, end) = (at(now() - 60_000_000), at(now()));
    let request = QueryRangeRequest { selectors: vec![selector], start, end, max_points: 0 };
    let mut frames = caller.query().query_range(caller.request(request)).await?.into_inner();
    while frames.message().await?.is_some() {}
    Ok(())
}

/// The other calls, for a device of somebody else, whether it exists or not.
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
    let storage = code(&client.get_storage_stats(reader.request(GetStorageStatsRequest::default())).await);
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

/// One question to the reflection service.
async fn reflection(caller: &Caller) -> String {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

    let message_request = Some(MessageRequest::ListServices(String::new()));
    let question = tokio_stream::iter([ServerReflectionRequest { host: String::new(), message_request }]);
    let mut client = ServerReflectionClient::new(caller.channel());
    code(&client.server_reflection_info(caller.request(question)).await)
}
