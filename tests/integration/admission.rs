//! What is refused at `kubectl apply`, by the CRD's schema and CEL rules and by the webhook: for
//! each rule a spec that is refused, with the text that the user sees, beside one that is not.

use anyhow::Result;
use serde_json::{Value, json};
use testkit::Program;
use testkit::wait::Seen;

use crate::place::{PATIENCE, Place};

fn cron(more: Value) -> Value {
    let mut cron = json!({"expression": "0 9 * * *"});
    let more = more.as_object().unwrap().clone();
    cron.as_object_mut().unwrap().extend(more);
    json!({"trigger": {"cron": cron}})
}

fn report(report: Value) -> Value {
    json!({"reports": [report]})
}

fn instruction(more: Value) -> Value {
    let mut instruction = json!({"model": "m", "prompt": "p"});
    let more = more.as_object().unwrap().clone();
    instruction.as_object_mut().unwrap().extend(more);
    json!({"instruction": instruction})
}

/// Tries to create each spec, and says for each refused one what the API server said.
async fn verdicts(place: &Place, specs: &[Value]) -> Result<Vec<Option<String>>> {
    let mut verdicts = Vec::new();
    for (number, spec) in specs.iter().enumerate() {
        let name = format!("try-{number}");
        verdicts.push(match place.create(&name, spec.clone()).await {
            Ok(_) => {
                place.delete(&name).await?;
                None
            }
            Err(error) => Some(format!("{error:#}")),
        });
    }
    Ok(verdicts)
}

#[tokio::test]
async fn the_schema_refuses_what_it_can_see() -> Result<()> {
    // Without an operator: this is the API server alone.
    let place = Place::new("schema").await?;
    let cases = [
        (
            json!({"trigger": {"cron": {"expression": "0 9 * * *"}, "event": {"eventType": "x"}}}),
            "exactly one of cron and event",
        ),
        (json!({"trigger": {}}), "exactly one of cron and event"),
        (
            cron(json!({"startTime": "2026-01-02T00:00:00Z", "endTime": "2026-01-01T00:00:00Z"})),
            "endTime must be after startTime",
        ),
        (
            cron(json!({"catchUpWindowSeconds": 60})),
            "catchUpWindowSeconds needs misfirePolicy: CatchUp",
        ),
        (
            cron(json!({"misfirePolicy": "CatchUp", "catchUpWindowSeconds": 9})),
            "catchUpWindowSeconds",
        ),
        (cron(json!({"overlapPolicy": "Sometimes"})), "overlapPolicy"),
        (cron(json!({"jitterSeconds": -1})), "jitterSeconds"),
        (
            json!({"trigger": {"event": {"eventType": "user created"}}}),
            "eventType",
        ),
        (
            report(json!({"name": "a"})),
            "exactly one of stateHub, workingMemory and webhook",
        ),
        (
            report(json!({"name": "a", "workingMemory": {"prefix": "../up"}})),
            "prefix",
        ),
        (
            report(json!({"name": "a", "webhook": {"url": "file:///etc/passwd"}})),
            "url",
        ),
        (
            json!({"context": [{"name": "a"}]}),
            "exactly one of stateHub, http and previousReport",
        ),
        (json!({"tier": "Sometimes"}), "tier"),
        (instruction(json!({"maxTokens": 0})), "maxTokens"),
        (json!({"activityId": "not-a-uuid"}), "activityId"),
        (json!({"verification": {"graceSeconds": 0}}), "graceSeconds"),
    ];
    let specs: Vec<Value> = cases.iter().map(|(spec, _)| spec.clone()).collect();
    for (verdict, (spec, expected)) in verdicts(&place, &specs).await?.iter().zip(&cases) {
        let text = verdict
            .clone()
            .unwrap_or_else(|| panic!("accepted: {spec}"));
        assert!(text.contains(expected), "{spec}: {text}");
    }
    let right = [
        json!({}),
        cron(json!({"misfirePolicy": "CatchUp", "catchUpWindowSeconds": 60})),
        cron(json!({"overlapPolicy": "BufferOne", "jitterSeconds": 30})),
        cron(json!({"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-02T00:00:00Z"})),
        json!({"trigger": {"event": {"eventType": "user.created", "filters": {"n": 1, "b": true,
               "nested.path": {"any": ["json"]}}}}}),
        report(json!({"name": "a", "workingMemory": {"prefix": "daily-triage"}})),
        json!({"context": [{"name": "hub", "stateHub": {}}]}),
        json!({"activityId": "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f"}),
    ];
    for (verdict, spec) in verdicts(&place, &right).await?.iter().zip(&right) {
        assert_eq!(*verdict, None, "refused: {spec}");
    }
    Ok(())
}

