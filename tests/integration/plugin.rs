//! `kubectl actcore`: kubectl finds the command line on the `PATH` under the name
//! `kubectl-actcore`, and both are of one mind about the cluster.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use testkit::components::Component;
use tokio::process::Command;

use crate::place::{PATIENCE, Place};

#[tokio::test]
async fn kubectl_finds_the_plugin_and_hands_its_words_over() -> Result<()> {
    let place = Place::new("plugin").await?;
    let kubectl = place.environment.stack().components();
    let kubectl = kubectl.program(Component::Kubectl)?;
    let folder = place.environment.folder().join("bin");
    std::fs::create_dir(&folder)?;
    std::os::unix::fs::symlink(testkit::binary("actcore")?, folder.join("kubectl-actcore"))?;
    let mut environment: BTreeMap<String, String> = place.environment.env();
    environment.insert("PATH".to_owned(), folder.display().to_string());
    // kubectl keeps a cache there, or where it stands.
    let home = place.environment.folder().display().to_string();
    environment.insert("HOME".to_owned(), home);
    let run = async |words: &[&str]| -> Result<String> {
        let running = Command::new(&kubectl)
            .args(words)
            .env_clear()
            .envs(&environment)
            .kill_on_drop(true)
            .output();
        let ended = tokio::time::timeout(PATIENCE, running).await;
        let ended = ended.with_context(|| format!("kubectl {words:?} did not end"))??;
        anyhow::ensure!(ended.status.success(), "{words:?}: {ended:?}");
        Ok(String::from_utf8(ended.stdout)?)
    };

    let version = run(&["actcore", "version"]).await?;
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    let help = run(&["actcore", "verify", "--help"]).await?;
    assert!(help.contains("Usage: kubectl actcore verify "), "{help}");
    let namespace = place.environment.namespace();
    run(&["actcore", "create", "manual", "clean-up", "-n", namespace]).await?;
    let listed = run(&["get", "actdef", "-n", namespace, "-o", "name"]).await?;
    assert_eq!(
        listed.trim(),
        "activitydefinition.activity-core.io/clean-up"
    );
    Ok(())
}
