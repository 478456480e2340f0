//! "Did today's run happen?", asked on the command line: every answer from real evidence, and
//! each of the six conditions broken on purpose.

pub(crate) mod command;
mod proven;
mod together;

use anyhow::Result;
use domain::{OverlapPolicy, Trigger};
use temporal::{Pause, PauseOwner, RunStart};
use testkit::Stack;
use tokio::net::TcpListener;

use command::Actcore;
use proven::{Kept, Proven};

#[tokio::test]
async fn a_dry_run_prints_the_six_conditions_and_contacts_nothing() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let everywhere = [
        ("ACTCORE_DB_URL", format!("postgres://x@{address}/x")),
        ("TEMPORAL_HOST", address.clone()),
        ("STATE_HUB_URL", format!("http://{address}")),
        ("API_URL", format!("http://{address}")),
    ];
    let with_settings = Actcore::new(everywhere.map(|(name, value)| (name.to_owned(), value)));
    let without_settings = Actcore::new([]);
    for actcore in [with_settings, without_settings] {
        let words = ["verify", "daily-triage", "--date", "2026-11-24"];
        let answer = actcore.run(&words).await?;
        assert_eq!(answer.code, 0, "{answer:?}");
        for number in 1..=6 {
            let line = format!("[ ] {number}. ");
            assert!(answer.stdout.contains(&line), "{answer:?}");
        }
        assert!(answer.stdout.contains("2026-11-24"), "{answer:?}");
    }
    let called = tokio::select! {
        biased;
        called = listener.accept() => Some(called),
        () = std::future::ready(()) => None,
    };
    assert!(called.is_none(), "the dry run called {called:?}");
    Ok(())
}

