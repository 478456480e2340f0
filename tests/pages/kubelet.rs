//! What a kubelet and a Prometheus that finds pods do: each program is asked whether it is ready,
//! and stands in the file of what is scraped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::{Program, RunningProgram};
use tokio::task::JoinHandle;

use crate::monitoring::targets_file;

const PERIOD: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where a program answers.
#[derive(Debug, Clone)]
struct Place {
    readiness: String,
    metrics: String,
}

type Places = Arc<Mutex<BTreeMap<&'static str, Place>>>;

/// Asks until it is dropped.
#[derive(Debug)]
pub(crate) struct Kubelet {
    targets: PathBuf,
    namespace: String,
    places: Places,
    asking: JoinHandle<()>,
}

impl Kubelet {
    /// Begins, with nobody to ask.
    pub(crate) fn start(folder: &Path, namespace: &str) -> Result<Self> {
        let places = Places::default();
        let http = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        let kubelet = Self {
            targets: targets_file(folder),
            namespace: namespace.to_owned(),
            asking: tokio::spawn(ask(http, Arc::clone(&places))),
            places,
        };
        kubelet.list()?;
        Ok(kubelet)
    }

    /// Asks this process from now on, in place of the one of the same program.
    pub(crate) fn attend(&self, program: Program, running: &RunningProgram) -> Result<()> {
        let place = Place {
            readiness: format!("{}/readyz", running.health_url()),
            metrics: running
                .metrics_url()
                .trim_start_matches("http://")
                .to_owned(),
        };
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.insert(program.binary(), place);
        drop(places);
        self.list()
    }

    fn list(&self) -> Result<()> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let groups = places.iter().map(|(program, place)| {
            let labels = json!({"namespace": self.namespace, "pod": program});
            json!({"targets": [place.metrics], "labels": labels})
        });
        let text = json!(groups.collect::<Vec<_>>()).to_string();
        // Prometheus reads it whenever it changes: as a whole or not at all.
        let partial = self.targets.with_extension("partial");
        std::fs::write(&partial, text).context("failed to write the targets")?;
        std::fs::rename(&partial, &self.targets).context("failed to show the targets")
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

async fn ask(http: reqwest::Client, places: Places) {
    let mut period = tokio::time::interval(PERIOD);
    loop {
        period.tick().await;
        let places: Vec<Place> = {
            let places = places.lock().unwrap_or_else(PoisonError::into_inner);
            places.values().cloned().collect()
        };
        let asked = places.iter().map(|place| http.get(&place.readiness).send());
        // Being asked is what a program needs; what it answers shows in its metrics.
        drop(futures::future::join_all(asked).await);
    }
}
