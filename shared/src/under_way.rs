//! Counts running calls. On shutdown, the service waits for them, but closes connections without a
//! call after a short delay.

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

/// Delay after the last call, for its last bytes to be sent and for calls to arrive that were sent
/// before the client received GOAWAY.
const LINGER: Duration = Duration::from_millis(500);
/// Maximum time after shutdown starts for the rest of a message to arrive. Its sender may be gone
/// without closing the connection.
const LAST_MESSAGE: Duration = Duration::from_secs(2);
/// Path prefix of health checks. They are not counted, because a `Watch` ends only with its client.
pub(crate) const HEALTH: &str = "/grpc.health.v1.Health/";

/// A counter of running calls. Clones share the count.
#[derive(Clone, Debug)]
pub(crate) struct CallsUnderWay {
    calls: TaskTracker,
    shutdown: CancellationToken,
}

impl CallsUnderWay {
    pub(crate) fn new(shutdown: CancellationToken) -> Self {
        Self { calls: TaskTracker::new(), shutdown }
    }

    /// Waits until shutdown has started and no call is running, or the grace period has passed.
    pub(crate) async fn ended(self, grace: Duration) {
        self.shutdown.cancelled().await;
        if tokio::time::timeout(grace, self.none_left()).await.is_err() {
            let calls = self.calls.len();
            tracing::warn!(calls, ?grace, "aborting calls still running after the grace period");
        }
    }

    /// Waits until no call is running and none has arrived during [`LINGER`].
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

    /// Waits until an incomplete message is too late. Returns the status that ends its call.
    async fn too_late(shutdown: CancellationToken) -> Status {
        shutdown.cancelled().await;
        tokio::time::sleep(LAST_MESSAGE).await;
        status::unavailable(
            "the service is shutting down and the message did not arrive in time; call another \
             instance",
        )
    }
}

/// Wraps a response body that keeps `held` until it has been sent or dropped.
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
