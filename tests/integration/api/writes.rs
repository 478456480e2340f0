//! What is written, what is refused, and what becomes of several who write at the same time.

use anyhow::Result;
use reqwest::{Method, StatusCode};
use serde_json::json;
use testkit::Program;
use testkit::wait::Seen;

use super::{DAILY_REPORT, manual, path_of, place};
use crate::place::PATIENCE;

#[tokio::test]
async fn a_definition_can_be_read_as_soon_as_its_post_has_returned() -> Result<()> {
    // Without an operator: nothing but the API server knows of it.
    let (place, _api, caller) = place("read-your-write").await?;
    let created = caller.post("/activity-definitions/", DAILY_REPORT).await?;
    let read = caller.get(&path_of(&created.body)).await?;
    assert_eq!(read.status, StatusCode::OK);
    assert_eq!(read.body, created.body);
    assert_eq!(read.headers["etag"], created.headers["etag"]);
    let listed = caller.get("/activity-definitions").await?;
    assert_eq!(listed.body, json!([created.body]));

    let object = place.definitions.get("daily-report").await?;
    assert_eq!(object.metadata.uid.as_deref(), created.body["id"].as_str());
    assert_eq!(created.body["namespace"], place.environment.namespace());

    // An activity id of one's own is the id here, too.
    let id = "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f";
    place.create("own-id", json!({"activityId": id})).await?;
    let own = caller.get(&format!("/activity-definitions/{id}")).await?;
    assert_eq!(own.body["name"], "own-id");
    assert_eq!(own.body["trigger_config"]["trigger_type"], "manual");
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_named() -> Result<()> {
    let (place, _api, caller) = place("refusals").await?;
    let cron = r#"{"name": "x", "trigger_config":
        {"trigger_type": "cron", "cron_expression": "61 9 * * *"}}"#;
    // Only the API server knows which event types are well-formed.
    let event = r#"{"name": "x", "trigger_config":
        {"trigger_type": "event", "event_type": "user created"}}"#;
    for (body, field) in [
        (cron, "trigger_config.cron_expression"),
        (event, "trigger_config.event_type"),
    ] {
        let refused = caller.post("/activity-definitions/", body).await?;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(refused.problem()["field"], field, "{}", refused.text);
        assert!(refused.detail().starts_with(field), "{}", refused.text);
    }
    let none = place
        .definitions
        .list(&kube::api::ListParams::default())
        .await?;
    assert!(none.items.is_empty(), "{none:?}");

    let created = caller.post("/activity-definitions/", DAILY_REPORT).await?;
    let path = path_of(&created.body);
    let twice = caller.post("/activity-definitions/", DAILY_REPORT).await?;
    assert_eq!(twice.status, StatusCode::CONFLICT);
    assert!(twice.detail().contains(&path), "{}", twice.text);

    let body = r#"{"trigger_config": {"trigger_type": "cron", "cron_expression": "0 9 * * *",
        "timezone": "Mars/Base"}}"#;
    let refused = caller.put(&path, body).await?;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.problem()["field"], "trigger_config.timezone");
    let unchanged = caller.get(&path).await?;
    assert_eq!(unchanged.body, created.body);

    let unknown = "/activity-definitions/0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f";
    for answer in [
        caller.get(unknown).await?,
        caller.put(unknown, r#"{"enabled": false}"#).await?,
        caller.send(Method::DELETE, unknown, &[]).await?,
        caller
            .send(Method::POST, &format!("{unknown}/trigger"), &[])
            .await?,
        caller.get(&format!("{unknown}/runs")).await?,
        caller
            .get("/runs/0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f")
            .await?,
        caller
            .get("/activity-definitions/?namespace=kube-system")
            .await?,
    ] {
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text);
        answer.problem();
    }
    Ok(())
}

#[tokio::test]
async fn any_name_is_accepted_and_kept() -> Result<()> {
    let (place, _api, caller) = place("names").await?;
    for name in ["Daily Report!", "daily report", "daily-report", "日報 №7"] {
        let created = caller
            .post("/activity-definitions/", &manual(name).to_string())
            .await?;
        assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
        assert_eq!(created.body["name"], name);
    }
    let all = place
        .definitions
        .list(&kube::api::ListParams::default())
        .await?;
    assert_eq!(all.items.len(), 4);
    assert!(place.definitions.get_opt("daily-report").await?.is_some());
    Ok(())
}

