//! What GitOps tools conclude from a status, by the rules of kstatus (sigs.k8s.io/cli-utils,
//! `pkg/kstatus/status`, the generic part).

use std::time::Duration;

use anyhow::Result;
use crds::ActivityDefinition;
use serde_json::{Value, json};
use testkit::servers::TemporalOptions;
use testkit::wait::Seen;
use testkit::{Program, Signal};

use crate::place::{PATIENCE, Place};

#[derive(Debug, PartialEq, Eq)]
enum Conclusion {
    InProgress,
    Failed,
    Current,
    Terminating,
}

fn conclude(object: &ActivityDefinition) -> Conclusion {
    if object.metadata.deletion_timestamp.is_some() {
        return Conclusion::Terminating;
    }
    let status = object.status.clone().unwrap_or_default();
    if status.observed_generation != object.metadata.generation {
        return Conclusion::InProgress;
    }
    let is = |kind: &str, value: &str| {
        let mut conditions = status.conditions.iter();
        conditions.any(|condition| condition.type_ == kind && condition.status == value)
    };
    if is("Reconciling", "True") {
        Conclusion::InProgress
    } else if is("Stalled", "True") {
        Conclusion::Failed
    } else if is("Ready", "False") || is("Ready", "Unknown") {
        Conclusion::InProgress
    } else {
        Conclusion::Current
    }
}

async fn concluded(place: &Place, name: &str, expected: Conclusion) -> Result<()> {
    testkit::wait::until(format!("{name} to be {expected:?}"), PATIENCE, || async {
        let object = place.definitions.get(name).await?;
        let conclusion = conclude(&object);
        Ok::<_, kube::Error>(if conclusion == expected {
            Seen::Done(())
        } else {
            Seen::not_yet(format!("{conclusion:?}: {:?}", object.status))
        })
    })
    .await?;
    Ok(())
}

fn cron(expression: &str) -> Value {
    json!({"trigger": {"cron": {"expression": expression}}})
}

#[tokio::test]
async fn every_state_of_a_definition_reads_as_what_it_is() -> Result<()> {
    let place = Place::new("kstatus").await?;
    let options = TemporalOptions {
        namespaces: vec!["own".to_owned()],
        ..TemporalOptions::default()
    };
    let temporal = place.environment.start_temporal(options).await?;
    let host = temporal.host().to_owned();
    let settings = [
        ("TEMPORAL_HOST", host.as_str()),
        ("TEMPORAL_NAMESPACE", "own"),
        ("WEBHOOK_URL", "https://127.0.0.1:1"),
    ];
    place.create("unseen", cron("0 9 * * *")).await?;
    let unseen = place.definitions.get("unseen").await?;
    assert_eq!(conclude(&unseen), Conclusion::InProgress);

    let _operator = place.environment.start(Program::Operator, settings).await?;
    concluded(&place, "unseen", Conclusion::Current).await?;

    let mut suspended = cron("0 9 * * *");
    suspended["enabled"] = json!(false);
    place.create("suspended", suspended).await?;
    concluded(&place, "suspended", Conclusion::Current).await?;
    place
        .condition("suspended", "Ready", ("True", "Suspended"))
        .await?;

    place.create("invalid", cron("61 9 * * *")).await?;
    concluded(&place, "invalid", Conclusion::Failed).await?;
    place
        .merge("invalid", json!({"spec": cron("0 9 * * *")}))
        .await?;
    concluded(&place, "invalid", Conclusion::Current).await?;

    temporal.process().signal(Signal::KILL)?;
    temporal.process().wait(Duration::from_secs(10)).await?;
    place.create("waiting", cron("0 9 * * *")).await?;
    place
        .condition("waiting", "Reconciling", ("True", "Progressing"))
        .await?;
    concluded(&place, "waiting", Conclusion::InProgress).await?;

    // Its Schedule can't be deleted now, so it stays visible while it goes.
    place.delete("unseen").await?;
    concluded(&place, "unseen", Conclusion::Terminating).await?;
    Ok(())
}
