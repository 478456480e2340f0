//! The looks at each dependency. Each answers with findings and never fails itself.

use async_nats::jetstream;
use audit::StateHub;
use contracts::names;
use runtime::nats::NatsArguments;
use runtime::postgres::PostgresArguments;
use store::SchemaState;

use super::{Finding, local, permissions};
use crate::api::{ApiArguments, ApiClient};
use crate::arguments::StateHubArguments;
use crate::cluster::{self, Cluster, ClusterArguments};
use crate::connections::{self, answer};
use crate::exit::{Exit, Problem};

/// The names of our resources in the API server's discovery.
const RESOURCES: [&str; 3] = ["activitydefinitions", "eventtypes", "maintenancewindows"];

/// A problem as a finding: what was refused has failed, what could not be reached is unknown.
pub(super) fn finding(dependency: &'static str, problem: &Problem) -> Finding {
    match problem.exit {
        Exit::Failed => Finding::failed(dependency, problem.to_string()),
        Exit::Done | Exit::Unknown | Exit::Usage => {
            Finding::unknown(dependency, problem.to_string())
        }
    }
}

/// A dependency that is set and does not answer has failed, and there is advice; one that is not
/// set is unknown, and the problem says what to set.
pub(super) fn unreachable(
    dependency: &'static str,
    advice: Option<&str>,
    problem: &Problem,
) -> Finding {
    match advice {
        Some(advice) => Finding::failed(dependency, problem.to_string()).advise(advice),
        None => Finding::unknown(dependency, problem.to_string()),
    }
}

/// The Kubernetes API, and whether our kinds are installed.
pub(super) async fn kubernetes(arguments: &ClusterArguments) -> Vec<Finding> {
    const API: &str = "Kubernetes API";
    const CRDS: &str = "custom resources";
    let cluster = match Cluster::configure(arguments).await {
        Ok(cluster) => cluster,
        Err(problem) => return vec![finding(API, &problem)],
    };
    let client = cluster.client();
    let version = match cluster::ask(client.apiserver_version()).await {
        Ok(version) => version,
        Err(problem) => {
            return vec![
                Finding::failed(API, problem.to_string())
                    .advise("check KUBECONFIG, --context and the cluster"),
            ];
        }
    };
    let group_version = format!("{}/v1alpha1", crds::GROUP);
    let listed = cluster::ask(client.list_api_group_resources(&group_version)).await;
    let resources = match listed {
        Ok(list) => {
            let missing: Vec<&str> = RESOURCES
                .into_iter()
                .filter(|name| !list.resources.iter().any(|resource| resource.name == *name))
                .collect();
            if missing.is_empty() {
                Finding::ok(CRDS, format!("{group_version} is served"))
            } else {
                Finding::failed(CRDS, format!("{} not installed", missing.join(", ")))
                    .advise("kubectl apply --server-side -f crds/")
            }
        }
        Err(problem) => finding(CRDS, &problem).advise("kubectl apply --server-side -f crds/"),
    };
    let mut findings = vec![Finding::ok(API, version.git_version), resources];
    findings.push(permissions::check(&cluster).await);
    findings
}

/// Postgres and its schema.
pub(super) async fn postgres(arguments: &PostgresArguments) -> Vec<Finding> {
    const SERVER: &str = "Postgres";
    const SCHEMA: &str = "Postgres schema";
    let store = match connections::open_postgres(arguments).await {
        Ok(store) => store,
        Err(problem) => {
            let advice = "check ACTCORE_DB_URL and the server; psql \"$ACTCORE_DB_URL\"";
            let advice = arguments.database_url.is_some().then_some(advice);
            return vec![unreachable(SERVER, advice, &problem)];
        }
    };
    let schema = match answer(SERVER, store.schema_state()).await {
        Ok(state @ SchemaState::Current { .. }) => Finding::ok(SCHEMA, state.to_string()),
        Ok(state @ SchemaState::Behind { .. }) => {
            Finding::failed(SCHEMA, state.to_string()).advise("actcore db upgrade")
        }
        Ok(state @ SchemaState::Ahead { .. }) => Finding::failed(SCHEMA, state.to_string())
            .advise("upgrade the programs of activity-core to the version that made the schema"),
        Err(problem) => finding(SCHEMA, &problem),
    };
    vec![
        Finding::ok(SERVER, "answers"),
        schema,
        local::clock(&store).await,
    ]
}

