//! Every pod that the chart makes, hooks and tests included, against every rule of the pod security
//! standard "restricted" and the house's own.

use serde_json::{Value, json};

use crate::helm::{Claims, VALUE_FILES, name, objects};

/// The pod of an object that has one, with the object's name.
fn pod(object: &Value) -> Option<(String, &Value)> {
    let pod = match object["kind"].as_str()? {
        "Deployment" | "Job" => &object["spec"]["template"],
        "Pod" => object,
        _ => return None,
    };
    Some((name(object), pod))
}

fn containers(pod: &Value) -> Vec<&Value> {
    ["initContainers", "containers"]
        .into_iter()
        .filter_map(|list| pod["spec"][list].as_array())
        .flatten()
        .collect()
}

type Rule = (&'static str, fn(&Value) -> bool);

/// What "restricted" asks of a pod (with all of "baseline"), and what we ask beyond it.
const POD_RULES: [Rule; 14] = [
    ("runs as non-root", |pod| {
        pod["spec"]["securityContext"]["runAsNonRoot"] == json!(true)
    }),
    ("runs as a user that is not root", |pod| {
        pod["spec"]["securityContext"]["runAsUser"].as_i64() > Some(0)
    }),
    ("runs as a group that is not root's", |pod| {
        pod["spec"]["securityContext"]["runAsGroup"].as_i64() > Some(0)
    }),
    ("has the runtime's seccomp profile", |pod| {
        pod["spec"]["securityContext"]["seccompProfile"]["type"] == json!("RuntimeDefault")
    }),
    ("has no sysctls", |pod| {
        pod["spec"]["securityContext"].get("sysctls").is_none()
    }),
    ("is not in the host's network", |pod| {
        pod["spec"].get("hostNetwork").is_none()
    }),
    ("does not see the host's processes", |pod| {
        pod["spec"].get("hostPID").is_none()
    }),
    ("does not share the host's IPC", |pod| {
        pod["spec"].get("hostIPC").is_none()
    }),
    ("has only volumes that restricted pods may have", |pod| {
        let none = Vec::new();
        let volumes = pod["spec"]["volumes"].as_array().unwrap_or(&none);
        volumes.iter().all(|volume| {
            [
                "configMap",
                "emptyDir",
                "persistentVolumeClaim",
                "projected",
                "secret",
            ]
            .iter()
            .any(|kind| volume.get(kind).is_some())
        })
    }),
    ("gets no environment from Services", |pod| {
        pod["spec"]["enableServiceLinks"] == json!(false)
    }),
    ("says whether it gets a token", |pod| {
        pod["spec"]["automountServiceAccountToken"].is_boolean()
    }),
    ("is part of activity-core", |pod| {
        pod["metadata"]["labels"]["app.kubernetes.io/part-of"] == json!("activity-core")
    }),
    ("has a component, by which policies select it", |pod| {
        pod["metadata"]["labels"]["app.kubernetes.io/component"].is_string()
    }),
    ("has a container", |pod| !containers(pod).is_empty()),
];

/// The same for each container.
const CONTAINER_RULES: [Rule; 14] = [
    ("can't gain privileges", |container| {
        container["securityContext"]["allowPrivilegeEscalation"] == json!(false)
    }),
    ("is not privileged", |container| {
        container["securityContext"]["privileged"] == json!(false)
    }),
    ("drops all capabilities", |container| {
        container["securityContext"]["capabilities"] == json!({"drop": ["ALL"]})
    }),
    ("runs as non-root", |container| {
        container["securityContext"]["runAsNonRoot"] == json!(true)
    }),
    ("has the runtime's seccomp profile", |container| {
        container["securityContext"]["seccompProfile"]["type"] == json!("RuntimeDefault")
    }),
    ("can't write to its own files", |container| {
        container["securityContext"]["readOnlyRootFilesystem"] == json!(true)
    }),
    ("is not made root again", |container| {
        container["securityContext"].get("runAsUser").is_none()
    }),
    ("has no host port", |container| {
        let none = Vec::new();
        let ports = container["ports"].as_array().unwrap_or(&none);
        ports.iter().all(|port| port.get("hostPort").is_none())
    }),
    ("has a memory limit", |container| {
        container["resources"]["limits"]["memory"].is_string()
    }),
    ("has a memory request", |container| {
        container["resources"]["requests"]["memory"].is_string()
    }),
    ("has a processor request", |container| {
        container["resources"]["requests"]["cpu"].is_string()
    }),
    ("is never throttled", |container| {
        container["resources"]["limits"].get("cpu").is_none()
    }),
    ("names the image that it runs", |container| {
        container["image"]
            .as_str()
            .is_some_and(|image| image.contains([':', '@']))
    }),
    (
        "has no secret in its command line or environment",
        |container| {
            let none = Vec::new();
            let variables = container["env"].as_array().unwrap_or(&none);
            variables.iter().all(|variable| {
                let name = variable["name"].as_str().unwrap_or_default();
                let is_secret = ["PASSWORD", "DB_URL", "API_KEY", "TOKEN"]
                    .iter()
                    .any(|part| name.contains(part) && !name.ends_with("_FILE"));
                !is_secret || variable["valueFrom"]["secretKeyRef"]["name"].is_string()
            })
        },
    ),
];

#[test]
fn every_pod_keeps_every_rule_of_restricted_pod_security() {
    let mut claims = Claims::default();
    for values in VALUE_FILES {
        for object in objects(values) {
            let Some((owner, pod)) = pod(&object) else {
                continue;
            };
            for (rule, holds) in POD_RULES {
                claims.claim(holds(pod), || format!("{values}: {owner}: {rule}"));
            }
            for container in containers(pod) {
                for (rule, holds) in CONTAINER_RULES {
                    claims.claim(holds(container), || {
                        format!("{values}: {owner}/{}: {rule}", container["name"])
                    });
                }
            }
        }
    }
    claims.settle(800);
}

/// The rules of our own programs.
const PROGRAM_RULES: [Rule; 13] = [
    ("a new pod is ready before an old one goes", |deployment| {
        deployment["spec"]["strategy"]["rollingUpdate"]
            == json!({"maxUnavailable": 0, "maxSurge": 1})
    }),
    ("is selected by what never changes", |deployment| {
        let labels = deployment["spec"]["selector"]["matchLabels"]
            .as_object()
            .unwrap();
        labels.keys().all(|label| {
            [
                "app.kubernetes.io/name",
                "app.kubernetes.io/instance",
                "app.kubernetes.io/component",
            ]
            .contains(&label.as_str())
        })
    }),
    ("has an account of its own", |deployment| {
        deployment["spec"]["template"]["spec"]["serviceAccountName"]
            == deployment["metadata"]["name"]
    }),
    ("runs the program of its name", |deployment| {
        let program = deployment["metadata"]["name"].as_str().unwrap();
        main_container(deployment)["command"] == json!([format!("/usr/local/bin/{program}")])
    }),
    ("is given time to start", |deployment| {
        let probe = &main_container(deployment)["startupProbe"];
        probe["httpGet"]["path"] == json!("/livez")
            && probe["failureThreshold"].as_i64() >= Some(30)
    }),
    (
        "is killed only when the process itself does not answer",
        |deployment| {
            main_container(deployment)["livenessProbe"]["httpGet"]
                == json!({"path": "/livez", "port": "health"})
        },
    ),
    ("is patient before it kills", |deployment| {
        let probe = &main_container(deployment)["livenessProbe"];
        probe["periodSeconds"].as_i64().unwrap() * probe["failureThreshold"].as_i64().unwrap() >= 60
    }),
    ("is ready when its dependencies answer", |deployment| {
        main_container(deployment)["readinessProbe"]["httpGet"]
            == json!({"path": "/readyz", "port": "health"})
    }),
    (
        "waits for readiness longer than a probe of a dependency takes",
        |deployment| {
            main_container(deployment)["readinessProbe"]["timeoutSeconds"].as_i64() > Some(2)
        },
    ),
    ("exposes its health", |deployment| {
        has_port(deployment, "health", 8081)
    }),
    ("exposes its metrics", |deployment| {
        has_port(deployment, "metrics", 9090)
    }),
    ("spreads", |deployment| {
        deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
            .as_array()
            .is_some_and(|constraints| !constraints.is_empty())
    }),
    ("ends within its grace period", |deployment| {
        let pod = &deployment["spec"]["template"]["spec"];
        let drain = main_container(deployment)["lifecycle"]["preStop"]["sleep"]["seconds"].as_i64();
        pod["terminationGracePeriodSeconds"].as_i64().unwrap() > drain.unwrap_or(0) + 10
    }),
];

fn main_container(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]["containers"][0]
}

