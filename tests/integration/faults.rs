//! A sample of `make faults`: whatever call is struck how, declared is what is in the end.

use std::sync::Arc;

use anyhow::Result;
use faults::enumerate;
use faults::outcome::{Outcome, Verdict};
use faults::runner::{Options, Runner};
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
        seed: SEED,
        observer: Arc::new(|_| ()),
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
