//! The run history, and what events look like.

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use crds::EventType;
use domain::{ActivityId, DeliveryResult, RunOutcome, TriggerKey};
use kube::Api;
use kube::api::PostParams;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use store::{DeliveryEnd, NewRun, RunEnd};

use super::{DAILY_REPORT, path_of, place};
use crate::place::Place;

/// Enters a run that succeeded, as a worker would.
pub(super) async fn enter_run(
    place: &Place,
    activity: ActivityId,
    time: DateTime<Utc>,
) -> Result<NewRun> {
    let run = NewRun {
        activity,
        trigger: TriggerKey::Schedule(time),
        fired_at: time,
        workflow_id: format!("activity-run-{activity}"),
        workflow_run_id: "1".into(),
        trace_id: None,
    };
    place.store.begin_run(&run).await?;
    let end = RunEnd {
        outcome: RunOutcome::Succeeded,
        error: None,
        completed_at: time + TimeDelta::seconds(5),
    };
    place.store.end_run(run.run_id(), &end).await?;
    Ok(run)
}

#[tokio::test]
async fn the_history_is_read_page_by_page_without_gap_or_repetition() -> Result<()> {
    let (place, _api, caller) = place("history").await?;
    let created = caller.post("/activity-definitions/", DAILY_REPORT).await?;
    let path = path_of(&created.body);
    let activity: ActivityId = created.body["id"].as_str().unwrap().parse()?;
    let empty = caller.get(&format!("{path}/runs")).await?;
    assert_eq!(empty.body, json!({"items": [], "next": null}));

    let start: DateTime<Utc> = "2026-11-24T09:00:00Z".parse()?;
    let mut expected = Vec::new();
    for day in 0..5 {
        let run = enter_run(&place, activity, start + TimeDelta::days(day)).await?;
        expected.insert(0, run.run_id().to_string());
    }
    let mut found = Vec::new();
    let mut query = "?limit=2".to_owned();
    for page in 0.. {
        let answer = caller.get(&format!("{path}/runs{query}")).await?;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let items = answer.body["items"].as_array().unwrap();
        found.extend(
            items
                .iter()
                .map(|run| run["run_id"].as_str().unwrap().to_owned()),
        );
        let Value::String(next) = &answer.body["next"] else {
            assert_eq!(page, 2, "{}", answer.text);
            break;
        };
        query = format!("?limit=2&after={next}");
        // A run that comes while somebody reads does not shift the pages.
        enter_run(&place, activity, start + TimeDelta::days(10 + page)).await?;
    }
    assert_eq!(found, expected);
    Ok(())
}

#[tokio::test]
async fn a_run_shows_its_deliveries_even_when_its_definition_is_gone() -> Result<()> {
    let (place, _api, caller) = place("evidence").await?;
    let created = caller.post("/activity-definitions/", DAILY_REPORT).await?;
    let activity: ActivityId = created.body["id"].as_str().unwrap().parse()?;
    let run = enter_run(&place, activity, "2026-11-24T09:00:00Z".parse()?).await?;
    let run_id = run.run_id();
    place
        .store
        .begin_delivery(run_id, "hub", "stateHub")
        .await?;
    let end = DeliveryEnd {
        result: DeliveryResult::Delivered,
        external_reference: Some("progress/7".into()),
        error: None,
    };
    place.store.end_delivery(run_id, "hub", &end).await?;

    let shown = caller.get(&format!("/runs/{run_id}")).await?;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.text);
    assert_eq!(shown.body["outcome"], "Succeeded");
    assert_eq!(shown.body["trigger"], "schedule/2026-11-24T09:00:00Z");
    let delivery = &shown.body["deliveries"][0];
    assert_eq!(delivery["result"], "Delivered");
    assert_eq!(delivery["external_reference"], "progress/7");

    let path = path_of(&created.body);
    caller.send(Method::DELETE, &path, &[]).await?;
    let history = caller.get(&format!("{path}/runs")).await?;
    assert_eq!(history.status, StatusCode::OK, "{}", history.text);
    assert_eq!(history.body["items"][0]["run_id"], run_id.to_string());
    Ok(())
}

#[tokio::test]
async fn event_types_are_listed_with_their_schemas() -> Result<()> {
    let (place, _api, caller) = place("event-types").await?;
    let client = place.environment.kube_client().await?;
    let types: Api<EventType> = Api::namespaced(client, place.environment.namespace());
    let spec = json!({
        "description": "A user signed up.",
        "schema": {"type": "object", "required": ["tier"]},
        "validation": "Enforce",
    });
    let created = EventType::new("user.created", serde_json::from_value(spec.clone())?);
    types.create(&PostParams::default(), &created).await?;
    let listed = caller.get("/event-types/").await?;
    assert_eq!(listed.status, StatusCode::OK, "{}", listed.text);
    let expected = json!([{
        "name": "user.created",
        "namespace": place.environment.namespace(),
        "description": spec["description"],
        "schema": spec["schema"],
        "validation": "Enforce",
    }]);
    assert_eq!(listed.body, expected);
    Ok(())
}
