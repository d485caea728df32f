//! The handlers of `ListDevices` and `ListMetrics`, with pagination as in AIP-158.

use std::collections::BTreeSet;

use shared::auth::DevicePrefixes;
use shared::proto::v1;

use crate::error::QueryError;
use crate::read_pool::ReadPool;
use crate::series::{check_device, prefix_end};
use crate::validate::{DeviceListing, MetricListing};
use crate::{page_token, store};

pub(super) async fn devices(
    pool: ReadPool,
    request: v1::ListDevicesRequest,
    permitted: &DevicePrefixes,
) -> Result<v1::ListDevicesResponse, QueryError> {
    let listing = DeviceListing::check(request)?;
    let mut found = Vec::new();
    let wanted = listing.page_size + 1; // one more shows whether there is a next page
    for prefix in permitted.within(&listing.prefix) {
        let end = prefix_end(&prefix);
        let missing = wanted - found.len();
        let is_past = end.as_deref().is_some_and(|end| end <= listing.after.as_str());
        if missing > 0 && !is_past {
            let limit = sql_limit(missing);
            found.extend(store::devices(&pool, &prefix, end, &listing.after, limit).await?);
        }
    }
    let next_page_token =
        next_page(&mut found, listing.page_size, &listing.token_scope(), |(device_id, _)| {
            device_id
        });
    let device = |(device_id, metric_count)| v1::Device {
        device_id,
        metric_count: u32::try_from(metric_count).unwrap_or(u32::MAX),
    };
    Ok(v1::ListDevicesResponse {
        devices: found.into_iter().map(device).collect(),
        next_page_token,
    })
}

pub(super) async fn metrics(
    pool: ReadPool,
    request: v1::ListMetricsRequest,
    permitted: &DevicePrefixes,
) -> Result<v1::ListMetricsResponse, QueryError> {
    let listing = MetricListing::check(request)?;
    if !listing.device_id.is_empty() {
        check_device(&pool, &listing.device_id).await?;
    }
    let prefix = &listing.prefix;
    let end = prefix_end(prefix);
    let after = &listing.after;
    let limit = sql_limit(listing.page_size + 1);
    let mut found = if permitted.are_all() || !listing.device_id.is_empty() {
        store::metrics(&pool, &listing.device_id, prefix, end, after, limit).await?
    } else {
        let mut found = BTreeSet::new();
        for devices in permitted.within("") {
            let devices = (devices.as_str(), prefix_end(&devices));
            found.extend(
                store::metrics_of_devices(&pool, devices, (prefix, end.clone()), after, limit)
                    .await?,
            );
        }
        found.into_iter().collect()
    };
    let next_page_token =
        next_page(&mut found, listing.page_size, &listing.token_scope(), |name| name);
    let metrics = found.into_iter().map(|metric_name| v1::Metric { metric_name }).collect();
    Ok(v1::ListMetricsResponse { metrics, next_page_token })
}

/// Converts a count to the type of a LIMIT.
fn sql_limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Truncates the results to the page. Returns the token of the next page, or an empty string if
/// there is none.
fn next_page<T>(
    found: &mut Vec<T>,
    page_size: usize,
    scope: &[&str],
    name: impl Fn(&T) -> &str,
) -> String {
    if found.len() <= page_size {
        return String::new();
    }
    found.truncate(page_size);
    found.last().map_or_else(String::new, |last| page_token::encode(scope, name(last)))
}
