//! Calls with no key, a wrong key, or a key of another identity. No refused data is stored.

use shared::proto::v1::{Batch, IngestRequest};
use tempfile::TempDir;

use super::caller::{Caller, code};
use super::guard::guard;
use super::program::Program;
use super::{Outcome, Setting};
use crate::{KeyedIdentity, Sql, batch, now, numbered, point, unique};

pub(super) async fn run(setting: &Setting) -> anyhow::Result<Vec<Outcome>> {
    let services = Guarded::start(setting).await?;
    let mut outcomes = services.sending(setting).await?;
    outcomes.extend(services.asking().await?);
    outcomes.extend(services.open_to_all().await?);
    Ok(outcomes)
}

/// Both services with TLS and three identities: one may write below `own`, one may read there, one
/// has expired.
pub(super) struct Guarded {
    pub(super) own: String,
    pub(super) writer: KeyedIdentity,
    pub(super) reader: KeyedIdentity,
    expired: KeyedIdentity,
    pub(super) ingest: Caller,
    pub(super) query: Caller,
    _programs: [Program; 2],
    _folder: TempDir,
}

impl Guarded {
    async fn start(setting: &Setting) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let own = unique("access") + "/";
        let program = &setting.ingest_service;
        let of = ["--device-prefix", &own];
        let producer = format!("{own}gateway");
        let write = ["--scope", "ingest", "--producer-prefix", &producer];
        let writer = KeyedIdentity::make(program, "writer", &[&write[..], &of].concat()).await?;
        let reader =
            KeyedIdentity::make(program, "reader", &[&["--scope", "query"][..], &of].concat())
                .await?;
        let past = ["--expires", "2020-01-01T00:00:00Z"];
        let expired =
            KeyedIdentity::make(program, "expired", &[&write[..], &of, &past].concat()).await?;
        let file = [writer.entry.as_str(), &reader.entry, &expired.entry].join("\n");
        let (variables, authority) = guard(folder.path(), &file)?;
        let start = |program, log| {
            Program::start(program, &setting.database_url, &variables, folder.path().join(log))
        };
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

    /// Returns a new device id that the writer may write.
    pub(super) fn device(&self) -> String {
        unique(&format!("{}device", self.own))
    }

    async fn sending(&self, setting: &Setting) -> anyhow::Result<Vec<Outcome>> {
        let mut sql = Sql::connect_to(&setting.database_url).await;
        let writer = self.ingest.with_key(&self.writer.key);
        let reader = self.ingest.with_key(&self.reader.key);
        let wrong = self.ingest.with_key(&forged(&self.writer.key));
        let own = || one(&self.device());
        let other = || one(&unique("other"));
        let foreign =
            |producer: &str| numbered(producer, 1, 1, vec![point(&self.device(), now(), 1.0)]);
        let producer = format!("{}gateway-7", self.own);
        let mut outcomes = Vec::new();
        for (case, caller, batch, expected) in [
            ("send_without_key", &self.ingest, own(), "Unauthenticated, 0 stored"),
            ("send_with_wrong_key", &wrong, own(), "Unauthenticated, 0 stored"),
            (
                "send_with_no_key_at_all",
                &self.ingest.with_key("x"),
                own(),
                "Unauthenticated, 0 stored",
            ),
            (
                "send_with_expired_key",
                &self.ingest.with_key(&self.expired.key),
                own(),
                "Unauthenticated, 0 stored",
            ),
            ("send_with_key_of_another_scope", &reader, own(), "PermissionDenied, 0 stored"),
            ("send_to_device_of_another", &writer, other(), "PermissionDenied, 0 stored"),
            (
                "send_as_producer_of_another",
                &writer,
                foreign(&unique("other")),
                "PermissionDenied, 0 stored",
            ),
            (
                "send_as_producer_of_the_service",
                &writer,
                foreign("tidegauge/writer/1"),
                "InvalidArgument, 0 stored",
            ),
            ("send_with_own_key", &writer, own(), "Ok, 1 stored"),
            ("send_as_own_producer", &writer, foreign(&producer), "Ok, 1 stored"),
        ] {
            let device = batch.points[0].device_id.clone();
            let streamed =
                caller.request(tokio_stream::iter([IngestRequest { batch: Some(batch.clone()) }]));
            let answer = caller.send(batch).await;
            let seen = format!("{}, {} stored", code(&answer), sql.count(&device).await);
            let mut outcome = Outcome::exactly(case, expected, seen);
            if expected.ends_with("0 stored") {
                let answer = caller.ingest().ingest(streamed).await;
                let seen = format!("{}, {} stored", code(&answer), sql.count(&device).await);
                outcome.and(Outcome::exactly(case, expected, seen));
            }
            outcomes.push(outcome);
        }
        outcomes.push(self.mixed(&writer, &mut sql).await?);
        sql.close().await;
        Ok(outcomes)
    }

    /// Sends own points and points of another device in one batch.
    async fn mixed(&self, writer: &Caller, sql: &mut Sql) -> anyhow::Result<Outcome> {
        let own = self.device();
        let other = unique("other");
        let points = [&own, &other, &other, &own].map(|device| point(device, now(), 1.0));
        let result = writer.send(batch(points.to_vec())).await?;
        let listed = result.rejections.iter().map(|entry| {
            format!(
                "{:?} from point {} on, {} of them",
                entry.reason(),
                entry.point_index,
                entry.point_count
            )
        });
        let listed = listed.collect::<Vec<_>>().join("; ");
        let seen =
            format!("{listed}; {} and {} stored", sql.count(&own).await, sql.count(&other).await);
        let expected = "PermissionDenied from point 1 on, 2 of them; 2 and 0 stored";
        Ok(Outcome::exactly("send_own_points_and_those_of_others", expected, seen))
    }
}

impl Outcome {
    /// Merges a second attempt at the same case. A failed attempt takes precedence.
    fn and(&mut self, other: Self) {
        if self.ok {
            *self = other;
        }
    }
}

/// Returns a key with the same id and another secret.
pub(super) fn forged(key: &str) -> String {
    let (id, secret) = key.split_at(21); // `tgk_`, 16 digits, `_`
    let first = if secret.starts_with('A') { 'B' } else { 'A' };
    format!("{id}{first}{}", &secret[1..])
}

fn one(device_id: &str) -> Batch {
    batch(vec![point(device_id, now(), 1.0)])
}
