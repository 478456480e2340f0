//! Event types: written as custom resources, in force in the routers' mirror.

use anyhow::Result;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::Program;
use testkit::wait::Seen;

use super::{PATIENCE, place};

const USER_CREATED: &str = r#"{
    "name": "user.created", "description": "A user signed up.",
    "schema": {"type": "object", "required": ["tier"]}, "validation": "Enforce"
}"#;

#[tokio::test]
async fn an_event_type_is_created_changed_and_deleted_like_a_definition() -> Result<()> {
    let (place, _api, caller) = place("event-type").await?;
    let _operator = place.environment.start(Program::Operator, []).await?;
    let created = caller.post("/event-types/", USER_CREATED).await?;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
    let path = "/event-types/user.created";
    assert_eq!(created.headers["location"], path);
    assert_eq!(created.body["validation"], "Enforce");
    let read = caller.get(path).await?;
    assert_eq!(read.body, created.body);
    assert_eq!(read.headers["etag"], created.headers["etag"]);
    let twice = caller.post("/event-types/", USER_CREATED).await?;
    assert_eq!(twice.status, StatusCode::CONFLICT);
    assert!(twice.detail().contains(path), "{}", twice.text);

    let tag = created.headers["etag"].to_str()?;
    let warn = r#"{"validation": "Warn"}"#;
    let changed = caller.put_if(path, tag, warn).await?;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    assert_eq!(changed.body["schema"], created.body["schema"]);
    let late = caller.put_if(path, tag, r#"{"schema": null}"#).await?;
    assert_eq!(late.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(late.problem()["field"], "If-Match");
    let open = caller.put(path, r#"{"schema": null}"#).await?;
    assert_eq!(open.body["schema"], Value::Null);
    assert_eq!(open.body["description"], "A user signed up.");
    in_mirror(&place, Some("Warn")).await?;

    let stale = [("If-Match", tag)];
    let deletion = caller.send(Method::DELETE, path, &stale).await?;
    assert_eq!(deletion.status, StatusCode::PRECONDITION_FAILED);
    let deletion = caller.send(Method::DELETE, path, &[]).await?;
    assert_eq!(deletion.status, StatusCode::NO_CONTENT, "{}", deletion.text);
    assert_eq!(caller.get(path).await?.status, StatusCode::NOT_FOUND);
    assert_eq!(caller.get("/event-types/").await?.body, json!([]));
    in_mirror(&place, None).await
}

/// Waits until the mirror's only event type has this validation, or there is none.
async fn in_mirror(place: &crate::place::Place, validation: Option<&str>) -> Result<()> {
    testkit::wait::until("the mirror to follow", PATIENCE, || async {
        let rows = place.store.event_types().await?;
        let found = rows.first().map(|row| row.validation.as_str());
        Ok::<_, store::Error>(if found == validation {
            Seen::Done(())
        } else {
            Seen::not_yet(format!("{rows:?}"))
        })
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn an_event_type_of_no_use_is_refused_and_named() -> Result<()> {
    let (_place, _api, caller) = place("event-type-refused").await?;
    for (body, field) in [
        (r#"{"name": "User Created"}"#, "name"),
        (
            r#"{"name": "a", "schema": {"type": "no such type"}}"#,
            "schema",
        ),
        (r#"{"name": "a", "schema": "any"}"#, "schema"),
        (r#"{"name": "a", "validation": "Maybe"}"#, "validation"),
        (r#"{"name": "a", "colour": "red"}"#, "colour"),
    ] {
        let refused = caller.post("/event-types/", body).await?;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(refused.problem()["field"], field, "{}", refused.text);
    }
    let no_name = caller.get("/event-types/..%2F..%2Fnodes").await?;
    assert_eq!(no_name.status, StatusCode::BAD_REQUEST, "{}", no_name.text);
    let foreign = caller.get("/event-types/a?namespace=kube-system").await?;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{}", foreign.text);
    Ok(())
}