#[tokio::test]
async fn each_broken_condition_fails_exactly_its_own_check() -> Result<()> {
    let proven = Proven::new("six conditions").await?;
    let answer = proven.verify().await?;
    assert_eq!(
        (answer.code, answer.failed()),
        (0, String::new()),
        "{answer:?}"
    );

    let answer = proven
        .verify_with(&[("ACTIVITY_TIMEOUT_SECONDS", "59")])
        .await?;
    assert_eq!(
        (answer.code, answer.failed()),
        (1, "timeBudget".to_owned()),
        "{answer:?}"
    );
    let arithmetic = "reports[hub] 30 + reports[memory] 30";
    assert!(
        answer.detail("timeBudget").contains(arithmetic),
        "{answer:?}"
    );
    let lines = proven
        .failed_lines(&[("ACTIVITY_TIMEOUT_SECONDS", "59")])
        .await?;
    assert!(
        lines[0].starts_with("time budget          ") && lines[0].contains(arithmetic),
        "{lines:?}"
    );

    proven.run_happened("unreported", Kept::ONLY_FILE).await?;
    let answer = proven.verify().await?;
    assert_eq!(
        (answer.code, answer.failed()),
        (1, "progress".to_owned()),
        "{answer:?}"
    );
    let run = proven.run_of("unreported");
    assert_eq!(
        proven.failed_lines(&[]).await?,
        [format!(
            "State Hub progress   State Hub has no progress entry of run {run}"
        )]
    );

    proven
        .run_happened("unwritten", Kept::ONLY_PROGRESS)
        .await?;
    let answer = proven.verify().await?;
    assert_eq!(
        (answer.code, answer.failed()),
        (1, "workingMemory".to_owned()),
        "{answer:?}"
    );
    let run = proven.run_of("unwritten");
    let lines = proven.failed_lines(&[]).await?;
    assert!(
        lines[0].starts_with("report file          none of ")
            && lines[0].ends_with(&format!("carries run {run} in its frontmatter")),
        "{lines:?}"
    );

    proven
        .run_failed("failed", "the model answered 503")
        .await?;
    let answer = proven.verify().await?;
    assert_eq!(
        (answer.code, answer.failed()),
        (1, "ledger".to_owned()),
        "{answer:?}"
    );
    let (run, date) = (proven.run_of("failed"), proven.date);
    assert_eq!(
        proven.failed_lines(&[]).await?,
        [format!(
            "ledger row           run {run} of {date} is Failed: the model answered 503"
        )]
    );

    proven.run_happened("all-there", Kept::EVERYTHING).await?;
    let answer = proven.verify().await?;
    assert_eq!(
        (answer.code, answer.failed()),
        (0, String::new()),
        "{answer:?}"
    );

    // Nobody works on it, so it neither completes nor retries: within its grace nobody can tell.
    let start = RunStart::by_request(proven.activity, "daily-triage", "nobody-works-on-it");
    proven.place.temporal.start_run(&start).await?;
    let answer = proven.verified_as(2).await?;
    assert_eq!(answer.unknown(), "workflow", "{answer:?}");
    assert_eq!(answer.failed(), "", "{answer:?}");
    let workflow = contracts::names::manual_workflow_id(proven.activity, "nobody-works-on-it");
    let detail = format!("{workflow} is still running, within its grace");
    assert!(answer.stdout.contains(&detail), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn a_schedule_that_is_gone_paused_or_of_another_policy_fails_its_check() -> Result<()> {
    let proven = Proven::new("schedule").await?;
    let temporal = &proven.place.temporal;
    let mut spec = proven.schedule.clone();

    spec.pause = Pause::Because {
        owner: PauseOwner::External,
        reason: "paused by Ada".to_owned(),
    };
    temporal.replace_schedule(&spec).await?;
    let answer = proven.verify().await?;
    assert_eq!(
        (answer.code, answer.failed()),
        (1, "schedule".to_owned()),
        "{answer:?}"
    );
    let schedule = contracts::names::schedule_id(proven.activity);
    assert_eq!(
        proven.failed_lines(&[]).await?,
        [format!(
            "Temporal Schedule    {schedule} is paused: paused by Ada"
        )]
    );

    spec.pause = Pause::No;
    spec.trigger.overlap = OverlapPolicy::BufferOne;
    temporal.replace_schedule(&spec).await?;
    let answer = proven.verify().await?;
    assert_eq!(
        (answer.code, answer.failed()),
        (1, "schedule".to_owned()),
        "{answer:?}"
    );
    assert_eq!(
        proven.failed_lines(&[]).await?,
        [format!(
            "Temporal Schedule    {schedule} has overlap policy BufferOne, the definition says Skip"
        )]
    );

    temporal.delete_schedule(proven.activity).await?;
    let answer = proven.verify().await?;
    assert_eq!(
        (answer.code, answer.failed()),
        (1, "schedule".to_owned()),
        "{answer:?}"
    );
    assert_eq!(
        proven.failed_lines(&[]).await?,
        ["Temporal Schedule    Temporal has no such Schedule"]
    );
    Ok(())
}

#[tokio::test]
async fn a_day_without_a_run_is_not_verified() -> Result<()> {
    let proven = Proven::new("no run").await?;
    let day_before = proven.date.pred_opt().unwrap().to_string();
    let words = [
        "verify",
        "daily-triage",
        "--live",
        "--date",
        &day_before,
        "-o",
        "json",
    ];
    let answer = proven.actcore.run(&words).await?;
    assert_eq!(answer.code, 1, "{answer:?}");
    // Without a run there is nothing whose reports could be there.
    assert_eq!(
        answer.failed(),
        "ledger, progress, workingMemory",
        "{answer:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_system_that_cannot_be_looked_at_is_unknown_and_never_ok() -> Result<()> {
    let proven = Proven::new("unknown").await?;
    let cases = [
        (vec![("STATE_HUB_URL", "http://127.0.0.1:1")], "progress"),
        (vec![("STATE_HUB_URL", "")], "progress"),
        (vec![("TEMPORAL_HOST", "127.0.0.1:1")], "schedule, workflow"),
        (
            vec![("WORKING_MEMORY_DIR", "/no/such/folder")],
            "workingMemory",
        ),
    ];
    for (settings, unknown) in cases {
        let answer = proven.verify_with(&settings).await?;
        assert_eq!(
            (answer.code, answer.unknown()),
            (2, unknown.to_owned()),
            "{settings:?} {answer:?}"
        );
        assert_eq!(answer.failed(), "", "{answer:?}");
    }

    proven
        .place
        .environment
        .stand_ins()
        .state_hub
        .traffic()
        .fail_next(1, 503);
    let answer = proven
        .actcore
        .run(&["verify", "daily-triage", "--live"])
        .await?;
    assert_eq!(answer.code, 2, "{answer:?}");
    assert!(
        answer
            .stdout
            .contains("\nunknown State Hub progress   could not look: "),
        "{answer:?}"
    );
    assert!(answer.stdout.contains("503"), "{answer:?}");
    let last = answer.stdout.lines().last().unwrap();
    assert!(
        last.starts_with("UNKNOWN: 1 of 6 checks unknown"),
        "{answer:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_name_must_lead_to_exactly_one_definition() -> Result<()> {
    let proven = Proven::new("names").await?;
    let nobody = proven.actcore.run(&["verify", "nobody", "--live"]).await?;
    assert_eq!(nobody.code, 3, "{nobody:?}");
    assert!(nobody.stderr.contains("\"nobody\""), "{nobody:?}");

    let namesake = proven.define_namesake("elsewhere").await?;
    let several = proven
        .actcore
        .run(&["verify", "daily-triage", "--live"])
        .await?;
    assert_eq!(several.code, 3, "{several:?}");
    for listed in [
        format!("elsewhere/daily-triage ({namesake})"),
        format!("here/daily-triage ({})", proven.activity),
    ] {
        assert!(several.stderr.contains(&listed), "{several:?}");
    }
    let words = ["verify", "daily-triage", "-n", "here", "--live", "--date"];
    let date = proven.date.to_string();
    let one = proven.actcore.run(&[&words[..], &[&date]].concat()).await?;
    assert_eq!(one.code, 0, "{one:?}");
    assert!(matches!(proven.definition.trigger, Trigger::Cron(_)));
    Ok(())
}

#[tokio::test]
async fn an_upgrade_of_the_schema_may_be_run_twice() -> Result<()> {
    let environment = Stack::shared().await?.environment("db upgrade").await?;
    let actcore = Actcore::new(environment.env());
    let before = actcore.run(&["db", "current"]).await?;
    assert_eq!(before.code, 1, "{before:?}");
    assert!(
        before.stdout.contains("run `actcore db upgrade`"),
        "{before:?}"
    );

    let first = actcore.run(&["db", "upgrade"]).await?;
    assert_eq!(first.code, 0, "{first:?}");
    assert!(first.stdout.starts_with("applied "), "{first:?}");
    let second = actcore.run(&["db", "upgrade"]).await?;
    assert_eq!(second.code, 0, "{second:?}");
    assert!(second.stdout.starts_with("nothing to apply"), "{second:?}");

    let after = actcore.run(&["db", "current"]).await?;
    assert_eq!(after.code, 0, "{after:?}");
    let history = actcore.run(&["db", "history"]).await?;
    assert!(!history.stdout.contains("pending"), "{history:?}");

    let missing = Actcore::new([]).run(&["db", "current"]).await?;
    assert_eq!(missing.code, 3, "{missing:?}");
    assert!(
        missing.stderr.contains("ACTCORE_DB_URL is required"),
        "{missing:?}"
    );
    Ok(())
}
