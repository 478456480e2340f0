//! What a long step is doing and how far it is: a spinner on a terminal, a plain line every
//! 15 seconds elsewhere. All of it goes to stderr.

use std::future::Future;
use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How often a plain line repeats itself.
const LINE_INTERVAL: Duration = Duration::from_secs(15);
/// How often a followed step is asked how far it is.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Where progress is shown.
#[derive(Debug, Clone)]
pub struct Progress {
    terminal: Option<MultiProgress>,
}

impl Progress {
    /// On stderr, in the form that suits it.
    pub fn on_stderr() -> Self {
        let terminal = std::io::stderr().is_terminal().then(MultiProgress::new);
        Self { terminal }
    }

    /// Begins a step and says so.
    pub fn step(&self, name: &str, message: &str) -> Step {
        let bar = self.terminal.as_ref().map(|terminal| {
            let bar = terminal.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {msg} ({elapsed})")
            {
                bar.set_style(style);
            }
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let now = Instant::now();
        let step = Step {
            name: name.to_owned(),
            started: now,
            bar,
            last_line: Mutex::new(now),
        };
        match &step.bar {
            Some(bar) => bar.set_message(message.to_owned()),
            None => eprintln!("{name}: {message}"),
        }
        step
    }

    /// One line that stays.
    pub fn say(&self, line: &str) {
        match &self.terminal {
            // A spinner below would be torn apart by a plain print.
            Some(terminal) => terminal.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }
}

/// One step under way.
#[derive(Debug)]
pub struct Step {
    name: String,
    started: Instant,
    bar: Option<ProgressBar>,
    last_line: Mutex<Instant>,
}

impl Step {
    /// Says how far it is.
    pub fn update(&self, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(message.to_owned());
            return;
        }
        let mut last_line = self
            .last_line
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last_line.elapsed() >= LINE_INTERVAL {
            *last_line = Instant::now();
            eprintln!(
                "{}: {message} ({} s)",
                self.name,
                self.started.elapsed().as_secs()
            );
        }
    }

    /// Runs `work` to its end and meanwhile shows what `message` says.
    pub async fn follow<T>(
        &self,
        work: impl Future<Output = T>,
        mut message: impl FnMut() -> String,
    ) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            match tokio::time::timeout(POLL_INTERVAL, &mut work).await {
                Ok(outcome) => return outcome,
                Err(_) => self.update(&message()),
            }
        }
    }

    /// Ends the step with a line that stays.
    pub fn finish(self, message: &str) {
        let line = format!(
            "{}: {message} ({:.1} s)",
            self.name,
            self.started.elapsed().as_secs_f32()
        );
        match &self.bar {
            Some(bar) => {
                bar.finish_and_clear();
                bar.suspend(|| eprintln!("{line}"));
            }
            None => eprintln!("{line}"),
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        // A step that failed leaves no spinner behind; its error tells the rest.
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
