//! Renders the chart as `helm template` does.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde::Deserialize as _;
use serde_json::Value;
use testkit::progress::Progress;

/// The Kubernetes version that the chart is rendered for.
const KUBERNETES: &str = "1.36.3";

/// The files of values that every claim about rendered objects is made for.
pub(crate) const VALUE_FILES: [&str; 5] = [
    "values-dev.yaml",
    "ci/production-values.yaml",
    "ci/namespaced-values.yaml",
    "ci/minimal-values.yaml",
    "ci/placement-values.yaml",
];

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The chart's folder.
pub(crate) fn chart() -> PathBuf {
    repository().join("charts/activity-core")
}

/// A file of the chart as text.
pub(crate) fn chart_file(name: &str) -> String {
    let path = chart().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The program.
fn program() -> &'static Path {
    static HELM: OnceLock<PathBuf> = OnceLock::new();
    HELM.get_or_init(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let found = runtime.block_on(testkit::components::helm(&Progress::on_stderr()));
        found.unwrap_or_else(|error| panic!("{error:#}"))
    })
}

/// Runs Helm on the chart.
pub(crate) fn helm(arguments: &[&str]) -> Output {
    Command::new(program())
        .args(arguments)
        .current_dir(chart())
        .output()
        .unwrap()
}

/// What is rendered with a file of values and further settings, or what Helm says against it.
pub(crate) fn template(values: &str, settings: &[&str]) -> Result<Vec<Value>, String> {
    let mut arguments = vec![
        "template",
        "activity-core",
        ".",
        "--namespace",
        "activity-core",
        "--kube-version",
        KUBERNETES,
        "--values",
        values,
    ];
    for setting in settings {
        arguments.extend(["--set-json", setting]);
    }
    let output = helm(&arguments);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let documents = serde_norway::Deserializer::from_str(&text);
    Ok(documents
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|object| !object.is_null())
        .collect())
}

/// What is rendered with a file of values.
pub(crate) fn objects(values: &str) -> Vec<Value> {
    template(values, &[]).unwrap_or_else(|error| panic!("{values}: {error}"))
}

/// How an object is named in a failure.
pub(crate) fn name(object: &Value) -> String {
    format!(
        "{} {}",
        object["kind"].as_str().unwrap_or("?"),
        object["metadata"]["name"].as_str().unwrap_or("?")
    )
}

/// The object of a kind and a name; a panic when there is none.
pub(crate) fn find<'a>(objects: &'a [Value], wanted: &str) -> &'a Value {
    objects
        .iter()
        .find(|object| name(object) == wanted)
        .unwrap_or_else(|| panic!("no {wanted} is rendered"))
}

/// Collects claims: each is counted, and those that fail are named together.
#[derive(Default)]
pub(crate) struct Claims {
    made: usize,
    failed: Vec<String>,
}

impl Claims {
    /// Makes one claim.
    pub(crate) fn claim(&mut self, holds: bool, what: impl FnOnce() -> String) {
        self.made += 1;
        if !holds {
            self.failed.push(what());
        }
    }

    /// Fails when one has failed, or when fewer were made than there must be: a loop over nothing
    /// proves nothing.
    pub(crate) fn settle(self, at_least: usize) {
        let Self { made, failed } = self;
        assert!(
            failed.is_empty(),
            "{} of {made}:\n{}",
            failed.len(),
            failed.join("\n")
        );
        assert!(
            made >= at_least,
            "only {made} claims were made, not {at_least}"
        );
    }
}
