//! Who may do what: decided by the cluster's roles, for real service accounts.

use anyhow::{Context, Result};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, PostParams};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::Program;

use super::caller::Caller;
use super::{DAILY_REPORT, manual, path_of};
use crate::place::Place;

/// Makes a service account that may do `verbs` with the definitions of its namespace, and returns a
/// token of it.
pub(super) async fn service_account(
    place: &Place,
    namespace: &str,
    (name, verbs): (&str, &[&str]),
) -> Result<String> {
    let client = place.environment.kube_client().await?;
    let parameters = PostParams::default();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": name}}))?;
    accounts.create(&parameters, &account).await?;
    let role: Role = serde_json::from_value(json!({
        "metadata": {"name": name},
        "rules": [{
            "apiGroups": [crds::GROUP], "resources": ["activitydefinitions"], "verbs": verbs,
        }],
    }))?;
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }))?;
    let roles: Api<Role> = Api::namespaced(client.clone(), namespace);
    roles.create(&parameters, &role).await?;
    let bindings: Api<RoleBinding> = Api::namespaced(client, namespace);
    bindings.create(&parameters, &binding).await?;
    let request: TokenRequest = serde_json::from_value(json!({"spec": {"audiences": []}}))?;
    let issued = accounts
        .create_token_request(name, &parameters, &request)
        .await?;
    let token = issued.status.context("the token request has no status")?;
    Ok(token.token)
}

/// Asks until the answer is not 403: the API server sees a new role after a moment.
async fn allowed(what: &str, caller: &Caller) -> Result<Value> {
    let listed = testkit::wait::until(what, crate::place::PATIENCE, || async {
        let answer = caller.get("/activity-definitions/").await?;
        Ok::<_, anyhow::Error>((answer.status == StatusCode::OK).then_some(answer.body))
    });
    Ok(listed.await?)
}

#[tokio::test]
async fn roles_decide_who_may_do_what() -> Result<()> {
    let place = Place::new("roles").await?;
    let _operator = place.environment.start(Program::Operator, []).await?;
    let authenticated = [("API_AUTHENTICATION", "kubernetes")];
    let api = place.environment.start(Program::Api, authenticated).await?;
    let anybody = Caller::new(api.api_url())?;
    let all = ["get", "list", "create", "update", "delete"];
    let home = place.environment.namespace();
    let editor = service_account(&place, home, ("editor", &all)).await?;
    let reader = service_account(&place, home, ("reader", &["get", "list"])).await?;
    let stranger = service_account(&place, home, ("stranger", &["watch"])).await?;
    let editor = anybody.with_token(&editor);
    let reader = anybody.with_token(&reader);
    let stranger = anybody.with_token(&stranger);
    allowed("the editor's role", &editor).await?;
    allowed("the reader's role", &reader).await?;

    for nobody in [&anybody, &anybody.with_token("forged.token.here")] {
        let answer = nobody.get("/activity-definitions/").await?;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text);
        answer.problem();
    }
    let page = anybody.get("/").await?;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert!(page.text.contains("kubectl create token"), "{}", page.text);
    assert_eq!(reader.get("/").await?.status, StatusCode::OK);
    assert_eq!(stranger.get("/").await?.status, StatusCode::FORBIDDEN);
    for open in ["/health", "/docs/", "/openapi.json", "/page.css"] {
        assert_eq!(anybody.get(open).await?.status, StatusCode::OK, "{open}");
    }

    let created = editor.post("/activity-definitions/", DAILY_REPORT).await?;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
    let path = path_of(&created.body);
    assert_eq!(reader.get(&path).await?.body, created.body);
    let runs = reader.get(&format!("{path}/runs")).await?;
    assert_eq!(runs.status, StatusCode::OK, "{}", runs.text);

    let disable = r#"{"enabled": false}"#;
    let other = manual("other").to_string();
    let trigger = format!("{path}/trigger");
    let feedback = format!("{path}/runs/{}/feedback", uuid::Uuid::nil());
    for refused in [
        reader.post("/activity-definitions/", &other).await?,
        reader.put(&path, disable).await?,
        reader.send(Method::POST, &trigger, &[]).await?,
        reader.send(Method::DELETE, &path, &[]).await?,
        reader.get("/event-types/").await?,
        editor.post("/event-types/", r#"{"name": "a"}"#).await?,
        editor.get("/event-types/a").await?,
        reader.post(&feedback, r#"{"kind": "Noisy"}"#).await?,
        stranger.get(&format!("{path}/verify")).await?,
        stranger.get("/activity-definitions/").await?,
        stranger.get(&path).await?,
        stranger.get(&format!("{path}/runs")).await?,
    ] {
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
        assert!(refused.detail().contains("no role"), "{}", refused.text);
    }
    assert_eq!(editor.get(&path).await?.body, created.body);

    let triggered = editor.send(Method::POST, &trigger, &[]).await?;
    assert_eq!(triggered.status, StatusCode::ACCEPTED, "{}", triggered.text);
    let disabled = editor.put(&path, disable).await?;
    assert_eq!(disabled.status, StatusCode::OK, "{}", disabled.text);
    let deleted = editor.send(Method::DELETE, &path, &[]).await?;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{}", deleted.text);
    Ok(())
}