#[tokio::test]
async fn of_two_writers_who_read_the_same_the_second_is_told() -> Result<()> {
    let (place, _api, caller) = place("writers").await?;
    let created = caller.post("/activity-definitions/", DAILY_REPORT).await?;
    let path = path_of(&created.body);
    let tag = created.headers["etag"].to_str()?.to_owned();
    // The operator's reports do not count as changes.
    let status = kube::api::Patch::Merge(json!({"status": {"observedGeneration": 1}}));
    let parameters = kube::api::PatchParams::default();
    place
        .definitions
        .patch_status("daily-report", &parameters, &status)
        .await?;

    let first = caller.put_if(&path, &tag, r#"{"enabled": false}"#).await?;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text);
    assert_ne!(first.headers["etag"], created.headers["etag"]);
    let second = caller.put_if(&path, &tag, r#"{"name": "other"}"#).await?;
    assert_eq!(second.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(second.problem()["field"], "If-Match");
    let stale = [("If-Match", tag.as_str())];
    let deletion = caller.send(Method::DELETE, &path, &stale).await?;
    assert_eq!(deletion.status, StatusCode::PRECONDITION_FAILED);
    let unchanged = caller.get(&path).await?;
    assert_eq!(unchanged.body, first.body);

    let fresh = [("If-Match", first.headers["etag"].to_str()?)];
    let deletion = caller.send(Method::DELETE, &path, &fresh).await?;
    assert_eq!(deletion.status, StatusCode::NO_CONTENT, "{}", deletion.text);
    Ok(())
}

#[tokio::test]
async fn of_writers_at_the_same_time_exactly_one_keeps_its_condition() -> Result<()> {
    let (_place, _api, caller) = place("race").await?;
    let created = caller.post("/activity-definitions/", DAILY_REPORT).await?;
    let path = path_of(&created.body);
    let mut tag = created.headers["etag"].to_str()?.to_owned();
    for round in 0..10 {
        let body = |writer: u8| format!(r#"{{"name": "round {round}, writer {writer}"}}"#);
        let (one, two, three) = (body(1), body(2), body(3));
        let answers = tokio::try_join!(
            caller.put_if(&path, &tag, &one),
            caller.put_if(&path, &tag, &two),
            caller.put_if(&path, &tag, &three),
        )?;
        let answers = [answers.0, answers.1, answers.2];
        let (won, lost): (Vec<_>, Vec<_>) = answers
            .iter()
            .partition(|answer| answer.status == StatusCode::OK);
        assert_eq!((won.len(), lost.len()), (1, 2), "{answers:?}");
        for answer in lost {
            assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED);
        }
        assert_eq!(caller.get(&path).await?.body, won[0].body);
        won[0].headers["etag"].to_str()?.clone_into(&mut tag);
    }
    Ok(())
}

#[tokio::test]
async fn writers_of_different_fields_do_not_undo_each_other() -> Result<()> {
    let (_place, _api, caller) = place("merge").await?;
    for round in 0..10 {
        let name = format!("merge-{round}");
        let created = caller
            .post("/activity-definitions/", &manual(&name).to_string())
            .await?;
        let path = path_of(&created.body);
        let answers = tokio::try_join!(
            caller.put(&path, r#"{"enabled": false}"#),
            caller.put(&path, r#"{"name": "renamed"}"#),
            caller.put(
                &path,
                r#"{"trigger_config": {"trigger_type": "event", "event_type": "a"}}"#
            ),
        )?;
        for answer in [&answers.0, &answers.1, &answers.2] {
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        }
        let read = caller.get(&path).await?.body;
        assert_eq!(read["enabled"], false);
        assert_eq!(read["name"], "renamed");
        assert_eq!(read["trigger_config"]["event_type"], "a");
    }
    Ok(())
}

#[tokio::test]
async fn a_deleted_definition_is_gone_at_once_and_its_name_soon() -> Result<()> {
    let (place, _api, caller) = place("deletion").await?;
    let operator = place.environment.start(Program::Operator, []).await?;
    let created = caller.post("/activity-definitions/", DAILY_REPORT).await?;
    place
        .condition("daily-report", "Ready", ("True", "Synced"))
        .await?;
    // Nobody takes the finalizer away, so the object stays for a while.
    operator.stop().await?;
    let path = path_of(&created.body);
    let deleted = caller.send(Method::DELETE, &path, &[]).await?;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{}", deleted.text);
    assert!(place.definitions.get_opt("daily-report").await?.is_some());
    assert_eq!(caller.get(&path).await?.status, StatusCode::NOT_FOUND);
    assert_eq!(caller.get("/activity-definitions/").await?.body, json!([]));
    let again = caller.send(Method::DELETE, &path, &[]).await?;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    let taken = caller.post("/activity-definitions/", DAILY_REPORT).await?;
    assert_eq!(taken.status, StatusCode::CONFLICT);
    assert!(taken.detail().contains("being deleted"), "{}", taken.text);

    let _operator = place.environment.start(Program::Operator, []).await?;
    testkit::wait::until("the name to be free", PATIENCE, || async {
        let answer = caller.post("/activity-definitions/", DAILY_REPORT).await?;
        Ok::<_, anyhow::Error>(if answer.status == StatusCode::CREATED {
            Seen::Done(())
        } else {
            Seen::not_yet(answer.text)
        })
    })
    .await?;
    Ok(())
}
