//! Keeps web pages of others away from an API that asks for no credentials.
//!
//! A page in somebody's browser can send requests to that person's loopback address, directly or
//! by a host name of its own that resolves to it (DNS rebinding). Browsers say where a request
//! comes from; other programs, such as curl, do not, and are let through.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::error::{Error, Refusal};
use crate::state::ApiState;

/// Refuses requests that come from pages of others while everybody may call.
pub(crate) async fn guard(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    if state.access.is_open() {
        check(request.method(), request.headers())?;
    }
    Ok(next.run(request).await)
}

fn check(method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(host) = text(header::HOST.as_str())
        && !is_loopback(host)
    {
        return Err(Refusal::new(
            StatusCode::MISDIRECTED_REQUEST,
            format!(
                "the host \"{host}\" is not this one; call http://127.0.0.1 or http://localhost, \
                 or set API_AUTHENTICATION=kubernetes"
            ),
        )
        .about("Host"));
    }
    if method.is_safe() {
        return Ok(());
    }
    let site = text("sec-fetch-site").unwrap_or("none");
    if !matches!(site, "same-origin" | "none") {
        return Err(foreign("Sec-Fetch-Site"));
    }
    // Older browsers say only this much.
    let host = text(header::HOST.as_str()).unwrap_or_default();
    match text(header::ORIGIN.as_str()) {
        Some(origin) if origin.split_once("://").map(|(_, origin)| origin) != Some(host) => {
            Err(foreign("Origin"))
        }
        _ => Ok(()),
    }
}

fn foreign(header: &str) -> Refusal {
    Refusal::new(
        StatusCode::FORBIDDEN,
        "the request comes from a page of another site, and the API does not ask who calls; set \
         API_AUTHENTICATION=kubernetes",
    )
    .about(header)
}

fn is_loopback(host: &str) -> bool {
    // An IPv6 address is in brackets, so the last colon outside them begins the port.
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(method: &Method, headers: &[(&'static str, &'static str)]) -> Option<StatusCode> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        check(method, &headers).err().map(|refused| refused.status)
    }

    #[test]
    fn programs_and_our_own_pages_are_let_through() {
        for host in [
            "localhost:8010",
            "127.0.0.1:8010",
            "[::1]:8010",
            "127.0.0.1",
            "api.localhost",
        ] {
            assert_eq!(answer(&Method::POST, &[("host", host)]), None, "{host}");
        }
        let own = [
            ("host", "localhost:8010"),
            ("sec-fetch-site", "same-origin"),
        ];
        assert_eq!(answer(&Method::POST, &own), None);
        let own = [
            ("host", "localhost:8010"),
            ("origin", "http://localhost:8010"),
        ];
        assert_eq!(answer(&Method::POST, &own), None);
    }

    #[test]
    fn pages_of_others_are_kept_away() {
        let cross = [("host", "localhost:8010"), ("sec-fetch-site", "cross-site")];
        assert_eq!(answer(&Method::POST, &cross), Some(StatusCode::FORBIDDEN));
        assert_eq!(answer(&Method::GET, &cross), None);
        for origin in ["http://evil.example", "null", "http://localhost:8011"] {
            let cross = [("host", "localhost:8010"), ("origin", origin)];
            assert_eq!(answer(&Method::POST, &cross), Some(StatusCode::FORBIDDEN));
        }
        for host in ["evil.example:8010", "127.0.0.1.evil.example", "10.0.0.1"] {
            assert_eq!(
                answer(&Method::GET, &[("host", host)]),
                Some(StatusCode::MISDIRECTED_REQUEST),
                "{host}"
            );
        }
    }
}
