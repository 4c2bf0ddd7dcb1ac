//! The HTTP routes: Ballista's gRPC service and REST API, our results, health and progress, our root page.

use std::net::SocketAddr;
use std::sync::Arc;

use arrow_flight::flight_service_server::FlightServiceServer;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
use ballista_scheduler::api::get_routes;
use tonic::service::RoutesBuilder;

use crate::progress::{PROGRESS_PATH, job_progress};
use crate::results::Results;
use crate::server::Server;

/// Where Ballista's redirect to the internet is hidden: a path that no listener forwards.
pub(crate) const HIDDEN_REDIRECT: &str = "/redirect-is-not-served";

/// REST, health and progress: everything a browser or a probe may ask.
pub(crate) fn http(server: &Arc<Server>) -> Router {
    // Only `/api/` reaches Ballista's router, so its redirect is out of reach whatever path it has. As a fallback, and
    // not behind a wildcard, whose match Ballista's handlers would take for one more of their own path arguments.
    let ballista = get_routes(Arc::clone(server)).layer(from_fn(only_api));
    Router::new()
        .route("/", get(root))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route(&format!("{PROGRESS_PATH}{{job_id}}"), get(job_progress))
        .with_state(Arc::clone(server))
        .fallback_service(ballista)
}

/// gRPC for clients and executors, and next to it the results and the REST routes, because a client
/// asks for both over the connection that it already has.
pub(crate) fn grpc(server: &Arc<Server>, max_message_bytes: usize) -> Router {
    let service = SchedulerGrpcServer::new(server.as_ref().clone())
        .max_decoding_message_size(max_message_bytes)
        .max_encoding_message_size(max_message_bytes);
    let mut builder = RoutesBuilder::default();
    builder.add_service(service);
    builder.add_service(
        FlightServiceServer::new(Results::new(server, max_message_bytes))
            .max_decoding_message_size(max_message_bytes)
            .max_encoding_message_size(max_message_bytes),
    );
    builder.routes().into_axum_router().reset_fallback().merge(http(server))
}

/// The only origin whose scripts may call the API: the listener itself.
pub(crate) fn own_origin(address: SocketAddr) -> String {
    format!("http://{address}")
}

async fn only_api(request: Request, next: Next) -> Response {
    if request.uri().path().starts_with("/api/") {
        next.run(request).await
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

async fn root() -> &'static str {
    concat!(
        "QuickChat ETL scheduler ",
        env!("CARGO_PKG_VERSION"),
        "\n\n",
        "/api/state      this scheduler\n",
        "/api/executors  registered executors\n",
        "/api/jobs       jobs, /api/job/{id}, /api/job/{id}/stages, /api/progress/{id}\n",
        "/healthz        200 while the process lives\n",
        "/readyz         200 when an executor is registered\n",
    )
}

async fn ready(State(server): State<Arc<Server>>) -> Response {
    if server.is_ready() {
        "ready".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no executor is registered").into_response()
    }
}
