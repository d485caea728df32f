//! One subscription, from its first look to its end.

use std::collections::HashMap;

use shared::proto::v1::{self, SeriesKey};
use shared::time;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};

use super::baselines::Baselines;
use super::{LOOK_BACK, Position, Watchers};
use crate::error::QueryError;
use crate::query_rpc::anomalies::anomaly;
use crate::read_pool::ReadPool;
use crate::relations::Relations;
use crate::row_stream::{FrameSender, StreamEnd};
use crate::series;
use crate::store::{self, WatchedPoint};
use crate::validate::WatchQuery;

/// Most series of one subscription, and most by ROBUST, which reads every value of a baseline.
const MAX_SERIES: usize = 1_000;
const MAX_ROBUST_SERIES: usize = 100;
/// How far back most looks reach; every so many reach back all the way.
const GLANCE: i64 = 15 * time::MICROS_PER_SECOND;
const LOOKS_PER_SWEEP: u32 = 10;
/// After so many looks, new series are looked for, and a client that was told nothing gets a token.
const LOOKS_PER_TOKEN: u32 = 60;
/// What a resumed subscription missed is made up for in pieces of this length, in microseconds.
const PIECE: i64 = 3_600_000_000;
/// Later than any point.
const END_OF_TIME: i64 = 253_402_300_799_999_999;
/// Points in a statement's answer.
const PAGE_POINTS: usize = 10_000;
/// Anomalies in a message.
const MESSAGE_ANOMALIES: usize = 1_000;

type Frames = FrameSender<v1::WatchAnomaliesResponse>;

/// The anomalies of one series and one baseline, for one message.
struct Group<'p> {
    step: i64,
    series_id: i32,
    found: Vec<(&'p WatchedPoint, v1::Anomaly)>,
}

/// One client's subscription.
pub(crate) struct Subscription {
    pool: ReadPool,
    watchers: Watchers,
    query: WatchQuery,
    question: u64,
    series: HashMap<i32, SeriesKey>,
    baselines: Baselines,
    position: Position,
    looks: u32,
    looks_since_message: u32,
    began: Instant,
    next_sweep: Instant,
    _place: OwnedSemaphorePermit,
}

impl Subscription {
    /// Finds the series and takes up the token's position, or that of now.
    pub(crate) async fn new(
        pool: ReadPool,
        relations: Relations,
        watchers: Watchers,
        query: WatchQuery,
    ) -> Result<Self, QueryError> {
        let place = watchers.place()?;
        let (question, now) = (query.fingerprint(), time::now_micros());
        let position = match query.resume_token.as_str() {
            "" => Position::new(now),
            token => Position::of_token(token, question, now)?,
        };
        let mut subscription = Self {
            baselines: Baselines::new(relations, query.clone()),
            pool,
            watchers,
            query,
            question,
            series: HashMap::new(),
            position,
            looks: 0,
            looks_since_message: 0,
            began: Instant::now(),
            next_sweep: Instant::now(),
            _place: place,
        };
        subscription.find_series().await?;
        Ok(subscription)
    }

    /// Tells of anomalies until it is of age, the service shuts down or the client has gone.
    pub(crate) async fn run(mut self, frames: Frames) -> Result<(), StreamEnd> {
        let shutdown = self.watchers.shutdown.clone();
        match shutdown.run_until_cancelled(self.tell(&frames)).await {
            Some(end) => end,
            None => Err(QueryError::ShuttingDown.into()),
        }
    }

    async fn tell(&mut self, frames: &Frames) -> Result<(), StreamEnd> {
        if self.query.resume_token.is_empty() {
            // What stands out already is not new; what arrives from now on is, however late.
            self.sweep(None).await?;
        }
        self.send(frames, v1::WatchAnomaliesResponse::default()).await?;
        while self.began.elapsed() < self.watchers.max_age {
            self.look(frames).await?;
            if self.looks_since_message >= LOOKS_PER_TOKEN {
                self.send(frames, v1::WatchAnomaliesResponse::default()).await?;
            }
            sleep(self.watchers.interval).await;
        }
        self.send(frames, v1::WatchAnomaliesResponse::default()).await // so that the next one need not look back
    }

    async fn look(&mut self, frames: &Frames) -> Result<(), StreamEnd> {
        self.looks += 1;
        self.looks_since_message += 1;
        if self.looks.is_multiple_of(LOOKS_PER_TOKEN) {
            self.find_series().await?;
        }
        if self.next_sweep <= Instant::now() {
            return self.sweep(Some(frames)).await;
        }
        let now = time::now_micros();
        self.scan((now - GLANCE).max(self.position.floor()), END_OF_TIME, now, Some(frames)).await
    }

