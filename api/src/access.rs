//! Who calls (TokenReview), and what the caller may do (SubjectAccessReview). Kubernetes decides
//! both; nothing here knows users or roles.

mod cache;

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

use self::cache::{TokenCache, TokenHash};
use crate::arguments::AuthenticationMode;
use crate::error::{Error, Refusal, StatusHeader};
use crate::kubernetes::expect;
use crate::rate_limit::{RateLimits, Source};
use crate::state::ApiState;

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Anybody: no authentication is asked for, and everything is allowed.
    Anybody,
    /// A user of the cluster.
    User(UserInfo),
}

impl Caller {
    /// The name for the log.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Anybody => "anybody",
            Self::User(user) => user.username.as_deref().unwrap_or_default(),
        }
    }
}

/// What a caller wants to do, as a role must grant it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish<'a> {
    /// The verb. A manual run needs `update`: whoever may change what runs, may have it run.
    pub(crate) verb: &'static str,
    /// The plural of the custom resource.
    pub(crate) resource: &'static str,
    /// Where; in all namespaces when `None`.
    pub(crate) namespace: Option<&'a str>,
    /// Which object; any when `None`.
    pub(crate) name: Option<&'a str>,
}

/// Asks Kubernetes about callers.
pub(crate) enum Access {
    /// Everybody may do everything; the address is a loopback one.
    Open,
    /// By token and role.
    Kubernetes {
        /// What asks.
        client: Client,
        /// Tokens that were found good a moment ago.
        cache: Mutex<TokenCache>,
    },
}

impl Access {
    /// The access that a mode gives.
    pub(crate) fn new(mode: AuthenticationMode, client: Client) -> Self {
        match mode {
            AuthenticationMode::None => Self::Open,
            AuthenticationMode::Kubernetes => Self::Kubernetes {
                client,
                cache: Mutex::new(TokenCache::default()),
            },
        }
    }

    /// Whether callers need no credentials.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// Who calls from `origin`. A token that is not known yet counts against the address, because
    /// asking Kubernetes about it is work.
    async fn authenticate(
        &self,
        headers: &HeaderMap,
        limits: &RateLimits,
        origin: &Source,
    ) -> Result<Caller, Error> {
        let Self::Kubernetes { client, cache } = self else {
            return Ok(Caller::Anybody);
        };
        let token = bearer_token(headers)?;
        let hash = TokenHash::of(token);
        let known = lock(cache).get(&hash, Instant::now());
        if let Some(user) = known {
            return Ok(Caller::User(user));
        }
        limits.check(origin)?;
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                ..TokenReviewSpec::default()
            },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(client.clone());
        let parameters = PostParams::default();
        let answer = expect("review a token", api.create(&parameters, &review)).await?;
        let user = answer
            .status
            .filter(|status| status.authenticated == Some(true))
            .and_then(|status| status.user)
            .ok_or_else(|| unauthenticated("the token is not valid, or no longer"))?;
        lock(cache).insert(hash, user.clone(), Instant::now());
        Ok(Caller::User(user))
    }

    /// Refuses with 403 unless the caller's roles grant the wish.
    pub(crate) async fn authorize(&self, caller: &Caller, wish: Wish<'_>) -> Result<(), Error> {
        let (Self::Kubernetes { client, .. }, Caller::User(user)) = (self, caller) else {
            return Ok(());
        };
        let api: Api<SubjectAccessReview> = Api::all(client.clone());
        let review = access_review(user, wish);
        let parameters = PostParams::default();
        let answer = expect("review an access", api.create(&parameters, &review)).await?;
        if answer.status.is_some_and(|status| status.allowed) {
            Ok(())
        } else {
            Err(forbidden(caller, wish).into())
        }
    }
}

/// The cache holds no invariant that a panic elsewhere could have broken.
fn lock(cache: &Mutex<TokenCache>) -> std::sync::MutexGuard<'_, TokenCache> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

