{{/* The labels of every object. Argument: dict "root" "component". */}}
{{- define "activity-core.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{ include "activity-core.podLabels" . }}
{{- end }}

{{/* The labels of every pod. Argument: dict "root" "component". */}}
{{- define "activity-core.podLabels" -}}
{{ include "activity-core.selectorLabels" . }}
app.kubernetes.io/part-of: activity-core
{{- end }}

{{/* What selects a component's pods; it can never change. Argument: dict "root" "component". */}}
{{- define "activity-core.selectorLabels" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* All pods of this release, whatever their component. */}}
{{- define "activity-core.releaseSelector" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: activity-core
{{- end }}

{{- define "activity-core.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* The pod's part of what the pod security standard "restricted" asks for. Argument: the user. */}}
{{- define "activity-core.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* The container's part of it. */}}
{{- define "activity-core.containerSecurityContext" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "activity-core.imagePullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* Where Temporal is. */}}
{{- define "activity-core.temporalHost" -}}
{{- if .Values.temporal.host -}}
{{ .Values.temporal.host }}
{{- else if .Values.dev.temporal.enabled -}}
actcore-dev-temporal.{{ .Release.Namespace }}.svc:7233
{{- else -}}
{{- fail "temporal.host is required: set it to host:port of Temporal's frontend (or dev.temporal.enabled=true for a trial)" -}}
{{- end -}}
{{- end }}

{{/* Where NATS is. */}}
{{- define "activity-core.natsUrl" -}}
{{- if .Values.nats.url -}}
{{ .Values.nats.url }}
{{- else if .Values.dev.nats.enabled -}}
nats://actcore-dev-nats.{{ .Release.Namespace }}.svc:4222
{{- else -}}
{{- fail "nats.url is required: set it to nats://host:4222 (or dev.nats.enabled=true for a trial, or eventRouter.enabled=false)" -}}
{{- end -}}
{{- end }}

{{/* Who may call the API: Kubernetes or PortForward. */}}
{{- define "activity-core.apiAuthentication" -}}
{{- if .Values.api.authentication -}}
{{ .Values.api.authentication }}
{{- else if eq .Values.scope "Namespace" -}}
PortForward
{{- else -}}
Kubernetes
{{- end -}}
{{- end }}

{{/* Whether the webhook runs: its registration is the cluster's, so scope Namespace has none. */}}
{{- define "activity-core.webhook" -}}
{{- if and .Values.operator.webhook.enabled (eq .Values.scope "Cluster") -}}true{{- end -}}
{{- end }}

{{/* Whether the objects of the Prometheus operator are rendered. */}}
{{- define "activity-core.prometheusOperator" -}}
{{- $present := .Capabilities.APIVersions.Has "monitoring.coreos.com/v1" -}}
{{- if or (eq .Values.monitoring.prometheusOperator "Always") (and (eq .Values.monitoring.prometheusOperator "Auto") $present) -}}true{{- end -}}
{{- end }}

{{/* The ports that a list of addresses names, each host:port or a URL. Argument: dict "addresses"
     "ports", the ports that are there in any case. */}}
{{- define "activity-core.ports" -}}
{{- $ports := list -}}
{{- range .ports }}{{ $ports = append $ports (int .) }}{{ end -}}
{{- range .addresses -}}
{{- $place := regexReplaceAll "^[a-z]+://([^/]*@)?([^/]*).*$" . "${2}" -}}
{{- $port := regexFind ":[0-9]+$" $place | trimPrefix ":" -}}
{{- if $port -}}
{{- $ports = append $ports (int $port) -}}
{{- else if hasPrefix "http://" . -}}
{{- $ports = append $ports 80 -}}
{{- else if hasPrefix "https://" . -}}
{{- $ports = append $ports 443 -}}
{{- else -}}
{{- $ports = append $ports 4222 -}}
{{- end -}}
{{- end -}}
{{- toJson ($ports | uniq) -}}
{{- end }}
