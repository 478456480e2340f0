//! A run's report: what the sinks get.
//!
//! With an instruction the report is its answer. Where the answer is a JSON object, a text `report`
//! in it is the report, and a text `summary` its summary; other JSON is shown as it is. Without an
//! instruction a short text says what ran, why and when, so that the sinks still prove the run.

use chrono::{DateTime, NaiveDate, Utc};
use contracts::workflow::format_time;
use domain::{ActivityId, Definition, RunId, verification};
use serde_json::Value;
use store::Run;

/// The longest summary, in characters.
const LONGEST_SUMMARY: usize = 200;

/// A report and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// The run.
    pub(crate) run_id: RunId,
    /// The activity.
    pub(crate) activity: ActivityId,
    /// The name that people use.
    pub(crate) activity_name: String,
    /// What started the run.
    pub(crate) trigger: String,
    /// The run's nominal time.
    pub(crate) scheduled_for: Option<DateTime<Utc>>,
    /// When the run began.
    pub(crate) fired_at: DateTime<Utc>,
    /// The day that the run belongs to, in the definition's time zone.
    pub(crate) date: NaiveDate,
    /// The model that answered.
    pub(crate) model: Option<String>,
    /// One line for people, without the activity's name.
    pub(crate) headline: String,
    /// The text, in Markdown.
    pub(crate) text: String,
}

impl Report {
    /// The report of a run, from its ledger row and its stored answer.
    pub(crate) fn of_run(run: &Run, definition: &Definition, answer: Option<String>) -> Self {
        let fired_at = run.fired_at.unwrap_or(run.sort_time);
        let mut report = Self {
            run_id: run.run_id,
            activity: run.activity,
            activity_name: definition.name.clone(),
            trigger: run.trigger_key.clone(),
            scheduled_for: run.scheduled_for,
            fired_at,
            date: date_of(definition, run.scheduled_for, fired_at),
            model: run.usage.as_ref().map(|usage| usage.model.clone()),
            headline: String::new(),
            text: String::new(),
        };
        let answer = match answer {
            Some(answer) => Answer::read(answer),
            None => Answer::of_text(report.generated_text()),
        };
        report.headline = answer.headline;
        report.text = answer.text;
        report
    }

    /// One line for people.
    pub(crate) fn summary(&self) -> String {
        let line = format!("{}: {}", self.activity_name, self.headline);
        crate::error::printable(&line, LONGEST_SUMMARY)
    }

    fn generated_text(&self) -> String {
        let scheduled_for = self
            .scheduled_for
            .map_or_else(|| "no nominal time".to_owned(), format_time);
        format!(
            "# {}\n\nThis activity has no instruction. It ran.\n\n- run: {}\n- started by: {}\n- \
             scheduled for: {scheduled_for}\n- began: {}\n",
            self.activity_name,
            self.run_id,
            self.trigger,
            format_time(self.fired_at)
        )
    }
}

/// The day that a run belongs to: that of its nominal time, else that of its beginning.
pub(crate) fn date_of(
    definition: &Definition,
    scheduled_for: Option<DateTime<Utc>>,
    fired_at: DateTime<Utc>,
) -> NaiveDate {
    verification::time_zone(definition).date_at(scheduled_for.unwrap_or(fired_at))
}

struct Answer {
    headline: String,
    text: String,
}

impl Answer {
    fn of_text(text: String) -> Self {
        Self {
            headline: first_line(&text),
            text,
        }
    }

    fn read(answer: String) -> Self {
        let Ok(json @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(&answer) else {
            return Self::of_text(answer);
        };
        let field = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
        let text = field("report").unwrap_or_else(|| format!("```json\n{json:#}\n```"));
        let headline = field("summary").map(|summary| first_line(&summary));
        Self {
            headline: headline.unwrap_or_else(|| first_line(&text)),
            text,
        }
    }
}

/// The first line that says something, without a heading's marks.
fn first_line(text: &str) -> String {
    text.lines()
        .map(|line| line.trim_start_matches('#').trim())
        .find(|line| !line.is_empty() && !line.starts_with("```"))
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use domain::RunOutcome;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    /// A run shortly before midnight UTC, which is the next day in Berlin.
    pub(crate) fn report(answer: Option<&str>) -> Report {
        let activity = ActivityId::new(Uuid::from_u128(1));
        let spec: crds::ActivityDefinitionSpec = serde_json::from_value(json!({
            "displayName": "Daily triage",
            "trigger": {"cron": {"expression": "30 0 * * *", "timezone": "Europe/Berlin"}},
        }))
        .unwrap();
        let definition = spec.validate(activity, "daily").unwrap();
        let nominal: DateTime<Utc> = "2026-11-23T23:30:00Z".parse().unwrap();
        let run = Run {
            run_id: "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f".parse().unwrap(),
            activity,
            activity_name: "Daily triage".to_owned(),
            trigger_key: "schedule/2026-11-23T23:30:00Z".to_owned(),
            scheduled_for: Some(nominal),
            fired_at: Some(nominal + chrono::Duration::seconds(1)),
            completed_at: None,
            outcome: RunOutcome::Running,
            error: None,
            workflow_id: None,
            trace_id: None,
            usage: None,
            sort_time: nominal,
        };
        Report::of_run(&run, &definition, answer.map(str::to_owned))
    }

    #[test]
    fn a_run_belongs_to_the_day_of_its_time_zone() {
        assert_eq!(report(None).date.to_string(), "2026-11-24");
    }

    #[test]
    fn a_run_without_an_instruction_still_reports_that_it_ran() {
        let report = report(None);
        assert!(report.text.contains("0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f"));
        assert!(report.text.contains("schedule/2026-11-23T23:30:00Z"));
        assert_eq!(report.summary(), "Daily triage: Daily triage");
    }

    #[test]
    fn a_json_answer_can_bring_its_own_report_and_summary() {
        let answer = json!({"report": "# Two loose ends\n…", "tasks": []}).to_string();
        let brought = report(Some(&answer));
        assert_eq!(brought.text, "# Two loose ends\n…");
        assert_eq!(brought.summary(), "Daily triage: Two loose ends");

        let answer = json!({"summary": "All quiet.", "items": [1]}).to_string();
        let shown = report(Some(&answer));
        assert!(shown.text.starts_with("```json\n{\n"), "{}", shown.text);
        assert_eq!(shown.summary(), "Daily triage: All quiet.");
    }

    #[test]
    fn any_other_answer_is_the_report() {
        assert_eq!(report(Some("plain")).text, "plain");
        assert_eq!(report(Some("42")).text, "42");
    }
}
