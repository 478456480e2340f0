//! Recorded histories must replay: a run that is under way goes on with the next version.
//!
//! The histories in `tests/histories` were recorded from runs on a real server, by the
//! integration tests: `RECORD_HISTORIES=$PWD/worker/tests/histories cargo test -p tests worker`.
//! One that does not replay any more is not to be recorded anew: the workflow's change is to be
//! made with `patched`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use contracts::names;
use contracts::workflow::{RunRequest, RunResult};
use domain::RunId;
use temporalio_client::WorkflowHistory;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::workflow_replayer::{WorkflowReplayer, WorkflowReplayerOptions};
use temporalio_sdk::{WorkflowContext, WorkflowResult};
use uuid::Uuid;

use super::ActivityRun;

/// The shapes that a run can take.
const SHAPES: [&str; 6] = [
    "cancelled",
    "deleted",
    "every-step",
    "failed-sink",
    "no-instruction",
    "postgres-away",
];

fn history(shape: &str) -> WorkflowHistory {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories");
    let json = fs::read(folder.join(format!("{shape}.json"))).unwrap();
    WorkflowHistory::from_json(&json).unwrap()
}

#[tokio::test]
async fn every_recorded_history_replays() {
    let options = WorkflowReplayerOptions::new()
        .register_workflow::<ActivityRun>()
        .unwrap()
        .build();
    let replayer = WorkflowReplayer::new(options).unwrap();
    for shape in SHAPES {
        let outcome = replayer.replay_workflow(history(shape)).await;
        assert!(outcome.is_ok(), "{shape}: {outcome:?}");
    }
}

/// A run that waits, and then forgets to do anything.
#[workflow]
#[derive(Debug, Default)]
struct Changed;

#[workflow_methods]
impl Changed {
    #[run(name = names::WORKFLOW_TYPE)]
    async fn run(
        ctx: &mut WorkflowContext<Self>,
        _request: RunRequest,
    ) -> WorkflowResult<RunResult> {
        ctx.timer(Duration::from_secs(1)).await;
        Ok(RunResult::succeeded(RunId::new(Uuid::nil())))
    }
}

#[tokio::test]
async fn a_changed_workflow_does_not_pass_for_the_recorded_one() {
    let options = WorkflowReplayerOptions::new()
        .register_workflow::<Changed>()
        .unwrap()
        .build();
    let replayer = WorkflowReplayer::new(options).unwrap();
    for shape in SHAPES {
        let outcome = replayer.replay_workflow(history(shape)).await;
        assert!(outcome.is_err(), "{shape} replays with a changed workflow");
    }
}
