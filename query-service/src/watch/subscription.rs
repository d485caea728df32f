//! One subscription, from its first scan to its end.

use std::collections::HashMap;

use shared::proto::v1::{self, SeriesKey};
use shared::time;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};

use super::{MAX_LATENESS, WatchPosition, Watchers};
use crate::anomaly::messages;
use crate::anomaly::step_baselines::StepBaselines;
use crate::error::QueryError;
use crate::read_pool::ReadPool;
use crate::relations::Relations;
use crate::row_stream::{FrameSender, StreamEnd};
use crate::series::{Series, SeriesFinder};
use crate::store::{self, WatchedPoint};
use crate::validate::WatchQuery;

/// The maximum number of series of one subscription.
const MAX_SERIES: usize = 1_000;
/// The maximum number of series with ROBUST, which reads every value of a baseline.
const MAX_ROBUST_SERIES: usize = 100;
/// How far back most scans reach, in microseconds.
const RECENT: i64 = 15 * time::MICROS_PER_SECOND;
/// A sweep is due after at least this many scan intervals. It reaches back as far as points may be
/// late.
const SCANS_PER_SWEEP: u32 = 10;
/// After this many scans the selectors are matched again. After this many scans without a message
/// the client gets an empty message with a new token.
const SCANS_PER_TOKEN: u32 = 60;
/// The length of time, in microseconds, that one scan of a sweep covers.
const SWEEP_STEP: i64 = 3_600_000_000;
/// A time after any point.
const END_OF_TIME: i64 = 253_402_300_799_999_999;
/// The maximum number of points that one statement returns.
const PAGE_POINTS: usize = 10_000;
/// The maximum number of anomalies in a message.
const MESSAGE_ANOMALIES: usize = 1_000;

type AnomalySender = FrameSender<v1::WatchAnomaliesResponse>;

/// The anomalies of one message: those of one series and one baseline.
struct AnomalyGroup<'p> {
    step: i64,
    series_id: i32,
    found: Vec<(&'p WatchedPoint, v1::Anomaly)>,
}

