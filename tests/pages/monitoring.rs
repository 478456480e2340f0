//! A real Prometheus and a real Alertmanager, set up by the files that the chart renders.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize as _;
use serde_json::{Value, json};
use testkit::ports::free_port;
use testkit::process::{Command, Process};
use testkit::progress::Progress;
use testkit::stand_ins::Pager;

use crate::rules::shorten;

/// Of Debian, and of everybody else.
const ALERTMANAGERS: [&str; 2] = ["prometheus-alertmanager", "alertmanager"];
const READY_TIMEOUT: Duration = Duration::from_mins(1);
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// Who is woken up, by the pager's URL.
pub(crate) const WOKEN: &str = "woken";
/// Who reads warnings in the morning.
pub(crate) const INBOX: &str = "inbox";
/// The one alert that always fires.
pub(crate) const WATCHDOG: &str = "ActivityCoreWatchdog";

/// Both programs.
pub(crate) struct Monitoring {
    prometheus_url: String,
    alertmanager_url: String,
    http: reqwest::Client,
    _prometheus: Process,
    _alertmanager: Process,
}

impl Monitoring {
    /// Starts both; Prometheus scrapes what is in `targets`.
    pub(crate) async fn start(
        folder: &Path,
        namespace: &str,
        pager: &Pager,
        factor: u64,
    ) -> Result<Self> {
        let chart = rendered(namespace).await?;
        std::fs::create_dir_all(folder.join("rules")).context("failed to make a folder")?;
        let http = reqwest::Client::builder().timeout(CALL_TIMEOUT).build()?;

        let inhibitions = text(&chart, "inhibit.yaml")?;
        let mut configuration: Value = serde_norway::from_str(inhibitions)?;
        configuration["route"] = routes();
        configuration["receivers"] = receivers(pager);
        let port = free_port()?;
        let alertmanager_url = format!("http://127.0.0.1:{port}");
        let file = written(folder, "alertmanager.yaml", &configuration)?;
        let alertmanager = Command::new("alertmanager", alertmanager_program()?, log(folder, "a"))
            .flag("config.file", file.display())
            .flag("storage.path", folder.join("alertmanager").display())
            .flag("web.listen-address", format!("127.0.0.1:{port}"))
            .flag("cluster.listen-address", "")
            .spawn()?;
        is_ready(&http, &alertmanager_url).await?;

        let target = alertmanager_url.trim_start_matches("http://").to_owned();
        let configuration = prometheus_configuration(folder, &chart, &target, factor)?;
        let port = free_port()?;
        let prometheus_url = format!("http://127.0.0.1:{port}");
        let file = written(folder, "prometheus.yaml", &configuration)?;
        let prometheus = Command::new("prometheus", "prometheus", log(folder, "p"))
            .flag("config.file", file.display())
            .flag("storage.tsdb.path", folder.join("prometheus").display())
            .flag("web.listen-address", format!("127.0.0.1:{port}"))
            .spawn()
            .context("failed to start Prometheus (Debian: apt-get install prometheus)")?;
        is_ready(&http, &prometheus_url).await?;
        Ok(Self {
            prometheus_url,
            alertmanager_url,
            http,
            _prometheus: prometheus,
            _alertmanager: alertmanager,
        })
    }

    /// All alerts that are pending or fire by Prometheus's word, but the watchdog.
    pub(crate) async fn alerts(&self) -> Result<Vec<String>> {
        let url = format!("{}/api/v1/alerts", self.prometheus_url);
        let answer: Value = self.http.get(url).send().await?.json().await?;
        let alerts = answer["data"]["alerts"].as_array().context("no alerts")?;
        let alerts = alerts
            .iter()
            .filter(|alert| alert["labels"]["alertname"] != WATCHDOG);
        Ok(alerts
            .map(|alert| format!("{} {}", alert["state"], alert["labels"]))
            .collect())
    }

    /// How many alerts Alertmanager has, the watchdog left out.
    pub(crate) async fn held(&self) -> Result<usize> {
        let url = format!("{}/api/v2/alerts", self.alertmanager_url);
        let answer: Value = self.http.get(url).send().await?.json().await?;
        let alerts = answer.as_array().context("no alerts")?.iter();
        Ok(alerts
            .filter(|alert| alert["labels"]["alertname"] != WATCHDOG)
            .count())
    }

    /// How many targets Prometheus reaches.
    pub(crate) async fn reached(&self) -> Result<usize> {
        let url = format!("{}/api/v1/targets", self.prometheus_url);
        let answer: Value = self.http.get(url).send().await?.json().await?;
        let targets = answer["data"]["activeTargets"].as_array();
        let targets = targets.context("no targets")?.iter();
        Ok(targets.filter(|target| target["health"] == "up").count())
    }
}

