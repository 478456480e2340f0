//! `/run/{run_id}`: one run, its evidence, and what people say about it.

use axum::extract::{Form, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{NaiveDate, Utc};
use contracts::rest::{Feedback, FeedbackKind, NewFeedback, Note};
use domain::{DeliveryResult, FeedbackKind as Kind, RunId, TimeZone};
use serde::{Deserialize, Serialize};
use store::{Delivery, InstructionUsage, Run};
use uuid::Uuid;

use super::PageError;
use super::definition::{duration, kind};
use super::moment::Moment;
use super::templates::{self, Frame};
use super::trigger::Triggers;
use super::verdict::{Badge, Level, outcome_badge};
use crate::access::Caller;
use crate::error::{Error, Refusal};
use crate::extract::{ActivityRunPath, RunIdPath};
use crate::routes::feedback;
use crate::state::ApiState;

#[derive(Serialize)]
struct RunPageView {
    id: Uuid,
    activity: Uuid,
    name: String,
    badge: Badge,
    error: Option<String>,
    evidence: Vec<String>,
    facts: Vec<Fact>,
    deliveries: Vec<DeliveryView>,
    feedback: Vec<FeedbackView>,
    kinds: Vec<KindView>,
    /// The identity of the feedback that the form sends: sent twice it is one.
    key: Uuid,
}

/// One fact about the run.
#[derive(Serialize)]
struct Fact {
    name: &'static str,
    text: Option<String>,
    time: Option<Moment>,
    is_code: bool,
}

#[derive(Serialize)]
struct DeliveryView {
    sink: String,
    kind: String,
    badge: Badge,
    attempts: i32,
    reference: Option<String>,
    error: Option<String>,
    time: Moment,
}

#[derive(Serialize)]
struct FeedbackView {
    kind: &'static str,
    comment: Option<String>,
    author: Option<String>,
    time: Moment,
    note: &'static str,
}

#[derive(Serialize)]
struct KindView {
    value: &'static str,
    label: &'static str,
}

/// The page.
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    id: Result<RunIdPath, Error>,
) -> Result<Response, PageError> {
    let shown = async {
        let RunIdPath(id) = id?;
        show(&state, &caller, id).await
    };
    shown.await.map_err(PageError::at("../"))
}

async fn show(state: &ApiState, caller: &Caller, id: RunId) -> Result<Response, Error> {
    let run = find(state, id).await?;
    let definition = state.definitions.find(run.activity).await?;
    state.authorize_history(caller, definition.as_ref()).await?;
    let summary = state.store.definition_summary(run.activity).await?;
    let zone = summary.map_or(TimeZone::UTC, |summary| {
        Triggers::default().of(&summary).time_zone()
    });
    let (deliveries, evidence) =
        tokio::try_join!(state.store.deliveries(id), state.store.evidence(id))?;
    let given = feedback::given(state, id).await?;
    let today = zone.date_at(Utc::now());
    let view = RunPageView {
        id: id.as_uuid(),
        activity: run.activity.as_uuid(),
        name: run.activity_name.clone(),
        badge: outcome_badge(run.outcome),
        error: run.error.clone(),
        evidence,
        facts: facts(&run, zone),
        deliveries: deliveries
            .into_iter()
            .map(|delivery| delivery_view(delivery, (zone, today)))
            .collect(),
        feedback: given
            .into_iter()
            .map(|feedback| feedback_view(feedback, (zone, today)))
            .collect(),
        kinds: Kind::ALL.into_iter().map(kind_view).collect(),
        key: Uuid::new_v4(),
    };
    let title = format!("Run of {}", view.name);
    let frame = Frame {
        template: "run.html",
        title: &title,
        root: "../",
    };
    templates::show(frame, &view)
}

async fn find(state: &ApiState, id: RunId) -> Result<Run, Error> {
    state.store.run(id).await?.ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, "the ledger has no run with this id")
            .about("run_id")
            .into()
    })
}