/// One client's subscription.
pub(crate) struct Subscription {
    pool: ReadPool,
    finder: SeriesFinder,
    watchers: Watchers,
    query: WatchQuery,
    fingerprint: u64,
    series: HashMap<i32, SeriesKey>,
    baselines: StepBaselines,
    position: WatchPosition,
    scans: u32,
    scans_since_message: u32,
    began: Instant,
    next_sweep: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Subscription {
    /// Finds the series, and starts from the position of the resume token, or from now.
    pub(crate) async fn new(
        pool: ReadPool,
        relations: Relations,
        finder: SeriesFinder,
        watchers: Watchers,
        query: WatchQuery,
    ) -> Result<Self, QueryError> {
        let permit = watchers.acquire_subscription()?;
        let fingerprint = query.fingerprint();
        let now = time::now_micros();
        let position = match query.resume_token.as_str() {
            "" => WatchPosition::new(now),
            token => WatchPosition::of_token(token, fingerprint, now)?,
        };
        let mut subscription = Self {
            baselines: StepBaselines::new(relations, query.clone()),
            pool,
            finder,
            watchers,
            query,
            fingerprint,
            series: HashMap::new(),
            position,
            scans: 0,
            scans_since_message: 0,
            began: Instant::now(),
            next_sweep: Instant::now(),
            _permit: permit,
        };
        subscription.find_series().await?;
        Ok(subscription)
    }

    /// Reports anomalies until the subscription reaches its maximum age, the service shuts down or
    /// the client disconnects.
    pub(crate) async fn run(mut self, frames: AnomalySender) -> Result<(), StreamEnd> {
        let shutdown = self.watchers.shutdown.clone();
        match shutdown.run_until_cancelled(self.report(&frames)).await {
            Some(end) => end,
            None => Err(QueryError::ShuttingDown.into()),
        }
    }

    async fn report(&mut self, frames: &AnomalySender) -> Result<(), StreamEnd> {
        if self.query.resume_token.is_empty() {
            // Anomalies that exist already are not new. Those that arrive from now on are, however
            // late.
            self.sweep(None).await?;
        }
        self.send(frames, v1::WatchAnomaliesResponse::default()).await?;
        while self.began.elapsed() < self.watchers.max_age {
            self.scan_or_sweep(frames).await?;
            if self.scans_since_message >= SCANS_PER_TOKEN {
                self.send(frames, v1::WatchAnomaliesResponse::default()).await?;
            }
            sleep(self.watchers.interval).await;
        }
        // The last token lets the next subscription resume without a gap.
        self.send(frames, v1::WatchAnomaliesResponse::default()).await
    }

    /// Scans the recent past, or everything since the floor if a sweep is due.
    async fn scan_or_sweep(&mut self, frames: &AnomalySender) -> Result<(), StreamEnd> {
        self.scans += 1;
        self.scans_since_message += 1;
        if self.scans.is_multiple_of(SCANS_PER_TOKEN) {
            self.find_series().await?;
        }
        if self.next_sweep <= Instant::now() {
            return self.sweep(Some(frames)).await;
        }
        let now = time::now_micros();
        self.scan((now - RECENT).max(self.position.floor()), END_OF_TIME, now, Some(frames)).await
    }

    /// Scans everything since the floor, and raises the floor. The next sweep is due after at least
    /// three times the duration of this one.
    async fn sweep(&mut self, frames: Option<&AnomalySender>) -> Result<(), StreamEnd> {
        let began = Instant::now();
        let now = time::now_micros();
        let mut start = self.position.floor();
        while start <= now {
            let end = if now - start < SWEEP_STEP { END_OF_TIME } else { start + SWEEP_STEP };
            self.scan(start, end, now, frames).await?;
            self.position.advance(end.min(now - MAX_LATENESS));
            self.baselines.forget_before(self.position.floor());
            start = end;
        }
        self.next_sweep =
            Instant::now() + (self.watchers.interval * SCANS_PER_SWEEP).max(began.elapsed() * 3);
        Ok(())
    }

    /// Reports the new anomalies in [start, end). Without `frames`, only marks them as reported.
    async fn scan(
        &mut self,
        start: i64,
        end: i64,
        now: i64,
        frames: Option<&AnomalySender>,
    ) -> Result<(), StreamEnd> {
        let series_ids: Vec<i32> = self.series.keys().copied().collect();
        let last = (end - 1).min(now.max(start));
        let permit = self.watchers.acquire_scan().await?;
        self.baselines.read(&self.pool, &series_ids, start, last).await?;
        drop(permit);
        let bounds = self.baselines.narrowest(&series_ids, start, last);
        let mut after = WatchedPoint::before(start);
        while !bounds.is_empty() {
            let permit = self.watchers.acquire_scan().await?;
            let page = store::watched(&self.pool, &bounds, after, end, PAGE_POINTS as i64).await?;
            drop(permit); // not held while a slow client takes its messages
            match frames {
                Some(frames) => self.report_page(frames, &page).await?,
                None => self.mark_page(&page),
            }
            match page.last() {
                Some(point) if page.len() == PAGE_POINTS => after = *point,
                _ => break,
            }
        }
        Ok(())
    }

    /// Marks the anomalies of a page as reported.
    fn mark_page(&mut self, page: &[WatchedPoint]) {
        for point in page {
            if self.anomaly_of(point).is_some() {
                self.position.mark_reported(point);
            }
        }
    }

    /// Returns the step and the anomaly of a point, or `None` if it is no anomaly.
    fn anomaly_of(&self, found: &WatchedPoint) -> Option<(i64, v1::Anomaly)> {
        let (step, judged) = self.baselines.of(found.series_id, found.point.timestamp)?;
        Some((step, messages::anomaly(&judged.judge, found.point)?))
    }

    async fn report_page(
        &mut self,
        frames: &AnomalySender,
        page: &[WatchedPoint],
    ) -> Result<(), StreamEnd> {
        for AnomalyGroup { step, series_id, found } in self.group(page) {
            let reported =
                found.into_iter().filter(|(point, _)| self.position.mark_reported(point));
            let anomalies: Vec<_> = reported.map(|(_, anomaly)| anomaly).collect();
            let Some((_, judged)) = self.baselines.of(series_id, step) else { continue };
            let baseline = Some(self.baselines.describe(step, judged));
            let series = self.series.get(&series_id).cloned();
            if !anomalies.is_empty() {
                let message = v1::WatchAnomaliesResponse {
                    series,
                    anomalies,
                    baseline,
                    ..Default::default()
                };
                self.send(frames, message).await?;
            }
        }
        Ok(())
    }

    /// Groups the anomalies of a page that were not reported yet into messages.
    fn group<'p>(&self, page: &'p [WatchedPoint]) -> Vec<AnomalyGroup<'p>> {
        let mut groups: Vec<AnomalyGroup<'p>> = Vec::new();
        let mut open: HashMap<(i64, i32), usize> = HashMap::new();
        for point in page.iter().filter(|point| !self.position.is_reported(point)) {
            let Some((step, anomaly)) = self.anomaly_of(point) else { continue };
            let at = open.entry((step, point.series_id)).or_insert(groups.len());
            if groups.get(*at).is_none_or(|group| group.found.len() == MESSAGE_ANOMALIES) {
                *at = groups.len();
                groups.push(AnomalyGroup { step, series_id: point.series_id, found: Vec::new() });
            }
            groups[*at].found.push((point, anomaly));
        }
        groups
    }

    /// Sends a message, with the token of the position after it.
    async fn send(
        &mut self,
        frames: &AnomalySender,
        message: v1::WatchAnomaliesResponse,
    ) -> Result<(), StreamEnd> {
        let resume_token = self.position.token(self.fingerprint);
        frames.send(v1::WatchAnomaliesResponse { resume_token, ..message }).await?;
        frames.flush().await?;
        self.scans_since_message = 0;
        Ok(())
    }

    /// Finds the series that the selectors match now.
    async fn find_series(&mut self) -> Result<(), QueryError> {
        let found = self.finder.find(&self.query.selectors).await?;
        let key = |found: Series| {
            (
                found.series_id,
                SeriesKey { device_id: found.device_id, metric_name: found.metric_name },
            )
        };
        let series: HashMap<i32, SeriesKey> = found.into_iter().map(key).collect();
        let (most, method) = match self.query.method {
            v1::AnomalyMethod::Robust => (MAX_ROBUST_SERIES, " with ROBUST"),
            _ => (MAX_SERIES, ""),
        };
        if series.len() > most {
            let description = format!(
                "match {} series; the limit of a subscription{method} is {most}",
                series.len()
            );
            return Err(QueryError::invalid("selectors", description));
        }
        self.series = series;
        Ok(())
    }
}