    /// Looks at everything since the floor, and raises it. The next sweep is not due before three times as long has passed as
    /// this one took.
    async fn sweep(&mut self, frames: Option<&Frames>) -> Result<(), StreamEnd> {
        let (began, now) = (Instant::now(), time::now_micros());
        let mut start = self.position.floor();
        while start <= now {
            let end = if now - start < PIECE { END_OF_TIME } else { start + PIECE };
            self.scan(start, end, now, frames).await?;
            self.position.advance(end.min(now - LOOK_BACK));
            self.baselines.forget_before(self.position.floor());
            start = end;
        }
        self.next_sweep =
            Instant::now() + (self.watchers.interval * LOOKS_PER_SWEEP).max(began.elapsed() * 3);
        Ok(())
    }

    /// Tells of the anomalies in [start, end); without a client, notes them as told.
    async fn scan(
        &mut self,
        start: i64,
        end: i64,
        now: i64,
        frames: Option<&Frames>,
    ) -> Result<(), StreamEnd> {
        let series_ids: Vec<i32> = self.series.keys().copied().collect();
        let last = (end - 1).min(now.max(start));
        let turn = self.watchers.turn().await?;
        self.baselines.read(&self.pool, &series_ids, start, last).await?;
        drop(turn);
        let bounds = self.baselines.narrowest(&series_ids, start, last);
        let mut after = WatchedPoint::before(start);
        while !bounds.is_empty() {
            let turn = self.watchers.turn().await?;
            let page = store::watched(&self.pool, &bounds, after, end, PAGE_POINTS as i64).await?;
            drop(turn); // not held while a slow client takes its messages
            match frames {
                Some(frames) => self.tell_page(frames, &page).await?,
                None => self.note(&page),
            }
            match page.last() {
                Some(point) if page.len() == PAGE_POINTS => after = *point,
                _ => break,
            }
        }
        Ok(())
    }

    /// Takes what stands out as told.
    fn note(&mut self, page: &[WatchedPoint]) {
        for point in page {
            if self.stands_out(point).is_some() {
                self.position.tell(point);
            }
        }
    }

    /// The step of a point that stands out, and the anomaly.
    fn stands_out(&self, found: &WatchedPoint) -> Option<(i64, v1::Anomaly)> {
        let (step, judged) = self.baselines.of(found.series_id, found.point.timestamp)?;
        Some((step, anomaly(&judged.judge, found.point)?))
    }

    async fn tell_page(&mut self, frames: &Frames, page: &[WatchedPoint]) -> Result<(), StreamEnd> {
        for Group { step, series_id, found } in self.group(page) {
            let told = found.into_iter().filter(|(point, _)| self.position.tell(point));
            let anomalies: Vec<_> = told.map(|(_, anomaly)| anomaly).collect();
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

    /// What stands out and was not told, in messages.
    fn group<'p>(&self, page: &'p [WatchedPoint]) -> Vec<Group<'p>> {
        let mut groups: Vec<Group<'p>> = Vec::new();
        let mut open: HashMap<(i64, i32), usize> = HashMap::new();
        for point in page.iter().filter(|point| !self.position.was_told(point)) {
            let Some((step, anomaly)) = self.stands_out(point) else { continue };
            let at = open.entry((step, point.series_id)).or_insert(groups.len());
            if groups.get(*at).is_none_or(|group| group.found.len() == MESSAGE_ANOMALIES) {
                *at = groups.len();
                groups.push(Group { step, series_id: point.series_id, found: Vec::new() });
            }
            groups[*at].found.push((point, anomaly));
        }
        groups
    }

    /// Sends a message with the token of the position after it.
    async fn send(
        &mut self,
        frames: &Frames,
        message: v1::WatchAnomaliesResponse,
    ) -> Result<(), StreamEnd> {
        let resume_token = self.position.token(self.question);
        frames.send(v1::WatchAnomaliesResponse { resume_token, ..message }).await?;
        frames.flush().await?;
        self.looks_since_message = 0;
        Ok(())
    }

    /// Finds the series that the selectors match now.
    async fn find_series(&mut self) -> Result<(), QueryError> {
        let found = series::find(&self.pool, &self.query.selectors).await?;
        let key = |found: series::Series| {
            (
                found.series_id,
                SeriesKey { device_id: found.device_id, metric_name: found.metric_name },
            )
        };
        let series: HashMap<i32, SeriesKey> = found.into_iter().map(key).collect();
        let (most, method) = match self.query.method {
            v1::AnomalyMethod::Robust => (MAX_ROBUST_SERIES, " by ROBUST"),
            _ => (MAX_SERIES, ""),
        };
        if series.len() > most {
            let sentence =
                format!("match {} series; {most} can be watched at once{method}", series.len());
            return Err(QueryError::invalid("selectors", sentence));
        }
        self.series = series;
        Ok(())
    }
}
