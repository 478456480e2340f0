{{/* The environment by which a program is set up: one define for each connection. */}}

{{- define "activity-core.env.common" -}}
- name: RUST_LOG
  value: {{ .Values.log.filter | quote }}
- name: LOG_FORMAT
  value: {{ .Values.log.format | quote }}
- name: HEALTH_BIND_ADDR
  value: "0.0.0.0:8081"
- name: PROMETHEUS_BIND_ADDR
  value: "0.0.0.0:9090"
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- end }}

{{/* What a program watches or serves; the empty variable means everything. */}}
{{- define "activity-core.env.scope" -}}
- name: WATCH_NAMESPACE
{{- if eq .Values.scope "Namespace" }}
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- else }}
  value: ""
{{- end }}
{{- end }}

{{- define "activity-core.env.timeLimit" -}}
- name: ACTIVITY_TIMEOUT_SECONDS
  value: {{ int .Values.activityTimeoutSeconds | quote }}
{{- end }}

{{- define "activity-core.env.temporal" -}}
- name: TEMPORAL_HOST
  value: {{ include "activity-core.temporalHost" . | quote }}
- name: TEMPORAL_NAMESPACE
  value: {{ .Values.temporal.namespace | quote }}
{{- with .Values.temporal.tls }}
{{- if .enabled }}
- name: TEMPORAL_TLS
  value: "true"
{{- with .serverName }}
- name: TEMPORAL_TLS_SERVER_NAME
  value: {{ . | quote }}
{{- end }}
{{- if .secretName }}
{{- with .caKey }}
- name: TEMPORAL_TLS_CA
  value: {{ printf "/etc/actcore/temporal/%s" . | quote }}
{{- end }}
{{- with .certKey }}
- name: TEMPORAL_TLS_CERT
  value: {{ printf "/etc/actcore/temporal/%s" . | quote }}
{{- end }}
{{- with .keyKey }}
- name: TEMPORAL_TLS_KEY
  value: {{ printf "/etc/actcore/temporal/%s" . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.temporal.apiKey.secretName }}
- name: TEMPORAL_API_KEY_FILE
  value: {{ printf "/etc/actcore/temporal-api-key/%s" .Values.temporal.apiKey.key | quote }}
{{- end }}
{{- end }}

{{- define "activity-core.env.postgres" -}}
- name: ACTCORE_DB_URL
  valueFrom:
    secretKeyRef:
{{- if .Values.postgres.secretName }}
      name: {{ .Values.postgres.secretName }}
      key: {{ .Values.postgres.key }}
{{- else if .Values.dev.postgres.enabled }}
      name: actcore-dev-postgres
      key: url
{{- else }}
{{- fail "postgres.secretName is required: name a Secret whose key postgres.key holds postgres://user:password@host:port/name (or dev.postgres.enabled=true for a trial)" }}
{{- end }}
- name: ACTCORE_DB_MAX_CONNECTIONS
  value: {{ int .Values.postgres.maxConnections | quote }}
{{- end }}

{{- define "activity-core.env.nats" -}}
- name: NATS_URL
  value: {{ include "activity-core.natsUrl" . | quote }}
{{- if .Values.nats.credentials.secretName }}
- name: NATS_CREDENTIALS_FILE
  value: {{ printf "/etc/actcore/nats/%s" .Values.nats.credentials.key | quote }}
{{- end }}
{{- end }}

{{- define "activity-core.env.stateHub" -}}
{{- with .Values.stateHub.url }}
- name: STATE_HUB_URL
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{/* The files that env.temporal names. */}}
{{- define "activity-core.volumes.temporal" -}}
{{- if and .Values.temporal.tls.enabled .Values.temporal.tls.secretName }}
- name: temporal
  secret:
    secretName: {{ .Values.temporal.tls.secretName }}
    defaultMode: 288 # 0440
{{- end }}
{{- if .Values.temporal.apiKey.secretName }}
- name: temporal-api-key
  secret:
    secretName: {{ .Values.temporal.apiKey.secretName }}
    defaultMode: 288 # 0440
{{- end }}
{{- end }}

{{- define "activity-core.volumeMounts.temporal" -}}
{{- if and .Values.temporal.tls.enabled .Values.temporal.tls.secretName }}
- name: temporal
  mountPath: /etc/actcore/temporal
  readOnly: true
{{- end }}
{{- if .Values.temporal.apiKey.secretName }}
- name: temporal-api-key
  mountPath: /etc/actcore/temporal-api-key
  readOnly: true
{{- end }}
{{- end }}

{{- define "activity-core.volumes.nats" -}}
{{- if .Values.nats.credentials.secretName }}
- name: nats
  secret:
    secretName: {{ .Values.nats.credentials.secretName }}
    defaultMode: 288 # 0440
{{- end }}
{{- end }}
{{- define "activity-core.volumeMounts.nats" -}}
{{- if .Values.nats.credentials.secretName }}
- name: nats
  mountPath: /etc/actcore/nats
  readOnly: true
{{- end }}
{{- end }}

{{/* The working memory in an object store, with its keys, region and endpoint. */}}
{{- define "activity-core.env.bucket" -}}
- name: WORKING_MEMORY_DIR
  value: {{ .Values.workingMemory.url | quote }}
{{- with .Values.workingMemory.credentials.secretName }}
{{- $secretName := . }}
{{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" "AWS_REGION" "AWS_ENDPOINT_URL" }}
- name: {{ . }}
  valueFrom:
    secretKeyRef:
      name: {{ $secretName }}
      key: {{ . }}
      optional: true
{{- end }}
{{- end }}
{{- end }}
