//! The schema of the values: closed, described, and of one mind with the values.

use serde_json::Value;

use crate::helm::{chart_file, template};

fn schema() -> Value {
    serde_json::from_str(&chart_file("values.schema.json")).unwrap()
}

fn values() -> Value {
    serde_norway::from_str(&chart_file("values.yaml")).unwrap()
}

/// Every schema within a schema, with its path.
fn each(schema: &Value, path: &str, seen: &mut dyn FnMut(&str, &Value)) {
    seen(path, schema);
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        each(part, &format!("{path}.{name}"), seen);
    }
    for (name, part) in schema["$defs"].as_object().into_iter().flatten() {
        each(part, &format!("{path}#{name}"), seen);
    }
    for name in ["items", "additionalProperties"] {
        if schema[name].is_object() {
            each(&schema[name], &format!("{path}.{name}"), seen);
        }
    }
}

#[test]
fn every_key_is_described() {
    let schema = schema();
    let mut count = 0;
    each(&schema, "", &mut |path, part| {
        count += 1;
        let described = |schema: &Value| {
            schema["description"]
                .as_str()
                .is_some_and(|text| text.ends_with('.') || text.starts_with("Moved: "))
        };
        let referred = part["$ref"]
            .as_str()
            .is_some_and(|reference| described(schema.pointer(&reference[1..]).unwrap()));
        assert!(described(part) || referred, "{path} has no description");
    });
    assert!(count > 300, "only {count} keys were looked at");
}

#[test]
fn every_object_is_closed() {
    each(&schema(), "", &mut |path, part| {
        // What a chart above us shares with others is its own.
        if part["type"] == "object" && path != ".global" {
            let closed = &part["additionalProperties"];
            assert!(
                closed == &Value::Bool(false) || closed.is_object(),
                "{path} takes any key"
            );
        }
    });
}

#[test]
fn every_text_is_bounded_by_what_it_may_be() {
    // Texts whose form is another's to judge.
    const FREE: [&str; 4] = ["#annotations", "#affinity", "#podAffinityTerm", "#env"];
    let mut bounded = 0;
    each(&schema(), "", &mut |path, part| {
        let is_bounded = ["pattern", "enum", "minLength", "maxLength"]
            .iter()
            .any(|bound| part.get(bound).is_some());
        bounded += usize::from(is_bounded);
        let is_top_level = path.starts_with('.') && !path.contains('#');
        if part["type"] == "string" && is_top_level && !FREE.iter().any(|free| path.contains(free))
        {
            assert!(is_bounded, "{path} takes any text");
        }
    });
    assert!(bounded > 60, "only {bounded} texts are bounded");
}

/// Whether a key of the schema has a default, and the other way round.
fn compare(root: &Value, schema: &Value, values: &Value, path: &str) {
    let schema = schema["$ref"]
        .as_str()
        .map_or(schema, |reference| root.pointer(&reference[1..]).unwrap());
    let (Some(properties), Some(values)) = (schema["properties"].as_object(), values.as_object())
    else {
        return;
    };
    for name in values.keys() {
        assert!(
            properties.contains_key(name),
            "{path}.{name} is not in the schema"
        );
    }
    for (name, part) in properties {
        let moved = part["deprecated"] == Value::Bool(true);
        if moved || path.is_empty() && name == "global" {
            assert!(!values.contains_key(name), "{path}.{name} has moved");
            continue;
        }
        // An object that is empty by default has its keys from Kubernetes.
        if values.is_empty() || path.ends_with("resources") || path.contains("resources.") {
            continue;
        }
        assert!(values.contains_key(name), "{path}.{name} has no default");
        compare(root, part, &values[name], &format!("{path}.{name}"));
    }
}

#[test]
fn values_and_schema_have_the_same_keys() {
    compare(&schema(), &schema(), &values(), "");
}

