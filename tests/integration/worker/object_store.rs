//! The working memory in an object store: a real server that speaks S3, with keys.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use domain::{DeliveryResult, RunOutcome};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::Signal;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::holds::{Fate, Holds, Moment};
use super::run::{REQUEST, RunPlace};
use crate::verify::command::Actcore;

const KEY: &str = "access-key";
const SECRET_KEY: &str = "canary-secret-access-key";

/// A server with one bucket, `reports`.
struct S3 {
    folder: TempDir,
    url: String,
    task: JoinHandle<()>,
}

impl S3 {
    async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("reports"))?;
        let files = FileSystem::new(folder.path()).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(KEY, SECRET_KEY));
        let service = Arc::new(service.build());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.as_ref().clone();
                // A client that hangs up is no news.
                tokio::spawn(async move {
                    let served =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    let _ = served.await;
                });
            }
        });
        Ok(Self { folder, url, task })
    }

    fn settings(&self) -> [(&str, &str); 5] {
        [
            ("WORKING_MEMORY_DIR", "s3://reports/team"),
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_ENDPOINT_URL", &self.url),
            ("AWS_ALLOW_HTTP", "true"),
        ]
    }

    /// The objects below the prefix.
    fn objects(&self) -> Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(self.folder.path().join("reports/team"))?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        Ok(paths.collect::<Result<_, _>>()?)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn a_report_in_a_bucket_is_written_once_and_verified_from_the_same_url() -> Result<()> {
    let s3 = S3::start().await?;
    let place = RunPlace::new("bucket").await?;
    place
        .define(json!({"reports": [
            {"name": "memory", "workingMemory": {"prefix": "daily-triage"}}]}))
        .await?;
    let mut holds = Holds::install(place.place.environment.database_url()).await?;
    let result = Moment {
        statement: "result",
        sink: "memory",
    };
    holds
        .hold(place.run_of_request(REQUEST), result, Fate::RolledBack)
        .await?;
    let worker = place.worker(s3.settings()).await?;
    let start = place.start_by_request(REQUEST).await?;
    holds.all_held().await?;
    worker.kill(Signal::KILL)?;
    worker.wait(crate::place::PATIENCE).await?;
    holds.let_go().await?;

    // The object is there, and nobody has entered it; the next worker finds it.
    let next = place.worker(s3.settings()).await?;
    let run = place.ended(start.run_id).await?;
    assert_eq!(run.outcome, RunOutcome::Succeeded, "{:?}", run.error);
    let deliveries = place.deliveries(start.run_id).await?;
    assert_eq!(deliveries["memory"].result, DeliveryResult::Exists);
    let objects = s3.objects()?;
    assert_eq!(objects.len(), 1, "{objects:?}");
    let report = std::fs::read_to_string(&objects[0])?;
    let frontmatter = format!("---\nactivity_core_run_id: \"{}\"\n", start.run_id);
    assert!(report.starts_with(&frontmatter), "{report}");
    let log = std::fs::read_to_string(next.log_path())?;
    assert!(!log.contains(SECRET_KEY));

    let actcore = Actcore::new(place.place.environment.env()).with(&s3.settings());
    let id = place.activity.to_string();
    let verify = ["verify", "--activity-id", &id, "--live", "-o", "json"];
    let answer = actcore.run(&verify).await?;
    let said = answer.detail("workingMemory");
    assert!(said.contains(&start.run_id.to_string()), "{answer:?}");
    let elsewhere = actcore.with(&[("WORKING_MEMORY_DIR", "s3://no-such-bucket/team")]);
    let answer = elsewhere.run(&verify).await?;
    assert!(answer.unknown().contains("workingMemory"), "{answer:?}");
    let memory = async |actcore: &Actcore| {
        let answer = actcore.run(&["doctor", "-o", "json"]).await?;
        let findings: Vec<Value> = serde_json::from_value(answer.json())?;
        let memory = |finding: &Value| finding["dependency"] == "working memory";
        anyhow::Ok(findings.into_iter().find(memory).unwrap_or_default())
    };
    let place = memory(&actcore).await?;
    assert_eq!(place["verdict"], "ok", "{place}");
    let nowhere = memory(&elsewhere).await?;
    assert_eq!(nowhere["verdict"], "FAILED", "{nowhere}");
    Ok(())
}

#[tokio::test]
async fn a_bucket_that_refuses_is_named_and_not_asked_again() -> Result<()> {
    let s3 = S3::start().await?;
    let place = RunPlace::new("bucket refuses").await?;
    place
        .define(json!({"reports": [
            {"name": "memory", "workingMemory": {"prefix": "daily-triage"}}]}))
        .await?;
    let mut settings = s3.settings();
    settings[2].1 = "wrong-key";
    let _worker = place.worker(settings).await?;
    let start = place.start_by_request(REQUEST).await?;
    let run = place.ended(start.run_id).await?;
    assert_eq!(run.outcome, RunOutcome::Failed);
    let error = run.error.unwrap();
    assert!(error.contains("s3://reports/team"), "{error}");
    let deliveries = place.deliveries(start.run_id).await?;
    assert_eq!(deliveries["memory"].attempts, 1, "{error}");
    Ok(())
}
