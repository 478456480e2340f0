//! A shell as a person has it, whose commands and answers are written down.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use testkit::process::{Command, Inherit, Process};
use testkit::wait::{self, Seen};

/// The longest command is an installation that waits for its pods.
const TIMEOUT: Duration = Duration::from_mins(8);
/// How many lines of an answer are written down.
const LINES: usize = 60;

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// The shell.
#[derive(Debug)]
pub(crate) struct Shell {
    folder: PathBuf,
    environment: Vec<(String, String)>,
    started: Instant,
    transcript: Mutex<String>,
}

impl Shell {
    /// A shell whose `PATH` begins with `folder/bin`.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let bin = folder.join("bin");
        std::fs::create_dir_all(&bin).context("failed to make a folder for programs")?;
        let path = std::env::var("PATH").unwrap_or_default();
        let home = folder.join("home").display().to_string();
        let environment = [
            ("PATH", format!("{}:{path}", bin.display())),
            // Neither kubectl nor Helm finds what a person has set up.
            ("HOME", home.clone()),
            ("XDG_CACHE_HOME", home.clone()),
            ("XDG_CONFIG_HOME", home.clone()),
            ("XDG_DATA_HOME", home),
            ("NO_COLOR", "1".to_owned()),
            ("TZ", "UTC".to_owned()),
        ];
        Ok(Self {
            folder: folder.to_owned(),
            environment: environment
                .map(|(name, value)| (name.to_owned(), value))
                .to_vec(),
            started: Instant::now(),
            transcript: Mutex::default(),
        })
    }

    /// Gives a program a name on the `PATH`.
    pub(crate) fn provide(&self, name: &str, program: &Path) -> Result<()> {
        std::os::unix::fs::symlink(program, self.folder.join("bin").join(name))
            .with_context(|| format!("failed to put {name} on the PATH"))
    }

    /// Sets a variable.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Begins a part of the transcript.
    pub(crate) fn heading(&self, text: &str) {
        let seconds = self.started.elapsed().as_secs();
        self.write(&format!("\n## {text}\n\n_After {seconds} s._\n\n"));
    }

    /// Says something in the transcript.
    pub(crate) fn note(&self, text: &str) {
        self.write(&format!("{text}\n\n"));
    }

    /// Runs a command, which must succeed, and writes it down with its answer.
    pub(crate) async fn run(&self, command: &str) -> Result<String> {
        let started = Instant::now();
        let answer = self.ask(command).await;
        let shown = match &answer {
            Ok(output) => output.clone(),
            Err(error) => format!("{error:#}"),
        };
        self.write_command(command, &shown, started.elapsed());
        answer
    }

    /// Runs a command, which must succeed, and writes nothing down.
    pub(crate) async fn ask(&self, command: &str) -> Result<String> {
        let running = tokio::process::Command::new("bash")
            .args(["-euo", "pipefail", "-c", command])
            .current_dir(repository())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(TIMEOUT, running)
            .await
            .with_context(|| format!("`{command}` did not end within {TIMEOUT:?}"))?
            .context("failed to start bash")?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        anyhow::ensure!(
            output.status.success(),
            "`{command}` failed ({}):\n{text}",
            output.status
        );
        Ok(text)
    }

    /// Runs a command again and again until its answer will do, and writes down the last time.
    pub(crate) async fn until(
        &self,
        command: &str,
        timeout: Duration,
        will_do: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let started = Instant::now();
        let answer = wait::until(format!("`{command}`"), timeout, async || {
            let answer = self.ask(command).await?;
            anyhow::Ok(if will_do(&answer) {
                Seen::Done(answer)
            } else {
                Seen::NotYet(answer)
            })
        })
        .await;
        let shown = match &answer {
            Ok(output) => output.clone(),
            Err(error) => error.to_string(),
        };
        self.write_command(command, &shown, started.elapsed());
        Ok(answer?)
    }

    /// Starts a command that goes on until the process is dropped, and writes it down.
    pub(crate) fn start(&self, name: &str, command: &str) -> Result<Process> {
        let log = self.folder.join(format!("{name}.log"));
        let mut process =
            Command::new(name, "bash", log).arguments(["-c".to_owned(), format!("exec {command}")]);
        process.inherit = Inherit::All;
        process.environment.clone_from(&self.environment);
        process.directory = Some(repository().to_owned());
        self.write_command(&format!("{command} &"), "", Duration::ZERO);
        process.spawn()
    }

    /// Everything so far.
    pub(crate) fn transcript(&self) -> String {
        let transcript = self.transcript.lock();
        transcript.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write_command(&self, command: &str, answer: &str, took: Duration) {
        let mut text = format!("```console\n$ {command}\n");
        let lines: Vec<&str> = answer.trim_end().lines().collect();
        for line in lines.iter().take(LINES) {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        if lines.len() > LINES {
            // Writing to a string does not fail.
            let _ = writeln!(text, "… ({} more lines)", lines.len() - LINES);
        }
        text.push_str("```\n");
        if took > Duration::from_secs(1) {
            let _ = writeln!(text, "_{:.1} s_", took.as_secs_f32());
        }
        text.push('\n');
        self.write(&text);
    }

    fn write(&self, text: &str) {
        // No path of this machine goes into the documentation.
        let text = text
            .replace(&self.folder.display().to_string(), "$DIR")
            .replace(&repository().display().to_string(), ".");
        print!("{text}");
        let transcript = self.transcript.lock();
        transcript
            .unwrap_or_else(PoisonError::into_inner)
            .push_str(&text);
    }
}
