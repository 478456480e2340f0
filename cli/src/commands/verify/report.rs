//! What verification found, in words for a person on call and as JSON.

use std::fmt::Write as _;

use chrono::NaiveDate;
use domain::verification::{Check, Condition, Expectation, Verdict};
use serde_json::{Value, json};
use store::MirrorRow;

use super::expectation::{in_words, word};
use crate::exit::Exit;
use crate::output::{Colour, paint};

/// The checks of one definition.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) time_zone: &'static str,
    pub(super) date: NaiveDate,
    pub(super) expectation: Expectation,
    pub(super) checks: Vec<Check>,
}

/// What was found about one definition.
#[derive(Debug)]
pub(super) struct Answer {
    definition: MirrorRow,
    finding: Finding,
}

#[derive(Debug)]
enum Finding {
    /// It was checked.
    Verified(Verified),
    /// Nothing was due, so nothing was checked.
    NotDue { date: NaiveDate, reason: String },
    /// The mirror's row could not be read.
    Unreadable(String),
}

/// The answer about one definition, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Verified,
    NotDue,
    Failed,
    Unknown,
}

/// Everything that was found.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) answers: Vec<Answer>,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "Verified",
            Self::NotDue => "NotDue",
            Self::Failed => "Failed",
            Self::Unknown => "Unknown",
        }
    }
}

impl Answer {
    pub(super) const fn verified(definition: MirrorRow, verified: Verified) -> Self {
        Self {
            definition,
            finding: Finding::Verified(verified),
        }
    }

    pub(super) fn not_due(
        definition: MirrorRow,
        date: NaiveDate,
        expectation: &Expectation,
    ) -> Self {
        Self {
            definition,
            finding: Finding::NotDue {
                date,
                reason: in_words(expectation),
            },
        }
    }

    pub(super) const fn unreadable(definition: MirrorRow, reason: String) -> Self {
        Self {
            definition,
            finding: Finding::Unreadable(reason),
        }
    }

    fn outcome(&self) -> Outcome {
        match &self.finding {
            Finding::NotDue { .. } => Outcome::NotDue,
            Finding::Unreadable(_) => Outcome::Unknown,
            Finding::Verified(verified) => {
                let count = |verdict| count(&verified.checks, verdict);
                if count(Verdict::Failed) > 0 {
                    Outcome::Failed
                } else if count(Verdict::Unknown) > 0 {
                    Outcome::Unknown
                } else {
                    Outcome::Verified
                }
            }
        }
    }

    fn called(&self) -> String {
        let MirrorRow {
            namespace,
            name,
            display_name,
            ..
        } = &self.definition;
        if display_name == name {
            format!("{namespace}/{name}")
        } else {
            format!("{display_name} ({namespace}/{name})")
        }
    }

    fn to_text(&self, colour: bool) -> String {
        let called = self.called();
        let activity = self.definition.activity_id;
        match &self.finding {
            Finding::NotDue { date, reason } => format!("{called} on {date}: {reason}\n"),
            Finding::Unreadable(reason) => format!(
                "{called}, activity {activity}\n\n{} {reason}\n",
                padded(Verdict::Unknown, colour)
            ),
            Finding::Verified(verified) => {
                let mut text = format!(
                    "{called} on {} ({}), activity {activity}\n{}\n\n",
                    verified.date,
                    verified.time_zone,
                    in_words(&verified.expectation)
                );
                for check in &verified.checks {
                    // Writing to a String can't fail.
                    let _ = writeln!(
                        text,
                        "{} {:<20} {}",
                        padded(check.verdict, colour),
                        label(check.condition),
                        check.detail
                    );
                    if let Some(advice) = self.advice(check) {
                        let _ = writeln!(text, "        {:<20} -> {advice}", "");
                    }
                }
                text.push('\n');
                text.push_str(&self.result_line(verified, colour));
                text.push('\n');
                text
            }
        }
    }

    fn result_line(&self, verified: &Verified, colour: bool) -> String {
        let failed = count(&verified.checks, Verdict::Failed);
        let unknown = count(&verified.checks, Verdict::Unknown);
        let called = self.called();
        match self.outcome() {
            Outcome::Verified | Outcome::NotDue => format!(
                "{}: the run of {called} on {} happened; every check agrees.",
                paint("VERIFIED", Colour::Green, colour),
                verified.date
            ),
            Outcome::Failed => format!(
                "{}: {} about {called} on {}.",
                paint("NOT VERIFIED", Colour::Red, colour),
                counted(failed, unknown),
                verified.date
            ),
            Outcome::Unknown => format!(
                "{}: {} about {called} on {}; nobody knows whether it happened.",
                paint("UNKNOWN", Colour::Yellow, colour),
                counted(failed, unknown),
                verified.date
            ),
        }
    }

