//! Keeps our programs running: one that ends is started again, after a pause that grows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::identity::ProcessIdentity;
use super::stack_file::StackProcess;
use crate::program::{Program, ProgramPorts, ProgramStart, RunningProgram};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Who ran that long has not just failed to start: the next pause is a short one again.
const LONG_RUN: Duration = Duration::from_mins(1);

/// How a program is started, each time.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    pub(super) program: Program,
    pub(super) ports: ProgramPorts,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) log: PathBuf,
}

impl Recipe {
    pub(super) async fn start(&self) -> Result<RunningProgram> {
        let start = ProgramStart {
            program: self.program,
            ports: self.ports,
            environment: &self.environment,
            log: self.log.clone(),
        };
        RunningProgram::start(&start)
            .await
            .with_context(|| format!("failed to start {}", self.program))
    }
}

/// Describes a running program for `stack.json`.
pub(super) fn describe(running: &RunningProgram) -> Result<StackProcess> {
    Ok(StackProcess {
        name: running.program().binary().to_owned(),
        process: ProcessIdentity::of(running.pid())?,
        health_url: Some(format!("{}/readyz", running.health_url())),
    })
}

/// A program that is kept running.
#[derive(Debug)]
pub(super) struct Keeper {
    stop: CancellationToken,
    task: JoinHandle<Result<()>>,
}

impl Keeper {
    /// Watches over `running`; each restart is told to `restarted`.
    pub(super) fn new(
        recipe: Recipe,
        running: RunningProgram,
        restarted: mpsc::UnboundedSender<StackProcess>,
    ) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(keep(recipe, running, restarted, stop.clone()));
        Self { stop, task }
    }

    /// Ends the program in an orderly way.
    pub(super) async fn stop(self) -> Result<()> {
        self.stop.cancel();
        self.task
            .await
            .context("the watch over a program has panicked")?
    }
}

async fn keep(
    recipe: Recipe,
    mut running: RunningProgram,
    restarted: mpsc::UnboundedSender<StackProcess>,
    stop: CancellationToken,
) -> Result<()> {
    let mut pause = FIRST_PAUSE;
    loop {
        let since = Instant::now();
        tokio::select! {
            () = stop.cancelled() => return running.stop().await,
            status = running.ended() => eprintln!("{} has ended ({})", recipe.program, status?),
        }
        if since.elapsed() >= LONG_RUN {
            pause = FIRST_PAUSE;
        }
        let restart = async {
            loop {
                eprintln!(
                    "{} is started again in {} s",
                    recipe.program,
                    pause.as_secs()
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                match recipe.start().await {
                    Ok(running) => return running,
                    Err(error) => eprintln!("{error:#}"),
                }
            }
        };
        running = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            running = restart => running,
        };
        eprintln!("{} runs again (process {})", recipe.program, running.pid());
        // Nobody listens any more only while the whole stack is being stopped.
        drop(restarted.send(describe(&running)?));
    }
}
