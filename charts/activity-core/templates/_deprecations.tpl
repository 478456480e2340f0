{{/*
Keys that have moved, each with where to. The schema lets them through, marked as deprecated, so
that this can say more than that they are unknown.
*/}}
{{- define "activity-core.refuseMoved" -}}
{{- $values := .Values -}}
{{- $workloads := list "operator" "worker" "eventRouter" "api" -}}
{{- range $key, $to := dict "replicaCount" "operator.replicas, worker.replicas, eventRouter.replicas and api.replicas" "router" "eventRouter" "serviceMonitor" "monitoring.prometheusOperator" -}}
{{- if hasKey $values $key -}}{{- fail (printf "%s has moved to %s" $key $to) -}}{{- end -}}
{{- end -}}
{{- range $workloads -}}
{{- if hasKey (index $values .) "replicaCount" -}}{{- fail (printf "%s.replicaCount has moved to %s.replicas" . .) -}}{{- end -}}
{{- end -}}
{{- if hasKey $values.postgres "url" -}}{{- fail "postgres.url is not read: a password has no place in values; put the URL into a Secret and name it in postgres.secretName" -}}{{- end -}}
{{- if hasKey $values.temporal "address" -}}{{- fail "temporal.address has moved to temporal.host" -}}{{- end -}}
{{- if hasKey $values.worker "skipScheduleSync" -}}{{- fail "worker.skipScheduleSync is not needed: the operator keeps the Schedules, whatever the number of workers" -}}{{- end -}}
{{- end }}

{{/* What the schema can't see: values that contradict each other. */}}
{{- define "activity-core.refuseContradictions" -}}
{{- $tls := .Values.temporal.tls -}}
{{- if and $tls.certKey (not $tls.keyKey) -}}{{- fail "temporal.tls.keyKey is required when temporal.tls.certKey is set: the key of the private key in the Secret" -}}{{- end -}}
{{- if and $tls.keyKey (not $tls.certKey) -}}{{- fail "temporal.tls.certKey is required when temporal.tls.keyKey is set: the key of the client certificate in the Secret" -}}{{- end -}}
{{- if and $tls.certKey (not $tls.secretName) -}}{{- fail "temporal.tls.secretName is required when temporal.tls.certKey is set: the Secret that holds the client certificate" -}}{{- end -}}
{{- if and $tls.secretName (not $tls.enabled) -}}{{- fail "temporal.tls.secretName is set while temporal.tls.enabled is false: set it to true" -}}{{- end -}}
{{- range $name := list "worker" "eventRouter" -}}
{{- with index $.Values $name "autoscaling" -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}{{- fail (printf "%s.autoscaling.minReplicas is larger than %s.autoscaling.maxReplicas" $name $name) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.api.service -}}
{{- if and .nodePort (eq .type "ClusterIP") -}}{{- fail "api.service.nodePort is set while api.service.type is ClusterIP: set it to NodePort" -}}{{- end -}}
{{- end -}}
{{- with .Values.workingMemory -}}
{{- if gt (len (compact (list .url .existingClaim (ternary "emptyDir" "" .emptyDir)))) 1 -}}{{- fail "workingMemory: set either url, existingClaim or emptyDir" -}}{{- end -}}
{{- with $.Values.worker -}}
{{- if and $.Values.workingMemory.emptyDir (or .autoscaling.enabled (gt (int .replicas) 1)) -}}{{- fail "workingMemory.emptyDir is each worker's own folder, so reports would lie in several: set worker.replicas to 1 and worker.autoscaling.enabled to false, or workingMemory.existingClaim or workingMemory.url instead" -}}{{- end -}}
{{- end -}}
{{- if and .credentials.secretName (not .url) -}}{{- fail "workingMemory.url is required when workingMemory.credentials.secretName is set" -}}{{- end -}}
{{- end -}}
{{- end }}
