//! Checks that callers query only the devices that they may read. The check uses the request alone,
//! before any lookup: a caller who may not read a device does not learn whether it exists.

use shared::auth::{self, DevicePrefixes};
use shared::proto::v1;
use shared::proto::v1::query_service_server::QueryService;
use shared::proto::v1::series_selector::Device;
use shared::status;
use tonic::{Request, Response, Status};

/// A `QueryService` that checks permissions and then calls the wrapped service. A method added to
/// the contract does not compile until it is added here.
pub(crate) struct Permitted<S>(pub(crate) S);

/// A request that reads some devices, or all of them.
trait PermissionCheck {
    /// Describes the first part of the request that is not permitted. Returns `None` if all of it
    /// is.
    fn first_not_permitted(&self, permitted: &DevicePrefixes) -> Option<String>;
}

fn permit<T: PermissionCheck>(request: Request<T>) -> Result<Request<T>, Status> {
    let identity = auth::identity(request.extensions())?;
    match request.get_ref().first_not_permitted(&identity.devices) {
        None => Ok(request),
        Some(what) => {
            let description = format!("identity {:?} may not read {what}", identity.name);
            Err(status::permission_denied("DEVICE_NOT_PERMITTED", description))
        }
    }
}

fn device(device_id: &str, permitted: &DevicePrefixes) -> Option<String> {
    (!permitted.allow(device_id)).then(|| format!("device {device_id:?}"))
}

fn selectors(selectors: &[v1::SeriesSelector], permitted: &DevicePrefixes) -> Option<String> {
    selectors.iter().find_map(|selector| match &selector.device {
        Some(Device::DeviceId(device_id)) => device(device_id, permitted),
        Some(Device::DeviceIdPrefix(prefix)) if permitted.allow(prefix) => None,
        Some(Device::DeviceIdPrefix(prefix)) => {
            Some(format!("all devices whose id begins with {prefix:?}"))
        }
        None => None, // validation refuses it later
    })
}

impl PermissionCheck for v1::QueryRangeRequest {
    fn first_not_permitted(&self, permitted: &DevicePrefixes) -> Option<String> {
        selectors(&self.selectors, permitted)
    }
}

impl PermissionCheck for v1::QueryAggregatedRequest {
    fn first_not_permitted(&self, permitted: &DevicePrefixes) -> Option<String> {
        selectors(&self.selectors, permitted)
    }
}

impl PermissionCheck for v1::WatchAnomaliesRequest {
    fn first_not_permitted(&self, permitted: &DevicePrefixes) -> Option<String> {
        selectors(&self.selectors, permitted)
    }
}

impl PermissionCheck for v1::DetectAnomaliesRequest {
    fn first_not_permitted(&self, permitted: &DevicePrefixes) -> Option<String> {
        self.series.as_ref().and_then(|series| device(&series.device_id, permitted))
    }
}

impl PermissionCheck for v1::GetLatestRequest {
    fn first_not_permitted(&self, permitted: &DevicePrefixes) -> Option<String> {
        let named = self.series.iter().map(|series| &series.device_id);
        let whole = (!self.device_id.is_empty()).then_some(&self.device_id);
        named.chain(whole).find_map(|device_id| device(device_id, permitted))
    }
}

impl PermissionCheck for v1::ListDevicesRequest {
    fn first_not_permitted(&self, _permitted: &DevicePrefixes) -> Option<String> {
        None // the listing itself shows permitted devices only
    }
}

impl PermissionCheck for v1::ListMetricsRequest {
    fn first_not_permitted(&self, permitted: &DevicePrefixes) -> Option<String> {
        // Without a device id, the listing itself shows metrics of permitted devices only.
        if self.device_id.is_empty() { None } else { device(&self.device_id, permitted) }
    }
}

impl PermissionCheck for v1::GetStorageStatsRequest {
    fn first_not_permitted(&self, permitted: &DevicePrefixes) -> Option<String> {
        (!permitted.are_all()).then(|| "the storage statistics of all devices".to_owned())
    }
}

#[tonic::async_trait]
impl<S: QueryService> QueryService for Permitted<S> {
    type QueryRangeStream = S::QueryRangeStream;
    type QueryAggregatedStream = S::QueryAggregatedStream;
    type WatchAnomaliesStream = S::WatchAnomaliesStream;

    async fn query_range(
        &self,
        request: Request<v1::QueryRangeRequest>,
    ) -> Result<Response<S::QueryRangeStream>, Status> {
        self.0.query_range(permit(request)?).await
    }

    async fn query_aggregated(
        &self,
        request: Request<v1::QueryAggregatedRequest>,
    ) -> Result<Response<S::QueryAggregatedStream>, Status> {
        self.0.query_aggregated(permit(request)?).await
    }

    async fn detect_anomalies(
        &self,
        request: Request<v1::DetectAnomaliesRequest>,
    ) -> Result<Response<v1::DetectAnomaliesResponse>, Status> {
        self.0.detect_anomalies(permit(request)?).await
    }

    async fn watch_anomalies(
        &self,
        request: Request<v1::WatchAnomaliesRequest>,
    ) -> Result<Response<S::WatchAnomaliesStream>, Status> {
        self.0.watch_anomalies(permit(request)?).await
    }

    async fn get_latest(
        &self,
        request: Request<v1::GetLatestRequest>,
    ) -> Result<Response<v1::GetLatestResponse>, Status> {
        self.0.get_latest(permit(request)?).await
    }

    async fn list_devices(
        &self,
        request: Request<v1::ListDevicesRequest>,
    ) -> Result<Response<v1::ListDevicesResponse>, Status> {
        self.0.list_devices(permit(request)?).await
    }

    async fn list_metrics(
        &self,
        request: Request<v1::ListMetricsRequest>,
    ) -> Result<Response<v1::ListMetricsResponse>, Status> {
        self.0.list_metrics(permit(request)?).await
    }

    async fn get_storage_stats(
        &self,
        request: Request<v1::GetStorageStatsRequest>,
    ) -> Result<Response<v1::GetStorageStatsResponse>, Status> {
        self.0.get_storage_stats(permit(request)?).await
    }
}
