//! The templates of the pages, compiled into the program. Everything that is put into them is
//! escaped.

use std::sync::LazyLock;

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value};
use serde::Serialize;

use crate::error::Error;

/// What every page has around its content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    /// The template of the content.
    pub(super) template: &'static str,
    /// The title in the browser.
    pub(super) title: &'a str,
    /// The way to the root, seen from the page.
    pub(super) root: &'static str,
}

static TEMPLATES: [(&str, &str); 6] = [
    ("frame.html", include_str!("templates/frame.html")),
    ("today.html", include_str!("templates/today.html")),
    ("definition.html", include_str!("templates/definition.html")),
    (
        "verification.html",
        include_str!("templates/verification.html"),
    ),
    ("run.html", include_str!("templates/run.html")),
    ("problem.html", include_str!("templates/problem.html")),
];

static ENVIRONMENT: LazyLock<Result<Environment<'static>, minijinja::Error>> =
    LazyLock::new(|| {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, source) in TEMPLATES {
            environment.add_template(name, source)?;
        }
        Ok(environment)
    });

/// Renders a page.
pub(super) fn render(frame: Frame<'_>, content: &impl Serialize) -> Result<String, Error> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::Internal(format!(
            "the page {} can't be shown: {error}",
            frame.template
        ))
    };
    let environment = ENVIRONMENT.as_ref().map_err(|error| failed(error))?;
    let fill = |name: &str, values: Value| {
        let template = environment.get_template(name);
        template.and_then(|template| template.render(values))
    };
    let content = minijinja::context! {
        root => frame.root,
        ..Value::from(Serde(content))
    };
    let body = fill(frame.template, content).map_err(|error| failed(&error))?;
    let around = minijinja::context! {
        root => frame.root,
        title => frame.title,
        version => env!("CARGO_PKG_VERSION"),
        content => Value::from_safe_string(body),
    };
    fill("frame.html", around).map_err(|error| failed(&error))
}

/// Answers with a page.
pub(super) fn show(frame: Frame<'_>, content: &impl Serialize) -> Result<Response, Error> {
    let page = render(frame, content)?;
    Ok((StatusCode::OK, Html(page)).into_response())
}
