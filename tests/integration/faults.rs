//! A sample of `make faults`: whatever call is struck how, declared is what is in the end.

use std::sync::Arc;

use anyhow::Result;
use faults::definitions;
use faults::enumerate;
use faults::outcome::{Outcome, Verdict};
use faults::planted::{self, BUGS};
use faults::runner::{Options, Runner};
use faults::trial::{Conditions, PATIENCE};
use faults::workload::Workload;
use testkit::Stack;

/// Drawn anew when it is changed; the same plans as long as it is not.
const SEED: u64 = 1;

/// How many plans there is time for.
const PLANS: usize = 25;

/// What the sample is drawn from.
const WORKLOADS: [Workload; 4] = [
    Workload::Create,
    Workload::ChangeSchedule,
    Workload::Delete,
    Workload::Event,
];

#[tokio::test]
async fn a_sample_of_all_faults_ends_as_declared() -> Result<()> {
    let options = Options {
        jobs: 5,
        conditions: Conditions {
            seed: SEED,
            patience: PATIENCE,
        },
        observer: Arc::new(|_| ()),
        until: None,
    };
    let runner = Runner::on(Stack::shared().await?, options);
    let recordings = runner.record(&WORKLOADS).await?;
    let plans = recordings.iter().flat_map(enumerate::singles).collect();
    let plans = enumerate::sample(plans, PLANS, SEED);
    let outcomes = runner.run(plans).await?;
    let struck = outcomes
        .iter()
        .filter(|outcome| outcome.verdict == Verdict::Converged);
    let wrong: Vec<&Outcome> = outcomes
        .iter()
        .filter(|outcome| matches!(outcome.verdict, Verdict::Diverged | Verdict::Broken))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(struck.count() > PLANS / 2, "most plans struck nothing");
    Ok(())
}

#[tokio::test]
async fn a_planted_bug_is_found() -> Result<()> {
    let options = Options {
        jobs: 2,
        conditions: Conditions {
            seed: SEED,
            patience: planted::PATIENCE,
        },
        observer: Arc::new(|_| ()),
        until: None,
    };
    let runner = Runner::on(Stack::shared().await?, options);
    let found = planted::run(&runner, &BUGS[..2]).await?;
    for found in found {
        assert!(found.is_found && found.is_quiet_without, "{found:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_changed_field_becomes_true_everywhere_or_is_refused_by_its_name() -> Result<()> {
    let options = definitions::Options {
        operations: 120,
        objects: 8,
        seed: SEED,
    };
    let stack = Stack::shared().await?;
    let operations = definitions::run(&stack, options, &|_| ()).await?;
    let wrong = operations.iter().filter(|it| it.problem.is_some());
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(operations.len() >= 120);
    Ok(())
}
