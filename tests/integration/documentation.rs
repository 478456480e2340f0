//! The documents' shell blocks are run as they stand: what a document tells people to type works.
//!
//! A block that is fenced as `sh` is run, in the order of the document, in a shell that stops at
//! the first command that fails. One that can't be run here has the comment
//! `<!-- not run: why -->` above it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use testkit::components::Component;
use testkit::process::run_to_its_end;
use testkit::{Program, Stack, StackOptions};
use tokio::process::Command;

use crate::place::Place;

/// How long one block may take.
const BLOCK_TIMEOUT: Duration = Duration::from_mins(3);

/// The documents whose blocks are run, in this order, on one stack.
const DOCUMENTS: [&str; 6] = [
    "README.md",
    "docs/everyday.md",
    "docs/verify.md",
    "docs/migrate.md",
    "docs/api.md",
    "docs/operator.md",
];

const NOT_RUN: &str = "<!-- not run: ";

/// One fenced block of shell commands.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    line: usize,
    script: String,
    is_run: bool,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The blocks that are fenced as `sh`.
fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut before = "";
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line == "```sh" {
            let script: Vec<&str> = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| *line != "```")
                .collect();
            found.push(Block {
                line: number + 1,
                script: script.join("\n"),
                is_run: !before.starts_with(NOT_RUN),
            });
        } else if line.starts_with("```") {
            // Another language: its end is not the beginning of a block.
            lines.by_ref().find(|(_, line)| *line == "```");
        }
        if !line.is_empty() {
            before = line;
        }
    }
    found
}

struct Shell {
    place: Place,
    path: String,
    api_url: String,
}

impl Shell {
    async fn run(&self, script: &str) -> Result<String> {
        let mut environment = self.place.environment.env();
        environment.insert("PATH".to_owned(), self.path.clone());
        environment.insert("API_URL".to_owned(), self.api_url.clone());
        // kubectl keeps a cache there, or where it stands.
        let home = self.place.environment.folder().display().to_string();
        environment.insert("HOME".to_owned(), home);
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", script])
            .current_dir(repository())
            .env_clear()
            .envs(environment);
        run_to_its_end(bash, BLOCK_TIMEOUT).await
    }
}

/// A cluster of its own, because the documents speak of the namespace activity-core and of an
/// operator that watches everything.
async fn shell() -> Result<Shell> {
    let stack = Stack::start(StackOptions {
        temporal_namespaces: 1,
        ..StackOptions::default()
    })
    .await?;
    let place = Place::on(&stack, "documentation").await?;
    let namespaces: Api<Namespace> = Api::all(place.environment.kube_client().await?);
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some("activity-core".to_owned()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    namespaces
        .create(&PostParams::default(), &namespace)
        .await?;
    let kubectl = stack.components().program(Component::Kubectl)?;
    let folders = [
        testkit::binary("actcore")?,
        kubectl,
        PathBuf::from("/usr/local/bin/x"),
        PathBuf::from("/usr/bin/x"),
        PathBuf::from("/bin/x"),
    ];
    let folders = folders.iter().filter_map(|program| program.parent());
    Ok(Shell {
        path: std::env::join_paths(folders)?
            .into_string()
            .ok()
            .context("a path is no UTF-8")?,
        api_url: String::new(),
        place,
    })
}

#[tokio::test]
async fn what_the_documents_say_to_type_works() -> Result<()> {
    let mut shell = shell().await?;
    let mut programs = Vec::new();
    for program in Program::ALL {
        let everywhere = [("WATCH_NAMESPACE", "")];
        programs.push(shell.place.environment.start(program, everywhere).await?);
    }
    let api = programs
        .iter()
        .find(|running| running.program() == Program::Api);
    shell.api_url = api.context("no API")?.api_url().to_owned();

    let mut run = 0;
    for document in DOCUMENTS {
        let text = std::fs::read_to_string(repository().join(document))?;
        for block in blocks(&text).into_iter().filter(|block| block.is_run) {
            let told = shell.run(&block.script).await;
            told.with_context(|| format!("{document}:{}\n{}", block.line, block.script))?;
            run += 1;
        }
    }
    assert!(run >= 8, "only {run} blocks were run");
    Ok(())
}

#[test]
fn a_block_is_run_unless_it_says_why_not() {
    let text = "\
```text
```sh
```
```sh
one
two
```

<!-- not run: no such thing -->

```sh
three
```
";
    let block = |line, script: &str, is_run| Block {
        line,
        script: script.to_owned(),
        is_run,
    };
    assert_eq!(
        blocks(text),
        [block(4, "one\ntwo", true), block(11, "three", false)]
    );
}
