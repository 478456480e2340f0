//! `GET /health`: whether Postgres and Temporal answer.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use contracts::rest::Health;
use runtime::Probe;

use crate::state::ApiState;

/// Whether the API can do its work.
///
/// Asks Postgres and Temporal now, each for two seconds at most. Open to everybody.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "getHealth",
    tag = "health",
    responses(
        (status = 200, description = "Both answer.", body = Health,
         example = json!({"status": "ok", "db": true, "temporal": true})),
        (status = 503, description = "One of them does not.", body = Health,
         example = json!({"status": "unavailable", "db": true, "temporal": false})),
    )
)]
pub(super) async fn get(State(state): State<ApiState>) -> impl IntoResponse {
    let (postgres, temporal) = probes(&state);
    let (db, temporal) = tokio::join!(answers(&postgres), answers(&temporal));
    let health = Health {
        status: if db && temporal { "ok" } else { "unavailable" }.to_owned(),
        db,
        temporal,
    };
    let status = if db && temporal {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(health))
}

fn probes(state: &ApiState) -> (Probe, Probe) {
    let store = state.store.clone();
    let postgres = Probe::new("Postgres", move || {
        let store = store.clone();
        Box::pin(async move {
            store
                .ping()
                .await
                .map_err(|error| runtime::describe(&error))
        })
    });
    let link = state.temporal.clone();
    let temporal = Probe::new("Temporal", move || {
        let link = link.clone();
        Box::pin(async move {
            let temporal = link.get().map_err(|error| runtime::describe(&error))?;
            temporal
                .ping()
                .await
                .map_err(|error| runtime::describe(&error))
        })
    });
    (postgres, temporal)
}

async fn answers(probe: &Probe) -> bool {
    match probe.ask().await {
        Ok(()) => true,
        Err(reason) => {
            tracing::warn!(
                dependency = probe.name(),
                reason,
                "a dependency is not available"
            );
            false
        }
    }
}
