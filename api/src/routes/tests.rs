use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use contracts::rest::{ActivityDefinitionUpdate, NewActivityDefinition, Problem};
use kube::{Client, Config};
use runtime::postgres::PostgresArguments;
use serde_json::{Value, json};
use store::Store;
use tower::ServiceExt as _;

use super::*;
use crate::access::Access;
use crate::arguments::{AuthenticationMode, Namespaces};
use crate::dead_letters::DeadLetters;
use crate::definitions::Definitions;
use crate::error::PROBLEM_JSON;
use crate::event_types::EventTypes;
use crate::feedback_notes::Notes;
use crate::metrics::RequestMetrics;
use crate::rate_limit::{Rate, RateLimits};
use crate::temporal_link::TemporalLink;

/// An API whose dependencies are all away: port 1 of loopback listens to nobody.
fn away(authentication: AuthenticationMode) -> Router {
    api(
        authentication,
        "http://127.0.0.1:1",
        Duration::from_secs(10),
    )
}

fn api(authentication: AuthenticationMode, kubernetes: &str, request_timeout: Duration) -> Router {
    let rate = Rate {
        per_second: 0,
        burst: 1,
    };
    router(
        state((authentication, kubernetes), request_timeout, rate),
        1000,
    )
}

fn state(
    (authentication, kubernetes): (AuthenticationMode, &str),
    request_timeout: Duration,
    rate: Rate,
) -> ApiState {
    runtime::install_cryptography();
    let client = Client::try_from(Config::new(kubernetes.parse().unwrap())).unwrap();
    let postgres = PostgresArguments {
        database_url: Some("postgres://nobody@127.0.0.1:1/nothing".into()),
        database_max_connections: 1,
    };
    let store = Store::new(postgres.pool("tests").unwrap());
    let namespaces = Namespaces {
        home: "activity-core".into(),
        served: None,
    };
    let registry = runtime::Registry::new();
    let state_hub = Err("STATE_HUB_URL is not set".to_owned());
    ApiState {
        access: Arc::new(Access::new(authentication, client.clone())),
        event_types: EventTypes::new(client.clone(), namespaces.clone()),
        definitions: Definitions::new(client, store.clone(), namespaces, Duration::from_mins(15)),
        store,
        temporal: TemporalLink::default(),
        working_memory: Err("WORKING_MEMORY_DIR is not set".to_owned()),
        notes: Notes::new(state_hub.clone()),
        state_hub,
        dead_letters: DeadLetters::default(),
        rate_limits: Arc::new(RateLimits::new(rate)),
        time_zone: domain::TimeZone::UTC,
        metrics: RequestMetrics::register(&registry, &operations()).unwrap(),
        request_timeout,
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn problem(&self) -> Problem {
        assert_eq!(self.headers["content-type"], PROBLEM_JSON);
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status.as_u16());
        assert!(!problem.detail.is_empty());
        problem
    }
}

async fn ask(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: to_bytes(body, usize::MAX).await.unwrap().to_vec(),
    }
}

async fn get(router: &Router, path: &str) -> Answer {
    ask(router, Request::get(path).body(Body::empty()).unwrap()).await
}

async fn post(router: &Router, body: impl Into<Body>) -> Answer {
    let request = Request::post("/activity-definitions/")
        .header("content-type", "application/json")
        .body(body.into())
        .unwrap();
    ask(router, request).await
}

