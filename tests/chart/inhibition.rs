//! One fault is one page: a real Alertmanager with the chart's inhibitions is told of everything
//! that a fault sets off, and announces what is expected.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::ports::free_port;
use testkit::wait::{Seen, until};

use crate::helm::{find, objects};

/// How long Alertmanager may take to answer as expected.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running Alertmanager. Dropping it ends it.
struct Alertmanager {
    process: Child,
    url: String,
    client: reqwest::Client,
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Alertmanager {
    async fn start(folder: &Path) -> Self {
        let objects = objects("values-dev.yaml");
        let files = find(&objects, "ConfigMap actcore-prometheus");
        let inhibitions = files["data"]["inhibit.yaml"].as_str().unwrap();
        let configuration =
            format!("route: {{receiver: nobody}}\nreceivers: [{{name: nobody}}]\n{inhibitions}");
        let path = folder.join("alertmanager.yaml");
        std::fs::write(&path, configuration).unwrap();
        let port = free_port().unwrap();
        let process = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--cluster.listen-address=", "--log.level=error"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "Alertmanager can't be run ({error}); install it (Debian: apt-get install \
                     prometheus-alertmanager)"
                )
            });
        let alertmanager = Self {
            process,
            url: format!("http://127.0.0.1:{port}"),
            client: reqwest::Client::builder()
                .no_proxy()
                .timeout(Duration::from_secs(5))
                .build()
                .unwrap(),
        };
        until("Alertmanager to be ready", PATIENCE, || async {
            let asked = alertmanager
                .client
                .get(format!("{}/-/ready", alertmanager.url));
            asked.send().await?.error_for_status().map(|_| true)
        })
        .await
        .unwrap();
        alertmanager
    }

    /// Tells it of alerts.
    async fn tell(&self, alerts: &[Told]) {
        let told: Vec<Value> = alerts
            .iter()
            .map(|(name, place)| {
                let mut labels = json!({"alertname": name, "namespace": "activity-core"});
                if let Some((namespace, definition)) = place.split_once('/') {
                    labels["namespace"] = json!(namespace);
                    labels["name"] = json!(definition);
                } else if !place.is_empty() {
                    labels["namespace"] = json!(place);
                }
                json!({"labels": labels})
            })
            .collect();
        let url = format!("{}/api/v2/alerts", self.url);
        let posted = self.client.post(url).json(&told).send().await.unwrap();
        posted.error_for_status().unwrap();
    }

    /// The alerts that it announces at the moment.
    async fn announced(&self) -> Result<BTreeSet<String>, reqwest::Error> {
        let url = format!("{}/api/v2/alerts?inhibited=false&silenced=false", self.url);
        let answer = self.client.get(url).send().await?.error_for_status()?;
        let alerts: Vec<Value> = answer.json().await?;
        let names = alerts.iter().map(|alert| {
            let labels = &alert["labels"];
            let definition = labels["name"].as_str().unwrap_or_default();
            let name = labels["alertname"].as_str().unwrap();
            format!("{name} {definition}").trim().to_owned()
        });
        Ok(names.collect())
    }
}

/// An alert, and where: `namespace/definition`, `namespace`, or empty for that of the installation.
type Told = (&'static str, &'static str);

/// What a fault sets off, and what of it is announced.
const FAULTS: [(&str, &[Told], &[&str]); 9] = [
    (
        "Temporal is away",
        &[
            ("ActivityCoreTemporalUnreachable", ""),
            ("ActivityCoreNoLeader", ""),
            ("ActivityCoreAuditStale", ""),
            ("ActivityCoreResyncStale", ""),
            ("ActivityCoreReconcileErrors", ""),
            ("ActivityCoreRouterStalled", ""),
            ("ActivityCoreRouterRedeliveries", ""),
            ("ActivityCoreApiErrors", ""),
            ("ActivityRunMissing", "team/triage"),
            ("ActivityScheduleMissing", "team/triage"),
            ("ActivityDefinitionNotReady", "team/triage"),
            ("ActivityCoreWatchdog", ""),
        ],
        &["ActivityCoreTemporalUnreachable", "ActivityCoreWatchdog"],
    ),
    (
        "Postgres is away",
        &[
            ("ActivityCorePostgresUnreachable", ""),
            ("ActivityCoreAuditStale", ""),
            ("ActivityCoreRouterMirrorStale", ""),
            ("ActivityRunMissing", "team/triage"),
        ],
        &["ActivityCorePostgresUnreachable"],
    ),
    (
        "no operator",
        &[
            ("ActivityCoreOperatorDown", ""),
            ("ActivityCoreNoLeader", ""),
            ("ActivityCoreAuditStale", ""),
            ("ActivityDefinitionNotReady", "team/triage"),
        ],
        &["ActivityCoreOperatorDown"],
    ),
    (
        "no leader",
        &[
            ("ActivityCoreNoLeader", ""),
            ("ActivityCoreAuditStale", ""),
            ("ActivityCoreResyncStale", ""),
        ],
        &["ActivityCoreNoLeader"],
    ),
    (
        "NATS is away, and a router of another installation is stuck",
        &[
            ("ActivityCoreNatsUnreachable", ""),
            ("ActivityCoreRouterStalled", ""),
            ("ActivityCoreRouterRedeliveries", "other"),
        ],
        &[
            "ActivityCoreNatsUnreachable",
            "ActivityCoreRouterRedeliveries",
        ],
    ),
    (
        "no router",
        &[
            ("ActivityCoreRouterDown", ""),
            ("ActivityCoreRouterStalled", ""),
        ],
        &["ActivityCoreRouterDown"],
    ),
    (
        "no worker",
        &[
            ("ActivityCoreWorkerDown", ""),
            ("ActivityRunMissing", "team/triage"),
            ("ActivitySchedulePaused", "team/digest"),
        ],
        &["ActivityCoreWorkerDown", "ActivitySchedulePaused digest"],
    ),
    (
        "one Schedule is gone, and another definition's run is missing",
        &[
            ("ActivityScheduleMissing", "team/triage"),
            ("ActivityRunMissing", "team/triage"),
            ("ActivityRunMissing", "team/digest"),
        ],
        &[
            "ActivityRunMissing digest",
            "ActivityScheduleMissing triage",
        ],
    ),
    (
        "both sinks of one definition fail, and one of another's",
        &[
            ("ActivityReportsMissing", "team/triage"),
            ("ActivitySinkFailing", "team/triage"),
            ("ActivitySinkFailing", "team/digest"),
        ],
        &[
            "ActivityReportsMissing triage",
            "ActivitySinkFailing digest",
        ],
    ),
];

#[tokio::test]
async fn one_fault_is_one_page() {
    runtime::install_cryptography();
    for (fault, told, expected) in FAULTS {
        let folder = tempfile::tempdir().unwrap();
        let alertmanager = Alertmanager::start(folder.path()).await;
        alertmanager.tell(told).await;
        let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        until(format!("{fault}: {expected:?}"), PATIENCE, || async {
            let announced = alertmanager.announced().await?;
            Ok::<_, reqwest::Error>(if announced == expected {
                Seen::Done(())
            } else {
                Seen::not_yet(format!("{announced:?}"))
            })
        })
        .await
        .unwrap();
    }
}
