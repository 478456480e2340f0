//! `actcore backfill` on real servers: what the ledger says is missing is run, each time once,
//! however often and however rudely the command is given.

use std::collections::BTreeMap;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{ActivityId, RunId, RunOutcome, TriggerKey};
use serde_json::json;
use store::{MirrorRow, NewRun, RunEnd};
use testkit::wait::Seen;
use testkit::{Program, RunningProgram, wait};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use uuid::Uuid;

use crate::place::{PATIENCE, Place};
use crate::verify::command::{Actcore, Answer};

const NAME: &str = "hourly-digest";
const FROM: &str = "2025-01-06T00:00:00Z";
const TO: &str = "2025-01-06T06:00:00Z";

/// An hourly definition in the mirror, a worker, and six hours of long ago.
struct Hourly {
    place: Place,
    actcore: Actcore,
    activity: ActivityId,
    _worker: RunningProgram,
}

fn hour(hour: i64) -> DateTime<Utc> {
    let from: DateTime<Utc> = FROM.parse().unwrap();
    from + TimeDelta::hours(hour)
}

impl Hourly {
    async fn new(name: &str) -> Result<Self> {
        let place = Place::new(name).await?;
        let activity = ActivityId::new(Uuid::new_v4());
        let row = MirrorRow {
            activity_id: activity.as_uuid(),
            namespace: "here".to_owned(),
            name: NAME.to_owned(),
            uid: activity.as_uuid(),
            generation: 1,
            display_name: NAME.to_owned(),
            enabled: true,
            event_type: None,
            spec: json!({"trigger": {"cron": {"expression": "0 * * * *"}}}),
        };
        place.store.write_definition(&row).await?;
        place.temporal.ensure_search_attributes().await?;
        let worker = place.environment.start(Program::Worker, []).await?;
        Ok(Self {
            actcore: Actcore::new(place.environment.env()),
            place,
            activity,
            _worker: worker,
        })
    }

    /// Enters what became of an hour by itself.
    async fn became(&self, at: i64, outcome: RunOutcome) -> Result<()> {
        let run = NewRun {
            activity: self.activity,
            trigger: TriggerKey::Schedule(hour(at)),
            fired_at: hour(at),
            workflow_id: "made-up".to_owned(),
            workflow_run_id: Uuid::new_v4().to_string(),
            trace_id: None,
        };
        self.place.store.begin_run(&run).await?;
        let end = RunEnd {
            outcome,
            error: None,
            completed_at: hour(at),
        };
        self.place.store.end_run(run.run_id(), &end).await?;
        Ok(())
    }

    async fn backfill(&self, words: &[&str]) -> Result<Answer> {
        let command = ["backfill", NAME, "--from", FROM, "--to", TO];
        self.actcore.run(&[&command, words].concat()).await
    }

    /// The outcome of each run that made up for an hour.
    async fn made_up(&self) -> Result<BTreeMap<DateTime<Utc>, RunOutcome>> {
        let rows = self
            .place
            .store
            .runs_at_nominal_times(self.activity, hour(0), hour(24))
            .await?;
        let backfills = rows
            .into_iter()
            .filter(|run| run.trigger_key.starts_with("backfill/"));
        let mut made_up = BTreeMap::new();
        for run in backfills {
            let time = run.scheduled_for.context("no nominal time")?;
            assert_eq!(
                run.run_id,
                RunId::of(self.activity, &TriggerKey::Backfill(time))
            );
            assert!(made_up.insert(time, run.outcome).is_none(), "{time} twice");
        }
        Ok(made_up)
    }

    /// Waits until exactly these hours are made up for.
    async fn made_up_for(&self, hours: &[i64]) -> Result<()> {
        let expected: BTreeMap<DateTime<Utc>, RunOutcome> = hours
            .iter()
            .map(|at| (hour(*at), RunOutcome::Succeeded))
            .collect();
        wait::until("the hours to be made up for", PATIENCE, || async {
            let made_up = self.made_up().await?;
            anyhow::Ok(if made_up == expected {
                Seen::Done(())
            } else {
                Seen::not_yet(format!("{made_up:?}"))
            })
        })
        .await?;
        Ok(())
    }
}

fn actions(answer: &Answer) -> Vec<String> {
    let times = answer.json()["times"].as_array().unwrap().clone();
    let actions = times.iter().map(|line| line["action"].as_str().unwrap());
    actions.map(str::to_owned).collect()
}

