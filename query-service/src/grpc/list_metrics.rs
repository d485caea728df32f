//! The handler of `ListMetrics`, with pagination as in AIP-158.

use std::collections::BTreeSet;

use shared::auth::DevicePrefixes;
use shared::proto::v1;

use super::page;
use crate::error::QueryError;
use crate::read_pool::ReadPool;
use crate::series::{SeriesFinder, prefix_end};
use crate::store;
use crate::validate::MetricListing;

pub(super) async fn handle(
    pool: ReadPool,
    finder: SeriesFinder,
    request: v1::ListMetricsRequest,
    permitted: &DevicePrefixes,
) -> Result<v1::ListMetricsResponse, QueryError> {
    let listing = MetricListing::check(request)?;
    if !listing.device_id.is_empty() {
        finder.check_device(&listing.device_id).await?;
    }
    let prefix = &listing.prefix;
    let end = prefix_end(prefix);
    let after = &listing.after;
    let limit = page::sql_limit(listing.page_size + 1);
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
        page::next_token(&mut found, listing.page_size, &listing.token_scope(), |name| name);
    let metrics = found.into_iter().map(|metric_name| v1::Metric { metric_name }).collect();
    Ok(v1::ListMetricsResponse { metrics, next_page_token })
}