/// Bad settings, each with the words that the refusal must hold: the key, and what is wrong.
const REFUSED: [(&str, &[&str]); 63] = [
    ("unknown=1", &["unknown"]),
    (r#"image.repo="x""#, &["/image", "repo"]),
    (r#"image.repository="""#, &["/image/repository"]),
    (r#"image.repository="a b""#, &["/image/repository"]),
    (r#"image.tag="a/b""#, &["/image/tag"]),
    (r#"image.digest="sha256:abc""#, &["/image/digest"]),
    (
        r#"image.pullPolicy="Sometimes""#,
        &["/image/pullPolicy", "Always"],
    ),
    (
        r#"image.pullSecrets="registry""#,
        &["/image/pullSecrets", "array"],
    ),
    (
        r#"image.pullSecrets=[{"name":"x"}]"#,
        &["/image/pullSecrets/0", "string"],
    ),
    (r#"scope="Both""#, &["/scope", "Cluster", "Namespace"]),
    (r#"temporal.host="no-port""#, &["/temporal/host"]),
    (r#"temporal.host="https://host:7233""#, &["/temporal/host"]),
    (r#"temporal.hosts="host:7233""#, &["/temporal", "hosts"]),
    (r#"temporal.namespace="""#, &["/temporal/namespace"]),
    ("temporal.tls=true", &["/temporal/tls", "object"]),
    (
        r#"temporal.tls.enabled="yes""#,
        &["/temporal/tls/enabled", "boolean"],
    ),
    (
        r#"temporal.tls.secretName="Not_A_Name""#,
        &["/temporal/tls/secretName"],
    ),
    (r#"temporal.tls.certKey="a b""#, &["/temporal/tls/certKey"]),
    (r#"temporal.apiKey.key="""#, &["/temporal/apiKey/key"]),
    (r#"postgres.secretName="UPPER""#, &["/postgres/secretName"]),
    (
        "postgres.maxConnections=0",
        &["/postgres/maxConnections", "minimum"],
    ),
    (r#"postgres.password="x""#, &["/postgres", "password"]),
    (r#"nats.url="host:4222""#, &["/nats/url"]),
    (r#"nats.url=["nats://host:4222"]"#, &["/nats/url", "string"]),
    (r#"stateHub.url="state-hub:8000""#, &["/stateHub/url"]),
    (
        r#"activityTimeoutSeconds="15m""#,
        &["/activityTimeoutSeconds", "integer"],
    ),
    (
        "activityTimeoutSeconds=0",
        &["/activityTimeoutSeconds", "minimum"],
    ),
    (r#"log.format="xml""#, &["/log/format", "json", "text"]),
    (r#"log.level="debug""#, &["/log", "level"]),
    (r#"crds.keep="true""#, &["/crds/keep", "boolean"]),
    ("migration.backoffLimit=-1", &["/migration/backoffLimit"]),
    ("migration.hook=true", &["/migration", "hook"]),
    (
        r#"operator.replicas="2""#,
        &["/operator/replicas", "integer"],
    ),
    ("operator.replicas=-1", &["/operator/replicas", "minimum"]),
    (
        "operator.leaseDurationSeconds=1",
        &["/operator/leaseDurationSeconds", "minimum"],
    ),
    (
        "operator.resyncSeconds=100000",
        &["/operator/resyncSeconds", "maximum"],
    ),
    ("operator.webhook.port=443", &["/operator/webhook", "port"]),
    (
        r#"worker.resources.limits.memory="lots""#,
        &["/worker/resources/limits/memory"],
    ),
    ("worker.resources.limit={}", &["/worker/resources", "limit"]),
    (
        "worker.autoscaling.targetCpuUtilizationPercentage=0",
        &["/worker/autoscaling/targetCpu"],
    ),
    (
        r#"worker.egressAllowedHosts=["https://host"]"#,
        &["/worker/egressAllowedHosts/0"],
    ),
    (
        r#"worker.llm.baseUrl="llm.internal""#,
        &["/worker/llm/baseUrl"],
    ),
    (
        r#"worker.llm.apiKey="sk-secret""#,
        &["/worker/llm/apiKey", "object"],
    ),
    (
        r#"workingMemory.mountPath="relative""#,
        &["/workingMemory/mountPath"],
    ),
    (
        r#"worker.issueSink.type="jira""#,
        &["/worker/issueSink/type", "issue-core"],
    ),
    (
        r#"worker.extraEnv=[{"value":"x"}]"#,
        &["/worker/extraEnv/0", "name"],
    ),
    (
        r#"worker.extraEnv=[{"name":"a b"}]"#,
        &["/worker/extraEnv/0/name"],
    ),
    (
        r#"worker.extraEnvFrom=[{"secret":"x"}]"#,
        &["/worker/extraEnvFrom/0"],
    ),
    (
        r#"worker.tolerations=[{"operator":"Like"}]"#,
        &["/worker/tolerations/0/operator", "Exists"],
    ),
    (
        r#"worker.affinity={"podAffinty":{}}"#,
        &["/worker/affinity", "podAffinty"],
    ),
    (
        r#"worker.podLabels={"a":1}"#,
        &["/worker/podLabels/a", "string"],
    ),
    (
        r#"worker.podLabels={"a b":"c"}"#,
        &["invalid propertyName 'a b'"],
    ),
    (
        r#"worker.topologySpreadConstraints=[{"maxSkew":1}]"#,
        &["topologySpreadConstraints/0", "topologyKey"],
    ),
    (
        "eventRouter.maxInFlight=5000",
        &["/eventRouter/maxInFlight", "maximum"],
    ),
    (
        "eventRouter.streamReplicas=9",
        &["/eventRouter/streamReplicas"],
    ),
    (
        r#"api.authentication="none""#,
        &["/api/authentication", "PortForward"],
    ),
    (r#"api.service.type="Ingress""#, &["/api/service/type"]),
    (
        "api.service.nodePort=70000",
        &["/api/service/nodePort", "maximum"],
    ),
    (
        "networkPolicy.temporal.ports=[70000]",
        &["/networkPolicy/temporal/ports/0"],
    ),
    (
        "networkPolicy.temporal.ports=[]",
        &["/networkPolicy/temporal/ports"],
    ),
    (
        r#"networkPolicy.postgres.to=[{"cidr":"10.0.0.0/8"}]"#,
        &["/networkPolicy/postgres/to/0", "cidr"],
    ),
    (r#"monitoring.interval="30""#, &["/monitoring/interval"]),
    (
        r#"monitoring.alerts.runbookBaseUrl="https://x/""#,
        &["/monitoring/alerts/runbookBaseUrl"],
    ),
];

#[test]
fn a_bad_value_is_refused_by_the_name_of_its_key() {
    for (setting, words) in REFUSED {
        let refusal = template("values-dev.yaml", &[setting]).expect_err(setting);
        for word in words {
            assert!(
                refusal.contains(word),
                "{setting}: no \"{word}\" in\n{refusal}"
            );
        }
    }
}

/// What the schema can't see: keys that have moved, and values that contradict each other.
const ADVISED: [(&str, &[&str], &str); 21] = [
    ("values-dev.yaml", &["replicaCount=2"], "operator.replicas"),
    (
        "values-dev.yaml",
        &["worker.replicaCount=2"],
        "worker.replicaCount has moved to worker.replicas",
    ),
    (
        "values-dev.yaml",
        &["eventRouter.replicaCount=2"],
        "eventRouter.replicas",
    ),
    (
        "values-dev.yaml",
        &["router={}"],
        "router has moved to eventRouter",
    ),
    (
        "values-dev.yaml",
        &["serviceMonitor={}"],
        "monitoring.prometheusOperator",
    ),
    (
        "values-dev.yaml",
        &[r#"postgres.url="postgres://x""#],
        "postgres.secretName",
    ),
    (
        "values-dev.yaml",
        &[r#"temporal.address="host:7233""#],
        "temporal.host",
    ),
    (
        "values-dev.yaml",
        &["worker.skipScheduleSync=true"],
        "worker.skipScheduleSync",
    ),
    (
        "values-dev.yaml",
        &["dev.temporal.enabled=false"],
        "temporal.host is required",
    ),
    (
        "values-dev.yaml",
        &["dev.postgres.enabled=false"],
        "postgres.secretName is required",
    ),
    (
        "values-dev.yaml",
        &["dev.nats.enabled=false"],
        "nats.url is required",
    ),
    (
        "values-dev.yaml",
        &["worker.autoscaling.minReplicas=11"],
        "worker.autoscaling.minReplicas",
    ),
    (
        "values-dev.yaml",
        &["eventRouter.autoscaling.minReplicas=11"],
        "eventRouter.autoscaling.minReplicas",
    ),
    (
        "values-dev.yaml",
        &[r#"worker.issueSink.type="issue-core""#],
        "worker.issueSink.url is required",
    ),
    (
        "values-dev.yaml",
        &[r#"workingMemory.existingClaim="x""#],
        "workingMemory: set either url",
    ),
    (
        "values-dev.yaml",
        &["api.service.nodePort=30010"],
        "api.service.type is ClusterIP",
    ),
    (
        "values-dev.yaml",
        &["worker.replicas=2"],
        "workingMemory.emptyDir is each worker's own folder",
    ),
    (
        "values-dev.yaml",
        &["worker.autoscaling.enabled=true"],
        "workingMemory.emptyDir is each worker's own folder",
    ),
    (
        "values-dev.yaml",
        &[r#"temporal.tls.secretName="x""#],
        "temporal.tls.enabled",
    ),
    (
        "values-dev.yaml",
        &[
            "temporal.tls.enabled=true",
            r#"temporal.tls.certKey="x""#,
            r#"temporal.tls.secretName="x""#,
        ],
        "temporal.tls.keyKey is required",
    ),
    (
        "values-dev.yaml",
        &[
            "temporal.tls.enabled=true",
            r#"temporal.tls.certKey="x""#,
            r#"temporal.tls.keyKey="x""#,
        ],
        "temporal.tls.secretName is required",
    ),
];

#[test]
fn a_moved_key_and_a_contradiction_are_refused_with_what_to_do() {
    for (values, settings, advice) in ADVISED {
        let refusal = template(values, settings).expect_err(advice);
        assert!(
            refusal.contains(advice),
            "{settings:?}: no \"{advice}\" in\n{refusal}"
        );
    }
}