    /// What to do about a check that is not good.
    fn advice(&self, check: &Check) -> Option<String> {
        let MirrorRow {
            namespace,
            name,
            activity_id,
            ..
        } = &self.definition;
        let advice = match (check.verdict, check.condition) {
            (Verdict::Ok | Verdict::NotApplicable, _) => return None,
            (Verdict::Unknown, Condition::WorkingMemory) => {
                "run it where the folder is readable, with --working-memory-dir".to_owned()
            }
            (Verdict::Unknown, _) => "actcore doctor".to_owned(),
            (Verdict::Failed, Condition::Schedule) => format!(
                "kubectl -n {namespace} describe actdef {name}   (condition ScheduleSynced says \
                 why)"
            ),
            (Verdict::Failed, Condition::Workflow) => format!(
                "temporal workflow list --query 'ActivityId=\"{activity_id}\"'   (if it is still \
                 going, look again in a minute; else look at its history)"
            ),
            (Verdict::Failed, Condition::Ledger) => format!(
                "actcore runs {name} -n {namespace}   (did it run late, fail, or is it still \
                 going?)"
            ),
            (Verdict::Failed, Condition::Progress | Condition::WorkingMemory) => format!(
                "actcore runs {name} -n {namespace}, then actcore run show RUN_ID   (the \
                 deliveries and their last error)"
            ),
            (Verdict::Failed, Condition::TimeBudget) => {
                format!("kubectl -n {namespace} edit actdef {name}")
            }
        };
        Some(advice)
    }

    fn to_json(&self) -> Value {
        let mut object = json!({
            "namespace": self.definition.namespace,
            "name": self.definition.name,
            "displayName": self.definition.display_name,
            "activityId": self.definition.activity_id,
            "result": self.outcome().as_str(),
        });
        match &self.finding {
            Finding::NotDue { date, reason } => {
                object["date"] = json!(date);
                object["reason"] = json!(reason);
            }
            Finding::Unreadable(reason) => object["reason"] = json!(reason),
            Finding::Verified(verified) => {
                object["date"] = json!(verified.date);
                object["timeZone"] = json!(verified.time_zone);
                object["expectation"] = json!(word(&verified.expectation));
                object["reason"] = json!(in_words(&verified.expectation));
                object["checks"] = verified.checks.iter().map(check_to_json).collect();
            }
        }
        object
    }
}

impl Report {
    /// The answer in words; the last line is the result.
    pub(super) fn to_text(&self, colour: bool) -> String {
        let mut blocks: Vec<String> = self
            .answers
            .iter()
            .map(|answer| answer.to_text(colour))
            .collect();
        if self.answers.len() != 1 {
            blocks.push(self.summary());
        }
        blocks.join("\n").trim_end().to_owned()
    }

    fn summary(&self) -> String {
        format!(
            "{} verified, {} FAILED, {} unknown, {} not due.",
            self.count(Outcome::Verified),
            self.count(Outcome::Failed),
            self.count(Outcome::Unknown),
            self.count(Outcome::NotDue)
        )
    }

    /// The answer for programs.
    pub(super) fn to_json(&self) -> Value {
        let definitions: Vec<Value> = self.answers.iter().map(Answer::to_json).collect();
        json!({
            "live": true,
            "verified": self.exit() == Exit::Done,
            "definitions": definitions,
        })
    }

    /// 0 only when all agree.
    pub(super) fn exit(&self) -> Exit {
        if self.count(Outcome::Failed) > 0 {
            Exit::Failed
        } else if self.count(Outcome::Unknown) > 0 {
            Exit::Unknown
        } else {
            Exit::Done
        }
    }

    fn count(&self, outcome: Outcome) -> usize {
        let outcomes = self.answers.iter().map(Answer::outcome);
        outcomes.filter(|one| *one == outcome).count()
    }
}

fn count(checks: &[Check], verdict: Verdict) -> usize {
    checks
        .iter()
        .filter(|check| check.verdict == verdict)
        .count()
}

fn counted(failed: usize, unknown: usize) -> String {
    match (failed, unknown) {
        (failed, 0) => format!("{failed} of 6 checks FAILED"),
        (0, unknown) => format!("{unknown} of 6 checks unknown"),
        (failed, unknown) => format!("{failed} of 6 checks FAILED, {unknown} unknown"),
    }
}

fn check_to_json(check: &Check) -> Value {
    json!({
        "condition": check.condition.as_str(),
        "verdict": check.verdict.as_str(),
        "detail": check.detail,
    })
}

fn padded(verdict: Verdict, colour: bool) -> String {
    let tint = match verdict {
        Verdict::Ok => Colour::Green,
        Verdict::NotApplicable => Colour::Plain,
        Verdict::Failed => Colour::Red,
        Verdict::Unknown => Colour::Yellow,
    };
    paint(&format!("{:<7}", verdict.as_str()), tint, colour)
}

/// What a condition is called in text.
const fn label(condition: Condition) -> &'static str {
    match condition {
        Condition::Schedule => "Temporal Schedule",
        Condition::Workflow => "Temporal workflow",
        Condition::Ledger => "ledger row",
        Condition::Progress => "State Hub progress",
        Condition::WorkingMemory => "report file",
        Condition::TimeBudget => "time budget",
    }
}

#[cfg(test)]
mod tests;
