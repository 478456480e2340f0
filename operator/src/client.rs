//! The client of the Kubernetes API: calls are answered soon or given up, watches may wait.

use std::time::Duration;

use anyhow::Context as _;
use kube::client::Body;
use kube::{Client, Config};

/// How long the API server may take to answer a call. Without a limit, a connection that died
/// without a word would hold whoever called for ever.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the configuration of the environment, and makes a client of two: for calls, the list that
/// a watch begins with among them, and for watches, on which nothing may come for minutes.
pub(crate) async fn infer() -> anyhow::Result<Client> {
    let watching = Config::infer()
        .await
        .context("unable to read the Kubernetes configuration (set KUBECONFIG)")?;
    let namespace = watching.default_namespace.clone();
    let mut calling = watching.clone();
    calling.read_timeout = Some(CALL_TIMEOUT);
    // Otherwise the time that a connection was idle before would count.
    calling.reset_reader_on_write = true;
    let (calls, watches) = (client(calling)?, client(watching)?);
    let either = tower::service_fn(move |request: http::Request<Body>| {
        let client = if is_watch(request.uri()) {
            watches.clone()
        } else {
            calls.clone()
        };
        async move { client.send(request).await }
    });
    Ok(Client::new(either, namespace))
}

fn client(config: Config) -> anyhow::Result<Client> {
    Client::try_from(config).context("unable to make a Kubernetes client")
}

fn is_watch(uri: &http::Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    query.split('&').any(|pair| pair == "watch=true")
}

#[cfg(test)]
mod tests {
    use kube::api::{ListParams, WatchParams};
    use kube::core::Request;

    use super::*;

    #[test]
    fn a_watch_may_wait_and_the_list_before_it_may_not() {
        let requests = Request::new("/apis/activity-core.io/v1alpha1/activitydefinitions");
        let watch = requests.watch(&WatchParams::default(), "0").unwrap();
        assert!(is_watch(watch.uri()));
        let list = requests.list(&ListParams::default()).unwrap();
        assert!(!is_watch(list.uri()));
    }
}