#[tokio::test]
async fn an_activity_id_cannot_be_changed() -> Result<()> {
    let place = Place::new("immutable").await?;
    let id = json!({"activityId": "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f"});
    place.create("with-id", id).await?;
    place.create("without-id", json!({})).await?;
    let other = json!({"spec": {"activityId": "11111111-6a5e-4b6c-9d2f-3a1b2c4d5e6f"}});
    for name in ["with-id", "without-id"] {
        let refused = place.merge(name, other.clone()).await.unwrap_err();
        assert!(
            format!("{refused:#}").contains("can't be changed"),
            "{refused:#}"
        );
    }
    place
        .merge("with-id", json!({"spec": {"enabled": false}}))
        .await?;
    Ok(())
}

#[tokio::test]
async fn the_webhook_refuses_what_the_schema_cannot_see() -> Result<()> {
    let place = Place::new("webhook").await?;
    let _operator = place.environment.start(Program::Operator, []).await?;
    let bad_cron = json!({"trigger": {"cron": {"expression": "61 9 * * *"}}});
    // The registration takes the API server a moment to see.
    testkit::wait::until("the webhook to refuse", PATIENCE, || async {
        let verdicts = verdicts(&place, std::slice::from_ref(&bad_cron)).await?;
        Ok::<_, anyhow::Error>(match &verdicts[0] {
            Some(_) => Seen::Done(()),
            None => Seen::not_yet("accepted"),
        })
    })
    .await?;
    let cases = [
        (bad_cron, "spec.trigger.cron.expression"),
        (cron(json!({"timezone": "Mars/Base"})), "unknown time zone"),
        (cron(json!({"expression": "0 0 30 2 *"})), "never fires"),
        (
            json!({"trigger": {"event": {"eventType": "x", "condition": "payload.tier = 'pro'"}}}),
            "not a CEL expression",
        ),
        (
            json!({"trigger": {"event": {"eventType": "x", "condition": "playload.tier"}}}),
            "unknown name \"playload\"",
        ),
        (
            instruction(json!({"prompt": "{{ context.hub }}"})),
            "context.hub",
        ),
        (
            instruction(json!({"prompt": "{{ run.date"})),
            "not a template",
        ),
        (
            instruction(json!({"timeoutSeconds": 901})),
            "add up to 901 s",
        ),
        (
            instruction(json!({"outputSchema": {"type": "objekt"}})),
            "not a JSON Schema",
        ),
    ];
    let specs: Vec<Value> = cases.iter().map(|(spec, _)| spec.clone()).collect();
    for (verdict, (spec, expected)) in verdicts(&place, &specs).await?.iter().zip(&cases) {
        let text = verdict
            .clone()
            .unwrap_or_else(|| panic!("accepted: {spec}"));
        assert!(text.contains(expected), "{spec}: {text}");
    }
    let right = [
        cron(json!({"timezone": "Europe/Berlin"})),
        json!({"trigger": {"event": {"eventType": "x", "condition": "payload.tier == 'pro'"}}}),
        instruction(json!({"prompt": "{{ run.date }}", "timeoutSeconds": 900,
                           "outputSchema": {"type": "object"}})),
    ];
    for (verdict, spec) in verdicts(&place, &right).await?.iter().zip(&right) {
        assert_eq!(*verdict, None, "refused: {spec}");
    }
    Ok(())
}
