//! The negative answers that operations have in common, for the OpenAPI document.

use contracts::rest::Problem;
use utoipa::IntoResponses;

/// What every operation that asks who calls may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by utoipa only")]
pub(super) enum Common {
    /// A parameter or header can't be read, or the body is not JSON.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// There is no valid Kubernetes token (with API_AUTHENTICATION=kubernetes).
    #[response(
        status = 401,
        content_type = "application/problem+json",
        headers(("WWW-Authenticate" = String, description = "Bearer"))
    )]
    Unauthorized(Problem),
    /// No role grants the caller this, or a page of another site asks.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// The Host header names another host (with API_AUTHENTICATION=none).
    #[response(status = 421, content_type = "application/problem+json")]
    Misdirected(Problem),
    /// The caller sends more requests than API_RATE_LIMIT_PER_SECOND and API_RATE_LIMIT_BURST allow.
    #[response(
        status = 429,
        content_type = "application/problem+json",
        headers(("Retry-After" = i32, description = "When to try again, in seconds"))
    )]
    TooMany(Problem),
    /// The API failed; the problem's `instance` is in its log.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Problem),
    /// Kubernetes, Postgres or Temporal is not available.
    #[response(
        status = 503,
        content_type = "application/problem+json",
        headers(("Retry-After" = i32, description = "When to try again, in seconds"))
    )]
    Unavailable(Problem),
    /// No answer in time; what was asked for may have happened all the same.
    #[response(status = 504, content_type = "application/problem+json")]
    Timeout(Problem),
}

/// What an operation with a body may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by utoipa only")]
pub(super) enum OfBody {
    /// The body is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// The body is not declared as JSON.
    #[response(status = 415, content_type = "application/problem+json")]
    NotJson(Problem),
    /// A field is missing, unknown or has a wrong value; `field` names it.
    #[response(
        status = 422,
        content_type = "application/problem+json",
        example = json!({
            "type": "about:blank",
            "title": "Unprocessable Entity",
            "status": 422,
            "detail": "trigger_config.timezone: unknown time zone \"Mars/Base\"; use an IANA name \
                       such as Europe/Berlin",
            "field": "trigger_config.timezone"
        })
    )]
    Invalid(Problem),
}

/// What an operation on one thing may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by utoipa only")]
pub(super) enum OfOne {
    /// There is nothing with this id.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
}

/// What a conditional write may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by utoipa only")]
pub(super) enum OfWrite {
    /// Others change the definition at the same time.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// The definition is not the one that If-Match names.
    #[response(status = 412, content_type = "application/problem+json")]
    Changed(Problem),
}
