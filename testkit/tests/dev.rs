//! The development stack, as `make up` and `make down` use it, with our built programs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testkit::Signal;
use testkit::dev::{DevFolder, StackFile, StackProcess, status};
use testkit::wait::{self, Seen};

const SOON: Duration = Duration::from_secs(40);

/// Runs `actcore-dev` to its end; gives what it has printed and whether it succeeded.
fn actcore_dev(folder: &Path, arguments: &[&str]) -> (String, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_actcore-dev"))
        .args(arguments)
        .arg("--dir")
        .arg(folder)
        .output()
        .expect("actcore-dev runs");
    let printed = [output.stdout, output.stderr].concat();
    (
        String::from_utf8_lossy(&printed).into_owned(),
        output.status.success(),
    )
}

/// A stack that is up, and is taken down also when the test fails.
struct Up {
    folder: tempfile::TempDir,
    dev: DevFolder,
}

impl Up {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let dev = DevFolder::new(folder.path()).expect("a folder");
        let up = Self { folder, dev };
        up.run(&["up"]);
        up
    }

    /// Runs a command that must succeed.
    fn run(&self, arguments: &[&str]) -> String {
        let (printed, succeeded) = actcore_dev(self.folder.path(), arguments);
        assert!(succeeded, "{arguments:?} failed:\n{printed}");
        printed
    }

    fn stack(&self) -> StackFile {
        StackFile::read(&self.dev)
            .expect("stack.json is readable")
            .expect("a stack is up")
    }

    fn process(&self, name: &str) -> StackProcess {
        let stack = self.stack();
        let found = stack.processes.iter().find(|process| process.name == name);
        found.expect("the process is part of the stack").clone()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        actcore_dev(self.folder.path(), &["down", "--volumes"]);
    }
}

fn assert_none_runs(stack: &StackFile) {
    let left: Vec<&StackProcess> = stack
        .processes
        .iter()
        .filter(|process| process.process.is_running())
        .collect();
    assert!(left.is_empty(), "still running: {left:?}");
    assert!(!stack.supervisor.is_running(), "the supervisor still runs");
}

#[tokio::test]
async fn a_stack_comes_up_once_heals_and_goes_down_without_a_trace() {
    let up = Up::new();
    let stack = up.stack();
    assert_eq!(stack.processes.len(), 10, "six servers and four programs");
    assert!(up.run(&["up"]).contains("the stack is up already"));
    assert_eq!(up.stack(), stack, "a second `up` has changed something");

    let killed = up.process("actcore-worker");
    killed.process.signal(Signal::KILL).unwrap();
    wait::until(
        "the worker to be back and all to be well",
        SOON,
        async || {
            let status = status(&up.dev)
                .await?
                .ok_or_else(|| anyhow::anyhow!("no stack"))?;
            let replaced = up.process("actcore-worker") != killed;
            let seen = format!("{:?}", status.processes);
            anyhow::Ok(if status.well && replaced {
                Seen::Done(())
            } else {
                Seen::NotYet(seen)
            })
        },
    )
    .await
    .unwrap();

    let stack = up.stack();
    up.run(&["down"]);
    assert_none_runs(&stack);
    assert!(
        !up.dev.env().exists(),
        "`env` leads to a stack that is down"
    );
    assert!(
        up.folder.path().join("data").exists(),
        "`down` has removed the data"
    );
    assert!(up.run(&["down", "--volumes"]).contains("no stack is up"));
    assert!(
        !up.folder.path().join("data").exists(),
        "`down --volumes` has kept the data"
    );
}

#[tokio::test]
async fn nothing_runs_on_after_the_supervisor_was_killed_and_up_starts_anew() {
    let up = Up::new();
    let stack = up.stack();
    stack.supervisor.signal(Signal::KILL).unwrap();
    let printed = up.run(&["up"]);
    assert!(
        printed.contains("was killed; clearing up after it"),
        "{printed}"
    );
    assert_none_runs(&stack);
    let status = status(&up.dev).await.unwrap().expect("a stack is up");
    assert!(status.well, "{:?}", status.processes);
}