/// The ConfigMap that is for a Prometheus without the operator.
async fn rendered(namespace: &str) -> Result<Value> {
    let helm = testkit::components::helm(&Progress::on_stderr()).await?;
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/activity-core");
    let rendering = tokio::process::Command::new(helm)
        .current_dir(chart)
        .args(["template", "activity-core", ".", "--kube-version", "1.36.3"])
        .args(["--namespace", namespace, "--values", "values-dev.yaml"])
        .args(["--show-only", "templates/monitoring/configmaps.yaml"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(CALL_TIMEOUT, rendering).await??;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout)?;
    let mut documents = serde_norway::Deserializer::from_str(&text).map(Value::deserialize);
    let wanted = documents.find_map(|document| {
        let document = document.ok()?;
        (document["metadata"]["name"] == "actcore-prometheus").then_some(document)
    });
    Ok(wanted.context("the chart renders no actcore-prometheus")?["data"].clone())
}

fn text<'a>(chart: &'a Value, name: &str) -> Result<&'a str> {
    let text = chart[name].as_str();
    text.with_context(|| format!("the chart renders no {name}"))
}

/// The chart's scrape configuration, with targets from a file in place of pods, and its rules.
fn prometheus_configuration(
    folder: &Path,
    chart: &Value,
    alertmanager: &str,
    factor: u64,
) -> Result<Value> {
    for (name, file) in chart.as_object().context("no files")? {
        if let Some(name) = name.strip_prefix("rules-") {
            let mut rules: Value = serde_norway::from_str(file.as_str().context("no text")?)?;
            shorten(&mut rules, factor)?;
            written(&folder.join("rules"), name, &rules)?;
        }
    }
    let mut scrape: Value = serde_norway::from_str(text(chart, "scrape.yaml")?)?;
    let job = scrape["scrape_configs"][0].as_object_mut();
    let job = job.context("the chart scrapes nothing")?;
    job.remove("kubernetes_sd_configs");
    job.remove("relabel_configs");
    job.insert("scrape_interval".to_owned(), json!("1s"));
    job.insert("scrape_timeout".to_owned(), json!("1s"));
    let targets = targets_file(folder).display().to_string();
    job.insert(
        "file_sd_configs".to_owned(),
        json!([{"files": [targets], "refresh_interval": "1s"}]),
    );
    Ok(json!({
        "global": {"evaluation_interval": "1s"},
        "rule_files": [folder.join("rules/*.yaml").display().to_string()],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": scrape["scrape_configs"],
    }))
}

/// Where it stands what is scraped.
pub(crate) fn targets_file(folder: &Path) -> PathBuf {
    folder.join("targets.json")
}

/// Whoever installs the chart routes by severity, as docs/install.md says. Each alert is told by
/// itself, after a moment in which what it follows from may arrive.
fn routes() -> Value {
    json!({
        "receiver": "nobody",
        "group_by": ["..."],
        "group_wait": "2s",
        "group_interval": "1s",
        "repeat_interval": "4h",
        "routes": [
            {"receiver": WOKEN, "matchers": ["severity = \"critical\""]},
            {"receiver": INBOX, "matchers": ["severity =~ \"warning|info\""]},
        ],
    })
}

fn receivers(pager: &Pager) -> Value {
    let receiver = |name: &str| {
        json!({
            "name": name,
            "webhook_configs": [{"url": pager.url(name), "send_resolved": true}],
        })
    };
    json!([{"name": "nobody"}, receiver(WOKEN), receiver(INBOX)])
}

fn written(folder: &Path, name: &str, content: &Value) -> Result<PathBuf> {
    let file = folder.join(name);
    let text = serde_norway::to_string(content)?;
    std::fs::write(&file, text).with_context(|| format!("failed to write {name}"))?;
    Ok(file)
}

fn log(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

fn alertmanager_program() -> Result<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |program: &&str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    ALERTMANAGERS
        .into_iter()
        .find(is_there)
        .context("there is no Alertmanager (Debian: apt-get install prometheus-alertmanager)")
}

async fn is_ready(http: &reqwest::Client, url: &str) -> Result<()> {
    let ready = format!("{url}/-/ready");
    testkit::wait::until(format!("{ready} to answer"), READY_TIMEOUT, async || {
        Ok::<_, reqwest::Error>(http.get(&ready).send().await?.status().is_success())
    })
    .await?;
    Ok(())
}
