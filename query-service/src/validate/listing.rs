//! Checks the paged listings.

use shared::proto::v1;

use super::check_prefix;
use crate::error::QueryError;
use crate::page_token;

const DEFAULT_PAGE_SIZE: i32 = 100;
const MAX_PAGE_SIZE: i32 = 1_000;

/// One page of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeviceListing {
    pub(crate) page_size: usize,
    pub(crate) prefix: String,
    /// Where the page begins: after this id.
    pub(crate) after: String,
}

/// One page of metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MetricListing {
    pub(crate) page_size: usize,
    /// Empty for all devices.
    pub(crate) device_id: String,
    pub(crate) prefix: String,
    /// Where the page begins: after this name.
    pub(crate) after: String,
}

impl DeviceListing {
    pub(crate) fn check(request: v1::ListDevicesRequest) -> Result<Self, QueryError> {
        let page_size = page_size(request.page_size)?;
        check_prefix("device_id_prefix", &request.device_id_prefix)?;
        let mut listing =
            Self { page_size, prefix: request.device_id_prefix, after: String::new() };
        listing.after = page_token::decode(&listing.question(), &request.page_token)?;
        Ok(listing)
    }

    /// What a page token is bound to.
    pub(crate) fn question(&self) -> [&str; 2] {
        ["ListDevices", &self.prefix]
    }
}

impl MetricListing {
    pub(crate) fn check(request: v1::ListMetricsRequest) -> Result<Self, QueryError> {
        let page_size = page_size(request.page_size)?;
        check_prefix("device_id", &request.device_id)?;
        check_prefix("metric_name_prefix", &request.metric_name_prefix)?;
        let (device_id, prefix) = (request.device_id, request.metric_name_prefix);
        let mut listing = Self { page_size, device_id, prefix, after: String::new() };
        listing.after = page_token::decode(&listing.question(), &request.page_token)?;
        Ok(listing)
    }

    /// What a page token is bound to.
    pub(crate) fn question(&self) -> [&str; 3] {
        ["ListMetrics", &self.device_id, &self.prefix]
    }
}

/// As AIP-158 has it: 0 is the default, more than the limit is the limit, negative is an error.
fn page_size(page_size: i32) -> Result<usize, QueryError> {
    let size = if page_size == 0 { DEFAULT_PAGE_SIZE } else { page_size.min(MAX_PAGE_SIZE) };
    usize::try_from(size).map_err(|_| {
        QueryError::invalid(
            "page_size",
            format!("is {page_size}; 0 (for {DEFAULT_PAGE_SIZE}) or more is accepted"),
        )
    })
}
