//! The handler of `ListDevices`, with pagination as in AIP-158.

use shared::auth::DevicePrefixes;
use shared::proto::v1;

use super::page;
use crate::error::QueryError;
use crate::read_pool::ReadPool;
use crate::series::prefix_end;
use crate::store;
use crate::validate::DeviceListing;

pub(super) async fn handle(
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
            let limit = page::sql_limit(missing);
            found.extend(store::devices(&pool, &prefix, end, &listing.after, limit).await?);
        }
    }
    let next_page_token = page::next_token(
        &mut found,
        listing.page_size,
        &listing.token_scope(),
        |(device_id, _)| device_id,
    );
    let device = |(device_id, metric_count)| v1::Device {
        device_id,
        metric_count: u32::try_from(metric_count).unwrap_or(u32::MAX),
    };
    Ok(v1::ListDevicesResponse {
        devices: found.into_iter().map(device).collect(),
        next_page_token,
    })
}