fn access_review(user: &UserInfo, wish: Wish<'_>) -> SubjectAccessReview {
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            extra: user.extra.clone(),
            groups: user.groups.clone(),
            uid: user.uid.clone(),
            user: user.username.clone(),
            resource_attributes: Some(ResourceAttributes {
                group: Some(crds::GROUP.to_owned()),
                resource: Some(wish.resource.to_owned()),
                verb: Some(wish.verb.to_owned()),
                namespace: wish.namespace.map(str::to_owned),
                name: wish.name.map(str::to_owned),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}

fn bearer_token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let value = headers
        .get(header::AUTHORIZATION)
        .ok_or_else(|| unauthenticated("there is no token"))?;
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then_some(token.trim())
    });
    token
        .filter(|token| !token.is_empty())
        .ok_or_else(|| unauthenticated("the Authorization header holds no bearer token"))
}

fn unauthenticated(problem: &str) -> Refusal {
    Refusal::new(
        StatusCode::UNAUTHORIZED,
        format!(
            "{problem}; send Authorization: Bearer and a Kubernetes token, for example that of \
             `kubectl create token`"
        ),
    )
    .about("Authorization")
    .with(StatusHeader::Challenge)
}

fn forbidden(caller: &Caller, wish: Wish<'_>) -> Refusal {
    let Wish {
        verb,
        resource,
        namespace,
        ..
    } = wish;
    let place = match namespace {
        Some(namespace) => format!("in the namespace {namespace}"),
        None if verb == "list" => "in all namespaces; ask for one with ?namespace=".to_owned(),
        None => "in all namespaces".to_owned(),
    };
    Refusal::new(
        StatusCode::FORBIDDEN,
        format!(
            "{} has no role that grants {verb} on {resource}.{} {place}",
            caller.name(),
            crds::GROUP
        ),
    )
}

/// Lets only callers with a good token through, and remembers who they are.
pub(crate) async fn require_caller(
    State(state): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Result<Response, Error> {
    let origin = origin_of(&request);
    let caller = identify(&state, request.headers(), origin).await?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Where a request comes from.
pub(crate) fn origin_of(request: &Request) -> Source {
    let connection = request.extensions().get::<ConnectInfo<SocketAddr>>();
    Source::Address(connection.map(|ConnectInfo(address)| address.ip()))
}

/// Who sent a request with these headers. It is counted, and refused when there are too many.
pub(crate) async fn identify(
    state: &ApiState,
    headers: &HeaderMap,
    origin: Source,
) -> Result<Caller, Error> {
    let limits = &state.rate_limits;
    let identified = state.access.authenticate(headers, limits, &origin);
    let caller = identified.await?;
    match &caller {
        Caller::Anybody => limits.check(&origin)?,
        Caller::User(_) => limits.check(&Source::User(caller.name().to_owned()))?,
    }
    Ok(caller)
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;

    /// Fails closed: a route that forgot [`require_caller`] serves nobody.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Error::Internal("a route does not authenticate its callers".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn token(value: &'static str) -> Result<String, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
        bearer_token(&headers).map(str::to_owned)
    }

    #[test]
    fn only_a_bearer_token_is_taken() {
        assert_eq!(token("Bearer abc").as_deref(), Ok("abc"));
        assert_eq!(token("bearer  abc").as_deref(), Ok("abc"));
        for value in ["Basic abc", "Bearer", "Bearer ", ""] {
            let refused = token(value).unwrap_err();
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{value}");
            assert_eq!(refused.header, Some(StatusHeader::Challenge));
        }
    }

    #[test]
    fn a_refusal_says_which_right_is_missing() {
        let user = Caller::User(UserInfo {
            username: Some("system:serviceaccount:ci:reader".into()),
            ..UserInfo::default()
        });
        let wish = Wish {
            verb: "update",
            resource: "activitydefinitions",
            namespace: Some("activity-core"),
            name: None,
        };
        let refused = forbidden(&user, wish);
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert_eq!(
            refused.detail,
            "system:serviceaccount:ci:reader has no role that grants update on \
             activitydefinitions.activity-core.io in the namespace activity-core"
        );
    }
}
