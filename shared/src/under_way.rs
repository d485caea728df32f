//! Counts the calls under way, so that a service that ends waits for them, and for connections without a call only a moment.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::ended_by::EndedBy;
use crate::status;

/// After the last call: for its last bytes to leave, and for calls that were sent before the client read GOAWAY to arrive.
const LINGER: Duration = Duration::from_millis(500);
/// How long a message may still take to arrive once the service ends; its sender may be half-open and never send the rest.
const LAST_MESSAGE: Duration = Duration::from_secs(2);
/// What a client is asked to wait before it calls another instance.
const RETRY_AFTER: Duration = Duration::from_secs(1);
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
            RETRY_AFTER,
        )
    }
}

/// An answer that keeps something until it is told to its end or dropped.
pub(crate) fn holding<T: Send + 'static>(body: Body, held: T) -> Body {
    Body::new(body.map_frame(move |frame| (frame, &held).0))
}

impl<S> Layer<S> for CallsUnderWay {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { under_way: self.clone(), inner }
    }
}

/// A service whose calls are counted.
#[derive(Clone, Debug)]
pub(crate) struct Counted<S> {
    under_way: CallsUnderWay,
    inner: S,
}

impl<S> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path().starts_with(HEALTH) {
            return Box::pin(self.inner.call(request));
        }
        let counted = self.under_way.calls.token();
        let too_late = CallsUnderWay::too_late(self.under_way.shutdown.clone());
        let response = self.inner.call(request.map(|body| EndedBy::request(body, too_late)));
        Box::pin(async move { Ok(response.await?.map(|body| holding(body, counted))) })
    }
}