fn has_port(deployment: &Value, name: &str, port: u16) -> bool {
    let ports = main_container(deployment)["ports"].as_array().unwrap();
    ports
        .iter()
        .any(|found| found["name"] == json!(name) && found["containerPort"] == json!(port))
}

/// Our programs among the rendered Deployments.
fn programs(objects: &[Value]) -> impl Iterator<Item = &Value> {
    objects.iter().filter(|object| {
        object["kind"] == json!("Deployment")
            && !name(object).starts_with("Deployment actcore-dev-")
    })
}

#[test]
fn every_program_is_rolled_probed_and_ended_with_care() {
    let mut claims = Claims::default();
    for values in VALUE_FILES {
        let objects = objects(values);
        for deployment in programs(&objects) {
            for (rule, holds) in PROGRAM_RULES {
                claims.claim(holds(deployment), || {
                    format!("{values}: {}: {rule}", name(deployment))
                });
            }
        }
    }
    claims.settle(200);
}

#[test]
fn only_what_talks_to_the_kubernetes_api_gets_a_token() {
    let mut claims = Claims::default();
    for values in VALUE_FILES {
        for object in objects(values) {
            let Some((owner, pod)) = pod(&object) else {
                continue;
            };
            let talks =
                ["Deployment actcore-operator", "Deployment actcore-api"].contains(&owner.as_str());
            claims.claim(
                pod["spec"]["automountServiceAccountToken"] == json!(talks),
                || format!("{values}: {owner}"),
            );
        }
    }
    claims.settle(25);
}

