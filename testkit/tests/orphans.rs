//! What a killed owner leaves behind.

#![expect(
    clippy::unwrap_used,
    reason = "an error here is a failed test, and its place says which"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::dev::ProcessIdentity;
use testkit::wait::{self, Seen};

const SOON: Duration = Duration::from_secs(20);

/// The example that holds a stack; cargo builds it together with this test, beside it.
fn hold_stack() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent()
        .unwrap()
        .with_file_name("examples")
        .join("hold_stack")
}

/// All processes below `ancestor`, with their names.
fn descendants(ancestor: u32) -> Vec<(String, ProcessIdentity)> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        // A process may end while it is looked at.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let (name, rest) = stat.rsplit_once(')').unwrap();
        let parent: u32 = rest.split_whitespace().nth(1).unwrap().parse().unwrap();
        parents.insert(pid, (parent, name.split_once('(').unwrap().1.to_owned()));
    }
    let mut found = Vec::new();
    let mut generation = vec![ancestor];
    while let Some(pid) = generation.pop() {
        for (child, (parent, name)) in &parents {
            if *parent == pid {
                generation.push(*child);
                found.extend(ProcessIdentity::of(*child).map(|process| (name.clone(), process)));
            }
        }
    }
    found
}

#[tokio::test]
async fn nothing_is_left_of_a_stack_whose_owner_is_killed() {
    let mut owner = Command::new(hold_stack())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut folder = None;
    for line in BufReader::new(owner.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(path) = line.strip_prefix("folder ") {
            folder = Some(PathBuf::from(path));
        }
        if line == "ready" {
            break;
        }
    }
    let folder = folder.expect("the owner has said where its folder is");
    let processes = descendants(owner.id());
    for server in [
        "etcd",
        "kube-apiserver",
        "kube-controller",
        "temporal",
        "nats-server",
        "postgres",
    ] {
        let runs = processes.iter().any(|(name, _)| name == server);
        assert!(runs, "{server} is not among {processes:?}");
    }

    owner.kill().unwrap();
    owner.wait().unwrap();

    wait::until("all processes to be gone", SOON, async || {
        let mut left = processes.clone();
        left.retain(|(_, process)| process.is_running());
        if left.is_empty() {
            Seen::Done(())
        } else {
            Seen::NotYet(format!("{left:?}"))
        }
    })
    .await
    .unwrap();
    wait::until("the data to be gone", SOON, async || {
        !folder.join("data").exists()
    })
    .await
    .unwrap();
    // The logs of a test that did not end well are kept on purpose; this one has seen enough.
    fs::remove_dir_all(&folder).unwrap();
}
