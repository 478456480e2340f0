//! Fault after fault, each from calm to calm; then what must not be heard of.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use testkit::stand_ins::{Notice, Pager};
use testkit::wait::Seen;

use crate::calm;
use crate::fault::Fault;
use crate::monitoring::{INBOX, Monitoring, WOKEN};
use crate::planned::Planned;
use crate::table::{self, Measured};
use crate::ward::Ward;

/// By what the rules' waiting times are divided, when not by the usual factor.
const FACTOR: &str = "ACTCORE_PAGES_FACTOR";
const USUAL_FACTOR: u64 = 20;
/// Names the faults to cause, by commas, when not all; then no document is written.
const CHOSEN: &str = "ACTCORE_PAGES_FAULTS";

/// The longest waiting time of a rule that pages.
const LONGEST_FOR: u64 = 300;
/// For everything but the rule's waiting time: retries back off, gauges turn, machines are busy.
const PATIENCE: Duration = Duration::from_secs(150);
/// How long a fault goes on after its page: whatever else it would lead to has time to be told.
const AFTERWARDS: Duration = Duration::from_secs(8);

#[tokio::test]
async fn each_fault_pages_once_and_clears_and_what_is_planned_pages_nobody() -> Result<()> {
    let factor = match std::env::var(FACTOR) {
        Ok(factor) => factor.parse().context("the factor is no number")?,
        Err(_) => USUAL_FACTOR,
    };
    let chosen = std::env::var(CHOSEN).ok();
    let is_chosen = |name: String| {
        let mut names = chosen.as_deref().map(|chosen| chosen.split(','));
        names
            .as_mut()
            .is_none_or(|names| names.any(|one| one == name))
    };
    let pager = Pager::start().await?;
    let mut ward = Ward::start().await?;
    let folder = ward.environment.folder().to_owned();
    let namespace = ward.environment.namespace().to_owned();
    let monitoring = Monitoring::start(&folder, &namespace, &pager, factor).await?;
    testkit::wait::until("four targets", PATIENCE, async || {
        let reached = monitoring.reached().await?;
        anyhow::Ok(if reached == 4 {
            Seen::Done(())
        } else {
            Seen::not_yet(reached)
        })
    })
    .await?;

    let mut measured = Vec::new();
    for fault in Fault::ALL {
        if is_chosen(format!("{fault:?}")) {
            let place = (&monitoring, &pager, factor);
            let outcome = strike(fault, &mut ward, place).await;
            measured.push(outcome.with_context(|| format!("{fault:?}"))?);
        }
    }
    let mut quiet = Vec::new();
    for planned in Planned::ALL {
        if is_chosen(format!("{planned:?}")) {
            calm::wait(&monitoring).await?;
            let before = pager.notices().len();
            let happened = planned.happen(&ward).await;
            happened.with_context(|| format!("{planned:?}"))?;
            // As long as the slowest rule would take.
            tokio::time::sleep(waiting_time(factor) + AFTERWARDS).await;
            let told = since(&pager, before);
            anyhow::ensure!(told.is_empty(), "{planned:?}: {told:?}");
            eprintln!("{planned:?}: nobody was told");
            quiet.push(planned);
        }
    }
    if chosen.is_none() {
        table::write(&measured, &quiet, factor)?;
    }
    Ok(())
}

/// The longest waiting time of a rule that pages, as it is here.
fn waiting_time(factor: u64) -> Duration {
    Duration::from_secs(LONGEST_FOR) / u32::try_from(factor).unwrap_or(1)
}

/// Causes a fault and puts it right; an error unless exactly its page came and went.
async fn strike(
    fault: Fault,
    ward: &mut Ward,
    (monitoring, pager, factor): (&Monitoring, &Pager, u64),
) -> Result<Measured> {
    let row = fault.row();
    let patience = PATIENCE + waiting_time(factor);
    fault.prepare(ward).await?;
    calm::wait(monitoring).await?;
    let before = pager.notices().len();
    fault.cause(ward).await?;
    let struck = Instant::now();
    let page = told(pager, before, patience, |notice| {
        notice.receiver == WOKEN && notice.is_firing && notice.alert() == row.alert
    })
    .await?;
    let told_after = page.at.saturating_duration_since(struck);
    tokio::time::sleep(AFTERWARDS).await;

    fault.put_right(ward).await?;
    let remedied = Instant::now();
    let over = told(pager, before, patience, |notice| {
        notice.receiver == WOKEN && !notice.is_firing && notice.alert() == row.alert
    })
    .await?;
    let cleared = over.at.saturating_duration_since(remedied);
    fault.clear_up(ward).await?;
    calm::wait(monitoring).await?;

    let all = since(pager, before);
    let firing = |receiver: &str| -> Vec<&Notice> {
        let told = all.iter();
        told.filter(|notice| notice.is_firing && notice.receiver == receiver)
            .collect()
    };
    let woken = firing(WOKEN);
    anyhow::ensure!(woken.len() == 1, "not one page: {woken:#?}");
    let definition = row.definition.unwrap_or_default();
    anyhow::ensure!(page.label("name") == definition, "{page:#?}");
    let runbook = page.annotations.get("runbook_url");
    let runbook = runbook.context("the page names no runbook")?;
    anyhow::ensure!(
        runbook.ends_with(&format!("/{}.md", row.alert)),
        "{runbook}"
    );
    let mut beside: Vec<String> = firing(INBOX)
        .iter()
        .map(|notice| notice.alert().to_owned())
        .collect();
    beside.sort();
    beside.dedup();
    eprintln!(
        "{fault:?}: {} after {:.1} s, over {:.1} s after the remedy; beside it {beside:?}",
        row.alert,
        told_after.as_secs_f32(),
        cleared.as_secs_f32()
    );
    Ok(Measured {
        row,
        paged: told_after,
        cleared,
        beside,
    })
}

/// Waits for a notice.
async fn told(
    pager: &Pager,
    before: usize,
    patience: Duration,
    is_it: impl Fn(&Notice) -> bool,
) -> Result<Notice> {
    let found = testkit::wait::until("the notice", patience, async || {
        let all = since(pager, before);
        match all.iter().find(|notice| is_it(notice)) {
            Some(notice) => Seen::Done(notice.clone()),
            None => Seen::not_yet(format!("{all:?}")),
        }
    });
    Ok(found.await?)
}

fn since(pager: &Pager, before: usize) -> Vec<Notice> {
    pager.notices().split_off(before)
}