#[test]
fn the_same_pods_are_selected_by_the_deployment_its_budget_its_service_and_its_autoscaler() {
    let mut claims = Claims::default();
    for values in VALUE_FILES {
        let objects = objects(values);
        for deployment in programs(&objects) {
            let selector = &deployment["spec"]["selector"]["matchLabels"];
            let named = |kind: &str| {
                objects.iter().find(|object| {
                    object["kind"] == json!(kind)
                        && object["metadata"]["name"] == deployment["metadata"]["name"]
                })
            };
            if let Some(budget) = named("PodDisruptionBudget") {
                claims.claim(
                    &budget["spec"]["selector"]["matchLabels"] == selector,
                    || format!("{values}: {}", name(budget)),
                );
                claims.claim(budget["spec"]["maxUnavailable"] == json!(1), || {
                    format!("{values}: {} lets a node be drained", name(budget))
                });
            }
            if let Some(service) = named("Service") {
                claims.claim(&service["spec"]["selector"] == selector, || {
                    format!("{values}: {}", name(service))
                });
            }
            let scaler = named("HorizontalPodAutoscaler");
            claims.claim(
                scaler.is_some() != deployment["spec"].get("replicas").is_some(),
                || format!("{values}: {} has one word on replicas", name(deployment)),
            );
        }
    }
    claims.settle(45);
}