/// NATS, our streams, and the routers' consumer.
pub(super) async fn nats(arguments: &NatsArguments) -> Vec<Finding> {
    const SERVER: &str = "NATS";
    const EVENTS: &str = "event stream";
    const CONSUMER: &str = "event router's consumer";
    const DEAD_LETTERS: &str = "dead-letter stream";
    const ROUTER: &str =
        "the event router makes it when it starts; is actcore-event-router running?";
    if arguments.nats_url.is_none() {
        return vec![Finding::unknown(
            SERVER,
            "NATS_URL is required: set it to nats://host:4222",
        )];
    }
    let client = match crate::nats::connect(arguments).await {
        Ok(client) => client,
        Err(reason) => {
            return vec![
                Finding::failed(SERVER, reason).advise("check NATS_URL and the server's /healthz"),
            ];
        }
    };
    let context = jetstream::new(client.clone());
    let version = client.server_info().version;
    let mut findings = vec![Finding::ok(SERVER, format!("answers, version {version}"))];
    match answer(SERVER, context.get_stream(names::EVENT_STREAM)).await {
        Err(problem) => findings.push(
            Finding::failed(EVENTS, format!("{}: {problem}", names::EVENT_STREAM)).advise(ROUTER),
        ),
        Ok(stream) => {
            findings.push(Finding::ok(EVENTS, names::EVENT_STREAM));
            let consumer = answer(SERVER, stream.consumer_info(names::EVENT_CONSUMER)).await;
            findings.push(match consumer {
                Ok(info) => Finding::ok(
                    CONSUMER,
                    format!(
                        "{}, {} waiting, {} unacknowledged",
                        names::EVENT_CONSUMER,
                        info.num_pending,
                        info.num_ack_pending
                    ),
                ),
                Err(problem) => {
                    let detail = format!("{}: {problem}", names::EVENT_CONSUMER);
                    Finding::failed(CONSUMER, detail).advise(ROUTER)
                }
            });
        }
    }
    let letters = answer(SERVER, context.get_stream(names::DEAD_LETTER_STREAM)).await;
    findings.push(match letters {
        Ok(stream) => {
            let count = stream.cached_info().state.messages;
            Finding::ok(
                DEAD_LETTERS,
                format!("{}, {count} dead letters", names::DEAD_LETTER_STREAM),
            )
        }
        Err(problem) => {
            let detail = format!("{}: {problem}", names::DEAD_LETTER_STREAM);
            Finding::failed(DEAD_LETTERS, detail).advise(ROUTER)
        }
    });
    findings
}

/// State Hub; optional.
pub(super) async fn state_hub(arguments: &StateHubArguments) -> Vec<Finding> {
    const SERVER: &str = "State Hub";
    let Some(url) = &arguments.state_hub_url else {
        return vec![Finding::not_applicable(SERVER, "STATE_HUB_URL is not set")];
    };
    let finding = match StateHub::new(url) {
        Err(error) => Finding::failed(SERVER, runtime::describe(&error)),
        Ok(state_hub) => match state_hub.health().await {
            Ok(()) => Finding::ok(SERVER, "is well"),
            Err(reason) => Finding::failed(SERVER, reason).advise(
                "check STATE_HUB_URL and State Hub; without it reports to it fail and are retried",
            ),
        },
    };
    vec![finding]
}

/// The REST API; optional.
pub(super) async fn api(arguments: &ApiArguments) -> Vec<Finding> {
    const SERVER: &str = "REST API";
    let client = match ApiClient::configure(arguments) {
        Ok(Some(client)) => client,
        Ok(None) => return vec![Finding::not_applicable(SERVER, "API_URL is not set")],
        Err(problem) => return vec![Finding::failed(SERVER, problem.to_string())],
    };
    let finding = match client.health().await {
        Ok(health) if health.db && health.temporal => Finding::ok(SERVER, "is well"),
        Ok(health) => Finding::failed(
            SERVER,
            format!("sees db: {}, temporal: {}", health.db, health.temporal),
        )
        .advise("the API can't reach what is false; see its log"),
        Err(problem) => Finding::failed(SERVER, problem.to_string())
            .advise("check API_URL; kubectl -n activity-core get deploy actcore-api"),
    };
    vec![finding]
}
