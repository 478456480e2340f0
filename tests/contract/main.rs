//! The OpenAPI document is kept to, both ways: schemathesis, which makes up requests from the
//! document and holds each answer against it, finds nothing.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use testkit::Program;
use testkit::components::Cache;
use testkit::process::run_to_its_end;
use testkit::wait::Seen;
use tokio::process::Command;

#[expect(dead_code, reason = "the integration tests use the rest of it")]
#[path = "../integration/place.rs"]
mod place;

use place::Place;

/// The version that was tried. A newer one may find more, which is a change of its own.
const VERSION: &str = "4.32.5";

/// How long fetching it may take.
const INSTALL_TIMEOUT: Duration = Duration::from_mins(10);

/// How long it may take on a busy machine; it makes up requests for less than that.
const RUN_TIMEOUT: Duration = Duration::from_mins(5);

/// Besides what the checks expect: 412 is for an ETag of another version, and 422 for what no
/// schema can say, such as that there is no time zone of this name. A deleted definition's runs
/// can still be read: they prove what happened. And a trigger is answered with 503 where the
/// operator has not taken a definition up in five seconds, which a burst of new ones can bring
/// about.
const SETTINGS: &str = r#"
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 412, 422, 429, "5xx"]

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 412, 415, 422, 428, 429, "5xx"]

[[operations]]
include-operation-id = "listRuns"
checks.use_after_free.enabled = false

[[operations]]
include-operation-id = "triggerActivityDefinition"
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 503]
"#;

#[tokio::test]
async fn nothing_that_is_made_up_from_the_document_breaks_it() -> Result<()> {
    let program = schemathesis().await?;
    let place = Place::new("contract").await?;
    let _operator = place.environment.start(Program::Operator, []).await?;
    await_schedules(&place).await?;
    // It sends as fast as it can.
    let unlimited = [("API_RATE_LIMIT_PER_SECOND", "0")];
    let api = place.environment.start(Program::Api, unlimited).await?;
    let document = format!("{}/openapi.json", api.api_url());
    let settings = place.environment.folder().join("schemathesis.toml");
    std::fs::write(&settings, SETTINGS)?;
    let mut command = Command::new(program);
    // One worker: Python's parser of lambdas, which its generators use, can't do with threads.
    command
        .arg("--config-file")
        .arg(settings)
        .args(["run", &document, "--checks", "all"])
        .args(["--phases", "examples,coverage,fuzzing,stateful"])
        .args(["--max-examples", "10", "--seed", "1", "--workers", "1"])
        .args(["--max-time", "60", "--continue-on-failure"])
        // It warns where it makes up no data, such as runs: what is there is told by other tests.
        .args(["--request-timeout", "30", "--no-color", "--warnings", "off"])
        .current_dir(place.environment.folder());
    let told = run_to_its_end(command, RUN_TIMEOUT).await?;
    assert!(told.contains("No issues found"), "{told}");
    Ok(())
}

/// Temporal begins to serve the Schedules of a namespace up to ten seconds after the namespace was
/// made, and a question about one waits until then. That is longer than an answer of the API should
/// take.
async fn await_schedules(place: &Place) -> Result<()> {
    let spec = json!({"enabled": false, "trigger": {"cron": {"expression": "0 9 * * *"}}});
    let created = place.create("first", spec).await?;
    let activity = created.activity_id().context("it has no id")?;
    testkit::wait::until("the first Schedule", place::PATIENCE, || async {
        let schedule = place.temporal.schedule(activity).await?;
        Ok::<_, temporal::Error>(match schedule {
            Some(_) => Seen::Done(()),
            None => Seen::not_yet("there is none"),
        })
    })
    .await?;
    Ok(())
}

/// The program, from the cache or fetched into it.
async fn schemathesis() -> Result<PathBuf> {
    let cache = Cache::from_environment()?;
    let folder = cache.root().join(format!("schemathesis-{VERSION}"));
    let program = folder.join("bin/schemathesis");
    if program.is_file() {
        return Ok(program);
    }
    // A virtual environment can't be moved, so it is made in its place, and counts as there only
    // with its program, which comes last.
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&folder);
    run_to_its_end(make, INSTALL_TIMEOUT)
        .await
        .context("python3 with venv is needed (Debian packages python3 and python3-venv)")?;
    let mut install = Command::new(folder.join("bin/python"));
    install
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .arg(format!("schemathesis=={VERSION}"));
    run_to_its_end(install, INSTALL_TIMEOUT).await?;
    anyhow::ensure!(program.is_file(), "{} was not made", program.display());
    Ok(program)
}
