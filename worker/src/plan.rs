//! What a run is going to do, decided from the definition as the mirror has it.

use std::time::Duration;

use contracts::step::{ReportStep, RunPlan};
use crds::ActivityDefinitionSpec;
use domain::{ActivityId, Definition, InvalidDefinition, TaskSink};
use store::MirrorRow;

/// How long one try of filing the tasks may take.
pub(crate) const TASKS_TIMEOUT: Duration = Duration::from_secs(30);

/// The definition in a mirror row.
pub(crate) fn definition(row: &MirrorRow) -> Result<Definition, InvalidDefinition> {
    let spec: ActivityDefinitionSpec =
        serde_json::from_value(row.spec.clone()).map_err(|error| InvalidDefinition::Field {
            field: "spec".to_owned(),
            problem: error.to_string(),
        })?;
    spec.validate(ActivityId::new(row.activity_id), &row.name)
}

/// The steps of a run of `definition`, or why it can't run: its steps must fit under `limit`.
pub(crate) fn plan(definition: Result<Definition, InvalidDefinition>, limit: Duration) -> RunPlan {
    let definition = match definition {
        Ok(definition) => definition,
        Err(invalid) => return refusal(format!("the definition is invalid: {invalid}")),
    };
    let tier = Some(definition.tier.as_str().to_owned());
    if let Err(exceeded) = definition.time_budget().check(limit) {
        return RunPlan {
            tier,
            ..refusal(exceeded.to_string())
        };
    }
    RunPlan {
        ended_before: None,
        refusal: None,
        tier,
        instruction_seconds: definition
            .instruction
            .map(|instruction| instruction.timeout.as_secs()),
        reports: definition
            .reports
            .into_iter()
            .map(|report| ReportStep {
                kind: report.kind.as_str().to_owned(),
                timeout_seconds: report.timeout.as_secs(),
                name: report.name,
            })
            .collect(),
        tasks_seconds: match definition.tasks {
            TaskSink::Null => None,
            TaskSink::IssueCore { .. } => Some(TASKS_TIMEOUT.as_secs()),
        },
    }
}

/// The plan of a run that can't do anything.
pub(crate) fn refusal(reason: String) -> RunPlan {
    RunPlan {
        refusal: Some(reason),
        ..RunPlan::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    const LIMIT: Duration = Duration::from_mins(15);

    fn plan_of(spec: Value) -> RunPlan {
        let row = MirrorRow {
            activity_id: Uuid::from_u128(1),
            namespace: "default".to_owned(),
            name: "daily".to_owned(),
            uid: Uuid::from_u128(2),
            generation: 1,
            display_name: "daily".to_owned(),
            enabled: true,
            event_type: None,
            spec,
        };
        plan(definition(&row), LIMIT)
    }

    #[test]
    fn a_plan_names_each_step_and_its_time() {
        let plan = plan_of(json!({
            "tier": "Critical",
            "instruction": {"model": "m", "prompt": "p", "timeoutSeconds": 120},
            "reports": [
                {"name": "hub", "stateHub": {"eventType": "daily_triage"}},
                {"name": "file", "timeoutSeconds": 5, "workingMemory": {"prefix": "daily"}}],
            "tasks": {"type": "IssueCore"},
        }));
        assert_eq!(plan.refusal, None);
        assert_eq!(plan.tier.as_deref(), Some("Critical"));
        assert_eq!(plan.instruction_seconds, Some(120));
        let reports: Vec<_> = plan
            .reports
            .iter()
            .map(|step| (step.name.as_str(), step.kind.as_str(), step.timeout_seconds))
            .collect();
        assert_eq!(
            reports,
            [("hub", "stateHub", 30), ("file", "workingMemory", 5)]
        );
        assert_eq!(plan.tasks_seconds, Some(30));
    }

    #[test]
    fn a_definition_that_does_nothing_still_runs() {
        let plan = plan_of(json!({}));
        assert_eq!(plan.refusal, None);
        assert_eq!(plan.instruction_seconds, None);
        assert!(plan.reports.is_empty());
        assert_eq!(plan.tasks_seconds, None);
    }

    #[test]
    fn what_cannot_run_says_why() {
        let invalid = plan_of(json!({"instruction": {"model": "m", "prompt": "{{ nonsense }}"}}));
        let reason = invalid.refusal.unwrap();
        assert!(
            reason.contains("invalid") && reason.contains("nonsense"),
            "{reason}"
        );
        let unreadable = plan_of(json!({"reports": 7})).refusal.unwrap();
        assert!(unreadable.contains("spec"), "{unreadable}");
        let long = plan_of(json!({
            "tier": "Critical",
            "instruction": {"model": "m", "prompt": "p", "timeoutSeconds": 890},
            "reports": [{"name": "hub", "stateHub": {"eventType": "x"}}],
        }));
        assert!(long.refusal.unwrap().contains("890 + reports[hub] 30"));
        assert_eq!(long.tier.as_deref(), Some("Critical"));
    }
}
