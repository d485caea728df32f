//! Health of the services, as they report it.

use std::time::Duration;

use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Time limit for a service to reach a state.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the standard health service reports that a service is serving.
pub async fn wait_until_serving(channel: &Channel, service: &str) {
    wait_for(service, ServingStatus::Serving, channel).await;
}

/// Waits until a service's health has the given state.
pub async fn wait_for(service: &str, wanted: ServingStatus, channel: &Channel) {
    let request = HealthCheckRequest { service: service.to_owned() };
    let mut states = HealthClient::new(channel.clone()).watch(request).await.unwrap().into_inner();
    let reached = async {
        while let Some(state) = states.message().await.unwrap() {
            if state.status() == wanted {
                return;
            }
        }
        panic!("health of {service} ended before it was {wanted:?}");
    };
    tokio::time::timeout(PATIENCE, reached)
        .await
        .unwrap_or_else(|_| panic!("{service} was not {wanted:?} within {PATIENCE:?}"));
}
