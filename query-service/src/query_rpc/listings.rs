//! `ListDevices` and `ListMetrics`, page by page as AIP-158 has it.

use shared::proto::v1;

use crate::error::QueryError;
use crate::read_pool::ReadPool;
use crate::series::{check_device, prefix_end};
use crate::validate::{DeviceListing, MetricListing};
use crate::{page_token, store};

pub(super) async fn devices(
    pool: ReadPool,
    request: v1::ListDevicesRequest,
) -> Result<v1::ListDevicesResponse, QueryError> {
    let listing = DeviceListing::check(request)?;
    let end = prefix_end(&listing.prefix);
    let mut found = store::devices(&pool, &listing.prefix, end, &listing.after, limit(listing.page_size)).await?;
    let next_page_token = next_page(&mut found, listing.page_size, &listing.question(), |(device_id, _)| device_id);
    let device = |(device_id, metric_count)| v1::Device {
        device_id,
        metric_count: u32::try_from(metric_count).unwrap_or(u32::MAX),
    };
    Ok(v1::ListDevicesResponse { devices: found.into_iter().map(device).collect(), next_page_token })
}

pub(super) async fn metrics(
    pool: ReadPool,
    request: v1::ListMetricsRequest,
) -> Result<v1::ListMetricsResponse, QueryError> {
    let listing = MetricListing::check(request)?;
    if !listing.device_id.is_empty() {
        check_device(&pool, &listing.device_id).await?;
    }
    let (end, limit) = (prefix_end(&listing.prefix), limit(listing.page_size));
    let mut found = store::metrics(&pool, &listing.device_id, &listing.prefix, end, &listing.after, limit).await?;
    let next_page_token = next_page(&mut found, listing.page_size, &listing.question(), |name| name);
    let metrics = found.into_iter().map(|metric_name| v1::Metric { metric_name }).collect();
    Ok(v1::ListMetricsResponse { metrics, next_page_token })
}

/// One more than the page holds, to know whether there is a next one.
fn limit(page_size: usize) -> i64 {
    i64::try_from(page_size + 1).unwrap_or(i64::MAX)
}

/// Cuts what was found to the page, and makes the token of the next page where there is one.
fn next_page<T>(found: &mut Vec<T>, page_size: usize, question: &[&str], name: impl Fn(&T) -> &str) -> String {
    if found.len() <= page_size {
        return String::new();
    }
    found.truncate(page_size);
    found.last().map_or_else(String::new, |last| page_token::encode(question, name(last)))
}