#[tokio::test]
async fn every_failure_is_a_problem_document() {
    let api = away(AuthenticationMode::None);
    let unknown = get(&api, "/activity-definition/").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    unknown.problem();

    let request = Request::patch("/activity-definitions/").body(Body::empty());
    let wrong_method = ask(&api, request.unwrap()).await;
    assert_eq!(wrong_method.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(wrong_method.headers["allow"], "GET,HEAD,POST");
    wrong_method.problem();

    let no_uuid = get(&api, "/activity-definitions/daily-report").await;
    assert_eq!(no_uuid.status, StatusCode::BAD_REQUEST);
    assert_eq!(no_uuid.problem().field.as_deref(), Some("id"));

    for (path, field) in [
        ("?limit=0", Some("limit")),
        ("?after=x", Some("after")),
        ("?limt=5", None),
        ("?limit=many", None),
    ] {
        let id = "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f";
        let bad = get(&api, &format!("/activity-definitions/{id}/runs{path}")).await;
        assert_eq!(bad.status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(bad.problem().field.as_deref(), field, "{path}");
    }

    let no_file = get(&api, "/docs/nothing.js").await;
    assert_eq!(no_file.status, StatusCode::NOT_FOUND);
    no_file.problem();
}

#[tokio::test]
async fn a_body_that_can_not_be_read_is_a_problem_document() {
    let api = away(AuthenticationMode::None);
    let bad = post(&api, "{").await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    bad.problem();

    let misspelt = post(&api, r#"{"name": "x", "trigger_confg": {}}"#).await;
    assert_eq!(misspelt.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(misspelt.problem().field.as_deref(), Some("trigger_confg"));

    let large = post(&api, vec![b' '; 1001]).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    large.problem();

    let request = Request::post("/activity-definitions/").body(Body::from("{}"));
    let undeclared = ask(&api, request.unwrap()).await;
    assert_eq!(undeclared.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    undeclared.problem();
}

#[tokio::test]
async fn a_bad_cron_is_refused_before_anything_is_written() {
    // Kubernetes is away, so a write would be a 503.
    let api = away(AuthenticationMode::None);
    let body = json!({"name": "x", "trigger_config":
        {"trigger_type": "cron", "cron_expression": "61 * * * *"}});
    let refused = post(&api, body.to_string()).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let problem = refused.problem();
    assert_eq!(
        problem.field.as_deref(),
        Some("trigger_config.cron_expression")
    );
    assert!(problem.detail.contains("61 * * * *"), "{}", problem.detail);
}

#[tokio::test]
async fn an_outage_is_a_503_that_tells_nothing_internal() {
    let api = away(AuthenticationMode::None);
    let listing = get(&api, "/activity-definitions/").await;
    assert_eq!(listing.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(listing.headers["retry-after"], "5");
    let problem = listing.problem();
    assert!(problem.instance.is_some());
    assert!(!problem.detail.contains("127.0.0.1"), "{}", problem.detail);
    let health = get(&api, "/health").await;
    assert_eq!(health.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        health.body,
        br#"{"status":"unavailable","db":false,"temporal":false}"#
    );
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_a_504() {
    // Accepts connections (in its backlog) and never says a word.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let kubernetes = format!("http://{}", silent.local_addr().unwrap());
    let api = api(
        AuthenticationMode::None,
        &kubernetes,
        Duration::from_millis(50),
    );
    let late = get(&api, "/activity-definitions/").await;
    assert_eq!(late.status, StatusCode::GATEWAY_TIMEOUT);
    late.problem();
}

#[tokio::test]
async fn a_path_is_served_with_and_without_a_slash_at_its_end() {
    let api = away(AuthenticationMode::None);
    for path in [
        "/activity-definitions",
        "/event-types",
        "/health",
        "/health/",
    ] {
        let answer = get(&api, path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
}

#[tokio::test]
async fn without_a_token_only_health_and_documentation_are_open() {
    let api = away(AuthenticationMode::Kubernetes);
    let id = "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f";
    for path in operations() {
        let route = path.route.replace("{id}", id).replace("{run_id}", id);
        let route = route.replace("{name}", "user.created");
        let request = Request::builder().method(path.method).uri(&route);
        let answer = ask(&api, request.body(Body::empty()).unwrap()).await;
        if route == "/health" {
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            continue;
        }
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{route}");
        assert!(answer.headers.contains_key("www-authenticate"));
        if page::operations().all(|page| page.route != path.route) {
            answer.problem();
            continue;
        }
        let text = String::from_utf8(answer.body).unwrap();
        assert!(
            text.contains("kubectl -n activity-core port-forward"),
            "{text}"
        );
    }
    for path in ["/openapi.json", "/docs/", "/page.css", "/icon.svg"] {
        assert_eq!(get(&api, path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn who_asks_too_often_gets_a_429_and_health_is_always_answered() {
    let rate = Rate {
        per_second: 1,
        burst: 2,
    };
    let open = (AuthenticationMode::None, "http://127.0.0.1:1");
    let api = router(state(open, Duration::from_secs(10), rate), 1000);
    for path in [
        "/nothing",
        "/event-types/Not-A-Name",
        "/event-types/Not-A-Name",
    ] {
        let answer = get(&api, path).await;
        assert_ne!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{path}");
    }
    let refused = get(&api, "/event-types/").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["retry-after"], "1");
    let detail = refused.problem().detail;
    assert!(detail.contains("API_RATE_LIMIT_PER_SECOND"), "{detail}");
    let page = get(&api, "/").await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(
        page.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    for path in ["/health", "/docs/", "/openapi.json", "/page.css"] {
        let answer = get(&api, path).await;
        assert_ne!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{path}");
    }
}

#[tokio::test]
async fn a_page_that_can_not_be_shown_says_why_to_a_person() {
    let api = away(AuthenticationMode::None);
    let id = "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f";
    for (path, status) in [
        ("/".to_owned(), StatusCode::SERVICE_UNAVAILABLE),
        ("/?date=yesterday".to_owned(), StatusCode::BAD_REQUEST),
        ("/?namespace=No%20Label".to_owned(), StatusCode::BAD_REQUEST),
        ("/activity/daily".to_owned(), StatusCode::BAD_REQUEST),
        (format!("/activity/{id}?after=x"), StatusCode::BAD_REQUEST),
        (format!("/run/{id}"), StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let answer = get(&api, &path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(
            answer.headers["content-security-policy"]
                .to_str()
                .unwrap()
                .contains("'none'")
        );
        let text = String::from_utf8(answer.body).unwrap();
        assert!(text.starts_with("<!DOCTYPE html>"), "{text}");
        assert!(text.contains("Did everything run today?"), "{text}");
    }
}

#[tokio::test]
async fn the_documentation_comes_from_the_program_itself() {
    let api = away(AuthenticationMode::None);
    let entry = get(&api, "/docs").await;
    assert_eq!(entry.status, StatusCode::SEE_OTHER);
    assert_eq!(entry.headers["location"], "docs/");
    let page = String::from_utf8(get(&api, "/docs/").await.body).unwrap();
    assert!(page.contains("swagger-ui-bundle.js"), "{page}");
    let script = get(&api, "/docs/swagger-initializer.js").await;
    let script = String::from_utf8(script.body).unwrap();
    assert!(script.contains("../openapi.json"), "{script}");
    let document: Value = serde_json::from_slice(&get(&api, "/openapi.json").await.body).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
}

#[test]
fn the_documents_examples_are_bodies_that_the_api_accepts() {
    let document = serde_json::to_value(document()).unwrap();
    let examples = |pointer: &str| {
        let content = &document["paths"][pointer];
        content.clone()
    };
    let created = &examples("/activity-definitions/")["post"]["requestBody"];
    let updated = &examples("/activity-definitions/{id}")["put"]["requestBody"];
    let of = |body: &Value| {
        let examples = body["content"]["application/json"]["examples"].as_object();
        let values = examples
            .unwrap()
            .values()
            .map(|example| example["value"].clone());
        values.collect::<Vec<_>>()
    };
    assert_eq!(of(created).len(), 3);
    for example in of(created) {
        serde_json::from_value::<NewActivityDefinition>(example).unwrap();
    }
    for example in of(updated) {
        serde_json::from_value::<ActivityDefinitionUpdate>(example).unwrap();
    }
}

#[test]
fn every_operation_documents_its_failures_as_problem_documents() {
    let document = serde_json::to_value(document()).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap();
            for (status, response) in responses {
                if path == "/health" || status.starts_with('2') {
                    continue;
                }
                let schema = &response["content"][PROBLEM_JSON]["schema"]["$ref"];
                assert_eq!(
                    schema, "#/components/schemas/Problem",
                    "{method} {path} {status}"
                );
            }
            let guarded = responses.contains_key("401") && responses.contains_key("403");
            assert!(guarded || path == "/health", "{method} {path}");
            assert!(operation["operationId"].is_string(), "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path}");
        }
    }
}

#[test]
fn the_document_refuses_what_the_api_refuses() {
    let document = serde_json::to_value(document()).unwrap();
    let schemas = &document["components"]["schemas"];
    let kinds = schemas["TriggerConfig"]["oneOf"].as_array().unwrap();
    assert_eq!(kinds.len(), 3);
    let bodies = ["NewActivityDefinition", "ActivityDefinitionUpdate"];
    for schema in kinds
        .iter()
        .chain(bodies.iter().map(|name| &schemas[*name]))
    {
        assert_eq!(schema["additionalProperties"], false, "{schema}");
    }
}
