//! Everything else that the chart renders.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::helm::{Claims, VALUE_FILES, find, helm, name, objects, template};

const LABELS: [&str; 7] = [
    "helm.sh/chart",
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "app.kubernetes.io/component",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/managed-by",
];

#[test]
fn helm_has_no_complaint() {
    for values in VALUE_FILES {
        let output = helm(&["lint", ".", "--strict", "--quiet", "--values", values]);
        assert!(
            output.status.success(),
            "{values}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

#[test]
fn every_object_is_labelled_and_there_once() {
    let mut claims = Claims::default();
    for values in VALUE_FILES {
        let mut seen = BTreeSet::new();
        for object in objects(values) {
            claims.claim(seen.insert(name(&object)), || {
                format!("{values}: {} is there twice", name(&object))
            });
            for label in LABELS {
                claims.claim(object["metadata"]["labels"][label].is_string(), || {
                    format!("{values}: {} lacks {label}", name(&object))
                });
            }
        }
    }
    claims.settle(1000);
}

#[test]
fn the_fixed_names_are_kept() {
    let objects = objects("values-dev.yaml");
    for wanted in [
        "Deployment actcore-operator",
        "Deployment actcore-worker",
        "Deployment actcore-event-router",
        "Deployment actcore-api",
    ] {
        find(&objects, wanted);
    }
    let port = |service: &str| find(&objects, service)["spec"]["ports"][0]["port"].clone();
    assert_eq!(port("Service actcore-worker-metrics"), json!(9090));
    assert_eq!(port("Service actcore-api"), json!(8010));
    assert_eq!(port("Service actcore-operator-webhook"), json!(443));
}

/// The variables that a program is given.
fn environment<'a>(objects: &'a [Value], program: &str) -> Vec<(&'a str, &'a Value)> {
    let deployment = find(objects, &format!("Deployment {program}"));
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let variables = container["env"].as_array().unwrap();
    variables
        .iter()
        .map(|variable| (variable["name"].as_str().unwrap(), variable))
        .collect()
}

#[test]
fn every_variable_is_one_that_the_program_reads_and_is_given_once() {
    let settings = std::fs::read_to_string(crate::helm::repository().join("docs/settings.md"));
    let settings = settings.unwrap();
    let mut claims = Claims::default();
    for values in VALUE_FILES {
        let objects = objects(values);
        for program in [
            "actcore-operator",
            "actcore-worker",
            "actcore-event-router",
            "actcore-api",
        ] {
            let wanted = format!("Deployment {program}");
            if !objects.iter().any(|object| name(object) == wanted) {
                continue;
            }
            let section = settings
                .split("\n## ")
                .find(|section| section.starts_with(program));
            let section = section.unwrap_or_else(|| panic!("no section on {program}"));
            let mut seen = BTreeSet::new();
            for (variable, _) in environment(&objects, program) {
                claims.claim(seen.insert(variable), || {
                    format!("{values}: {program} is given {variable} twice")
                });
                let foreign =
                    ["EXTRA", "FROM_SECRET"].contains(&variable) || variable.starts_with("AWS_");
                // POD_NAMESPACE is for every program that asks where it is.
                let known = section.contains(&format!("`{variable}`"));
                claims.claim(known || foreign || variable == "POD_NAMESPACE", || {
                    format!("{values}: {program} does not read {variable}")
                });
            }
        }
    }
    claims.settle(350);
}

/// Settings that the chart leaves alone, each with the reason.
const LEFT_ALONE: [(&str, &str); 6] = [
    ("API_NAMESPACE", "POST creates in the release's namespace"),
    ("KUBECONFIG", "a pod uses its account"),
    ("SKIP_SCHEDULE_SYNC", "it has no effect"),
    (
        "TEMPORAL_API_KEY",
        "the key comes as a file, which may be replaced",
    ),
    (
        "WEBHOOK_URL",
        "the API server reaches the webhook by its Service",
    ),
    ("WORKER_BUILD_ID", "the version names the build"),
];

#[test]
fn every_setting_of_every_program_has_its_value_or_is_left_alone_for_a_reason() {
    let settings = std::fs::read_to_string(crate::helm::repository().join("docs/settings.md"));
    let settings = settings.unwrap();
    let everything: Vec<Vec<Value>> = VALUE_FILES.into_iter().map(objects).collect();
    let mut claims = Claims::default();
    for section in settings.split("\n## ").skip(1) {
        let program = section.lines().next().unwrap();
        let wanted = format!("Deployment {program}");
        let mut given = BTreeSet::new();
        for objects in &everything {
            if objects.iter().any(|object| name(object) == wanted) {
                let environment = environment(objects, program).into_iter();
                given.extend(environment.map(|(variable, _)| variable.to_owned()));
            }
        }
        for line in section.lines().filter(|line| line.starts_with("| `")) {
            let variable = line.split('`').nth(1).unwrap();
            let left_alone = LEFT_ALONE.iter().any(|(name, _)| *name == variable);
            claims.claim(given.contains(variable) != left_alone, || {
                format!("{program}: {variable} is not set by the chart, or set and left alone")
            });
        }
    }
    claims.settle(70);
}

#[test]
fn what_is_mounted_is_where_the_variables_say() {
    let objects = objects("ci/production-values.yaml");
    for program in [
        "actcore-operator",
        "actcore-worker",
        "actcore-event-router",
        "actcore-api",
    ] {
        let deployment = find(&objects, &format!("Deployment {program}"));
        let pod = &deployment["spec"]["template"]["spec"];
        let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
        for (name, variable) in environment(&objects, program) {
            let path = variable["value"].as_str().unwrap_or_default();
            if path.starts_with("/etc/") || path.starts_with("/var/") {
                let found = mounts.iter().find(|mount| {
                    let mounted = mount["mountPath"].as_str().unwrap();
                    // SECRETS_DIR is the folder of the mounts.
                    path.starts_with(mounted) || mounted.starts_with(path)
                });
                let mount = found.unwrap_or_else(|| panic!("{program}: {name}={path}"));
                let volumes = pod["volumes"].as_array().unwrap();
                assert!(
                    volumes.iter().any(|volume| volume["name"] == mount["name"]),
                    "{program}: {mount}"
                );
            }
        }
    }
}

#[test]
fn a_policy_denies_everything_and_each_dependency_has_its_exception() {
    let objects = objects("ci/production-values.yaml");
    let deny = find(&objects, "NetworkPolicy actcore-default-deny");
    assert_eq!(deny["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert!(deny["spec"].get("ingress").is_none() && deny["spec"].get("egress").is_none());
    let ports = |policy: &str, direction: &str| -> BTreeSet<u64> {
        let policy = find(&objects, &format!("NetworkPolicy actcore-{policy}"));
        let ports = policy["spec"][direction][0]["ports"].as_array().unwrap();
        ports
            .iter()
            .map(|port| port["port"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(ports("dns", "egress"), [53].into());
    assert_eq!(ports("kubernetes-api", "egress"), [443, 6443].into());
    assert_eq!(ports("temporal", "egress"), [7233].into());
    assert_eq!(ports("postgres", "egress"), [5432, 6432].into());
    // The ports that the addresses name are added to those of the values.
    assert_eq!(ports("nats", "egress"), [4222, 4333].into());
    assert_eq!(ports("outbound", "egress"), [443, 8000, 8020].into());
    assert_eq!(ports("metrics", "ingress"), [9090].into());
    assert_eq!(ports("api-clients", "ingress"), [8010].into());
    assert_eq!(ports("webhook", "ingress"), [9443].into());
    let policy = find(&objects, "NetworkPolicy actcore-nats");
    assert_eq!(
        policy["spec"]["podSelector"]["matchExpressions"][0]["values"],
        json!(["event-router", "api"])
    );
}

#[test]
fn every_pod_is_under_the_default_deny() {
    for values in VALUE_FILES {
        let objects = objects(values);
        let Some(deny) = objects
            .iter()
            .find(|object| name(object) == "NetworkPolicy actcore-default-deny")
        else {
            assert_eq!(values, "ci/minimal-values.yaml");
            continue;
        };
        let selector = deny["spec"]["podSelector"]["matchLabels"]
            .as_object()
            .unwrap();
        for object in &objects {
            let labels = match object["kind"].as_str().unwrap() {
                "Deployment" | "Job" => &object["spec"]["template"]["metadata"]["labels"],
                "Pod" => &object["metadata"]["labels"],
                _ => continue,
            };
            for (label, value) in selector {
                assert_eq!(&labels[label], value, "{values}: {}", name(object));
            }
        }
    }
}

#[test]
fn a_migration_is_a_new_job_when_what_it_runs_changes() {
    let job = |settings: &[&str]| {
        let objects = template("values-dev.yaml", settings).unwrap();
        let job = objects.iter().find(|object| object["kind"] == json!("Job"));
        job.unwrap().clone()
    };
    let (one, same) = (job(&[]), job(&["eventRouter.replicas=7"]));
    let other = job(&[r#"image.tag="next""#]);
    assert_eq!(name(&one), name(&same));
    assert_ne!(name(&one), name(&other));
    assert!(
        one["metadata"].get("annotations").is_none(),
        "it is no hook"
    );
    let pod = &one["spec"]["template"]["spec"];
    assert_eq!(pod["restartPolicy"], json!("OnFailure"));
    assert_eq!(
        pod["containers"][0]["command"],
        json!([
            "/usr/local/bin/actcore",
            "db",
            "upgrade",
            "--timeout",
            "600"
        ])
    );
}

#[test]
fn the_test_runs_a_definition_and_asks_for_the_proof() {
    let objects = objects("values-dev.yaml");
    let pod = find(&objects, "Pod actcore-helm-test");
    let words = |container: &Value| -> Vec<String> {
        let command = container["command"].as_array().unwrap();
        command
            .iter()
            .map(|word| word.as_str().unwrap().to_owned())
            .collect()
    };
    let run = words(&pod["spec"]["initContainers"][0]);
    let verify = words(&pod["spec"]["containers"][0]);
    assert_eq!(run[1..3], ["trigger", "actcore-helm-test"]);
    assert!(run.contains(&"--wait".to_owned()));
    assert_eq!(verify[1..3], ["verify", "actcore-helm-test"]);
    assert!(verify.contains(&"--live".to_owned()));
    let definition = find(&objects, "ActivityDefinition actcore-helm-test");
    for (hook, removed) in [
        // `helm test --logs` reads the pod after Helm has removed the hooks.
        (pod, "before-hook-creation"),
        (definition, "before-hook-creation,hook-succeeded"),
    ] {
        let annotations = &hook["metadata"]["annotations"];
        assert_eq!(annotations["helm.sh/hook"], json!("test"));
        assert_eq!(annotations["helm.sh/hook-delete-policy"], json!(removed));
    }
}

#[test]
fn without_a_token_the_api_is_on_the_loopback_address_only() {
    let objects = objects("ci/namespaced-values.yaml");
    let value = |wanted: &str| {
        environment(&objects, "actcore-api")
            .into_iter()
            .find(|(name, _)| *name == wanted)
            .unwrap()
            .1["value"]
            .clone()
    };
    assert_eq!(value("API_AUTHENTICATION"), json!("none"));
    assert_eq!(value("API_BIND_ADDR"), json!("127.0.0.1:8010"));
}

#[test]
fn the_port_that_kind_maps_is_that_of_the_api() {
    let kind = std::fs::read_to_string(crate::helm::repository().join("kind-config.yaml")).unwrap();
    let cluster: Value = serde_norway::from_str(&kind).unwrap();
    let mapping = &cluster["nodes"][0]["extraPortMappings"][0];
    // The command at the head of the file.
    let command = kind
        .lines()
        .find(|line| line.contains("--set api.service"))
        .unwrap();
    let mut settings = command.split_whitespace().filter(|word| word.contains('='));
    let (kind_of_service, port) = (settings.next().unwrap(), settings.next().unwrap());
    let kind_of_service = kind_of_service.replace("NodePort", "\"NodePort\"");
    let objects = template("values-dev.yaml", &[&kind_of_service, port]).unwrap();
    let service = &find(&objects, "Service actcore-api")["spec"];
    assert_eq!(service["type"], json!("NodePort"));
    assert_eq!(service["ports"][0]["nodePort"], mapping["containerPort"]);
    assert_eq!(service["ports"][0]["port"], mapping["hostPort"]);
}

#[test]
fn worker_and_api_look_into_the_same_bucket_with_the_same_keys() {
    let settings = [
        r#"workingMemory.url="s3://reports/team""#,
        r#"workingMemory.credentials.secretName="bucket""#,
    ];
    let objects = template("ci/namespaced-values.yaml", &settings).unwrap();
    let of = |program: &str| -> Vec<(String, Value)> {
        environment(&objects, program)
            .into_iter()
            .filter(|(name, _)| *name == "WORKING_MEMORY_DIR" || name.starts_with("AWS_"))
            .map(|(name, variable)| (name.to_owned(), variable.clone()))
            .collect()
    };
    let worker = of("actcore-worker");
    assert_eq!(worker.len(), 5, "{worker:?}");
    assert_eq!(of("actcore-api"), worker);
}

#[test]
fn the_prometheus_operators_objects_are_rendered_on_request() {
    let kinds = |values: &str, setting: &str| -> BTreeSet<String> {
        let objects = template(values, &[setting]).unwrap();
        objects
            .iter()
            .filter(|object| object["apiVersion"] == json!("monitoring.coreos.com/v1"))
            .map(|object| object["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = ["PodMonitor", "PrometheusRule", "ServiceMonitor"].map(str::to_owned);
    let setting = |mode: &str| format!("monitoring.prometheusOperator=\"{mode}\"");
    assert_eq!(kinds("values-dev.yaml", &setting("Always")), all.into());
    assert_eq!(kinds("values-dev.yaml", &setting("Never")), BTreeSet::new());
    // No CRD of it is there when a chart is rendered without a cluster.
    assert_eq!(kinds("values-dev.yaml", &setting("Auto")), BTreeSet::new());
    for object in template("values-dev.yaml", &[&setting("Always")]).unwrap() {
        for list in ["endpoints", "podMetricsEndpoints"] {
            for endpoint in object["spec"][list].as_array().into_iter().flatten() {
                assert_eq!(endpoint["honorLabels"], json!(true), "{}", name(&object));
            }
        }
    }
}

#[test]
fn every_text_that_is_given_as_a_name_reaches_its_place() {
    let objects = objects("ci/placement-values.yaml");
    for program in [
        "actcore-operator",
        "actcore-worker",
        "actcore-event-router",
        "actcore-api",
    ] {
        let deployment = find(&objects, &format!("Deployment {program}"));
        let template = &deployment["spec"]["template"];
        let pod = &template["spec"];
        assert_eq!(
            template["metadata"]["annotations"]["example.org/note"],
            json!("text")
        );
        assert_eq!(
            template["metadata"]["labels"]["example.org/team"],
            json!("platform")
        );
        assert_eq!(pod["priorityClassName"], json!("system-cluster-critical"));
        assert_eq!(pod["nodeSelector"], json!({"kubernetes.io/os": "linux"}));
        assert_eq!(pod["tolerations"][0]["key"], json!("dedicated"));
        assert!(pod["affinity"]["nodeAffinity"].is_object());
        assert_eq!(
            pod["topologySpreadConstraints"].as_array().unwrap().len(),
            1
        );
        assert_eq!(
            pod["containers"][0]["envFrom"][0]["secretRef"]["name"],
            json!("more")
        );
        let account = find(&objects, &format!("ServiceAccount {program}"));
        assert_eq!(
            account["metadata"]["annotations"]["example.org/role"],
            json!("reader")
        );
        assert!(
            environment(&objects, program)
                .iter()
                .any(|(name, _)| *name == "EXTRA")
        );
    }
}