#[tokio::test]
async fn what_is_missing_is_run_once_and_what_was_skipped_on_purpose_only_when_asked() -> Result<()>
{
    let hourly = Hourly::new("backfill").await?;
    hourly.became(0, RunOutcome::Succeeded).await?;
    hourly.became(1, RunOutcome::Missed).await?;
    hourly.became(2, RunOutcome::SkippedMaintenance).await?;
    hourly.became(3, RunOutcome::Failed).await?;
    hourly.became(4, RunOutcome::Missed).await?;

    let shown = hourly.backfill(&["--only-missing"]).await?;
    assert_eq!(shown.code, 0, "{shown:?}");
    for line in [
        "2025-01-06T02:00:00Z   2025-01-06 02:00:00 UTC   SkippedMaintenance   leave: it was skipped \
         on purpose",
        "2025-01-06T05:00:00Z   2025-01-06 05:00:00 UTC   -                    leave: the audit has \
         not judged it",
        "2 runs would be started; add --yes to start them",
    ] {
        assert!(shown.stdout.contains(line), "{line}\n{}", shown.stdout);
    }
    assert_eq!(hourly.made_up().await?, BTreeMap::new());

    let missing = ["--only-missing", "--yes", "--wait", "-o", "json"];
    let done = hourly.backfill(&missing).await?;
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(
        actions(&done),
        ["leave", "start", "leave", "leave", "start", "leave"]
    );
    assert_eq!(done.json()["times"][1]["run"]["outcome"], "Succeeded");
    hourly.made_up_for(&[1, 4]).await?;
    let again = hourly.backfill(&missing).await?;
    assert_eq!(actions(&again), ["leave"; 6], "{again:?}");
    assert_eq!(
        again.json()["times"][1]["reason"],
        "it has been made up for"
    );

    let too_much = hourly.backfill(&["--yes", "--limit", "2"]).await?;
    assert_eq!(too_much.code, 3, "{too_much:?}");
    assert!(
        too_much.stderr.contains("more than --limit 2"),
        "{too_much:?}"
    );
    let rest = hourly.backfill(&["--yes", "--wait"]).await?;
    assert_eq!(rest.code, 0, "{rest:?}");
    hourly.made_up_for(&[1, 2, 3, 4, 5]).await?;
    let nothing = hourly.backfill(&["--yes"]).await?;
    assert!(nothing.stdout.ends_with("nothing to do\n"), "{nothing:?}");
    Ok(())
}

#[tokio::test]
async fn a_backfill_that_is_killed_half_way_is_finished_by_giving_it_again() -> Result<()> {
    let hourly = Hourly::new("backfill killed").await?;
    let mut killed = Command::new(testkit::binary("actcore")?)
        .args(["backfill", NAME, "--from", FROM, "--to", TO, "--yes"])
        .env_clear()
        .envs(&hourly.actcore.environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = killed.stdout.take().context("no standard output")?;
    let mut lines = BufReader::new(output).lines();
    let begun = async {
        while let Some(line) = lines.next_line().await? {
            if line.contains(" started run ") {
                return Ok(());
            }
        }
        anyhow::bail!("it ended without a start")
    };
    tokio::time::timeout(PATIENCE, begun).await??;
    killed.start_kill()?;
    killed.wait().await?;

    // Two at once, as two people on call would.
    let (one, other) = tokio::join!(
        hourly.backfill(&["--yes", "--wait"]),
        hourly.backfill(&["--yes", "--wait"])
    );
    for answer in [one?, other?] {
        assert_eq!(answer.code, 0, "{answer:?}");
    }
    hourly.made_up_for(&[0, 1, 2, 3, 4, 5]).await?;
    Ok(())
}

#[tokio::test]
async fn a_backfill_asks_for_a_cron_trigger_a_past_and_a_way_to_temporal() -> Result<()> {
    let hourly = Hourly::new("backfill usage").await?;
    let cases = [
        (
            vec!["--from", "2099-01-01", "--to", "2099-01-02"],
            "in the past",
        ),
        (vec!["--from", TO, "--to", FROM], "must be before"),
        (vec!["--from", "2000-01-01"], "more than 100000 runs"),
    ];
    for (words, expected) in cases {
        let answer = hourly
            .actcore
            .run(&[&["backfill", NAME][..], &words].concat())
            .await?;
        assert_eq!(answer.code, 3, "{answer:?}");
        assert!(answer.stderr.contains(expected), "{answer:?}");
    }
    let no_way = hourly.actcore.with(&[("TEMPORAL_HOST", "")]);
    let words = ["backfill", NAME, "--from", FROM, "--to", TO, "--yes"];
    let answer = no_way.run(&words).await?;
    assert_eq!(answer.code, 3, "{answer:?}");
    assert!(
        answer.stderr.contains("TEMPORAL_HOST is required"),
        "{answer:?}"
    );
    Ok(())
}
