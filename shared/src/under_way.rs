//! Counts the calls under way, so that a service that ends waits for them, and for connections without a call only a moment.

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::body::Body;

use crate::around::{Answer, Around};
use crate::ended_by::EndedBy;
use crate::status;

/// After the last call: for its last bytes to leave, and for calls that were sent before the client read GOAWAY to arrive.
const LINGER: Duration = Duration::from_millis(500);
/// How long a message may still take to arrive once the service ends; its sender may be half-open and never send the rest.
const LAST_MESSAGE: Duration = Duration::from_secs(2);
/// Of no interest: a `Watch` ends only with its client.
pub(crate) const HEALTH: &str = "/grpc.health.v1.Health/";

/// Counts calls; cheap to clone, all clones count together.
#[derive(Clone, Debug)]
pub(crate) struct CallsUnderWay {
    calls: TaskTracker,
    shutdown: CancellationToken,
}

impl CallsUnderWay {
    pub(crate) fn new(shutdown: CancellationToken) -> Self {
        Self { calls: TaskTracker::new(), shutdown }
    }

    /// Waits until the service ends and no call is left, or the grace has passed.
    pub(crate) async fn ended(self, grace: Duration) {
        self.shutdown.cancelled().await;
        if tokio::time::timeout(grace, self.none_left()).await.is_err() {
            let calls = self.calls.len();
            tracing::warn!(calls, ?grace, "calls still under way after the grace period are cut");
        }
    }

    /// Nor any that came while that was waited for.
    async fn none_left(&self) {
        self.calls.close();
        loop {
            self.calls.wait().await;
            tokio::time::sleep(LINGER).await;
            if self.calls.is_empty() {
                return;
            }
        }
    }

    /// When a message that is not whole yet has taken too long.
    async fn too_late(shutdown: CancellationToken) -> Status {
        shutdown.cancelled().await;
        tokio::time::sleep(LAST_MESSAGE).await;
        status::unavailable(
            "the service is shutting down and the message did not arrive in time; call another instance",
        )
    }
}

/// An answer that keeps something until it is told to its end or dropped.
pub(crate) fn holding<T: Send + 'static>(body: Body, held: T) -> Body {
    Body::new(body.map_frame(move |frame| (frame, &held).0))
}

impl Around for CallsUnderWay {
    fn call(&self, request: Request<Body>, inside: impl FnOnce(Request<Body>) -> Answer) -> Answer {
        if request.uri().path().starts_with(HEALTH) {
            return inside(request);
        }
        let counted = self.calls.token();
        let too_late = Self::too_late(self.shutdown.clone());
        let response = inside(request.map(|body| EndedBy::request(body, too_late)));
        Box::pin(async move { Ok(response.await?.map(|body| holding(body, counted))) })
    }
}