fn facts(run: &Run, zone: TimeZone) -> Vec<Fact> {
    let text = |name, text: Option<String>, is_code| Fact {
        name,
        text,
        time: None,
        is_code,
    };
    let time = |name, instant: Option<chrono::DateTime<Utc>>| Fact {
        name,
        text: None,
        time: instant.map(|instant| Moment::new(zone, instant)),
        is_code: false,
    };
    let took = run.fired_at.zip(run.completed_at);
    let mut facts = vec![
        text("Started by", Some(kind(&run.trigger_key).to_owned()), false),
        time("Scheduled for", run.scheduled_for),
        time("Began", run.fired_at),
        time("Ended", run.completed_at),
        text("Took", took.map(|(from, to)| duration(to - from)), false),
        text("Run id", Some(run.run_id.to_string()), true),
        text("Trigger", Some(run.trigger_key.clone()), true),
        text("Workflow id", run.workflow_id.clone(), true),
        text("Trace id", run.trace_id.clone(), true),
        text("Instruction", run.usage.as_ref().map(usage), false),
    ];
    facts.retain(|fact| fact.text.is_some() || fact.time.is_some());
    facts
}

fn usage(usage: &InstructionUsage) -> String {
    format!(
        "{}, {} tokens in, {} tokens out, {:.1} s",
        usage.model,
        usage.prompt_tokens,
        usage.completion_tokens,
        std::time::Duration::from_millis(usage.milliseconds.unsigned_abs()).as_secs_f64(),
    )
}

fn delivery_view(delivery: Delivery, (zone, today): (TimeZone, NaiveDate)) -> DeliveryView {
    let (level, sign) = match delivery.result {
        DeliveryResult::Delivered | DeliveryResult::Exists => (Level::Good, "✓"),
        DeliveryResult::DryRun => (Level::Calm, "–"),
        DeliveryResult::Pending => (Level::Waiting, "…"),
        DeliveryResult::Failed => (Level::Bad, "✗"),
    };
    DeliveryView {
        sink: delivery.sink,
        kind: delivery.kind,
        badge: Badge {
            level,
            sign,
            word: delivery.result.as_str(),
        },
        attempts: delivery.attempts,
        reference: delivery.external_reference,
        error: delivery.last_error,
        time: Moment::on(zone, delivery.updated_at, today),
    }
}

fn feedback_view(feedback: Feedback, (zone, today): (TimeZone, NaiveDate)) -> FeedbackView {
    FeedbackView {
        kind: kind_view(feedback.kind.into()).label,
        comment: feedback.comment,
        author: feedback.author,
        time: Moment::on(zone, feedback.created_at, today),
        note: match feedback.note {
            Note::Sent => "State Hub has it",
            Note::Pending => "on its way to State Hub",
            Note::NotConfigured => "kept here; there is no State Hub",
        },
    }
}

const fn kind_view(kind: Kind) -> KindView {
    KindView {
        value: kind.as_str(),
        label: match kind {
            Kind::Noisy => "Noisy: it recommends what nobody needs to do",
            Kind::TooLong => "Too long",
            Kind::UnderSensitive => "Under-sensitive: it left something out",
            Kind::Other => "Something else (say what)",
        },
    }
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct FeedbackForm {
    kind: FeedbackKind,
    comment: String,
    key: Uuid,
}

/// Takes the form, and leads back to the run.
pub(super) async fn give_feedback(
    State(state): State<ApiState>,
    caller: Caller,
    id: Result<RunIdPath, Error>,
    form: Result<Form<FeedbackForm>, axum::extract::rejection::FormRejection>,
) -> Result<Response, PageError> {
    let given = async {
        let RunIdPath(id) = id?;
        let Form(form) =
            form.map_err(|rejection| Refusal::new(rejection.status(), rejection.body_text()))?;
        enter(&state, &caller, (id, form)).await
    };
    given.await.map_err(PageError::at("../../"))
}

async fn enter(
    state: &ApiState,
    caller: &Caller,
    (id, form): (RunId, FeedbackForm),
) -> Result<Response, Error> {
    // Browsers end lines with both signs.
    let comment = form.comment.replace("\r\n", "\n").trim().to_owned();
    let new = NewFeedback {
        kind: form.kind,
        comment: Some(comment).filter(|comment| !comment.is_empty()),
    };
    feedback::check_comment(&new)?;
    let run = find(state, id).await?;
    state.permitted(caller, "update", run.activity).await?;
    let path = ActivityRunPath {
        activity: run.activity,
        run: id,
    };
    let key = form.key.to_string();
    feedback::enter(state, caller, path, (Some(&key), new)).await?;
    let back = format!("../{id}#feedback");
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, back)]).into_response())
}
