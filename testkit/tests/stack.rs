//! The shared servers, started for real.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use testkit::components::Component;
use testkit::wait::{self, Seen};
use testkit::{Stack, TestEnvironment};

const SOON: Duration = Duration::from_mins(1);

async fn environment(name: &str) -> TestEnvironment {
    let stack = Stack::shared().await.expect("the stack starts");
    stack
        .environment(name)
        .await
        .expect("the environment is made")
}

async fn get(url: &str) -> serde_json::Value {
    let answer = reqwest::get(url).await.expect("an answer");
    answer
        .error_for_status()
        .expect("success")
        .json()
        .await
        .expect("JSON")
}

#[tokio::test]
async fn every_server_answers_where_the_environment_says() {
    let environment = environment("every_server_answers").await;
    let env = environment.env();

    let mut database = PgConnection::connect(&env["ACTCORE_DB_URL"]).await.unwrap();
    let (user, limit): (String, String) =
        sqlx::query_as("select current_user::text, current_setting('max_connections')")
            .fetch_one(&mut database)
            .await
            .unwrap();
    assert_eq!((user.as_str(), limit.as_str()), ("actcore", "300"));

    let namespace = &env["TEMPORAL_NAMESPACE"];
    let temporal = environment.stack().temporal().http_url();
    let described = get(&format!("{temporal}/api/v1/namespaces/{namespace}")).await;
    assert_eq!(described["namespaceInfo"]["name"], **namespace);

    let jetstream = get(&format!("{}/jsz", environment.nats().monitoring_url())).await;
    assert_eq!(jetstream["streams"], 0, "{jetstream}");

    let kubectl = environment
        .stack()
        .components()
        .program(Component::Kubectl)
        .unwrap();
    let output = std::process::Command::new(kubectl)
        .args(["get", "namespace", environment.namespace(), "-o", "name"])
        .env("KUBECONFIG", &env["KUBECONFIG"])
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        printed.trim(),
        format!("namespace/{}", environment.namespace())
    );
}

#[tokio::test]
async fn a_deleted_namespace_ends() {
    let environment = environment("a_deleted_namespace_ends").await;
    let client = environment.kube_client().await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), environment.namespace());
    wait::until("the default service account", SOON, async || {
        accounts.get_opt("default").await
    })
    .await
    .unwrap();

    let namespaces: Api<Namespace> = Api::all(client);
    namespaces
        .delete(environment.namespace(), &DeleteParams::default())
        .await
        .unwrap();
    wait::until("the namespace to be gone", SOON, async || match namespaces
        .get_opt(environment.namespace())
        .await
    {
        Ok(None) => Seen::Done(()),
        other => Seen::NotYet(format!("{other:?}")),
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_is_owned_goes_with_its_owner() {
    let environment = environment("what_is_owned_goes").await;
    let client = environment.kube_client().await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, environment.namespace());
    let named = |name: &str| ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    };
    let owner = maps
        .create(&PostParams::default(), &named("owner"))
        .await
        .unwrap();
    let mut dependent = named("owned");
    dependent.metadata.owner_references =
        kube::Resource::owner_ref(&owner, &()).map(|reference| vec![reference]);
    maps.create(&PostParams::default(), &dependent)
        .await
        .unwrap();

    maps.delete("owner", &DeleteParams::background())
        .await
        .unwrap();
    wait::until("the owned object to be gone", SOON, async || {
        maps.get_opt("owned").await.map(|found| found.is_none())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn two_environments_share_nothing_that_has_a_name() {
    let (one, other) = (environment("isolated").await, environment("isolated").await);
    let (one, other) = (one.env(), other.env());
    let shared: Vec<&String> = one
        .keys()
        .filter(|name| one.get(*name) == other.get(*name))
        .collect();
    assert_eq!(shared, ["KUBECONFIG", "OPENAI_API_KEY", "TEMPORAL_HOST"]);
}
