//! Validates the paged listings, `ListDevices` and `ListMetrics`.

use shared::proto::v1;

use super::check_prefix;
use crate::error::QueryError;
use crate::page_token;

const DEFAULT_PAGE_SIZE: i32 = 100;
const MAX_PAGE_SIZE: i32 = 1_000;

/// A query for one page of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeviceListing {
    pub(crate) page_size: usize,
    pub(crate) prefix: String,
    /// The page begins after this id.
    pub(crate) after: String,
}

/// A query for one page of metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MetricListing {
    pub(crate) page_size: usize,
    /// Empty for all devices.
    pub(crate) device_id: String,
    pub(crate) prefix: String,
    /// The page begins after this name.
    pub(crate) after: String,
}

impl DeviceListing {
    pub(crate) fn check(request: v1::ListDevicesRequest) -> Result<Self, QueryError> {
        let page_size = page_size(request.page_size)?;
        check_prefix("device_id_prefix", &request.device_id_prefix)?;
        let mut listing =
            Self { page_size, prefix: request.device_id_prefix, after: String::new() };
        listing.after = page_token::decode(&listing.token_scope(), &request.page_token)?;
        Ok(listing)
    }

    /// Returns the method and filters that a page token is bound to.
    pub(crate) fn token_scope(&self) -> [&str; 2] {
        ["ListDevices", &self.prefix]
    }
}

impl MetricListing {
    pub(crate) fn check(request: v1::ListMetricsRequest) -> Result<Self, QueryError> {
        let page_size = page_size(request.page_size)?;
        check_prefix("device_id", &request.device_id)?;
        check_prefix("metric_name_prefix", &request.metric_name_prefix)?;
        let mut listing = Self {
            page_size,
            device_id: request.device_id,
            prefix: request.metric_name_prefix,
            after: String::new(),
        };
        listing.after = page_token::decode(&listing.token_scope(), &request.page_token)?;
        Ok(listing)
    }

    /// Returns the method and filters that a page token is bound to.
    pub(crate) fn token_scope(&self) -> [&str; 3] {
        ["ListMetrics", &self.device_id, &self.prefix]
    }
}

/// Returns the page size as in AIP-158: 0 means the default, a value over the limit means the
/// limit, and a negative value is an error.
fn page_size(page_size: i32) -> Result<usize, QueryError> {
    let size = if page_size == 0 { DEFAULT_PAGE_SIZE } else { page_size.min(MAX_PAGE_SIZE) };
    usize::try_from(size).map_err(|_| {
        QueryError::invalid(
            "page_size",
            format!("is {page_size}; use 1 or more, or 0 for the default of {DEFAULT_PAGE_SIZE}"),
        )
    })
}
